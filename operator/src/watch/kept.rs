//! What caches keep of objects: no more than the operator reads, since thousands of them lie in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, PodSpec, PodStatus, Secret};
use kube::api::{DynamicObject, ObjectMeta};
use kube::core::{DeserializeGuard, PartialObjectMeta};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tessera_crds::names::label;
use tessera_crds::{TesseraAttestation, TesseraNetwork, TesseraNode};

use super::cache::Cached;
use crate::kube::drift;
use crate::kube::ownership::node_path_of;
use crate::kube::planned::controller_of;
use crate::node::{rollout, upgrade};

/// A network or node, or why this version of the operator cannot read it.
pub struct Parsed<K> {
    /// Its metadata; of an object that can be read, what [`slim`] leaves.
    pub metadata: ObjectMeta,
    /// The object; or what in it is unknown to this version.
    pub object: Result<std::sync::Arc<K>, String>,
}

/// An owned object as text: a tree of values takes ten times the memory, and is needed only when something changed.
pub struct Text {
    /// Of its metadata, what [`slim`] leaves.
    pub metadata: ObjectMeta,
    /// Of `managedFields`, what other managers set.
    content: Mutex<Content>,
}

/// What is kept of an object's content.
enum Content {
    /// All of it.
    Whole(Box<str>),
    /// All but most of the pod template, which is most of a workload: the rest of it each reconcile looks at.
    WithoutTemplate(Box<str>),
    /// Nothing.
    Forgotten,
}

/// What is read of a pod. Not its type: an empty spec in it takes as much memory as all of this.
pub struct KeptPod {
    /// Without annotations.
    pub metadata: ObjectMeta,
    /// With the conditions that are read.
    pub status: Option<PodStatus>,
    /// Of each container.
    images: Box<[String]>,
    machine: Option<Box<str>>,
}

/// A volume claim, as text.
pub struct KeptClaim {
    /// What [`slim`] leaves.
    pub metadata: ObjectMeta,
    text: Box<str>,
}
/// The metadata of a Secret.
pub struct KeptSecret(pub ObjectMeta);

impl<K: kube::Resource> Parsed<K> {
    /// Keeps what the watch showed.
    pub fn keep(guarded: DeserializeGuard<K>) -> Self {
        match guarded.0 {
            Ok(mut object) => {
                trim(object.meta_mut());
                let mut metadata = object.meta().clone();
                slim(&mut metadata);
                Self { metadata, object: Ok(std::sync::Arc::new(object)) }
            }
            Err(mut invalid) => {
                trim(&mut invalid.metadata);
                Self { metadata: invalid.metadata, object: Err(invalid.error) }
            }
        }
    }

    /// The object, if this version can read it.
    pub fn readable(&self) -> Option<&std::sync::Arc<K>> {
        self.object.as_ref().ok()
    }
}

impl Text {
    /// Keeps what the watch showed.
    pub fn keep(mut object: DynamicObject) -> Self {
        drift::keep_foreign_fields(&mut object.metadata);
        let text = serde_json::to_string(&object).expect("a JSON object with typed metadata serialises");
        slim(&mut object.metadata);
        Self { metadata: object.metadata, content: Mutex::new(Content::Whole(text.into())) }
    }

    /// The whole object, as a tree or as metadata and a tree; `None`: its content was forgotten.
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        match &*self.content.lock().unwrap_or_else(PoisonError::into_inner) {
            Content::Whole(text) | Content::WithoutTemplate(text) => Some(parse(text)),
            Content::Forgotten => None,
        }
    }

    /// Frees the content, which half of a fleet's memory would be: of an object that is as planned nobody reads it before the
    /// plan changes, and then it differs from the plan, so that the API server is asked. Of a workload the template goes, and of a
    /// load balancer nothing, since its status is read.
    pub fn forget_content(&self) {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let Content::Whole(text) = &*content else { return };
        let object: Value = parse(text);
        if object.pointer("/spec/type").is_none_or(|kind| kind != "LoadBalancer") {
            *content = without_template(object).map_or(Content::Forgotten, Content::WithoutTemplate);
        }
    }
}

fn parse<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).expect("`keep` wrote it")
}

/// The object with what is read of its pod template; `None`: it has none.
fn without_template(mut object: Value) -> Option<Box<str>> {
    let template = object.pointer_mut("/spec/template")?;
    *template = rollout::read_of_template(template);
    Some(object.to_string().into())
}

impl KeptPod {
    /// Keeps metadata, machine, images and the parts of the status that are read.
    pub fn keep(mut pod: Pod) -> Self {
        trim(&mut pod.metadata);
        pod.metadata.annotations = None;
        let PodSpec { containers, node_name, .. } = pod.spec.take().unwrap_or_default();
        if let Some(conditions) = pod.status.as_mut().and_then(|status| status.conditions.as_mut()) {
            conditions.retain(|condition| POD_CONDITIONS.contains(&condition.type_.as_str()));
            conditions.shrink_to_fit();
        }
        Self {
            metadata: pod.metadata,
            status: pod.status,
            images: containers.into_iter().filter_map(|container| container.image).collect(),
            machine: node_name.map(String::into_boxed_str),
        }
    }

