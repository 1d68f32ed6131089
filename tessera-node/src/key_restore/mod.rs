//! Keys that custodians bring back: the node never generates their versions, and awaits them.
//!
//! ```text
//! secret store: the version? ── there ──► the expected public key? ──► key
//!                         └── absent ─► awaited: the status shows a one-time recipient
//! custodian ─ key, sealed to that recipient ─► operator ─ POST ─► opened, the expected key? ─► one check-and-set write ─► key
//! ```
//!
//! The one-time identity lives in this process alone. After a restart custodians seal anew.
//!
//! # What the record of a restored key says of payloads
//!
//! When the key was generated, and with which payload store, is lost with the record that said so. The node makes no sample payload: a
//! sample shows that payloads since then can be read, and one that is sealed now would show nothing of them. The payload store
//! that the record names is this node's if that keeps anything but samples of keys in memory: then it is the volume that the node
//! had, as far as anybody can tell. Else the volume is new, and payloads of the key may have been lost with another one: the record
//! names [`crate::volume::UNKNOWN_STORE`], which no store is, so that what is not found is answered with 503 until a person accepts the loss.

mod check;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tessera_backup::Identity;
use tessera_node_api::admin::RestoreStatus;
use tessera_node_api::dynamic_config::Key;
use tessera_node_api::key_backup::{CheckResult, RestoredKeys};
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use self::check::{Brought, Opened, another, check, expected, payload_store};
use crate::key_backups::custody::shown;
use crate::loaded_keys::{LoadedKeys, Version};
use crate::tasks;

/// Requests that wait for the one in progress.
const MAX_WAITING: usize = 4;
/// How long a caller waits for the result. The keys may be taken later, and bringing them again does no harm.
const WAIT: Duration = Duration::from_secs(20);
/// Versions that a text names.
const MAX_NAMED: usize = 5;

/// Where keys are brought, and how far each is. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Restores {
    status: watch::Receiver<Vec<RestoreStatus>>,
    requests: mpsc::Sender<Request>,
}

/// The side of the key service.
#[derive(Debug)]
pub(crate) struct Restorer {
    status: watch::Sender<Vec<RestoreStatus>>,
    requests: mpsc::Receiver<Request>,
    identity: Arc<Identity>,
    /// Versions of which the secret store has another key.
    failed: BTreeMap<Version, String>,
    /// Versions that the secret store does not have.
    awaited: BTreeSet<Version>,
}

/// Keys that were brought, and where the result goes.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) keys: RestoredKeys,
    pub(crate) result: oneshot::Sender<Result<CheckResult, NotTaken>>,
}

/// Nothing can be said of the keys now.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTaken {
    /// Others are being taken, or the secret store does not answer.
    #[error("the node is busy with its secret store: try again")]
    Busy,
    /// Keys of files, or the node is at its end.
    #[error("the node takes no keys: they come from files, or the node is shutting down")]
    Closed,
    /// The secret store.
    #[error("{0}")]
    Store(String),
    /// No locked memory, or a defect.
    #[error("the keys cannot be opened: {0}")]
    Opening(String),
}

/// Both sides.
pub(crate) fn channel() -> (Restores, Restorer) {
    let (sender, requests) = mpsc::channel(MAX_WAITING);
    let status = watch::Sender::new(Vec::new());
    let handle = Restores { status: status.subscribe(), requests: sender };
    let restorer = Restorer {
        status,
        requests,
        identity: Arc::new(Identity::generate()),
        failed: BTreeMap::new(),
        awaited: BTreeSet::new(),
    };
    (handle, restorer)
}

impl Restores {
    pub(crate) fn status(&self) -> Vec<RestoreStatus> {
        self.status.borrow().clone()
    }

    /// Brings keys. The result comes when the secret store and the node's memory have them.
    pub(crate) async fn bring(&self, keys: RestoredKeys) -> Result<CheckResult, NotTaken> {
        let (result, answer) = oneshot::channel();
        self.requests.try_send(Request { keys, result }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotTaken::Busy,
            mpsc::error::TrySendError::Closed(_) => NotTaken::Closed,
        })?;
        let answer = tokio::time::timeout(WAIT, answer).await.map_err(|_| NotTaken::Busy)?;
        answer.unwrap_or(Err(NotTaken::Closed))
    }
}

impl Restorer {
    /// The next keys that are brought; pending once nobody can bring any.
    pub(crate) async fn next(&mut self) -> Request {
        match self.requests.recv().await {
            Some(request) => request,
            None => std::future::pending().await,
        }
    }

    /// Notes that the secret store does not have the version.
    pub(crate) fn note_absent(&mut self, version: Version) {
        self.failed.remove(&version);
        self.awaited.insert(version);
    }

    /// Notes that the secret store has another key as this version.
    pub(crate) fn note_failed(&mut self, version: Version, why: String) {
        self.awaited.remove(&version);
        self.failed.insert(version, why);
    }

    /// Notes that the version is in memory.
    pub(crate) fn note_loaded(&mut self, version: &Version) {
        self.awaited.remove(version);
        self.failed.remove(version);
    }

    /// Forgets versions that the configuration awaits no more.
    pub(crate) fn keep_only(&mut self, wanted: &[Key]) {
        let is_wanted = |version: &Version| check::expected_of(wanted, version).is_some();
        self.awaited.retain(is_wanted);
        self.failed.retain(|version, _| is_wanted(version));
    }

    /// What the node awaits; none if that is nothing.
    pub(crate) fn awaits(&self) -> Option<String> {
        let mut names: Vec<_> =
            self.awaited.iter().take(MAX_NAMED).map(|(name, version)| shown((name, *version))).collect();
        let more = self.awaited.len().saturating_sub(MAX_NAMED);
        if more > 0 {
            names.push(format!("{more} more"));
        }
        let names = names.join(", ");
        (!names.is_empty())
            .then(|| format!("custodians must bring back {names}: run `kubectl tessera backup restore`"))
    }

    /// Reports how far the restores of `wanted` are.
    pub(crate) fn report(&self, wanted: &[Key], loaded: &LoadedKeys) {
        let status = check::statuses(wanted, loaded, &self.failed, &self.identity.recipient());
        self.status.send_if_modified(|known| {
            let changed = *known != status;
            *known = status;
            changed
        });
    }

    /// Opens all of `brought`, off the event loop. Those that do not open are named.
    pub(crate) async fn open(
        &self,
        brought: Vec<Brought>,
    ) -> Result<Result<Vec<Opened>, CheckResult>, NotTaken> {
        let identity = Arc::clone(&self.identity);
        let opened = tasks::blocking(move || check::open_all(brought, &identity)).await;
        opened.unwrap_or_else(|| Err(NotTaken::Opening("it panicked".to_owned())))
    }
}
