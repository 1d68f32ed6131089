//! The file layer: all that the store asks of a disk. Tests put a faulty disk below it.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::error::OpenError;

const LOCK_FILE: &str = "lock";

/// One directory of files.
///
/// Nothing is durable before [`DiskFile::sync_data`] returned for the file *and*
/// [`Disk::sync_dir`] for its name.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Creates an empty file; an existing one is an error.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Gives a file another name, replacing what has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes the names durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// Bytes that the file system has left for new files.
    fn free_bytes(&self) -> io::Result<u64>;
    /// Bytes that a quota has left for new files; `None`: there is no quota.
    fn quota_free_bytes(&self) -> Option<u64> {
        None
    }
}

/// One file, read and written at offsets.
pub trait DiskFile: Debug + Send + Sync + 'static {
    /// Bytes of the file.
    fn size(&self) -> io::Result<u64>;
    /// Fills `buffer` from `offset`, or fails with `UnexpectedEof`.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`. After an error any part may be written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Grows the file to `size` zero bytes and reserves their space; `StorageFull` if there is too little.
    fn allocate(&self, size: u64) -> io::Result<()>;
    /// Truncates or grows the file.
    fn set_size(&self, size: u64) -> io::Result<()>;
    /// Makes content and size durable.
    fn sync_data(&self) -> io::Result<()>;
}

/// Whether the disk is full: the only error of a write after which the store continues.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A directory of the system, locked for this process.
#[derive(Debug)]
pub(crate) struct RealDisk {
    dir: PathBuf,
    /// The lock goes with the file descriptor, so also with a killed process.
    _lock: File,
}

impl RealDisk {
    /// Locks a directory that is there.
    pub(crate) fn lock_existing(dir: &Path) -> Result<Self, OpenError> {
        if dir.is_dir() {
            return Self::lock(dir);
        }
        let source = io::Error::from(io::ErrorKind::NotFound);
        Err(OpenError::Directory { dir: dir.to_owned(), source })
    }

    /// Creates the directory if it is missing, and locks it.
    pub(crate) fn lock(dir: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Directory { dir: dir.to_owned(), source };
        create_durably(dir).map_err(failed)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join(LOCK_FILE))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { dir: dir.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked { dir: dir.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

/// Creates a directory if it is missing, with its parents, and makes the new names durable: a log in a
/// directory that a power cut removes is lost.
fn create_durably(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_durably(parent)?;
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        created => created?,
    }
    File::open(parent)?.sync_all()
}

impl Disk for RealDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(self.dir.join(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.dir.join(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = statvfs(&self.dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        match fallocate(&self.0, FallocateFlags::empty(), 0, size) {
            // Some file systems cannot; their segments are still zeroed before use.
            Err(rustix::io::Errno::OPNOTSUPP) => self.set_size(size),
            result => Ok(result?),
        }
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
