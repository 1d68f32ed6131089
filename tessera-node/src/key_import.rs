//! Adopts keys of a Java Tessera: their files are read while the secret store has no version 1, and never again.
//!
//! ```text
//! secret store: version 1? ── there ──► imported, and the expected key? ──► key
//!                        └── absent ─► read, unlock, check the file ─► adopt: one check-and-set write ─► key
//! ```
//!
//! Nothing here generates a key. What fails is tried again; a file that has not changed since is not unlocked again, since that
//! takes seconds of a core.

use std::collections::BTreeMap;
use std::sync::Arc;

use tessera_enclave::{KeyPair, PublicKey};
use tessera_keys::import::{self, Fingerprint};
use tessera_keys::{ImportError, Retry, VaultError, VaultKey, VaultKeys};
use tessera_node_api::admin::{ImportState, ImportStatus};
use tessera_node_api::dynamic_config::{Key, KeyImport};
use tokio::sync::watch;

use crate::tasks;

/// The version that an import becomes.
pub(crate) const IMPORTED_VERSION: u32 = 1;

/// The imports of the configuration, each with what became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Imports(Vec<OneImport>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct OneImport {
    key: String,
    state: ImportState,
    message: String,
    source: KeyImport,
}

impl Imports {
    /// The report for the operator, with whether the files are in the pod at this moment.
    pub(crate) fn status(&self) -> Vec<ImportStatus> {
        let status = |one: &OneImport| ImportStatus {
            key: one.key.clone(),
            state: one.state,
            message: one.message.clone(),
            files_present: import::any_present(&one.source),
        };
        self.0.iter().map(status).collect()
    }
}

/// Why a key is not imported.
#[derive(Debug)]
pub(crate) enum NotImported {
    /// The secret store does not say whether it has the key, or does not take it.
    Store(VaultError),
    /// The files, or another key in the store, rule it out.
    Ruled { state: ImportState, why: String },
}

impl NotImported {
    pub(crate) fn retry(&self) -> Retry {
        match self {
            Self::Store(error) => error.classify(),
            // The files are looked at again: nobody says when they change.
            Self::Ruled { .. } => Retry::Soon,
        }
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::Store(error) => crate::telemetry::chain(error),
            Self::Ruled { why, .. } => why.clone(),
        }
    }
}

/// Imports keys into the secret store.
#[derive(Debug)]
pub(crate) struct Importer {
    vault: Arc<VaultKeys>,
    /// What unlocking a file may take.
    spare_bytes: u64,
    /// The last failure of each key's files, and the files as they were then.
    failed: BTreeMap<String, (KeyImport, Fingerprint, ImportState, String)>,
    reported: watch::Sender<Imports>,
}

impl Importer {
    pub(crate) fn new(vault: Arc<VaultKeys>, spare_bytes: u64, reported: watch::Sender<Imports>) -> Self {
        Self { vault, spare_bytes, failed: BTreeMap::new(), reported }
    }

    /// The secret store.
    pub(crate) fn vault(&self) -> Arc<VaultKeys> {
        Arc::clone(&self.vault)
    }

    /// The version that `key` is to have by `import`: as the store has it, or from the files.
    pub(crate) async fn ensure(&mut self, key: &Key, import: &KeyImport) -> Result<VaultKey, NotImported> {
        let found = self.vault.find(&key.name, IMPORTED_VERSION).await.map_err(NotImported::Store)?;
        let (version, expected) = match found {
            Some(found) => (found, None),
            None => self.adopt(key, import).await?,
        };
        let public = version.pair.public();
        check(&key.name, import, version.imported, public, &version.store_path)?;
        match expected {
            // Another process was faster, with another file.
            Some(expected) if expected != *public => {
                Err(another(&key.name, "secretRef", &expected, public, &version.store_path))
            }
            _ => Ok(version),
        }
    }

    async fn adopt(
        &mut self,
        key: &Key,
        import: &KeyImport,
    ) -> Result<(VaultKey, Option<PublicKey>), NotImported> {
        let pair = Arc::new(self.read(&key.name, import).await?);
        let public = *pair.public();
        let trigger = key.trigger_of(IMPORTED_VERSION);
        let adopted = self.vault.adopt(&key.name, IMPORTED_VERSION, trigger, pair).await;
        Ok((adopted.map_err(NotImported::Store)?, Some(public)))
    }

    async fn read(&mut self, name: &str, import: &KeyImport) -> Result<KeyPair, NotImported> {
        let (source, spare, known) = (import.clone(), self.spare_bytes, self.failed.get(name).cloned());
        let read = move || {
            let now = Fingerprint::of(&source);
            match known {
                Some((before, then, state, why)) if before == source && then == now => {
                    (now, Err((state, why)))
                }
                _ => (now, import::read(&source, spare).map_err(|error| described(&error))),
            }
        };
        let Some((fingerprint, outcome)) = tasks::blocking(read).await else {
            let why = format!("spec.keys[{name}].import: reading the key file panicked");
            return Err(NotImported::Ruled { state: ImportState::Failed, why });
        };
        outcome.map_err(|(state, why)| {
            self.failed.insert(name.to_owned(), (import.clone(), fingerprint, state, why.clone()));
            NotImported::Ruled { state, why: format!("spec.keys[{name}].import.{why}") }
        })
    }

    /// Reports what became of the imports of `wanted`. `outcome`: of one that the configuration has.
    pub(crate) fn report(&self, wanted: &[Key], outcome: impl Fn(&Key, &KeyImport) -> (ImportState, String)) {
        let one = |key: &Key| {
            let source = key.import.clone()?;
            let (state, message) = outcome(key, &source);
            Some(OneImport { key: key.name.clone(), state, message, source })
        };
        let imports = Imports(wanted.iter().filter_map(one).collect());
        self.reported.send_if_modified(|known| {
            let changed = *known != imports;
            *known = imports;
            changed
        });
    }
}

/// Field and problem, and how far the import is.
fn described(error: &ImportError) -> (ImportState, String) {
    let state = match error {
        ImportError::Missing(_) => ImportState::Awaited,
        _ => ImportState::Failed,
    };
    (state, format!("{}: {error}", error.field()))
}

/// Whether a version that the store has, or had, is what `import` asks for.
pub(crate) fn check(
    name: &str,
    import: &KeyImport,
    imported: bool,
    public: &PublicKey,
    store_path: &str,
) -> Result<(), NotImported> {
    if !imported {
        let why = format!(
            "spec.keys[{name}].import: the secret store has a key of this name that a node generated, {public} at {store_path}, and no \
             key is replaced: give the imported key a name of its own, or, to go on with the key in the store, create the \
             TesseraNode anew without import (keys and volume stay)"
        );
        return Err(NotImported::Ruled { state: ImportState::Failed, why });
    }
    let expected = import.public_key.as_deref().and_then(|text| text.parse::<PublicKey>().ok());
    match expected {
        Some(expected) if expected != *public => {
            Err(another(name, "publicKey", &expected, public, store_path))
        }
        _ => Ok(()),
    }
}

fn another(
    name: &str,
    field: &str,
    expected: &PublicKey,
    public: &PublicKey,
    store_path: &str,
) -> NotImported {
    let why = format!(
        "spec.keys[{name}].import.{field}: the key to import is {expected}, and {public} was imported before it ({store_path}), and no \
         key is replaced: give this one a name of its own"
    );
    NotImported::Ruled { state: ImportState::Failed, why }
}
