//! [pure] Where the payloads of a node are kept.

use tessera_crds::TesseraNode;
use tessera_crds::api::network::NodeDefaults;
use tessera_crds::api::node::{EmbeddedStorage, StorageType};
use tessera_crds::api::postgres::PostgresStorage;

use super::Unresolved;

/// Where payloads are kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Storage {
    /// In the node's own store, on a volume.
    Embedded(Volume),
    /// In a database.
    Postgres(PostgresStorage),
}

/// What the spec asks for: the claim template of a new workload, which Kubernetes cannot change in a StatefulSet that exists, and the
/// size that an existing claim grows to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its size.
    pub size: String,
    /// Its class.
    pub class: Option<String>,
}

impl Storage {
    /// Admission sees to it that the member of the type is there.
    pub(super) fn of(node: &TesseraNode, defaults: &NodeDefaults) -> Result<Self, Unresolved> {
        let storage = &node.spec.storage;
        let missing =
            |member: &str| Unresolved::InvalidConfiguration(format!("spec.storage.{member} is missing"));
        match storage.r#type {
            StorageType::Embedded => {
                let embedded = storage.embedded.as_ref().ok_or_else(|| missing("embedded"))?;
                Ok(Self::Embedded(Volume::of(embedded, defaults)))
            }
            StorageType::Postgres => {
                storage.postgres.clone().map(Self::Postgres).ok_or_else(|| missing("postgres"))
            }
        }
    }

    /// The volume, if there is to be one.
    pub fn volume(&self) -> Option<&Volume> {
        match self {
            Self::Embedded(volume) => Some(volume),
            Self::Postgres(_) => None,
        }
    }

    /// The database, if there is to be one.
    pub fn postgres(&self) -> Option<&PostgresStorage> {
        match self {
            Self::Embedded(_) => None,
            Self::Postgres(postgres) => Some(postgres),
        }
    }
}

impl Volume {
    fn of(embedded: &EmbeddedStorage, defaults: &NodeDefaults) -> Self {
        let class = embedded.storage_class_name.as_ref().or(defaults.storage_class_name.as_ref());
        Self { size: embedded.size.to_string(), class: class.map(ToString::to_string) }
    }
}
