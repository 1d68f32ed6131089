//! Inserts of concurrent callers that share a transaction: one commit makes many payloads durable.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use tessera_store::{Hash, Value};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::DatabaseError;
use crate::link::{Common, Links};
use crate::rows::{codec_name, get};
use crate::session::Session;

/// Rows of one statement.
const MAX_ROWS: usize = 128;
/// Bytes of payloads in one statement, beyond the last.
const MAX_STATEMENT: usize = 4 << 20;
/// Inserts that wait for their turn.
const MAX_WAITING: usize = 8192;

/// Takes inserts in, up to a number and a size.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Insert>,
    permits: Arc<Semaphore>,
}

/// The inserts that came in. Several links take from it in turn.
pub(crate) type Queue = Arc<Mutex<mpsc::Receiver<Insert>>>;

/// An insert and its caller.
#[derive(Debug)]
pub(crate) struct Insert {
    hash: Hash,
    value: Value,
    /// Whether the hash was free.
    answer: oneshot::Sender<Result<bool, DatabaseError>>,
    /// Until it is answered, whatever becomes of the caller.
    _permit: OwnedSemaphorePermit,
}

impl Writer {
    /// For at most so many bytes of payloads that are not written yet.
    pub(crate) fn new(bytes: usize) -> (Self, Queue) {
        let (queue, taken) = mpsc::channel(MAX_WAITING);
        (Self { queue, permits: Arc::new(Semaphore::new(bytes)) }, Arc::new(Mutex::new(taken)))
    }

    /// Inserts a row if its hash is free; whether it was.
    pub(crate) async fn insert(&self, hash: Hash, value: Value) -> Result<bool, DatabaseError> {
        let bytes = u32::try_from(value.body.len()).map_err(|_| DatabaseError::Busy)?;
        let permit =
            Arc::clone(&self.permits).try_acquire_many_owned(bytes).map_err(|_| DatabaseError::Busy)?;
        let (answer, answered) = oneshot::channel();
        let insert = Insert { hash, value, answer, _permit: permit };
        self.queue.try_send(insert).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => DatabaseError::Busy,
            mpsc::error::TrySendError::Closed(_) => DatabaseError::Closed,
        })?;
        // It is dropped unanswered only when the database is closed.
        answered.await.unwrap_or(Err(DatabaseError::Closed))
    }
}

/// Writes what the queue has, one statement after the other, over the link whose `turn` it is while that has a connection.
pub(crate) async fn run(queue: Queue, links: Links, turn: usize, common: Arc<Common>) {
    while let Some(batch) = next(&queue).await {
        let mut outcome = attempt(&links, turn, &batch).await;
        for _ in 0..links.len() {
            if !outcome.as_ref().is_err_and(DatabaseError::may_be_repeated) {
                break;
            }
            // A row that an attempt before made durable is one that exists: its caller compares it with its own.
            outcome = attempt(&links, turn, &batch).await;
        }
        if let Ok(free) = &outcome {
            common.counters.note_batch(free.len());
        }
        batch.answer(&outcome);
    }
}

async fn attempt(links: &Links, turn: usize, batch: &Batch) -> Result<Vec<Hash>, DatabaseError> {
    write(&*links.session(turn).await?, batch).await
}

async fn next(queue: &Queue) -> Option<Batch> {
    let mut queue = queue.lock().await;
    let mut batch = Batch::default();
    batch.add(queue.recv().await?);
    while batch.rows.len() < MAX_ROWS && batch.bytes < MAX_STATEMENT {
        let Ok(insert) = queue.try_recv() else { break };
        batch.add(insert);
    }
    Some(batch)
}

/// What one statement inserts: in the order of hashes, so that statements of two replicas that have some in common never wait
/// for each other.
#[derive(Debug, Default)]
struct Batch {
    rows: BTreeMap<Hash, Insert>,
    /// More inserts of the same hashes.
    repeated: Vec<Insert>,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, insert: Insert) {
        match self.rows.entry(insert.hash) {
            Entry::Occupied(_) => self.repeated.push(insert),
            Entry::Vacant(entry) => {
                self.bytes += insert.value.body.len();
                entry.insert(insert);
            }
        }
    }

    /// `outcome` holds the hashes that were free.
    fn answer(self, outcome: &Result<Vec<Hash>, DatabaseError>) {
        // A caller that has gone needs no answer.
        for (hash, insert) in self.rows {
            let answer = outcome.as_ref().map(|free| free.contains(&hash)).map_err(Clone::clone);
            let _ = insert.answer.send(answer);
        }
        for insert in self.repeated {
            let _ = insert.answer.send(outcome.as_ref().map(|_| false).map_err(Clone::clone));
        }
    }
}

/// The hashes that were free, once their rows are durable.
async fn write(session: &Session, batch: &Batch) -> Result<Vec<Hash>, DatabaseError> {
    let rows = || batch.rows.values();
    let hashes: Vec<&[u8]> = rows().map(|row| &row.hash.as_bytes()[..]).collect();
    let bodies: Vec<&[u8]> = rows().map(|row| &*row.value.body).collect();
    let times: Vec<i64> =
        rows().map(|row| i64::try_from(row.value.timestamp_ms).unwrap_or(i64::MAX)).collect();
    let bytes = batch.bytes as u64;
    let statement = &session.statements.insert;
    let answered = if session.schema.has_codec {
        let codecs: Vec<_> = rows().map(|row| codec_name(row.value.codec)).collect();
        session.query(statement, &[&hashes, &bodies, &times, &codecs], bytes).await?
    } else {
        refuse_codec(session, rows().any(|row| row.value.codec != 0))?;
        session.query(statement, &[&hashes, &bodies, &times], bytes).await?
    };
    answered.iter().map(|row| Hash::try_from(get::<&[u8]>(row, 0)?).map_err(|_| NOT_A_HASH)).collect()
}

const NOT_A_HASH: DatabaseError = DatabaseError::Row("a hash has not 64 bytes");

/// A table without the column takes rows of the old codec alone: another session found the column.
pub(crate) fn refuse_codec(session: &Session, is_new: bool) -> Result<(), DatabaseError> {
    if is_new { Err(session.judge(DatabaseError::Changed)) } else { Ok(()) }
}
