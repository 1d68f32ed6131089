//! What one replica hears of a peer, in the database for all of them.
//!
//! A row is written when a peer announces something else than the row says, and now and then, so that a peer that lives is not
//! forgotten. Nothing is written while peers say the same.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tessera_database::{Database, DatabaseError, PeerRow};
use tessera_enclave::codec::versions::ApiVersions;
use tessera_enclave::{KeyRing, PublicKey};
use tessera_node_api::identity::Identity;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::keyring::Keys;
use crate::peers::{Heard, MAX_KEYS, Peers, ago};

/// Between two looks at the table.
const LOOK: Duration = Duration::from_secs(5);
/// Between two rounds, even when peers announce something new all the time.
const FLOOR: Duration = Duration::from_secs(1);
/// A row of a peer that says the same is written again after so long.
const REFRESH: Duration = Duration::from_mins(20);
/// Rows that are written in one round.
const WRITES: usize = 32;
/// What a starting node gives its peers to prove the keys that the table names.
const FIRST_PROOFS: Duration = Duration::from_secs(10);
/// What a send waits for the proof of a key that this replica did not know.
const LATE_PROOF: Duration = Duration::from_secs(2);

/// The peers' rows in the database.
#[derive(Debug)]
pub(crate) struct PeerTable {
    database: Database,
    peers: Arc<Peers>,
    keys: watch::Receiver<Option<Arc<Keys>>>,
    /// What the rows say, as far as this process read or wrote them.
    rows: Mutex<BTreeMap<Identity, Heard>>,
    /// Where the next read begins.
    next: Mutex<i64>,
}

impl PeerTable {
    pub(crate) fn new(
        database: Database,
        peers: Arc<Peers>,
        keys: watch::Receiver<Option<Arc<Keys>>>,
    ) -> Arc<Self> {
        Arc::new(Self { database, peers, keys, rows: Mutex::default(), next: Mutex::new(0) })
    }

    /// Learns all peers that the table names, before the node serves. Ends in bounded time also if neither database nor peers answer.
    pub(crate) async fn learn_all(&self) {
        let learned = timeout(FIRST_PROOFS, async {
            self.database.forget_peers().await?;
            self.read().await
        });
        match learned.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the peers in the database could not be read"),
            Err(_) => tracing::warn!("not all peers that the database names proved their keys in time"),
        }
    }

    /// Keeps table and directory alike.
    pub(crate) async fn run(self: Arc<Self>) -> Result<(), Infallible> {
        loop {
            let began = Instant::now();
            if let Err(error) = self.write().await {
                tracing::debug!(%error, "peers were not written to the database");
            }
            if let Err(error) = self.read().await {
                tracing::debug!(%error, "peers were not read from the database");
            }
            tokio::select! {
                () = sleep(LOOK) => {}
                () = self.peers.learned() => tokio::time::sleep_until(began + FLOOR).await,
            }
        }
    }

    /// Asks the database for a key that no peer proved to this process, and the peers that claim it for a proof.
    pub(crate) async fn look_for(&self, ring: &KeyRing, key: &PublicKey) -> Result<(), DatabaseError> {
        let found = self.database.peers_with(key.as_bytes()).await?;
        let heard = found.iter().filter_map(heard).collect();
        // What is not proven in time is not known: the caller looks.
        let _ = timeout(LATE_PROOF, self.peers.take_heard(ring, heard)).await;
        Ok(())
    }

    async fn read(&self) -> Result<(), DatabaseError> {
        let Some(keys) = self.keys.borrow().clone() else { return Ok(()) };
        loop {
            let from = *self.next.lock();
            let found = self.database.peers(from).await?;
            let heard: Vec<_> = found.peers.iter().filter_map(heard).collect();
            for row in &heard {
                self.rows.lock().insert(row.identity.clone(), row.clone());
            }
            self.peers.take_heard(keys.ring(), heard).await;
            *self.next.lock() = found.next;
            // A transaction that runs for long holds the beginning back.
            if !found.more || found.next == from {
                return Ok(());
            }
        }
    }

    async fn write(&self) -> Result<(), DatabaseError> {
        let all = self.peers.heard();
        self.rows.lock().retain(|identity, _| all.iter().any(|heard| heard.identity == *identity));
        let is_new = |heard: &Heard| {
            let rows = self.rows.lock();
            rows.get(&heard.identity).is_none_or(|row| {
                heard.at > row.at && (!heard.says_what(row) || heard.at.duration_since(row.at) > REFRESH)
            })
        };
        for heard in all.into_iter().filter(is_new).take(WRITES) {
            self.database.keep_peer(&row(&heard)).await?;
            self.rows.lock().insert(heard.identity.clone(), heard);
        }
        Ok(())
    }
}

fn row(heard: &Heard) -> PeerRow {
    PeerRow {
        identity: heard.identity.to_string(),
        url: heard.url.to_string(),
        hosts: heard.hosts.clone(),
        versions: heard.versions.to_string(),
        keys: heard.keys.iter().map(|key| key.as_bytes().to_vec()).collect(),
        age: heard.at.elapsed(),
    }
}

/// None: no row that this program writes.
fn heard(row: &PeerRow) -> Option<Heard> {
    let keys = row.keys.iter().take(MAX_KEYS).filter_map(|key| PublicKey::from_bytes(key).ok());
    Some(Heard {
        identity: row.identity.parse().ok()?,
        url: row.url.parse().ok()?,
        hosts: row.hosts.clone(),
        versions: ApiVersions::parse([row.versions.as_str()]),
        keys: keys.collect(),
        at: ago(row.age),
    })
}
