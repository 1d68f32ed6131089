//! An object as it should be: what `desired` makes and the writer brings about.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;
use kube::core::ApiResource;
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tessera_crds::names::label;

use super::object_id::ObjectId;

/// Carries the hash of everything that we set, so that a field which we no longer set is seen as outdated: nothing else
/// tells it from a default of the server's.
pub const HASH_ANNOTATION: &str = "tessera.rs/desired-hash";

/// One object to bring about.
#[derive(Clone)]
pub struct Planned {
    /// Group, version, kind and plural.
    pub resource: ApiResource,
    /// Kind, namespace and name.
    pub id: ObjectId,
    /// What controls it. Absent for CA state, which must outlive its network, and in another namespace.
    pub owner: Option<OwnerReference>,
    /// The whole object, with [`HASH_ANNOTATION`].
    pub body: Value,
    /// The value of [`HASH_ANNOTATION`].
    pub hash: String,
    /// What it was planned upon, if that decides: another object of the name is not replaced.
    pub basis: Option<Basis>,
}

/// What was read before something was planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Basis {
    /// No object.
    Absent,
    /// An object of this resourceVersion.
    Version(String),
}

impl Basis {
    /// Whether the object with this metadata is what was read.
    pub fn is(&self, live: &ObjectMeta) -> bool {
        matches!(self, Self::Version(version) if live.resource_version.as_ref() == Some(version))
    }
}

// No Debug of the body: it may be a Secret.
impl std::fmt::Debug for Planned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Planned({self})")
    }
}

impl std::fmt::Display for Planned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.id.fmt(f)
    }
}

impl Planned {
    /// Plans `object`, which must have a name and a namespace.
    pub fn new<K>(object: &K) -> Self
    where
        K: Resource<DynamicType = ()> + Serialize,
    {
        let meta = object.meta();
        let mut body = serde_json::to_value(object).expect("Kubernetes types have string keys only");
        strip_nulls(&mut body);
        let hash = hash(&body);
        annotate(&mut body, HASH_ANNOTATION, &hash);
        Self {
            resource: ApiResource::erase::<K>(&()),
            id: ObjectId::of::<K>(
                meta.namespace.as_deref().unwrap_or_default(),
                meta.name.as_deref().unwrap_or_default(),
            ),
            owner: controller_of(meta.owner_references.as_deref()).cloned(),
            body,
            hash,
            basis: None,
        }
    }

    /// The same, to be written only upon `basis`: who has decided upon something older must not win.
    #[must_use]
    pub fn upon(self, basis: Basis) -> Self {
        Self { basis: Some(basis), ..self }
    }

    /// Namespace and name of the node that it is made for in another namespace.
    pub fn node_path(&self) -> Option<&str> {
        self.body["metadata"]["annotations"][label::OF_NODE].as_str()
    }

    /// Adds an annotation that is no part of the plan: it is written with the object and then left alone.
    pub fn note(&mut self, key: &str, value: &str) {
        annotate(&mut self.body, key, value);
    }
}

/// The controller among `owners`.
pub fn controller_of(owners: Option<&[OwnerReference]>) -> Option<&OwnerReference> {
    owners?.iter().find(|owner| owner.controller == Some(true))
}

fn annotate(body: &mut Value, key: &str, value: &str) {
    let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let annotations = metadata.entry("annotations").or_insert_with(|| Value::Object(Map::new()));
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.insert(key.to_owned(), Value::String(value.to_owned()));
    }
}

/// A hash of a private key does not belong in an annotation. (Data are compared key by key, too.)
fn hash(body: &Value) -> String {
    let is_secret = |key: &str| key == "data" && body["kind"] == "Secret";
    let mut hasher = Sha256::new();
    for (key, value) in body.as_object().into_iter().flatten().filter(|(key, _)| !is_secret(key)) {
        hasher.update(key.as_bytes());
        hasher.update(value.to_string().as_bytes());
    }
    hex::encode(&hasher.finalize()[..8])
}

fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, member| !member.is_null());
            map.values_mut().for_each(strip_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{ConfigMap, Secret};

    fn planned<K>(data: &str, label: &str) -> Planned
    where
        K: Resource<DynamicType = ()> + Serialize + serde::de::DeserializeOwned,
    {
        let object = serde_json::json!({
            "metadata": {"name": "a", "namespace": "b", "labels": {"l": label}}, "data": {"k": data},
        });
        Planned::new(&serde_json::from_value::<K>(object).unwrap())
    }

    fn hash_of(planned: &Planned) -> &Value {
        &planned.body["metadata"]["annotations"][HASH_ANNOTATION]
    }

    #[test]
    fn the_hash_follows_what_we_set_but_tells_nothing_of_a_secret() {
        assert_eq!(hash_of(&planned::<Secret>("MQ==", "x")), hash_of(&planned::<Secret>("Mg==", "x")));
        assert_ne!(hash_of(&planned::<Secret>("MQ==", "x")), hash_of(&planned::<Secret>("MQ==", "y")));
        assert_ne!(hash_of(&planned::<ConfigMap>("1", "x")), hash_of(&planned::<ConfigMap>("2", "x")));
    }

    #[test]
    fn neither_debug_nor_display_shows_the_content() {
        let planned = planned::<ConfigMap>("sesame", "x");
        assert_eq!(format!("{planned:?}"), "Planned(ConfigMap b/a)");
    }
}
