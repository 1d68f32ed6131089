//! The files of segments: their names, and those that are open: a bounded number, however long the log is.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile};

const SUFFIX: &str = ".log";
const UNFINISHED: &str = ".tmp";

/// The file name of a segment.
pub(crate) fn file_name(id: u64) -> String {
    format!("{id:016x}{SUFFIX}")
}

/// The file name of a segment that is being made.
pub(crate) fn unfinished_name(id: u64) -> String {
    format!("{id:016x}{UNFINISHED}")
}

/// The segment number in a file name.
pub(crate) fn id_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX).filter(|id| id.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

/// Whether the file is a segment that was never finished.
pub(crate) fn is_unfinished(name: &str) -> bool {
    name.ends_with(UNFINISHED)
}

/// Files that stay open for the next read, 4 GiB of the log. (The writer holds its own besides.)
const MAX_OPEN: usize = 64;

/// Opens segments when they are read and closes the ones that were not read for longest.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    pub(crate) disk: Arc<dyn Disk>,
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    /// The file read last is at the front.
    files: VecDeque<(u64, Arc<dyn DiskFile>)>,
    /// Files removed so far.
    removals: u64,
}

impl OpenFiles {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, recent: Mutex::default() }
    }

    /// The file of a segment.
    pub(crate) fn get(&self, id: u64) -> io::Result<Arc<dyn DiskFile>> {
        let removals = match self.recent(id) {
            Ok(file) => return Ok(file),
            Err(removals) => removals,
        };
        let file = self.disk.open(&file_name(id))?;
        let mut recent = self.lock();
        // A removed file that stays open keeps its space, so none is kept that may have been removed since.
        if recent.removals == removals {
            // Another reader may have opened the file meanwhile.
            recent.files.retain(|(other, _)| *other != id);
            recent.files.push_front((id, Arc::clone(&file)));
            recent.files.truncate(MAX_OPEN);
        }
        Ok(file)
    }

    /// Removes the file of a segment. Durable when the directory is synced.
    pub(crate) fn remove(&self, id: u64) -> io::Result<()> {
        self.disk.remove(&file_name(id))?;
        let mut recent = self.lock();
        recent.removals += 1;
        recent.files.retain(|(other, _)| *other != id);
        Ok(())
    }

    /// The file, if it is open; else how many were removed so far.
    fn recent(&self, id: u64) -> Result<Arc<dyn DiskFile>, u64> {
        let mut recent = self.lock();
        let at = recent.files.iter().position(|(other, _)| *other == id);
        let Some(entry) = at.and_then(|at| recent.files.remove(at)) else { return Err(recent.removals) };
        let file = Arc::clone(&entry.1);
        recent.files.push_front(entry);
        Ok(file)
    }

    /// A panic between two changes leaves a file out, which is then opened again.
    fn lock(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
