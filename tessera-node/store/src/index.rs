//! The index on disk: hash → location in the log, as of a checkpoint. The index is rebuilt from the
//! log when it is missing or not usable.
//!
//! A commit costs several times a log append and a repair after a kill seconds, so it is written
//! only by checkpoints, with quick repair.

use std::fmt::Debug;
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};

use redb::{Builder, Database, ReadableDatabase, StorageBackend, TableDefinition};

use crate::disk::{Disk, DiskFile, is_full};
use crate::error::IndexError;
use crate::location::{Key, Location, Progress};
use crate::segment::Identity;

pub(crate) const FILE: &str = "index.redb";

const LOCATIONS: TableDefinition<'_, [u8; Key::BYTES], [u8; Location::BYTES]> =
    TableDefinition::new("places");
const CHECKPOINT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("checkpoint");
const IDENTITY: &str = "identity";
const PROGRESS: &str = "progress";

/// Enough for the upper levels of the tree; the system's page cache holds the rest.
const CACHE_BYTES: usize = 4 << 20;

/// What goes into the index at once.
pub(crate) struct Checkpoint<'a> {
    pub(crate) identity: Identity,
    pub(crate) progress: Progress,
    pub(crate) locations: &'a mut dyn Iterator<Item = (Key, Location)>,
}

/// Why a checkpoint was not written.
#[derive(Debug)]
pub(crate) enum CheckpointError {
    /// No space; the index still answers as of the checkpoint before.
    Full,
    /// Anything else.
    Failed(IndexError),
}

/// The open index.
#[derive(Debug)]
pub(crate) struct Index {
    disk: Arc<dyn Disk>,
    /// `None` only when opening it again after an error failed.
    database: RwLock<Option<Database>>,
}

impl Index {
    /// Opens the index, or replaces one that is not usable by an empty one.
    pub(crate) fn open(disk: Arc<dyn Disk>) -> Result<Self, IndexError> {
        let database = match guarded(|| open_database(&*disk)) {
            Ok(database) => database,
            Err(error) => {
                tracing::warn!(%error, "the store's index is not usable; rebuilding it from the log");
                return Self::recreate(disk);
            }
        };
        Ok(Self { disk, database: RwLock::new(Some(database)) })
    }

    /// Replaces the index file, if any, by an empty index.
    pub(crate) fn recreate(disk: Arc<dyn Disk>) -> Result<Self, IndexError> {
        match disk.remove(FILE) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(IndexError::new(&error));
            }
            _ => {}
        }
        let database = guarded(|| open_database(&*disk))?;
        Ok(Self { disk, database: RwLock::new(Some(database)) })
    }

    /// Where a record was as of the checkpoint.
    pub(crate) fn lookup(&self, key: &Key) -> Result<Option<Location>, IndexError> {
        self.read(|database| {
            let table = database.begin_read()?.open_table(LOCATIONS)?;
            let location = table.get(key.encode())?.map(|location| location.value());
            Ok(location)
        })?
        .map(|bytes| Location::decode(&bytes).ok_or_else(|| IndexError::damaged("a location")))
        .transpose()
    }

    /// So many records in the order of their keys, from the one after `after` on.
    pub(crate) fn page(&self, after: Option<Key>, count: usize) -> Result<Vec<(Key, Location)>, IndexError> {
        let after = after.map(|key| key.encode());
        let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let found = self.read(|database| {
            let table = database.begin_read()?.open_table(LOCATIONS)?;
            let range = table.range::<&[u8; Key::BYTES]>((from, Bound::Unbounded))?;
            Ok(range
                .take(count)
                .map(|entry| entry.map(|(key, location)| (key.value(), location.value())))
                .collect::<Result<Vec<_>, redb::StorageError>>()?)
        })?;
        let decode = |(key, location): &([u8; Key::BYTES], [u8; Location::BYTES])| {
            Key::decode(key).zip(Location::decode(location)).ok_or_else(|| IndexError::damaged("a hash"))
        };
        found.iter().map(decode).collect()
    }

    /// The checkpoint: which store it is of, and how far it goes. `None` for an empty index.
    pub(crate) fn checkpoint(&self) -> Result<Option<(Identity, Progress)>, IndexError> {
        let found = self.read(|database| {
            let table = database.begin_read()?.open_table(CHECKPOINT)?;
            let identity = table.get(IDENTITY)?.map(|bytes| bytes.value().to_vec());
            let progress = table.get(PROGRESS)?.map(|bytes| bytes.value().to_vec());
            Ok(identity.zip(progress))
        })?;
        found
            .map(|(identity, progress)| {
                Identity::decode(&identity)
                    .zip(Progress::decode(&progress))
                    .ok_or_else(|| IndexError::damaged("its checkpoint"))
            })
            .transpose()
    }

    /// Writes a checkpoint, durably and whole or not at all.
    pub(crate) fn write(&self, checkpoint: Checkpoint<'_>) -> Result<(), CheckpointError> {
        let written = self.database.read().unwrap_or_else(PoisonError::into_inner).as_ref().map_or_else(
            || Err(Box::new(redb::Error::PreviousIo)),
            |database| {
                catch_unwind(AssertUnwindSafe(|| write(database, checkpoint)))
                    .unwrap_or_else(|_| Err(Box::new(corrupted())))
            },
        );
        let Err(error) = written else {
            return Ok(());
        };
        if !matches!(&*error, redb::Error::Io(source) if is_full(source)) {
            return Err(CheckpointError::Failed(IndexError::new(&*error)));
        }
        // redb answers nothing after an I/O error: the last good checkpoint is opened again.
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        *database = None;
        *database = Some(guarded(|| open_database(&*self.disk)).map_err(CheckpointError::Failed)?);
        Err(CheckpointError::Full)
    }

    fn read<T>(&self, read: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, IndexError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(IndexError::closed)?;
        guarded(|| Ok(read(database)?))
    }
}

