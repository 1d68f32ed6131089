//! A bound on the bytes of a store, below that of its file system.
//!
//! The quota is a disk that is full earlier: a segment is not made if all files of the store together would take more. So what
//! happens on a full disk happens at the quota, in `writer.rs` and `compact.rs`: callers are refused, reads go on, compaction
//! continues in the segment that was kept for it, and callers are served again when there is space.
//!
//! Only segments are refused. The index grows within its few bytes for each record and is counted, so that a log with its index
//! stays within the quota but for the records of the last segments.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile};
use crate::index;

/// A disk on which the store takes no more than a quota.
#[derive(Debug)]
pub(crate) struct QuotaDisk {
    disk: Arc<dyn Disk>,
    quota: u64,
    sizes: Arc<Mutex<Sizes>>,
}

/// Bytes of the files that were allocated whole: segments.
#[derive(Debug, Default)]
struct Sizes {
    files: BTreeMap<String, u64>,
    sum: u64,
}

impl Sizes {
    fn set(&mut self, name: &str, bytes: u64) {
        self.forget(name);
        self.files.insert(name.to_owned(), bytes);
        self.sum += bytes;
    }

    fn forget(&mut self, name: &str) -> Option<u64> {
        let bytes = self.files.remove(name)?;
        self.sum -= bytes;
        Some(bytes)
    }
}

impl QuotaDisk {
    /// Counts what is there.
    pub(crate) fn new(disk: Arc<dyn Disk>, quota: u64) -> io::Result<Self> {
        let mut sizes = Sizes::default();
        for name in disk.list()?.iter().filter(|name| is_counted(name)) {
            sizes.set(name, disk.open(name)?.size()?);
        }
        Ok(Self { disk, quota, sizes: Arc::new(Mutex::new(sizes)) })
    }

    fn sizes(&self) -> MutexGuard<'_, Sizes> {
        lock(&self.sizes)
    }
}

/// The index has no lasting size, and the lock file none at all.
fn is_counted(name: &str) -> bool {
    crate::files::id_of(name).is_some() || crate::files::is_unfinished(name)
}

/// A panic elsewhere leaves at most one file miscounted.
fn lock(sizes: &Mutex<Sizes>) -> MutexGuard<'_, Sizes> {
    sizes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes of the index; 0 before it is made.
fn index_bytes(disk: &dyn Disk) -> u64 {
    disk.open(index::FILE).and_then(|file| file.size()).unwrap_or(0)
}

impl Disk for QuotaDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.create(name)?;
        if !is_counted(name) {
            return Ok(file);
        }
        let (disk, sizes) = (Arc::clone(&self.disk), Arc::clone(&self.sizes));
        Ok(Arc::new(NewFile { file, name: name.to_owned(), disk, quota: self.quota, sizes }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)?;
        let mut sizes = self.sizes();
        if let Some(bytes) = sizes.forget(from) {
            sizes.set(to, bytes);
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)?;
        self.sizes().forget(name);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }

    fn quota_free_bytes(&self) -> Option<u64> {
        let used = self.sizes().sum + index_bytes(&*self.disk);
        Some(self.quota.saturating_sub(used))
    }
}

/// A file that this process made.
#[derive(Debug)]
struct NewFile {
    file: Arc<dyn DiskFile>,
    name: String,
    disk: Arc<dyn Disk>,
    quota: u64,
    sizes: Arc<Mutex<Sizes>>,
}

impl DiskFile for NewFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        let index = index_bytes(&*self.disk);
        // The lock is not held while the system allocates: reads of the free space must not wait. One thread makes segments.
        if lock(&self.sizes).sum + index + size > self.quota {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        self.file.allocate(size)?;
        lock(&self.sizes).set(&self.name, size);
        Ok(())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.file.set_size(size)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}
