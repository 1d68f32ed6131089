//! When a change of the pod template goes out.
//!
//! ```text
//! node does not serve ───────────────────────────────────────────────► at once, and takes nothing of the budget
//! node serves ──► store found ready at the network's generation? ──► image known to run, and tried by the canary (`upgrade`)? ──► fewer than maxUnavailable others away? ──► goes
//!                         no: waits                                      no: waits                                               no: waits
//! ```
//!
//! A node is *away* when it got a new template while it served and is not back yet, or when it served until a moment ago (a
//! drained machine, an eviction). A template that keeps the first node from coming back goes to no second one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{VolumeProjection, WeightedPodAffinityTerm};
use kube::api::{DynamicObject, ObjectMeta};
use serde_json::{Value, json};
use tessera_crds::api::network::Rollout as Budget;
use tessera_crds::condition::ConditionType;
use tessera_crds::{TesseraNetwork, TesseraNode};

use crate::controller::queue::Queue;
use crate::kube::meta::{name_of, namespace_of, uid_of};
use crate::report::conditions::find;
use crate::watch::caches::Caches;
use crate::watch::kept::Text;

/// Annotation of a StatefulSet: the hash of its template, so that a change of it is told from any other.
pub const TEMPLATE_HASH: &str = "tessera.rs/template-hash";
/// Annotation of a StatefulSet: which of this operator's templates it has.
pub const TEMPLATE_REVISION: &str = "tessera.rs/template-revision";
/// Annotation of a StatefulSet: how many terms at the end of its template's preferred pod anti-affinity come from `clients`.
pub const LEDGER_TERMS: &str = "tessera.rs/ledger-terms";
/// Annotation of a StatefulSet: the hash of the template that it got while its node served.
pub const ROLLED: &str = "tessera.rs/rolled-while-serving";
/// Annotation of a TesseraNetwork whose store the operator cannot reach and the nodes can: the generation for which a person
/// vouches for the store.
pub const STORE_VOUCHED_FOR: &str = "tessera.rs/store-ready-generation";

/// A node that stopped serving so short a time ago is expected back.
const EXPECTED_BACK: SignedDuration = SignedDuration::from_mins(10);

/// Whether the network's store was found ready as the spec says it now; else why nodes that serve keep their template.
pub fn store_ready(network: &TesseraNetwork) -> Result<(), String> {
    let generation = network.metadata.generation;
    let annotations = network.metadata.annotations.as_ref();
    let vouched = annotations.and_then(|annotations| annotations.get(STORE_VOUCHED_FOR));
    if vouched.is_some_and(|vouched| Some(vouched) == generation.map(|it| it.to_string()).as_ref()) {
        return Ok(());
    }
    let conditions = network.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let found = find(conditions, ConditionType::SecretStoreReady);
    let why = match found {
        Some(found) if found.observed_generation != generation => {
            "it was not probed for the newest spec yet".to_owned()
        }
        Some(found) if found.status == "True" => return Ok(()),
        Some(found) => format!("{}: {}", found.reason, found.message),
        None => "it was not probed yet".to_owned(),
    };
    Err(format!(
        "the secret store of TesseraNetwork {} is not found ready: {why}. Where nodes reach a store that the operator cannot: kubectl annotate tnet {0} {STORE_VOUCHED_FOR}={}",
        name_of(network),
        generation.unwrap_or_default(),
    ))
}

/// Whether the kubelet finds a pod of this workload ready.
pub fn serves(workload_uid: &str, caches: &Caches) -> bool {
    caches.pods.indexed(workload_uid).iter().any(|pod| pod.is_ready())
}

/// The rollouts of all networks.
#[derive(Default)]
pub struct Rollouts(Mutex<BTreeMap<String, Rollout>>);

/// The rollout of one network.
#[derive(Default)]
struct Rollout {
    /// Nodes that may change, by UID, until the watch shows their workload at this generation; `None`: the write is under way.
    admitted: BTreeMap<String, Option<i64>>,
    /// Names of nodes that wait.
    waiting: BTreeSet<String>,
    /// Why the pod that would try their image cannot be made.
    no_check: Option<String>,
}

