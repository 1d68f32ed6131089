//! Keys sealed to custodians: one ciphertext for each version in memory, for the recipients of the configuration.
//!
//! ```text
//! new or adopted ──── seal ──► record in the secret store ─┐
//! read from the secret store, sealed to others or nobody ─┴─► KeyBackups ──► status, GET /v1/key-backups
//!                                  seal, in memory alone ──────────┘ ▲
//! other recipients in the configuration ── seal ─────────────────────┘
//! ```
//!
//! A ciphertext stays as long as its recipients do: sealed again, the same key would give another one, and everybody who compares
//! would see a change. A version that cannot be sealed is in use all the same, and the node says so.
//!
//! Whether a ciphertext from the secret store opens, no node can tell. A custodian's proof does.

mod admin;
pub(crate) mod custody;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tessera_backup::{Recipients, SealedError, sealed};
use tessera_enclave::{KeyPair, PublicKey};
use tessera_keys::{SealBackup, StoredBackup};
use tessera_node_api::admin::BackupStatus;
use tessera_node_api::key_backup::SealedKey;

use crate::config::watch::DynamicConfiguration;
use crate::loaded_keys::{LoadedKeys, Version};
use crate::tasks;

/// The ciphertext of each version. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyBackups(Arc<Mutex<BTreeMap<Version, Arc<KeyBackup>>>>);

/// One version, sealed.
#[derive(Debug)]
pub(crate) struct KeyBackup {
    sealed: SealedKey,
    status: BackupStatus,
}

impl KeyBackups {
    pub(crate) fn get(&self, name: &str, version: u32) -> Option<Arc<KeyBackup>> {
        self.0.lock().get(&(name.to_owned(), version)).cloned()
    }

    pub(crate) fn status(&self, name: &str, version: u32) -> Option<BackupStatus> {
        self.get(name, version).map(|backup| backup.status.clone())
    }

    fn keep(&self, sealed: SealedKey) {
        let version = (sealed.name.clone(), sealed.version);
        let backup = KeyBackup { status: sealed::status(&sealed), sealed };
        self.0.lock().insert(version, Arc::new(backup));
    }

    fn is_for(&self, version: &Version, recipients: &[String]) -> bool {
        self.0.lock().get(version).is_some_and(|backup| backup.sealed.recipients == recipients)
    }

    fn clear(&self) {
        self.0.lock().clear();
    }
}

impl KeyBackup {
    pub(crate) fn sealed(&self) -> &SealedKey {
        &self.sealed
    }

    /// As JSON, without what JSON itself adds: line feeds take one byte more.
    fn bytes(&self) -> u64 {
        let recipients: usize = self.sealed.recipients.iter().map(String::len).sum();
        (self.sealed.ciphertext.len() + recipients) as u64 * 2
    }
}

/// Keeps every version in memory sealed to the recipients of the configuration.
#[derive(Debug, Default)]
pub(crate) struct Sealer {
    backups: KeyBackups,
    failures: BTreeMap<Version, String>,
}

/// Some versions are not sealed.
#[derive(Debug)]
pub(crate) struct NotSealed;

impl Sealer {
    /// What it has sealed.
    pub(crate) fn backups(&self) -> KeyBackups {
        self.backups.clone()
    }

    /// Why versions that are in use are not sealed.
    pub(crate) fn failures(&self) -> impl Iterator<Item = &String> {
        self.failures.values()
    }

    /// Takes the ciphertext of a version's record. If that is for others, [`Self::seal`] replaces it.
    pub(crate) fn take_over(&self, (name, version): Version, public: &PublicKey, stored: StoredBackup) {
        let StoredBackup { recipients, ciphertext } = stored;
        self.backups.keep(SealedKey {
            name,
            version,
            public_key: public.to_string(),
            recipients,
            ciphertext,
        });
    }

    /// Seals what is not sealed to `to`. Without recipients nothing is sealed to anybody.
    pub(crate) async fn seal(
        &mut self,
        loaded: &LoadedKeys,
        to: Option<Arc<Recipients>>,
    ) -> Result<(), NotSealed> {
        let Some(to) = to else {
            self.backups.clear();
            self.failures.clear();
            return Ok(());
        };
        let recipients = to.texts();
        let is_due = |version: &Version| !self.backups.is_for(version, &recipients);
        let due: Vec<_> = loaded
            .iter()
            .filter(|(version, _)| is_due(version))
            .map(|(version, loaded)| (version.clone(), Arc::clone(&loaded.pair)))
            .collect();
        if due.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = due.iter().map(|(version, _)| version.clone()).collect();
        let sealing = tasks::blocking(move || seal_all(&due, &to, tessera_backup::seal)).await;
        let outcomes = sealing
            .unwrap_or_else(|| names.into_iter().map(|name| (name, Err(PANICKED.to_owned()))).collect());
        self.note(outcomes, recipients.len())
    }

