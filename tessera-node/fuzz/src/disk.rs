//! Files in memory.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tessera_store::{Disk, DiskFile};

type Content = Arc<Mutex<Vec<u8>>>;

/// A directory in memory; everything is durable at once. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<BTreeMap<String, Content>>>);

impl MemoryDisk {
    /// Another disk with the same content.
    pub fn copy(&self) -> Self {
        let files = lock(&self.0);
        let copy = |content: &Content| Arc::new(Mutex::new(lock(content).clone()));
        Self(Arc::new(Mutex::new(
            files.iter().map(|(name, content)| (name.clone(), copy(content))).collect(),
        )))
    }

    /// Removes the index, so that the next open replays the whole log.
    pub fn remove_index(&self) {
        lock(&self.0).retain(|name, _| name.ends_with(".log"));
    }

    /// Writes into a segment. The high bit of `at` chooses the segment, its other bits and `offset` the byte.
    pub fn patch(&self, at: usize, offset: usize, bytes: &[u8]) {
        let files = lock(&self.0);
        let Some(content) = files.values().nth(at >> 7) else { return };
        let mut content = lock(content);
        let start = (at & 0x7f) * 256 + offset;
        for (byte, new) in content.iter_mut().skip(start).zip(bytes) {
            *byte = *new;
        }
    }

    fn file(&self, name: &str) -> Result<Arc<dyn DiskFile>> {
        let content = lock(&self.0).get(name).cloned().ok_or(ErrorKind::NotFound)?;
        Ok(Arc::new(MemoryFile(content)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk for MemoryDisk {
    fn create(&self, name: &str) -> Result<Arc<dyn DiskFile>> {
        if lock(&self.0).contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        lock(&self.0).insert(name.to_owned(), Content::default());
        self.file(name)
    }

    fn open(&self, name: &str) -> Result<Arc<dyn DiskFile>> {
        self.file(name)
    }

    fn list(&self) -> Result<Vec<String>> {
        Ok(lock(&self.0).keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let mut files = lock(&self.0);
        let content = files.remove(from).ok_or(ErrorKind::NotFound)?;
        files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        lock(&self.0).remove(name).map(drop).ok_or_else(|| Error::from(ErrorKind::NotFound))
    }

    fn sync_dir(&self) -> Result<()> {
        Ok(())
    }

    fn free_bytes(&self) -> Result<u64> {
        Ok(u64::MAX)
    }
}

#[derive(Debug)]
struct MemoryFile(Content);

fn index(number: u64) -> Result<usize> {
    usize::try_from(number).map_err(|_| ErrorKind::InvalidInput.into())
}

impl DiskFile for MemoryFile {
    fn size(&self) -> Result<u64> {
        Ok(lock(&self.0).len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let content = lock(&self.0);
        let bytes = content.get(index(offset)?..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut content = lock(&self.0);
        let start = index(offset)?;
        let end = start + bytes.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn allocate(&self, size: u64) -> Result<()> {
        self.set_size(size.max(self.size()?))
    }

    fn set_size(&self, size: u64) -> Result<()> {
        lock(&self.0).resize(index(size)?, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        Ok(())
    }
}
