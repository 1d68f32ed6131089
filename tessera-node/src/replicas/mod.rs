//! Several nodes with the same identity and keys on one database: replicas.
//!
//! ```text
//! keys in memory ── declared ──► database ──► keys that every replica has ──► in use: default, advertised   `in_use`
//! announcements of peers ──────► database ──► every replica asks the peer for its own proof                 `peer_table`
//! "none of our keys opens it" ── is another key in use somewhere? ──► then 503, and not 404                 [`Replicas::lacks_keys`]
//! ```
//!
//! Peers and ledgers see one node: any replica may get the next request. So a key is used only once every replica that lives has it,
//! and what one replica hears of a peer is known to all. Neither is trusted for an answer: a replica that was paused
//! meanwhile asks the database before it says "not found" for the lack of a key.
//!
//! The database names peers and their keys, and proves nothing: nothing is sent to a peer that did not prove to this very
//! process, over a connection that its certificate is for, that it holds the key.

mod in_use;
mod peer_table;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tessera_database::{Database, DatabaseError};
use tessera_enclave::{KeyRing, PublicKey};
use tokio::sync::watch;

pub(crate) use in_use::InUse;
pub(crate) use peer_table::PeerTable;

/// Between two looks at the database while nothing is awaited.
const LOOK: Duration = Duration::from_secs(5);
/// While another replica's key is awaited.
const LOOK_SOON: Duration = Duration::from_millis(250);

/// The replicas of this node. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Replicas {
    database: Database,
    /// The public keys in memory here.
    loaded: watch::Sender<BTreeSet<PublicKey>>,
    in_use: watch::Sender<InUse>,
}

impl Replicas {
    /// Of a process that has just opened the database.
    pub(crate) fn new(database: Database) -> Self {
        Self { database, loaded: watch::Sender::default(), in_use: watch::Sender::default() }
    }

    /// Says which keys are in memory here, and wakes [`Self::run`].
    pub(crate) fn declare(&self, keys: BTreeSet<PublicKey>) {
        self.loaded.send_if_modified(|loaded| {
            let changed = *loaded != keys;
            *loaded = keys;
            changed
        });
    }

    /// The keys that may be used, and what the others wait for.
    pub(crate) fn in_use(&self) -> watch::Receiver<InUse> {
        self.in_use.subscribe()
    }

    /// Whether others lived at the last look.
    pub(crate) fn are_several(&self) -> bool {
        self.in_use.borrow().others > 0
    }

    /// Keeps what the database knows of this replica right, and [`Self::in_use`] as new as a few seconds.
    pub(crate) async fn run(self) -> Result<(), Infallible> {
        let name = machine_name();
        let mut changes = self.loaded.subscribe();
        let mut health = self.database.health().subscribe();
        loop {
            let loaded = changes.borrow_and_update().clone();
            let pause = match self.look(&name, &loaded).await {
                Ok(found) if found.is_settled() => LOOK,
                Ok(_) => LOOK_SOON,
                // The payload store's own state says that the database is away.
                Err(error) => {
                    tracing::debug!(%error, "the replicas in the database were not read");
                    LOOK
                }
            };
            tokio::select! {
                // The sender is ours.
                _ = changes.changed() => {}
                // A database that comes back may know nothing of this replica.
                () = health.next() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Reads what all replicas say, and says what is new of this one. A database that takes no row, since its disk is full, is no reason
    /// not to use the keys that are in use.
    async fn look(&self, name: &str, loaded: &BTreeSet<PublicKey>) -> Result<InUse, DatabaseError> {
        if loaded.is_empty() {
            return Ok(InUse::default());
        }
        let mut shared = self.database.shared().await?;
        let own = self.database.replica_number();
        let keys = bytes(loaded);
        let declared = shared.live.iter().find(|replica| replica.number == own);
        if declared.is_none_or(|declared| declared.keys.as_ref() != Some(&keys)) {
            match self.database.declare_keys(name, &keys).await {
                Ok(()) => shared = self.database.shared().await?,
                Err(error) => tracing::debug!(%error, "the keys in memory were not written to the database"),
            }
        }
        let free = in_use::free_to_use(&shared, own, loaded);
        if !free.is_empty() {
            match self.database.use_keys(&bytes(&free)).await {
                Ok(()) => shared.in_use.extend(bytes(&free)),
                Err(error) => tracing::debug!(%error, "keys that all replicas have are not in use yet"),
            }
        }
        let found = InUse::of(&shared, own, loaded);
        self.in_use.send_if_modified(|known| {
            let changed = *known != found;
            known.clone_from(&found);
            changed
        });
        Ok(found)
    }

    /// Whether another replica that lives uses a key that is not in `ring`, as the database says now.
    pub(crate) async fn lacks_keys(&self, ring: &KeyRing) -> Result<bool, DatabaseError> {
        let shared = self.database.shared().await?;
        let loaded = ring.public_keys().copied().collect();
        Ok(!InUse::of(&shared, self.database.replica_number(), &loaded).missing.is_empty())
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }
}

fn bytes(keys: &BTreeSet<PublicKey>) -> Vec<Vec<u8>> {
    keys.iter().map(|key| key.as_bytes().to_vec()).collect()
}

/// As a person names this replica: in a cluster the pod's name.
fn machine_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What requests ask of the other replicas, by the database.
#[derive(Debug, Clone)]
pub(crate) struct Others {
    pub(crate) replicas: Replicas,
    pub(crate) table: Arc<PeerTable>,
}