    fn note(&mut self, outcomes: Vec<Outcome>, recipients: usize) -> Result<(), NotSealed> {
        let versions = outcomes.len();
        let mut failed = Ok(());
        for (version, outcome) in outcomes {
            match outcome {
                Ok(sealed) => {
                    self.failures.remove(&version);
                    self.backups.keep(sealed);
                }
                Err(why) => {
                    failed = Err(NotSealed);
                    self.note_failure(version, &why);
                }
            }
        }
        if failed.is_ok() {
            tracing::info!(versions, recipients, "keys are sealed to their custodians");
        }
        failed
    }

    fn note_failure(&mut self, version: Version, why: &str) {
        let failure = format!(
            "key {} version {}: it is in use, and no backup of it could be sealed: {why}",
            version.0, version.1
        );
        // Log each distinct failure once; retries fail the same way.
        if self.failures.get(&version) != Some(&failure) {
            tracing::warn!(error = failure, "key is not sealed to its custodians; the node tries again");
        }
        self.failures.insert(version, failure);
    }
}

const PANICKED: &str = "sealing it panicked";

type Outcome = (Version, Result<SealedKey, String>);
type Seal = fn(&str, u32, &KeyPair, &Recipients) -> Result<SealedKey, SealedError>;

/// A multiplication for each recipient and version.
fn seal_all(due: &[(Version, Arc<KeyPair>)], to: &Recipients, seal: Seal) -> Vec<Outcome> {
    let one = |(version, pair): &(Version, Arc<KeyPair>)| {
        let sealed = seal(&version.0, version.1, pair, to);
        (version.clone(), sealed.map_err(|error| crate::telemetry::chain(&error)))
    };
    due.iter().map(one).collect()
}

/// Seals a new key for its record to the recipients that the configuration has then. A key that cannot be sealed is stored
/// without: its record has no backup, and the node seals it again once it is in memory.
pub(crate) fn seal_new(configuration: DynamicConfiguration) -> SealBackup {
    Box::new(move |name, version, pair| {
        let to = configuration.current().and_then(|dynamic| dynamic.backup_recipients.clone());
        let due = [((name.to_owned(), version), pair)];
        Box::pin(async move {
            let to = to?;
            let sealed = tasks::blocking(move || seal_all(&due, &to, tessera_backup::seal)).await;
            let (_, sealed) = sealed.and_then(|mut outcomes| outcomes.pop())?;
            let sealed =
                sealed.inspect_err(|error| tracing::warn!(error, "a new key is stored without a backup"));
            sealed
                .ok()
                .map(|sealed| StoredBackup { recipients: sealed.recipients, ciphertext: sealed.ciphertext })
        })
    })
}

#[cfg(test)]
mod tests {
    use tessera_backup::Identity;

    use super::*;

    fn recipients(identities: &[&Identity]) -> Recipients {
        let texts: Vec<_> = identities.iter().map(|identity| identity.recipient()).collect();
        Recipients::parse(texts.iter().map(String::as_str)).unwrap()
    }

    fn version(number: u32) -> Version {
        ("main".to_owned(), number)
    }

    #[test]
    fn a_version_that_cannot_be_sealed_is_named_and_keeps_no_other_from_it() {
        let alice = Identity::generate();
        let to = recipients(&[&alice]);
        let due = [1, 2].map(|number| (version(number), Arc::new(KeyPair::generate().unwrap())));
        let mut sealer = Sealer::default();
        let outcomes = seal_all(&due, &to, |name, version, pair, to| match version {
            1 => Err(SealedError::Seal("no entropy".to_owned())),
            _ => tessera_backup::seal(name, version, pair, to),
        });
        assert!(sealer.note(outcomes, 1).is_err());
        let failures: Vec<_> = sealer.failures().collect();
        assert_eq!(failures.len(), 1);
        assert!(failures[0].starts_with("key main version 1: it is in use, and no backup"), "{failures:?}");
        assert!(sealer.backups.get("main", 1).is_none() && sealer.backups.is_for(&version(2), &to.texts()));

        assert!(sealer.note(seal_all(&due, &to, tessera_backup::seal), 1).is_ok());
        assert_eq!(sealer.failures().count(), 0);
        let first = sealer.backups.get("main", 1).unwrap();
        let opened = tessera_backup::open(first.sealed(), &alice).unwrap();
        assert_eq!(opened.public(), due[0].1.public());
    }

    #[test]
    fn the_ciphertext_of_a_record_counts_for_its_recipients_alone() {
        let (alice, bob) = (recipients(&[&Identity::generate()]), recipients(&[&Identity::generate()]));
        let pair = KeyPair::generate().unwrap();
        let first = tessera_backup::seal("main", 1, &pair, &alice).unwrap();
        let stored =
            StoredBackup { recipients: first.recipients.clone(), ciphertext: first.ciphertext.clone() };
        let sealer = Sealer::default();
        sealer.take_over(version(1), pair.public(), stored);
        assert!(sealer.backups.is_for(&version(1), &alice.texts()));
        assert!(!sealer.backups.is_for(&version(1), &bob.texts()));
        assert!(!sealer.backups.is_for(&version(2), &alice.texts()));
        assert_eq!(sealer.backups.get("main", 1).unwrap().sealed(), &first);
        let status = sealer.backups.status("main", 1).unwrap();
        assert_eq!(status.recipients_sha256, alice.sha256());
    }
}
