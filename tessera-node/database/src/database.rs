//! What callers ask of the database.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rand::Rng;
use tessera_store::{Hash, StoreId, Stored, Value, Version};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::link::{Common, Link, Links};
use crate::rows::{self, RawRow, codec_name};
use crate::session::{Session, Statements};
use crate::stats::{Counters, Stats};
use crate::writer::{self, Writer};
use crate::{Credentials, DatabaseError, Health};

/// Connections that write, and connections that read. Nine replicas stay well below the hundred that a server allows
/// by default.
const INSERTING: usize = 2;
const ASKING: usize = 3;

/// How the database is used.
#[derive(Debug, Clone)]
pub struct Options {
    /// The files that connections are made with.
    pub credentials: Credentials,
    /// Bytes of the largest payload.
    pub max_body_bytes: usize,
    /// Bytes of payloads that may wait to be written.
    pub max_queued_bytes: usize,
}

/// An open database. Cheap to clone; closed when the last clone goes.
#[derive(Debug, Clone)]
pub struct Database(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    common: Arc<Common>,
    /// The id, read once the first connection was there.
    id: StoreId,
    writer: Writer,
    /// What reads never shares a connection with what writes, which may wait for a standby.
    asking: Links,
    inserting: Links,
    turn: AtomicUsize,
    max_body_bytes: usize,
    _running: DropGuard,
}

impl Database {
    /// Opens the database, and returns once it can be used. Calls `progress` with each reason for the wait.
    pub async fn open(options: Options, mut progress: impl FnMut(&str)) -> Self {
        let health = Health::new(INSERTING + ASKING);
        let common = Arc::new(Common {
            credentials: options.credentials,
            health: health.clone(),
            kinds: vec![0..INSERTING, INSERTING..INSERTING + ASKING],
            id: OnceLock::new(),
            newest_timeline: AtomicU32::new(0),
            replica: rand::rng().random_range(1..i32::MAX),
            counters: Counters::default(),
        });
        let running = CancellationToken::new();
        let guard = running.clone().drop_guard();
        let mut links = Vec::new();
        for number in 0..INSERTING + ASKING {
            let (link, keeper) = Link::new(number, Arc::clone(&common));
            links.push(link);
            tokio::spawn(running.clone().run_until_cancelled_owned(keeper.run()));
        }
        let (writer, queue) = Writer::new(options.max_queued_bytes);
        let asking = Links::new(links.split_off(INSERTING), health.clone());
        let inserting = Links::new(links, health.clone());
        for turn in 0..INSERTING {
            let writing = writer::run(Arc::clone(&queue), inserting.clone(), turn, Arc::clone(&common));
            tokio::spawn(running.clone().run_until_cancelled_owned(writing));
        }
        let mut changes = health.subscribe();
        let id = loop {
            match (health.failure(), common.id.get()) {
                (None, Some(id)) => break *id,
                (failure, _) => progress(failure.as_deref().unwrap_or("no connection yet")),
            }
            changes.next().await;
        };
        let (turn, max_body_bytes) = (AtomicUsize::new(0), options.max_body_bytes);
        Self(Arc::new(Shared {
            common,
            id,
            writer,
            asking,
            inserting,
            turn,
            max_body_bytes,
            _running: guard,
        }))
    }

    /// Whether it can be used now.
    pub fn health(&self) -> &Health {
        &self.0.common.health
    }

    /// Counts since it was opened.
    pub fn stats(&self) -> Stats {
        self.0.common.counters.stats()
    }

    /// Which store this is.
    pub fn id(&self) -> StoreId {
        self.0.id
    }

    /// Whether rows may be in the new codec; what is written in it to a table that does not say so is refused.
    pub async fn takes_new_codec(&self) -> Result<bool, DatabaseError> {
        Ok(self.0.asking.session(self.turn()).await?.schema.has_codec)
    }

    /// A transaction's payload. None: a primary has no such row.
    pub async fn get(&self, hash: &Hash) -> Result<Option<Stored>, DatabaseError> {
        self.one(|of| &of.get, &[&bytes(hash)], self.0.max_body_bytes, rows::stored).await
    }

    /// A raw payload. None: a primary has no such row.
    pub async fn get_raw(&self, hash: &Hash) -> Result<Option<RawRow>, DatabaseError> {
        self.one(|of| &of.get_raw, &[&bytes(hash)], self.0.max_body_bytes, rows::raw).await
    }

    /// The size of a payload, without reading it.
    pub async fn stored_bytes(&self, hash: &Hash) -> Result<Option<u64>, DatabaseError> {
        self.one(|of| &of.size, &[&bytes(hash)], 0, rows::size).await
    }

    /// The size of a raw payload, without reading it.
    pub async fn raw_bytes(&self, hash: &Hash) -> Result<Option<u64>, DatabaseError> {
        self.one(|of| &of.size_raw, &[&bytes(hash)], 0, rows::size).await
    }

    /// The version of a row, also of one that cannot be read.
    pub async fn version(&self, hash: &Hash) -> Result<Option<Version>, DatabaseError> {
        let found = self.ask(&self.0.asking, |of| &of.version, &[&bytes(hash)], 0).await?.1;
        found.first().map(|row| Ok(rows::version(rows::get(row, 0)?))).transpose()
    }

