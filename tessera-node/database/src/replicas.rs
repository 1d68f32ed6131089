//! What the nodes on one database share beside payloads: which of them live, the keys that are in use, the peers that they heard.
//!
//! A node lives as long as one of its connections does: each holds a shared advisory lock with the node's number, which the server
//! gives up with the connection. So nothing is written while nothing changes, and a node that was killed is gone at once; one whose
//! machine fell silent is gone when the server's probes of the connection fail (`session.rs`).

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::{Database, DatabaseError, rows};

/// The first number of the advisory locks: `tess`. The second is the node's number.
pub(crate) const LOCKS: i32 = 0x7465_7373;
/// Peers that are read at one time.
const PEERS_AT_ONCE: u16 = 1024;
/// After so long without an announcement a peer's row is deleted.
const PEER_KEPT: &str = "interval '1 day'";

const LIVE: &str = "SELECT DISTINCT l.objid::bigint AS number FROM pg_locks l \
     JOIN pg_database d ON d.oid = l.database AND d.datname = current_database() \
     WHERE l.locktype = 'advisory' AND l.classid::bigint = $1::bigint AND l.objsubid = 2 AND l.granted";

/// One node on the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// Drawn at its start.
    pub number: i32,
    /// The name of its machine or pod; empty: it has not said so yet.
    pub name: String,
    /// The public keys that it has in memory; none: it has not said so yet.
    pub keys: Option<Vec<Vec<u8>>>,
}

/// What the database says of the nodes and their keys, as one moment shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shared {
    /// The nodes that live, the caller among them.
    pub live: Vec<Replica>,
    /// The public keys that some node was ever allowed to use.
    pub in_use: Vec<Vec<u8>>,
}

/// A peer as the node that heard it describes it. Nothing of it is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerRow {
    /// Its name in certificates.
    pub identity: String,
    /// The address that it announces.
    pub url: String,
    /// The hosts that its certificate names.
    pub hosts: Vec<String>,
    /// What it understands, as it says so.
    pub versions: String,
    /// The keys that it claims.
    pub keys: Vec<Vec<u8>>,
    /// How long ago it announced itself.
    pub age: Duration,
}

/// Peers that changed, and from where to read on.
#[derive(Debug, Clone, Default)]
pub struct PeerRows {
    /// The rows.
    pub peers: Vec<PeerRow>,
    /// What the next read begins with.
    pub next: i64,
    /// There are more.
    pub more: bool,
}

impl Database {
    /// The number under which this node holds its locks.
    pub fn replica_number(&self) -> i32 {
        self.common().replica
    }

    /// Says which keys this node has in memory. Nodes that are gone are deleted.
    pub async fn declare_keys(&self, name: &str, keys: &[Vec<u8>]) -> Result<(), DatabaseError> {
        let own = self.replica_number();
        self.rare(
            "INSERT INTO tessera_node_replica (number, name, keys) VALUES ($1, $2, $3) \
             ON CONFLICT (number) DO UPDATE SET name = excluded.name, keys = excluded.keys",
            &[&own, &name, &keys],
        )
        .await?;
        let gone = format!(
            "DELETE FROM tessera_node_replica WHERE number <> $2 AND number NOT IN (SELECT number FROM ({LIVE}) live)"
        );
        self.rare(&gone, &[&i64::from(LOCKS), &own]).await.map(drop)
    }

    /// The nodes that live, and the keys in use.
    pub async fn shared(&self) -> Result<Shared, DatabaseError> {
        // Of the two, the keys are read first: one that comes into use meanwhile is not missed for a node that ended meanwhile.
        let in_use = self.rare("SELECT public_key FROM tessera_node_key", &[]).await?;
        let live = format!(
            "SELECT live.number, r.name, r.keys FROM ({LIVE}) live LEFT JOIN tessera_node_replica r ON r.number = live.number \
             ORDER BY r.name, live.number"
        );
        let live = self.rare(&live, &[&i64::from(LOCKS)]).await?;
        Ok(Shared {
            live: live.iter().map(replica).collect::<Result<_, _>>()?,
            in_use: in_use.iter().map(|row| rows::get(row, 0)).collect::<Result<_, _>>()?,
        })
    }

