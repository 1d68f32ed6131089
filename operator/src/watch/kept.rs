//! What caches keep of objects: no more than the operator reads, since thousands of them lie in memory.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use kube::api::{DynamicObject, ObjectMeta};
use kube::core::{DeserializeGuard, PartialObjectMeta};
use serde_json::Value;
use tessera_crds::{TesseraNetwork, TesseraNode};

use super::cache::Cached;
use crate::kube::drift;
use crate::kube::meta::{name_of, uid_of};
use crate::kube::planned::controller_of;

/// A network or node, or why this version of the operator cannot read it.
pub struct Parsed<K> {
    /// Its metadata without `managedFields`.
    pub metadata: ObjectMeta,
    /// The object; or what in it is unknown to this version.
    pub object: Result<std::sync::Arc<K>, String>,
}

/// An owned object as text: a tree of values takes ten times the memory, and is needed only when something changed.
pub struct Text {
    /// Its metadata; of `managedFields`, what other managers set.
    pub metadata: ObjectMeta,
    text: Box<str>,
}

/// A pod without its spec.
pub struct KeptPod(pub Pod);
/// A volume claim.
pub struct KeptClaim(pub PersistentVolumeClaim);
/// The metadata of a Secret.
pub struct KeptSecret(pub ObjectMeta);

impl<K: kube::Resource> Parsed<K> {
    /// Keeps what the watch showed.
    pub fn keep(guarded: DeserializeGuard<K>) -> Self {
        match guarded.0 {
            Ok(mut object) => {
                trim(object.meta_mut());
                Self { metadata: object.meta().clone(), object: Ok(std::sync::Arc::new(object)) }
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
        object.metadata.managed_fields = None;
        Self { metadata: object.metadata, text: text.into() }
    }

    /// The whole object.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.text).expect("`keep` wrote it")
    }

    /// The whole object.
    pub fn object(&self) -> DynamicObject {
        serde_json::from_str(&self.text).expect("`keep` wrote it")
    }
}

impl KeptPod {
    /// Keeps metadata and status.
    pub fn keep(mut pod: Pod) -> Self {
        trim(&mut pod.metadata);
        pod.metadata.annotations = None;
        pod.spec = None;
        Self(pod)
    }
}

impl KeptClaim {
    /// Keeps all but `managedFields`.
    pub fn keep(mut claim: PersistentVolumeClaim) -> Self {
        trim(&mut claim.metadata);
        Self(claim)
    }
}

impl KeptSecret {
    /// Keeps the metadata but `managedFields`.
    pub fn keep(mut secret: PartialObjectMeta<Secret>) -> Self {
        trim(&mut secret.metadata);
        Self(secret.metadata)
    }
}

fn trim(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
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

/// By the UID of the StatefulSet.
impl Cached for KeptPod {
    fn name(&self) -> &str {
        name_of(&self.0)
    }

    fn uid(&self) -> &str {
        uid_of(&self.0)
    }

    fn index(&self) -> Option<&str> {
        controller_uid(&self.0.metadata)
    }
}

impl Cached for KeptClaim {
    fn name(&self) -> &str {
        name_of(&self.0)
    }

    fn uid(&self) -> &str {
        uid_of(&self.0)
    }

    fn index(&self) -> Option<&str> {
        None
    }
}

/// By the UID of the controller.
impl Cached for KeptSecret {
    fn name(&self) -> &str {
        self.0.name.as_deref().unwrap_or_default()
    }

    fn uid(&self) -> &str {
        self.0.uid.as_deref().unwrap_or_default()
    }

    fn index(&self) -> Option<&str> {
        controller_uid(&self.0)
    }
}