    /// The machine that it runs on, once it has one.
    pub fn machine(&self) -> Option<&str> {
        self.machine.as_deref()
    }

    /// Whether the kubelet finds it ready, and nobody has deleted it.
    pub fn is_ready(&self) -> bool {
        let conditions = self.status.as_ref().and_then(|status| status.conditions.as_ref());
        let mut conditions = conditions.into_iter().flatten();
        self.metadata.deletion_timestamp.is_none()
            && conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
    }

    /// Since when the kubelet finds it ready, if it does.
    pub fn ready_since(&self) -> Option<jiff::Timestamp> {
        let conditions = self.status.as_ref()?.conditions.as_ref()?;
        let ready =
            conditions.iter().find(|condition| condition.type_ == "Ready" && condition.status == "True")?;
        Some(ready.last_transition_time.as_ref()?.0)
    }

    /// The image that its first container is made from.
    pub fn image(&self) -> Option<&str> {
        self.images.first().map(String::as_str)
    }

    /// Whether one of its containers is made from `image`.
    pub fn has_image(&self, image: &str) -> bool {
        self.images.iter().any(|of_container| of_container == image)
    }
}

impl KeptClaim {
    /// Keeps all but `managedFields` and annotations.
    pub fn keep(mut claim: PersistentVolumeClaim) -> Self {
        trim(&mut claim.metadata);
        claim.metadata.annotations = None;
        let text = serde_json::to_string(&claim).expect("a typed object serialises");
        // Whether or not a StatefulSet controls it, the label says whose it is.
        let mut labels = claim.metadata.labels.take();
        keep_only(&mut labels, &[label::NODE]);
        slim(&mut claim.metadata);
        Self { metadata: ObjectMeta { labels, ..claim.metadata }, text: text.into() }
    }

    /// The claim.
    pub fn read(&self) -> PersistentVolumeClaim {
        parse(&self.text)
    }
}

impl KeptSecret {
    /// Keeps what [`slim`] leaves.
    pub fn keep(mut secret: PartialObjectMeta<Secret>) -> Self {
        slim(&mut secret.metadata);
        Self(secret.metadata)
    }
}

/// The conditions of a pod that are read.
const POD_CONDITIONS: [&str; 2] = ["Ready", "PodScheduled"];

/// The annotations that are read of what is cached as text, or as metadata alone.
const ANNOTATIONS: [&str; 4] =
    [label::OF_NODE, rollout::ROLLED, rollout::TEMPLATE_HASH, upgrade::record::UPGRADE];

/// `kubectl apply` writes the whole object there once more.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn trim(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
}

/// Leaves who it is, in which version, whose, and the few labels and annotations that are read: all of them take as much
/// memory again as the text of the object.
fn slim(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    metadata.finalizers = None;
    keep_only(&mut metadata.annotations, &ANNOTATIONS);
    // The label names the node where no owner does.
    let labels: &[&str] = if controller_uid(metadata).is_some() { &[] } else { &[label::NODE] };
    keep_only(&mut metadata.labels, labels);
}

fn keep_only(entries: &mut Option<BTreeMap<String, String>>, keys: &[&str]) {
    let kept: BTreeMap<_, _> =
        entries.take().into_iter().flatten().filter(|(key, _)| keys.contains(&key.as_str())).collect();
    *entries = (!kept.is_empty()).then_some(kept);
}

fn controller_uid(metadata: &ObjectMeta) -> Option<&str> {
    controller_of(metadata.owner_references.as_deref()).map(|owner| owner.uid.as_str())
}

impl Cached for Parsed<TesseraNetwork> {
    fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    fn index(&self) -> Option<&str> {
        None
    }
}

/// By network.
impl Cached for Parsed<TesseraNode> {
    fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    fn index(&self) -> Option<&str> {
        self.readable().map(|node| node.spec.network_ref.name.as_str())
    }
}

/// By network.
impl Cached for Parsed<TesseraAttestation> {
    fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    fn index(&self) -> Option<&str> {
        self.readable().map(|attestation| attestation.spec.network_ref.name.as_str())
    }
}

/// By the UID of the controller.
impl Cached for Text {
    fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    fn index(&self) -> Option<&str> {
        controller_uid(&self.metadata)
    }
}

/// By the UID of the StatefulSet, or of the network whose image it tries.
impl Cached for KeptPod {
    fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    fn index(&self) -> Option<&str> {
        controller_uid(&self.metadata)
    }
}

impl Cached for KeptClaim {
    fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    fn index(&self) -> Option<&str> {
        None
    }
}

/// By the UID of the controller; in a namespace of clients, by the node that it is made for.
impl Cached for KeptSecret {
    fn name(&self) -> &str {
        self.0.name.as_deref().unwrap_or_default()
    }

    fn uid(&self) -> &str {
        self.0.uid.as_deref().unwrap_or_default()
    }