impl Rollouts {
    /// Admits `node` to change while it serves, if fewer other nodes of its network are away than the budget allows; else
    /// says which are.
    /// What is admitted must be [`Rollouts::settled`].
    pub fn admit(
        &self,
        node: &TesseraNode,
        budget: &Budget,
        caches: &Caches,
        now: Timestamp,
    ) -> Result<(), String> {
        let network = node.spec.network_ref.name.to_string();
        let nodes = caches.nodes_of(&network);
        let max = budget.budget(nodes.len());
        let others = nodes.iter().filter(|other| uid_of(&***other) != uid_of(node));
        let mut all = self.lock();
        let rollout = all.entry(key(namespace_of(node), &network)).or_default();
        rollout.admitted.retain(|uid, generation| !is_seen(uid, *generation, caches));
        let away = others
            .filter(|other| rollout.admitted.contains_key(uid_of(&***other)) || is_away(other, caches, now));
        let away: Vec<_> = away.map(|other| name_of(&**other).to_owned()).collect();
        if away.len() < max {
            rollout.waiting.remove(name_of(node));
            rollout.admitted.insert(uid_of(node).to_owned(), None);
            return Ok(());
        }
        rollout.waiting.insert(name_of(node).to_owned());
        Err(format!(
            "rollout.maxUnavailable of the network is {max}, and {} not back yet: repair, pause or stop what does not come back",
            listed(&away)
        ))
    }

    /// Whether `node` was admitted to a change that the watch does not show yet.
    pub fn is_admitted(&self, node: &TesseraNode, caches: &Caches) -> bool {
        let all = self.lock();
        let rollout = all.get(&key(namespace_of(node), &node.spec.network_ref.name));
        let generation = rollout.and_then(|rollout| rollout.admitted.get(uid_of(node)));
        generation.is_some_and(|generation| !is_seen(uid_of(node), *generation, caches))
    }

    /// `node` waits for something else: it is woken with those that wait for their turn.
    pub fn waits(&self, node: &TesseraNode) {
        let mut all = self.lock();
        let rollout = all.entry(key(namespace_of(node), &node.spec.network_ref.name)).or_default();
        rollout.waiting.insert(name_of(node).to_owned());
    }

    /// The pods that try images were made, or why one could not be; says whether that changed.
    pub fn image_checks_made(&self, namespace: &str, network: &str, refused: Option<String>) -> bool {
        let mut all = self.lock();
        let no_check = &mut all.entry(key(namespace, network)).or_default().no_check;
        let changed = *no_check != refused;
        *no_check = refused;
        changed
    }

    /// Why a pod that would try an image could not be made.
    pub fn no_image_check(&self, namespace: &str, network: &str) -> Option<String> {
        self.lock().get(&key(namespace, network))?.no_check.clone()
    }

    /// The write that `node` was admitted to is done: its workload has this generation now; `None`: it failed.
    pub fn settled(&self, node: &TesseraNode, generation: Option<i64>) {
        let mut all = self.lock();
        let rollout = all.entry(key(namespace_of(node), &node.spec.network_ref.name)).or_default();
        match generation {
            Some(generation) => rollout.admitted.insert(uid_of(node).to_owned(), Some(generation)),
            None => rollout.admitted.remove(uid_of(node)),
        };
    }