    /// Inserts a row if its hash is free; whether it was. The row is durable then, this or the one that was there.
    pub async fn insert(&self, hash: Hash, value: Value) -> Result<bool, DatabaseError> {
        self.check_size(value.body.len())?;
        self.0.writer.insert(hash, value).await
    }

    /// Replaces a row if it is still `read`; whether it was. Its time stays.
    pub async fn replace(&self, hash: &Hash, read: Version, value: &Value) -> Result<bool, DatabaseError> {
        self.check_size(value.body.len())?;
        let session = self.0.inserting.session(self.turn()).await?;
        let statement = &session.statements.replace;
        let (hash, size) = (bytes(hash), value.body.len() as u64);
        let read = i64::try_from(read.number()).unwrap_or(0);
        let replaced = if session.schema.has_codec {
            session.query(statement, &[&hash, &read, &value.body, &codec_name(value.codec)], size).await?
        } else {
            writer::refuse_codec(&session, value.codec != 0)?;
            session.query(statement, &[&hash, &read, &value.body], size).await?
        };
        Ok(!replaced.is_empty())
    }

    /// Inserts a raw payload if its hash is free; whether it was.
    pub async fn insert_raw(
        &self,
        hash: &Hash,
        row: &RawRow,
        timestamp_ms: u64,
    ) -> Result<bool, DatabaseError> {
        self.check_size(row.encrypted_payload.len())?;
        let at = i64::try_from(timestamp_ms).unwrap_or(i64::MAX);
        let RawRow { encrypted_payload, encrypted_key, nonce, sender } = row;
        let values: [&(dyn ToSql + Sync); 6] =
            [&bytes(hash), encrypted_payload, encrypted_key, nonce, sender, &at];
        let inserted =
            self.ask(&self.0.inserting, |of| &of.insert_raw, &values, encrypted_payload.len()).await?.1;
        Ok(!inserted.is_empty())
    }

    /// Whether there are more than so many payloads.
    pub async fn has_more_than(&self, rows: u64) -> Result<bool, DatabaseError> {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        self.is(|of| &of.has_more_than, &[&rows]).await
    }

    /// Records durably that the payloads of another store are lost and that this store continues without them.
    pub async fn accept_loss_of(&self, other: StoreId, timestamp_ms: u64) -> Result<(), DatabaseError> {
        let at = i64::try_from(timestamp_ms).unwrap_or(i64::MAX);
        self.ask(&self.0.inserting, |of| &of.accept_loss, &[&other.to_string(), &at], 0).await.map(drop)
    }

    /// Whether [`Self::accept_loss_of`] was called for that store.
    pub async fn has_accepted_loss_of(&self, other: StoreId) -> Result<bool, DatabaseError> {
        self.is(|of| &of.accepted_loss, &[&other.to_string()]).await
    }

    fn check_size(&self, bytes: usize) -> Result<(), DatabaseError> {
        let limit = self.0.max_body_bytes;
        if bytes > limit { Err(DatabaseError::TooLarge { bytes, limit }) } else { Ok(()) }
    }

    async fn is(
        &self,
        statement: impl Fn(&Statements) -> &Statement,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<bool, DatabaseError> {
        self.one(statement, values, 0, |row| rows::get(row, 0)).await
    }

    /// Asks for one row of at most so many bytes.
    async fn one<T>(
        &self,
        statement: impl Fn(&Statements) -> &Statement,
        values: &[&(dyn ToSql + Sync)],
        bytes: usize,
        read: impl Fn(&Row) -> Result<T, DatabaseError>,
    ) -> Result<T, DatabaseError> {
        let mut attempts_left = self.0.asking.len();
        loop {
            let (session, found) = self.ask(&self.0.asking, &statement, values, bytes).await?;
            let row = found.first().ok_or(DatabaseError::Row("a statement returned no row"))?;
            match read(row).map_err(|error| session.judge(error)) {
                Err(DatabaseError::Changed) if attempts_left > 0 => attempts_left -= 1,
                answer => return answer,
            }
        }
    }

    /// The rows, and the connection that they came over. Of a connection that was lost meanwhile, the next is asked: a server that
    /// goes takes all of them with it, so that the last attempt is the first over a new one.
    async fn ask(
        &self,
        links: &Links,
        statement: impl Fn(&Statements) -> &Statement,
        values: &[&(dyn ToSql + Sync)],
        bytes: usize,
    ) -> Result<(Arc<Session>, Vec<Row>), DatabaseError> {
        let mut attempts_left = links.len();
        loop {
            let session = links.session(self.turn()).await?;
            match session.query(statement(&session.statements), values, bytes as u64).await {
                Err(error) if error.may_be_repeated() && attempts_left > 0 => attempts_left -= 1,
                answered => return answered.map(|rows| (session, rows)),
            }
        }
    }

    pub(crate) fn common(&self) -> &Common {
        &self.0.common
    }

    pub(crate) fn asking(&self) -> &Links {
        &self.0.asking
    }

    pub(crate) fn turn(&self) -> usize {
        self.0.turn.fetch_add(1, Ordering::Relaxed)
    }
}

fn bytes(hash: &Hash) -> &[u8] {
    hash.as_bytes()
}
