//! Gives a network the keys of a cluster or network that is gone: its stamp beside each node's keys is replaced.

use serde_json::json;
use tessera_node_api::stamp::{Stamp, is_label};
use tessera_store_objects::Wanted;

use super::steps::{Outcome, Step, already, text};
use crate::vault::{LIST, Store, VaultError};

/// Why keys cannot be adopted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdoptError {
    /// The store refused or did not answer.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Nothing would move.
    #[error("{0} is this network's own name: there is nothing to adopt")]
    Own(Stamp),
    /// No keys have this stamp.
    #[error("no keys under {directory:?} belong to {from}: name the stamp that the refused nodes report")]
    NoneOf {
        /// Where was looked.
        directory: String,
        /// The stamp that was asked for.
        from: Stamp,
    },
    /// Somebody else was faster.
    #[error(
        "the stamp {path:?} was changed by somebody else meanwhile and was left alone: run this again to see whose it is now"
    )]
    Raced {
        /// The stamp.
        path: String,
    },
}

/// An adoption with what it works on.
pub(crate) struct Adoption<'a, S> {
    pub(crate) store: &'a S,
    pub(crate) wanted: &'a Wanted,
    pub(crate) from: &'a Stamp,
    pub(crate) to: &'a Stamp,
    pub(crate) dry_run: bool,
}

impl<S: Store> Adoption<'_, S> {
    /// Moves every stamp of `from`; `show` gets each stamp as it is done. Safe to repeat after any error.
    pub(crate) async fn run(&self, mut show: impl FnMut(Step)) -> Result<(), AdoptError> {
        if self.from == self.to {
            return Err(AdoptError::Own(self.from.clone()));
        }
        let mut found = false;
        for account in self.accounts().await? {
            let step = self.account(&account).await?;
            found |= step.outcome != Outcome::Kept;
            show(step);
        }
        if found {
            return Ok(());
        }
        Err(AdoptError::NoneOf { directory: self.wanted.directory(), from: self.from.clone() })
    }

    /// The ServiceAccounts that have a directory. Other names cannot be those of a node, and could do harm in a path or on a
    /// terminal.
    async fn accounts(&self) -> Result<Vec<String>, VaultError> {
        let path = format!("{}/metadata/{}{LIST}", self.wanted.kv_mount, self.wanted.directory());
        let listed = self.store.read(&path).await?.unwrap_or_default();
        let names = listed["keys"].as_array().cloned().unwrap_or_default();
        let directories = names.iter().filter_map(|name| name.as_str()?.strip_suffix('/'));
        Ok(directories.filter(|name| is_label(name)).map(str::to_owned).collect())
    }

    async fn account(&self, account: &str) -> Result<Step, AdoptError> {
        let path = format!("{}/data/{}/{account}/stamp", self.wanted.kv_mount, self.wanted.directory());
        let kept = |what: String| Ok(Step { outcome: Outcome::Kept, what, command: None });
        let Some(secret) = self.store.read(&path).await? else {
            return kept(format!("{account} has no stamp"));
        };
        let found = &secret["data"];
        match Stamp::of_members(text(found, "cluster"), text(found, "network")) {
            Ok(stamp) if stamp == *self.to => Ok(already(format!("{account} belongs to {stamp}"))),
            Ok(stamp) if stamp == *self.from => {
                self.replace(&path, secret["metadata"]["version"].as_u64().unwrap_or_default()).await?;
                let outcome = if self.dry_run { Outcome::WouldDo } else { Outcome::Done };
                let what = format!("{account}: from {stamp} to {}", self.to);
                Ok(Step { outcome, what, command: None })
            }
            Ok(stamp) => kept(format!("{account} belongs to {stamp}")),
            Err(error) => kept(format!("{account} has no readable stamp: {error}")),
        }
    }

    /// Only the version that was read is replaced.
    async fn replace(&self, path: &str, version: u64) -> Result<(), AdoptError> {
        if self.dry_run {
            return Ok(());
        }
        match self.store.write(path, &json!({"options": {"cas": version}, "data": self.to})).await {
            Err(VaultError::Refused { errors, .. }) if errors.contains("check-and-set parameter") => {
                Err(AdoptError::Raced { path: path.to_owned() })
            }
            result => Ok(result?),
        }
    }
}

#[cfg(test)]
mod tests;
