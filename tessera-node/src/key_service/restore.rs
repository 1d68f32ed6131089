//! Versions that custodians bring back, as the key service finds and takes them. The rules are in [`crate::key_restore`].

use std::sync::Arc;

use tessera_enclave::PublicKey;
use tessera_keys::{Retry, VaultError};
use tessera_node_api::dynamic_config::Key;
use tessera_node_api::key_backup::{CheckResult, RestoredKeys};

use super::KeyService;
use crate::key_backups::custody::check_result;
use crate::key_restore::{self, NotTaken, Opened};
use crate::telemetry::chain;

impl KeyService {
    /// Loads a version that custodians bring back, if the secret store has it. Never generates it: a store that is slow to answer, or
    /// answers with an error, is asked again.
    pub(super) async fn find_restored(
        &mut self,
        name: &str,
        version: u32,
        expected: &PublicKey,
    ) -> Result<(), Retry> {
        let of = (name.to_owned(), version);
        match self.vault.find(name, version).await {
            Ok(Some(found)) if found.pair.public() == expected => {
                self.take_in(name, version, found);
                Ok(())
            }
            Ok(Some(found)) => {
                let why = key_restore::another(&of, expected, found.pair.public(), &found.store_path);
                self.report(name, version, &why);
                self.restorer.note_failed(of, why);
                Err(Retry::Later)
            }
            Ok(None) => {
                self.restorer.note_absent(of);
                self.note(name, version, AWAITED);
                // A person may restore the secret store itself.
                Err(Retry::Soon)
            }
            Err(error) => {
                let why = chain(&error);
                if matches!(error, VaultError::Deleted { .. } | VaultError::Malformed { .. }) {
                    let why = format!("{why}, or {REMOVE}");
                    self.report(name, version, &why);
                    self.restorer.note_failed(of, why);
                } else {
                    self.report(name, version, &why);
                }
                Err(error.classify())
            }
        }
    }

    /// Takes keys that custodians bring: all of them, or none of those that are wrong. Safe to repeat.
    pub(super) async fn restore(
        &mut self,
        keys: RestoredKeys,
        wanted: &[Key],
    ) -> Result<CheckResult, NotTaken> {
        let brought = match key_restore::check(keys, wanted, &self.loaded) {
            Ok(brought) => brought,
            Err(refused) => return Ok(refused),
        };
        let opened = match self.restorer.open(brought).await? {
            Ok(opened) => opened,
            Err(refused) => return Ok(refused),
        };
        // Found out once, before anything is written: a key that is restored makes no volume older.
        let payload_store = self.payload_store_of_restored().await?;
        let mut problems = Vec::new();
        for opened in opened {
            problems.extend(self.adopt_restored(opened, &payload_store).await?);
        }
        Ok(check_result(&problems))
    }

    /// Writes the version to the secret store, unless that has one. Returns what is wrong with the one that it has.
    async fn adopt_restored(
        &mut self,
        Opened { version, trigger, pair }: Opened,
        payload_store: &str,
    ) -> Result<Option<String>, NotTaken> {
        let (name, number) = (version.0.as_str(), version.1);
        let public = *pair.public();
        let adopted =
            self.vault.restore(name, number, trigger, Arc::clone(&pair), payload_store.to_owned()).await;
        let found = adopted.map_err(|error| NotTaken::Store(chain(&error)))?;
        if *found.pair.public() == public {
            self.take_in(name, number, found);
            return Ok(None);
        }
        let why = key_restore::another(&version, &public, found.pair.public(), &found.store_path);
        self.report(name, number, &why);
        self.restorer.note_failed(version, why.clone());
        Ok(Some(why))
    }

    /// Which payload store a restored key's record names; see [`crate::key_restore`].
    async fn payload_store_of_restored(&self) -> Result<String, NotTaken> {
        let own = self.volume.id();
        let is_here = |store: Option<tessera_store::StoreId>| store == Some(own);
        let samples =
            self.loaded.values().filter(|loaded| loaded.sample.is_some() && is_here(loaded.payload_store));
        let is_older = self.volume.keeps_more_than(samples.count() as u64).await;
        let is_older = is_older.map_err(|error| NotTaken::Store(chain(&error)))?;
        Ok(key_restore::payload_store(&own.to_string(), is_older))
    }
}

/// A version that was deleted, and one that cannot be read, stand in the way of the write.
const REMOVE: &str =
    "remove all its versions (`vault kv metadata delete`), so that a custodian can bring back the key";
const AWAITED: &str = "a custodian must bring it back: run `kubectl tessera backup restore`";
