//! Where encrypted payloads are kept: a log on the node's own volume, or a database. What both are asked; payloads themselves
//! are the business of [`crate::transaction::Payloads`].

use tessera_database::{Database, DatabaseError};
use tessera_node_api::admin::DependencyStatus;
use tessera_store::{
    Hash, InsertOutcome, Kind, ReadError, ReplaceOutcome, Store, StoreId, Stored, Value, Version, WriteError,
};

use crate::{clock, tasks};

/// Cheap to clone.
#[derive(Debug, Clone)]
pub enum PayloadStore {
    /// A log on the node's own volume.
    Embedded(Store),
    /// `PostgreSQL`, in Java's tables.
    Postgres(Database),
}

/// Why the store did not answer, or did not keep something.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The log was not read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log was not written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The database did neither.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A defect.
    #[error("reading the payload store panicked")]
    Panicked,
}

impl StoreError {
    /// Whether the store answers nothing at all, whichever record it is asked for.
    pub(crate) fn is_outage(&self) -> bool {
        matches!(self, Self::Database(error) if !matches!(error, DatabaseError::Row(_)))
    }
}

impl PayloadStore {
    /// Which store this is.
    pub(crate) fn id(&self) -> StoreId {
        match self {
            Self::Embedded(store) => store.id(),
            Self::Postgres(database) => database.id(),
        }
    }

    /// The version of its format on disk; none: Java's tables, which have none.
    pub(crate) fn format(&self) -> Option<u32> {
        match self {
            Self::Embedded(_) => Some(tessera_store::FORMAT),
            Self::Postgres(_) => None,
        }
    }

    /// A transaction's record. None: there is certainly none.
    pub(crate) async fn get(&self, hash: &Hash) -> Result<Option<Stored>, StoreError> {
        match self {
            Self::Embedded(store) => log_get(store, Kind::Transaction, *hash).await,
            Self::Postgres(database) => Ok(database.get(hash).await?),
        }
    }

    /// The version of a transaction's record, also of a damaged one.
    pub(crate) async fn version(&self, hash: &Hash) -> Result<Option<Version>, StoreError> {
        match self {
            Self::Embedded(store) => {
                let (store, hash) = (store.clone(), *hash);
                read(move || store.version(Kind::Transaction, &hash)).await
            }
            Self::Postgres(database) => Ok(database.version(hash).await?),
        }
    }

    /// The size of a record, without reading it.
    pub(crate) async fn stored_bytes(&self, kind: Kind, hash: &Hash) -> Result<Option<u64>, StoreError> {
        Ok(match self {
            Self::Embedded(store) => store.stored_bytes(kind, hash)?,
            Self::Postgres(database) if kind == Kind::Raw => database.raw_bytes(hash).await?,
            Self::Postgres(database) => database.stored_bytes(hash).await?,
        })
    }

    /// Keeps a transaction's record if its hash is free; whether it was. Durable in both cases.
    pub(crate) async fn insert(&self, hash: Hash, value: Value) -> Result<bool, StoreError> {
        match self {
            Self::Embedded(store) => {
                let outcome = store.insert(Kind::Transaction, hash, value).await?;
                Ok(matches!(outcome, InsertOutcome::Inserted(_)))
            }
            Self::Postgres(database) => Ok(database.insert(hash, value).await?),
        }
    }

    /// Replaces a transaction's record if it is still `read`; whether it was.
    pub(crate) async fn replace(&self, hash: Hash, read: Version, value: Value) -> Result<bool, StoreError> {
        match self {
            Self::Embedded(store) => {
                let outcome = store.compare_and_replace(Kind::Transaction, hash, read, value).await?;
                Ok(matches!(outcome, ReplaceOutcome::Replaced(_)))
            }
            Self::Postgres(database) => Ok(database.replace(&hash, read, &value).await?),
        }
    }

    /// The damaged records whose names are known. A database knows none: it checks its pages itself.
    pub(crate) async fn damaged(&self) -> Result<Vec<(Kind, Hash)>, StoreError> {
        match self {
            Self::Embedded(store) => {
                let store = store.clone();
                read(move || store.damaged()).await
            }
            Self::Postgres(_) => Ok(Vec::new()),
        }
    }

    /// Records durably that the payloads of another store are lost and that this store continues without them.
    pub(crate) async fn accept_loss_of(&self, other: StoreId) -> Result<(), StoreError> {
        let now = u64::try_from(clock::now().as_millisecond()).unwrap_or(0);
        match self {
            Self::Embedded(store) => drop(store.accept_loss_of(other, now).await?),
            Self::Postgres(database) => database.accept_loss_of(other, now).await?,
        }
        Ok(())
    }

    /// Whether [`Self::accept_loss_of`] was called for that store.
    pub(crate) async fn has_accepted_loss_of(&self, other: StoreId) -> Result<bool, StoreError> {
        match self {
            Self::Embedded(store) => Ok(store.has_accepted_loss_of(other)?),
            Self::Postgres(database) => Ok(database.has_accepted_loss_of(other).await?),
        }
    }

    /// Whether it keeps more than so many payloads.
    pub(crate) async fn keeps_more_than(&self, payloads: u64) -> Result<bool, StoreError> {
        match self {
            Self::Embedded(store) => Ok(store.stats().records > payloads),
            Self::Postgres(database) => Ok(database.has_more_than(payloads).await?),
        }
    }

    /// Whether it takes payloads and gives them; `opened` is since when it does if it never failed.
    pub(crate) fn status(&self, opened: &str) -> DependencyStatus {
        let failure = match self {
            Self::Embedded(store) => store.full_since().map(|since| (FULL.to_owned(), since)),
            Self::Postgres(database) => {
                let health = database.health();
                health.failure().map(|reason| (reason, health.since()))
            }
        };
        match failure.and_then(|(reason, since)| Some((reason, jiff::Timestamp::try_from(since).ok()?))) {
            None => DependencyStatus { available: true, message: String::new(), since: opened.to_owned() },
            Some((message, since)) => {
                DependencyStatus { available: false, message, since: clock::rfc3339(since) }
            }
        }
    }

    /// Completes what was taken. Blocks.
    pub(crate) fn close(&self) {
        match self {
            Self::Embedded(store) => store.close(),
            // Nothing waits in it once all requests are answered.
            Self::Postgres(_) => {}
        }
    }
}

const FULL: &str =
    "the volume is full, or the store's quota is used up: payloads are refused until there is space";

/// A record of the log.
pub(crate) async fn log_get(store: &Store, kind: Kind, hash: Hash) -> Result<Option<Stored>, StoreError> {
    let store = store.clone();
    read(move || store.get(kind, &hash)).await
}

/// Reads the log off the event loop.
async fn read<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<T, StoreError> {
    Ok(tasks::blocking(ask).await.ok_or(StoreError::Panicked)??)
}