    /// A node of the network is as it should be: the next that wait may try again, by way of the queue of `nodes`.
    pub fn wake_waiting(&self, namespace: &str, network: &str, nodes: &Queue<String>) {
        let waiting =
            self.lock().get_mut(&key(namespace, network)).map(|rollout| std::mem::take(&mut rollout.waiting));
        for name in waiting.unwrap_or_default() {
            nodes.touch(&name);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Rollout>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(namespace: &str, network: &str) -> String {
    format!("{namespace}/{network}")
}

/// Three names are enough to go on with.
fn listed(names: &[String]) -> String {
    let shown = names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    match names.len() {
        1 => format!("node {shown} is"),
        2 | 3 => format!("nodes {shown} are"),
        more => format!("nodes {shown} and {} more are", more - 3),
    }
}

/// Whether the watch shows what an admitted node's write made; then the workload itself says whether it is back.
fn is_seen(node_uid: &str, generation: Option<i64>, caches: &Caches) -> bool {
    let seen = caches.workload_of(node_uid);
    let seen = seen.and_then(|workload| workload.metadata.generation);
    generation.is_some_and(|generation| seen.is_some_and(|seen| seen >= generation))
}

/// Whether this workload got its template while its node served.
pub fn is_rolled(workload: Option<&DynamicObject>) -> bool {
    workload.is_some_and(|workload| has_rolled(&workload.metadata))
}

fn has_rolled(workload: &ObjectMeta) -> bool {
    let annotation = |name| workload.annotations.as_ref().and_then(|all| all.get(name));
    annotation(ROLLED).is_some() && annotation(ROLLED) == annotation(TEMPLATE_HASH)
}

fn is_away(node: &TesseraNode, caches: &Caches, now: Timestamp) -> bool {
    if node.spec.replicas == 0 || node.spec.paused {
        return false;
    }
    let Some(workload) = caches.workload_of(uid_of(node)) else { return false };
    let serves = serves(workload.metadata.uid.as_deref().unwrap_or_default(), caches);
    has_rolled(&workload.metadata) && !(serves && is_up_to_date(&workload))
        || !serves && stopped_a_moment_ago(node, now)
}

/// Whether the newest template runs everywhere, by the StatefulSet controller's account.
fn is_up_to_date(workload: &Text) -> bool {
    let set: Option<StatefulSet> = workload.read();
    set.and_then(|set| set.status).is_some_and(|status| {
        status.observed_generation >= workload.metadata.generation
            && status.current_revision == status.update_revision
    })
}

/// It has served, and the status says since when it does not.
fn stopped_a_moment_ago(node: &TesseraNode, now: Timestamp) -> bool {
    let Some(status) = &node.status else { return false };
    let Some(ready) = find(&status.conditions, ConditionType::Ready) else { return false };
    let since = now.duration_since(ready.last_transition_time.0);
    !status.keys.is_empty() && (ready.status == "True" || since < EXPECTED_BACK)
}

/// The workload as an earlier reconcile left it.
#[derive(Debug, Clone)]
pub struct LiveWorkload {
    /// Which of this operator's templates it has.
    pub revision: Option<u32>,
    /// The hash of its template.
    pub template_hash: Option<String>,
    /// Its claim templates, which Kubernetes cannot change.
    pub claims: Value,
    /// The terms of its template that come from `clients`. An edit of them shows: the hash is another.
    pub ledger_terms: Vec<WeightedPodAffinityTerm>,
    /// The Secrets of keys to import that its template mounts.
    pub imports: Vec<VolumeProjection>,
}

/// The name of the volume with the Secrets of keys to import.
pub const IMPORTS: &str = "imports";

/// Where a template has its preferred pod anti-affinity.
const PREFERRED: &str = "/spec/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution";

impl LiveWorkload {
    /// What is needed of the StatefulSet.
    pub fn of(stateful_set: &DynamicObject) -> Self {
        let annotations = stateful_set.metadata.annotations.as_ref();
        let annotation = |name| annotations.and_then(|all| all.get(name)).cloned();
        let template = &stateful_set.data["spec"]["template"];
        Self {
            revision: annotation(TEMPLATE_REVISION).and_then(|revision| revision.parse().ok()),
            template_hash: annotation(TEMPLATE_HASH),
            claims: stateful_set.data.pointer("/spec/volumeClaimTemplates").cloned().unwrap_or_default(),
            ledger_terms: last_terms(
                template.pointer(PREFERRED),
                annotation(LEDGER_TERMS).and_then(|count| count.parse().ok()).unwrap_or(0),
            ),
            imports: imports(template),
        }
    }
}

/// What [`LiveWorkload::of`] reads of a pod template: the rest of it is most of a workload, and nobody keeps it.
pub fn read_of_template(template: &Value) -> Value {
    let mut read = json!({});
    if let Some(terms) = template.pointer(PREFERRED) {
        read["spec"]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] =
            terms.clone();
    }
    if let Some(volume) = imports_volume(template) {
        read["spec"]["volumes"] = json!([volume]);
    }
    read
}

fn imports_volume(template: &Value) -> Option<&Value> {
    template.pointer("/spec/volumes")?.as_array()?.iter().find(|volume| volume["name"] == IMPORTS)
}

fn imports(template: &Value) -> Vec<VolumeProjection> {
    let sources = imports_volume(template).map(|volume| volume["projected"]["sources"].clone());
    sources.and_then(|sources| serde_json::from_value(sources).ok()).unwrap_or_default()
}

fn last_terms(preferred: Option<&Value>, count: usize) -> Vec<WeightedPodAffinityTerm> {
    let all = preferred.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let ours = all.iter().skip(all.len().saturating_sub(count));
    ours.filter_map(|term| serde_json::from_value(term.clone()).ok()).collect()
}

/// The revision of the template that a node has, as long as that would come out the same; `None`: it is new or changes anyway, and
/// gets the newest. `hash_of`: what the template of a revision would be.
pub fn kept_revision(
    live: Option<&LiveWorkload>,
    newest: u32,
    hash_of: impl Fn(u32) -> String,
) -> Option<u32> {
    let live = live?;
    let kept = live.revision.filter(|revision| (1..=newest).contains(revision))?;
    (live.template_hash.as_ref() == Some(&hash_of(kept))).then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{network, network_json};

    fn store(status: &str, reason: &str, generation: i64) -> Value {
        let mut json = network_json();
        json["metadata"]["generation"] = json!(7);
        json["status"] = json!({"conditions": [{"type": "SecretStoreReady", "status": status, "reason": reason,
            "message": "m", "observedGeneration": generation, "lastTransitionTime": "2027-01-01T00:00:00Z"}]});
        json
    }

    #[test]
    fn what_is_kept_of_a_template_is_all_that_is_read_of_it() {
        let term = json!({"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname"}});
        let imports = json!({"name": IMPORTS, "projected": {"sources": [{"secret": {"name": "java-key"}}]}});
        let template = json!({"spec": {
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}},
            "containers": [{"name": "tessera-node"}], "volumes": [{"name": "data"}, imports],
        }});
        let workload = |template: &Value| -> DynamicObject {
            serde_json::from_value(json!({
                "apiVersion": "apps/v1", "kind": "StatefulSet",
                "metadata": {"name": "a", "annotations": {LEDGER_TERMS: "1"}}, "spec": {"template": template},
            }))
            .unwrap()
        };
        let read = read_of_template(&template);
        assert!(!read.to_string().contains("tessera-node") && !read.to_string().contains("data"), "{read}");
        let (whole, kept) = (LiveWorkload::of(&workload(&template)), LiveWorkload::of(&workload(&read)));
        assert_eq!((whole.ledger_terms.len(), whole.imports.len()), (1, 1));
        assert_eq!((&kept.ledger_terms, &kept.imports), (&whole.ledger_terms, &whole.imports));
        assert_eq!(read_of_template(&json!({"spec": {"containers": []}})), json!({}));
    }

    #[test]
    fn a_template_changes_only_while_the_store_is_found_ready_for_this_very_spec() {
        let ready = |json| store_ready(&network(json));
        assert_eq!(ready(store("True", "Ready", 7)), Ok(()));
        assert!(ready(store("True", "Ready", 6)).unwrap_err().contains("not probed for the newest spec"));
        for reason in
            ["Sealed", "Unreachable", "LoginDenied", "NotProvisioned", "InvalidReference", "Waiting"]
        {
            let why = ready(store("False", reason, 7)).unwrap_err();
            assert!(why.contains(reason) && why.contains("store-ready-generation=7"), "{why}");
        }
        assert!(ready(network_json()).is_err(), "not knowing holds");
    }

    #[test]
    fn a_person_may_vouch_for_the_store_of_one_generation() {
        let vouched = |generation: &str| {
            let mut json = store("False", "Unreachable", 7);
            json["metadata"]["annotations"] = json!({STORE_VOUCHED_FOR: generation});
            store_ready(&network(json)).is_ok()
        };
        assert!(vouched("7"));
        assert!(!vouched("6") && !vouched("true"));
    }

    #[test]
    fn a_template_keeps_its_revision_until_it_changes_anyway() {
        let live = |revision, hash: &str| LiveWorkload {
            revision: Some(revision),
            template_hash: Some(hash.to_owned()),
            claims: Value::Null,
            ledger_terms: Vec::new(),
            imports: Vec::new(),
        };
        let hash_of = |revision: u32| format!("template {revision} of this spec");
        let chosen = |live: Option<LiveWorkload>| kept_revision(live.as_ref(), 3, hash_of);
        assert_eq!(chosen(None), None, "a new node gets the newest");
        assert_eq!(
            chosen(Some(live(1, "template 1 of this spec"))),
            Some(1),
            "an upgrade alone rolls nothing"
        );
        assert_eq!(chosen(Some(live(1, "template 1 of another spec"))), None, "it changes anyway");
        assert_eq!(chosen(Some(live(9, "template 9 of this spec"))), None, "of a newer operator");
        let unknown = LiveWorkload {
            revision: None,
            template_hash: None,
            claims: Value::Null,
            ledger_terms: Vec::new(),
            imports: Vec::new(),
        };
        assert_eq!(chosen(Some(unknown)), None);
    }
}
