//! The first and only write of a version: the sample payload, then the record that names the payload, check-and-set 0.

use std::sync::Arc;

use jiff::Timestamp;
use tessera_enclave::KeyPair;
use tessera_node_api::static_config::SecretStore;

use super::error::VaultError;
use super::kv::{self, Origin, Stored};
use super::session::Session;
use super::{VaultKey, VaultKeys, WritePoint};

/// A version of a key, and where it lies.
#[derive(Debug)]
pub(super) struct Wanted<'k> {
    pub(super) key: &'k str,
    pub(super) version: u32,
    pub(super) path: kv::Path,
}

impl<'k> Wanted<'k> {
    pub(super) fn new(config: &SecretStore, key: &'k str, version: u32) -> Result<Self, VaultError> {
        Ok(Self { key, version, path: kv::Path::key(config, key, version)? })
    }

    pub(super) fn deleted(&self) -> VaultError {
        VaultError::Deleted { path: self.path.to_string() }
    }
}

/// What becomes of a version that the store does not have.
#[derive(Debug)]
pub(super) enum IfAbsent {
    Leave,
    Generate { trigger: u32 },
    Adopt { trigger: u32, pair: Arc<KeyPair> },
    Restore { trigger: u32, pair: Arc<KeyPair>, payload_store: String },
}

/// A version that the store is to have.
#[derive(Debug)]
pub(super) struct NewKey {
    pair: Arc<KeyPair>,
    trigger: u32,
    source: Source,
}

/// Where a new version comes from.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    Generated,
    Imported,
    Restored { payload_store: String },
}

impl NewKey {
    /// None: the version stays absent.
    pub(super) fn of(if_absent: &IfAbsent) -> Result<Option<Self>, VaultError> {
        let (pair, trigger, source) = match if_absent {
            IfAbsent::Leave => return Ok(None),
            IfAbsent::Generate { trigger } => {
                let pair = KeyPair::generate().map_err(VaultError::Memory)?;
                (Arc::new(pair), *trigger, Source::Generated)
            }
            IfAbsent::Adopt { trigger, pair } => (Arc::clone(pair), *trigger, Source::Imported),
            IfAbsent::Restore { trigger, pair, payload_store } => {
                let source = Source::Restored { payload_store: payload_store.clone() };
                (Arc::clone(pair), *trigger, source)
            }
        };
        Ok(Some(Self { pair, trigger, source }))
    }
}

impl VaultKeys {
    pub(super) async fn write_first(
        &self,
        session: &Session,
        wanted: &Wanted<'_>,
        new: NewKey,
    ) -> Result<VaultKey, VaultError> {
        let (path, pair) = (&wanted.path, &new.pair);
        let imported = new.source == Source::Imported;
        let origin = self.origin(wanted, &new).await?;
        (self.hook)(WritePoint::Before);
        let written = session.write(path, &Stored::new(pair, origin.clone())).await?;
        (self.hook)(WritePoint::After);
        match written {
            kv::Written::Won => {
                tracing::info!(public_key = %pair.public(), path = %path, imported, restored = origin.restored, "key stored");
                Ok(VaultKey {
                    pair: new.pair,
                    born_at: origin.born_at,
                    store_path: path.to_string(),
                    payload_store: origin.payload_store,
                    trigger: Some(origin.trigger),
                    sample: origin.sample,
                    imported,
                    backup: origin.backup,
                    new: true,
                })
            }
            kv::Written::Lost => {
                let stored = session.read::<Stored>(path).await?;
                stored.ok_or_else(|| wanted.deleted())?.verify(path)
            }
        }
    }

    async fn origin(&self, wanted: &Wanted<'_>, new: &NewKey) -> Result<Origin, VaultError> {
        let (payload_store, sample) = match &new.source {
            // A sample shows that payloads since the key was generated can be read. One that is sealed now would show nothing of them.
            Source::Restored { payload_store } => (Some(payload_store.clone()), None),
            Source::Generated | Source::Imported => {
                (self.payload_store.clone(), self.sample_of(&new.pair).await?)
            }
        };
        let backup = match &self.seal_backup {
            Some(seal) => seal(wanted.key, wanted.version, Arc::clone(&new.pair)).await,
            None => None,
        };
        Ok(Origin {
            born_at: Timestamp::now().round(jiff::Unit::Second).unwrap_or_else(|_| Timestamp::now()),
            payload_store,
            trigger: new.trigger,
            sample,
            imported: new.source == Source::Imported,
            restored: matches!(new.source, Source::Restored { .. }),
            backup,
        })
    }

    /// First the payload, then the record that names it: a kill in between leaves a payload that nobody asks for, and never a
    /// record of a payload that is not there.
    async fn sample_of(&self, pair: &Arc<KeyPair>) -> Result<Option<String>, VaultError> {
        let Some(keep) = &self.keep_sample else { return Ok(None) };
        keep(Arc::clone(pair)).await.map(Some).map_err(|problem| VaultError::Sample { problem })
    }
}