    /// Records durably that these keys may be used from now on.
    pub async fn use_keys(&self, keys: &[Vec<u8>]) -> Result<(), DatabaseError> {
        let insert = "INSERT INTO tessera_node_key (public_key) SELECT * FROM unnest($1::bytea[]) ON CONFLICT DO NOTHING";
        self.rare(insert, &[&keys]).await.map(drop)
    }

    /// Keeps what a peer announced.
    pub async fn keep_peer(&self, peer: &PeerRow) -> Result<(), DatabaseError> {
        let PeerRow { identity, url, hosts, versions, keys, age } = peer;
        self.rare(
            "INSERT INTO tessera_node_peer AS p (identity, url, hosts, versions, keys, seen, revision) \
             VALUES ($1, $2, $3, $4, $5, now() - make_interval(secs => $6), txid_current()) \
             ON CONFLICT (identity) DO UPDATE SET url = excluded.url, hosts = excluded.hosts, versions = excluded.versions, \
             keys = excluded.keys, seen = excluded.seen, revision = excluded.revision WHERE p.seen < excluded.seen",
            &[identity, url, hosts, versions, keys, &age.as_secs_f64()],
        )
        .await
        .map(drop)
    }

    /// The peers that changed since `from`; 0: all.
    pub async fn peers(&self, from: i64) -> Result<PeerRows, DatabaseError> {
        let select = peer_select("revision >= $1 ORDER BY revision LIMIT $2");
        let found = self.rare(&select, &[&from, &i64::from(PEERS_AT_ONCE)]).await?;
        let Some(last) = found.last() else { return Ok(PeerRows { next: from, ..PeerRows::default() }) };
        let more = found.len() >= usize::from(PEERS_AT_ONCE);
        // What is not committed yet may have a lower revision than what is read.
        let (revision, oldest_running): (i64, i64) = (rows::get(last, 6)?, rows::get(last, 7)?);
        let next = if more { revision.min(oldest_running) } else { oldest_running };
        Ok(PeerRows { peers: found.iter().map(peer).collect::<Result<_, _>>()?, next, more })
    }

    /// The peers that claim this key.
    pub async fn peers_with(&self, key: &[u8]) -> Result<Vec<PeerRow>, DatabaseError> {
        let select = peer_select("$1 = ANY(keys) ORDER BY seen DESC LIMIT 4");
        self.rare(&select, &[&key]).await?.iter().map(peer).collect()
    }

    /// Deletes peers that were not heard for long.
    pub async fn forget_peers(&self) -> Result<(), DatabaseError> {
        self.rare(&format!("DELETE FROM tessera_node_peer WHERE seen < now() - {PEER_KEPT}"), &[])
            .await
            .map(drop)
    }

    /// The rows of a statement that is not prepared beforehand.
    async fn rare(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, DatabaseError> {
        let mut attempts_left = self.asking().len();
        loop {
            let session = self.asking().session(self.turn()).await?;
            match session.rare(sql, values).await {
                Err(error) if error.may_be_repeated() && attempts_left > 0 => attempts_left -= 1,
                answered => return answered,
            }
        }
    }
}

fn peer_select(condition: &str) -> String {
    format!(
        "SELECT identity, url, hosts, versions, keys, greatest(extract(epoch FROM now() - seen), 0)::float8, revision, \
         txid_snapshot_xmin(txid_current_snapshot()) FROM tessera_node_peer WHERE {condition}"
    )
}

fn replica(row: &Row) -> Result<Replica, DatabaseError> {
    let number: i64 = rows::get(row, 0)?;
    let name: Option<String> = rows::get(row, 1)?;
    Ok(Replica {
        number: i32::try_from(number).unwrap_or(i32::MAX),
        name: name.unwrap_or_default(),
        keys: rows::get(row, 2)?,
    })
}

fn peer(row: &Row) -> Result<PeerRow, DatabaseError> {
    let age: f64 = rows::get(row, 5)?;
    Ok(PeerRow {
        identity: rows::get(row, 0)?,
        url: rows::get(row, 1)?,
        hosts: rows::get(row, 2)?,
        versions: rows::get(row, 3)?,
        keys: rows::get(row, 4)?,
        age: Duration::try_from_secs_f64(age).unwrap_or_default(),
    })
}