/// redb says that it may panic on a file that something else damaged; the log is still good then.
fn guarded<T>(act: impl FnOnce() -> Result<T, Box<redb::Error>>) -> Result<T, IndexError> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(result) => result.map_err(|error| IndexError::new(&*error)),
        Err(_) => Err(IndexError::new(&corrupted())),
    }
}

fn corrupted() -> redb::Error {
    redb::Error::Corrupted("redb gave up on it".to_owned())
}

fn open_database(disk: &dyn Disk) -> Result<Database, Box<redb::Error>> {
    let file = match disk.open(FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let file = disk.create(FILE).map_err(boxed)?;
            disk.sync_dir().map_err(boxed)?;
            file
        }
        result => result.map_err(boxed)?,
    };
    let database =
        Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(Backend(file)).map_err(boxed)?;
    if !has_tables(&database)? {
        let transaction = begin(&database)?;
        transaction.open_table(LOCATIONS).map_err(boxed)?;
        transaction.open_table(CHECKPOINT).map_err(boxed)?;
        transaction.commit().map_err(boxed)?;
    }
    Ok(database)
}

fn has_tables(database: &Database) -> Result<bool, Box<redb::Error>> {
    let transaction = database.begin_read().map_err(boxed)?;
    match transaction.open_table(CHECKPOINT) {
        Ok(_) => Ok(true),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(false),
        Err(error) => Err(boxed(error)),
    }
}

fn begin(database: &Database) -> Result<redb::WriteTransaction, Box<redb::Error>> {
    let mut transaction = database.begin_write().map_err(boxed)?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

fn write(database: &Database, checkpoint: Checkpoint<'_>) -> Result<(), Box<redb::Error>> {
    let transaction = begin(database)?;
    {
        let mut table = transaction.open_table(LOCATIONS).map_err(boxed)?;
        for (key, location) in checkpoint.locations {
            table.insert(key.encode(), location.encode()).map_err(boxed)?;
        }
        let mut table = transaction.open_table(CHECKPOINT).map_err(boxed)?;
        let identity = checkpoint.identity.to_bytes();
        table.insert(IDENTITY, &identity[..]).map_err(boxed)?;
        let progress = checkpoint.progress.encode();
        table.insert(PROGRESS, &progress[..]).map_err(boxed)?;
    }
    transaction.commit().map_err(boxed)
}

fn boxed(error: impl Into<redb::Error>) -> Box<redb::Error> {
    Box::new(error.into())
}

/// A file of our file layer, as redb wants it.
#[derive(Debug)]
struct Backend(Arc<dyn DiskFile>);

impl StorageBackend for Backend {
    fn len(&self) -> Result<u64, io::Error> {
        self.0.size()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        if len > self.0.size()? {
            // Reserves the space, so that a full disk is found here and not in the middle of a write.
            self.0.allocate(len)
        } else {
            self.0.set_size(len)
        }
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.0.write_all_at(data, offset)
    }
}