    fn index(&self) -> Option<&str> {
        controller_uid(&self.0).or_else(|| node_path_of(self.0.annotations.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::*;
    use crate::fixtures::network_json;
    use crate::watch::cache::Cache;

    fn guarded(json: Value) -> DeserializeGuard<TesseraNetwork> {
        serde_json::from_value(json).expect("whatever the spec says, the metadata is readable")
    }

    #[test]
    fn an_object_with_an_unknown_value_keeps_no_other_from_being_read() {
        let mut newer = network_json();
        newer["metadata"]["name"] = json!("newer");
        newer["spec"]["namespaceIsolation"] = json!("AsOfNextYear");
        let cache = Cache::default();
        cache.take_in(Event::Init, Parsed::keep);
        for json in [newer, network_json()] {
            cache.take_in(Event::InitApply(guarded(json)), Parsed::keep);
        }
        cache.take_in(Event::InitDone, Parsed::keep);
        assert!(cache.is_filled());
        assert!(cache.get("org-a").unwrap().readable().is_some());
        let why = cache.get("newer").unwrap().object.as_ref().err().cloned().unwrap();
        assert!(why.contains("AsOfNextYear"), "{why}");
    }

    #[test]
    fn a_cached_object_is_whole_but_for_what_we_set_ourselves() {
        let entry =
            |manager: &str| json!({"manager": manager, "operation": "Update", "fieldsV1": {"f:data": {}}});
        let live = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"},
            "metadata": {"name": "c", "managedFields": [entry("tessera-operator"), entry("somebody")]}});
        let kept = Text::keep(serde_json::from_value(live.clone()).unwrap());
        assert!(kept.metadata.managed_fields.is_none());
        let value: Value = kept.read().unwrap();
        assert_eq!(value["data"], live["data"]);
        assert_eq!(value["metadata"]["managedFields"], json!([entry("somebody")]));
        kept.forget_content();
        assert!(kept.read::<Value>().is_none());
        assert_eq!(kept.metadata.name.as_deref(), Some("c"));
    }

    #[test]
    fn of_a_workload_all_but_the_template_stays() {
        let live = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "s"},
            "spec": {"replicas": 1, "template": {"spec": {"containers": []}}}, "status": {"replicas": 1}});
        let kept = Text::keep(serde_json::from_value(live).unwrap());
        kept.forget_content();
        kept.forget_content();
        let value: Value = kept.read().unwrap();
        assert_eq!(value["spec"], json!({"replicas": 1, "template": {}}));
        assert_eq!(value["status"], json!({"replicas": 1}));
        assert!(kept.read::<k8s_openapi::api::apps::v1::StatefulSet>().is_some());
    }

    #[test]
    fn of_the_metadata_beside_the_text_stays_what_is_read() {
        let kept = |owners: Value| {
            let live = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
                "name": "c", "uid": "u", "ownerReferences": owners,
                "labels": {"tessera.rs/node": "a", "team": "x"},
                "annotations": {"tessera.rs/of-node": "org-a/a", LAST_APPLIED: "{}", "note": "y"},
            }});
            Text::keep(serde_json::from_value(live).unwrap())
        };
        let owned = kept(
            json!([{"apiVersion": "v", "kind": "TesseraNode", "name": "a", "uid": "o", "controller": true}]),
        );
        assert_eq!((owned.index(), owned.uid()), (Some("o"), "u"));
        assert_eq!(owned.metadata.labels, None, "the owner says whose it is");
        assert_eq!(owned.read::<Value>().unwrap()["metadata"]["labels"]["team"], "x");
        let stripped = kept(json!([]));
        assert_eq!(stripped.metadata.labels, Some([("tessera.rs/node".to_owned(), "a".to_owned())].into()));
        let annotation = ("tessera.rs/of-node".to_owned(), "org-a/a".to_owned());
        assert_eq!(stripped.metadata.annotations, Some([annotation].into()));
    }

    #[test]
    fn of_a_pod_everything_that_is_read_is_kept() {
        let condition = |name: &str| json!({"type": name, "status": "True", "lastTransitionTime": "2027-01-01T00:00:00Z"});
        let conditions = ["Ready", "PodScheduled", "Initialized"].map(condition);
        let pod = KeptPod::keep(
            serde_json::from_value(json!({
                "metadata": {"name": "a-0", "uid": "u"},
                "spec": {"nodeName": "machine-1", "containers": [{"name": "node", "image": "i@sha256:0"}]},
                "status": {"conditions": conditions},
            }))
            .unwrap(),
        );
        assert_eq!((pod.machine(), pod.image(), pod.uid()), (Some("machine-1"), Some("i@sha256:0"), "u"));
        assert!(pod.has_image("i@sha256:0") && pod.is_ready() && pod.ready_since().is_some());
        let conditions = pod.status.unwrap().conditions.unwrap();
        let kept: Vec<_> = conditions.iter().map(|condition| condition.type_.as_str()).collect();
        assert_eq!(kept, ["Ready", "PodScheduled"]);
    }
}
