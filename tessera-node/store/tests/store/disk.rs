//! A disk that keeps only what it was made to keep.
//!
//! Whatever was not followed by a completed sync – sectors of a write, the size of a file, a new
//! name – may be there after a crash or not, each by itself, in any order.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, ErrorKind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tessera_store::{Disk, DiskFile};

const SECTOR: u64 = 512;

/// How the note of removed segments starts.
const NOTE: &[u8] = b"COMPACT\0";

/// Its zeros, and its header.
const SYNCS_OF_A_NEW_SEGMENT: u32 = 2;

/// The disk, of which the store sees only names and files.
#[derive(Debug, Clone)]
pub(crate) struct TestDisk(Arc<Mutex<State>>, Arc<Condvar>);

#[derive(Debug)]
struct State {
    random: StdRng,
    /// What a running program sees.
    names: BTreeMap<String, usize>,
    /// What is there after a crash at the least.
    durable_names: BTreeMap<String, usize>,
    renames: Vec<NameChange>,
    files: Vec<Inode>,
    faults: Faults,
    /// Mutating calls so far.
    calls: u64,
    /// Files that are open, and the most that ever were at once.
    open: usize,
    most_open: usize,
    /// The records that were written to any segment.
    written: HashSet<RecordId>,
}

/// Time, length and checksum of the body, and the hash: two records that agree in them are copies.
type RecordId = (Vec<u8>, Vec<u8>);

/// What the disk does wrong.
#[allow(clippy::struct_excessive_bools)] // Each fault is there or not, by itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// Syncs say yes and do nothing.
    pub(crate) syncs_lie: bool,
    /// Only those of a segment in use do: as if `fdatasync` were left out of a commit.
    pub(crate) commits_lie: bool,
    /// Only those of compaction's copies do: as if a segment were removed before its copies are durable.
    pub(crate) copies_lie: bool,
    /// Only those of the notes of removed segments do.
    pub(crate) notes_lie: bool,
    /// From this mutating call on every call fails: the machine is off.
    pub(crate) off_at: Option<u64>,
    /// The next sync of a log segment fails.
    pub(crate) next_sync_fails: bool,
    /// Bytes that files may have in all.
    pub(crate) space: Option<u64>,
    /// The index cannot grow.
    pub(crate) index_finds_it_full: bool,
    /// Syncs of the index do not return.
    pub(crate) index_syncs_hang: bool,
    /// Writes to a log segment find the disk full half way (as on a copy-on-write file system).
    pub(crate) writes_find_it_full: bool,
}

impl Faults {
    /// Those that a crash does not end.
    fn lasting(self) -> Self {
        let Self { syncs_lie, commits_lie, copies_lie, notes_lie, .. } = self;
        Self { syncs_lie, commits_lie, copies_lie, notes_lie, ..Self::default() }
    }
}

#[derive(Debug, Clone, Default)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    syncs: u32,
    /// Ranges written since the last sync, with their bytes.
    unsynced: Vec<(u64, Vec<u8>)>,
    /// Whether a copy, or a note, was written since a sync was asked for.
    copied: bool,
    noted: bool,
}

#[derive(Debug, Clone)]
enum NameChange {
    Link(String, usize),
    Unlink(String),
    Rename(String, String),
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Link(name, inode) => {
                names.insert(name.clone(), *inode);
            }
            Self::Unlink(name) => {
                names.remove(name);
            }
            Self::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }
}

impl TestDisk {
    pub(crate) fn new(seed: u64) -> Self {
        Self::with(State {
            random: StdRng::seed_from_u64(seed),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            renames: Vec::new(),
            files: Vec::new(),
            faults: Faults::default(),
            calls: 0,
            open: 0,
            most_open: 0,
            written: HashSet::new(),
        })
    }

    pub(crate) fn arc(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    pub(crate) fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.lock().faults);
        self.1.notify_all();
    }

    /// The most files that were open at once.
    pub(crate) fn most_open(&self) -> usize {
        self.lock().most_open
    }

    fn with(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)), Arc::default())
    }

    pub(crate) fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// The disk as it is found after the power went: a new one, which is on.
    pub(crate) fn crash(&self) -> Self {
        let mut guard = self.lock();
        let state = &mut *guard;
        let mut names = state.durable_names.clone();
        for change in &state.renames {
            if state.random.random_bool(0.5) {
                change.apply(&mut names);
            }
        }
        let random = &mut state.random;
        let files: Vec<_> = state.files.iter().map(|file| file.after_crash(random)).collect();
        let faults = state.faults.lasting();
        let random = StdRng::seed_from_u64(random.random());
        Self::with(State {
            random,
            names: names.clone(),
            durable_names: names,
            renames: Vec::new(),
            files,
            faults,
            calls: 0,
            open: 0,
            most_open: 0,
            written: state.written.clone(),
        })
    }

    /// The disk as it is found after the process was killed: all that it wrote is there.
    pub(crate) fn killed(&self) -> Self {
        let state = self.lock();
        Self::with(State {
            random: StdRng::seed_from_u64(0),
            names: state.names.clone(),
            durable_names: state.names.clone(),
            renames: Vec::new(),
            files: state.files.clone(),
            faults: Faults::default(),
            calls: 0,
            open: 0,
            most_open: 0,
            written: state.written.clone(),
        })
    }

    /// The same, but what it wrote is in the page cache only: a power cut may still take it.
    pub(crate) fn killed_unsynced(&self) -> Self {
        let state = self.lock();
        Self::with(State {
            random: state.random.clone(),
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            renames: state.renames.clone(),
            files: state.files.clone(),
            faults: state.faults.lasting(),
            calls: 0,
            open: 0,
            most_open: 0,
            written: state.written.clone(),
        })
    }

    /// Lets nothing reach the disk while it acts.
    pub(crate) fn while_held(&self, act: impl FnOnce()) {
        let _held = self.lock();
        act();
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.lock().names.keys().cloned().collect()
    }

    pub(crate) fn content(&self, name: &str) -> Vec<u8> {
        let state = self.lock();
        state.files[state.names[name]].now.clone()
    }

    /// Changes a file behind the back of the store.
    pub(crate) fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.lock();
        let inode = state.names[name];
        let file = &mut state.files[inode];
        change(&mut file.now);
        file.durable.clone_from(&file.now);
        file.unsynced.clear();
    }

    /// Removes a file behind the back of the store.
    pub(crate) fn delete(&self, name: &str) {
        let mut state = self.lock();
        state.names.remove(name).expect("the file is there");
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, for a call that changes something, if the machine is still on.
    fn change(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        state.calls += 1;
        if state.faults.off_at.is_some_and(|off| state.calls >= off) {
            return Err(io::Error::other("the power is off"));
        }
        Ok(state)
    }
}

impl Inode {
    fn sync(&mut self) {
        self.durable.resize(self.now.len(), 0);
        for (offset, bytes) in self.unsynced.drain(..) {
            let at = usize::try_from(offset).expect("small");
            let end = (at + bytes.len()).min(self.durable.len());
            self.durable[at..end].copy_from_slice(&bytes[..end - at]);
        }
    }

    /// Each unsynced sector is there or not.
    fn after_crash(&self, random: &mut StdRng) -> Self {
        let mut content = self.durable.clone();
        if self.now.len() > content.len() && random.random_bool(0.5) {
            content.resize(self.now.len(), 0);
        }
        for (offset, bytes) in &self.unsynced {
            for (at, piece) in sectors(*offset, bytes) {
                let at = usize::try_from(at).expect("small");
                let end = (at + piece.len()).min(content.len());
                if at < end && random.random_bool(0.5) {
                    content[at..end].copy_from_slice(&piece[..end - at]);
                }
            }
        }
        Self { now: content.clone(), durable: content, syncs: self.syncs, ..Self::default() }
    }
}

/// The parts of a write that a disk does at once.
fn sectors(mut offset: u64, mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let left = usize::try_from(SECTOR - offset % SECTOR).expect("small");
        let (piece, rest) = bytes.split_at(left.min(bytes.len()));
        pieces.push((offset, piece));
        offset += piece.len() as u64;
        bytes = rest;
    }
    pieces
}

impl Disk for TestDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.change()?;
        if state.names.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let inode = state.files.len();
        state.files.push(Inode::default());
        state.rename(NameChange::Link(name.to_owned(), inode));
        drop(state);
        Ok(self.file(name, inode))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inode = self.lock().names.get(name).copied().ok_or(ErrorKind::NotFound)?;
        Ok(self.file(name, inode))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().names.keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.change()?;
        if !state.names.contains_key(from) {
            return Err(ErrorKind::NotFound.into());
        }
        state.rename(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.change()?;
        let Some(inode) = state.names.get(name).copied() else {
            return Err(ErrorKind::NotFound.into());
        };
        state.rename(NameChange::Unlink(name.to_owned()));
        // Gives the space back; who has it open keeps reading zeros, which no test does.
        state.files[inode].now.clear();
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.change()?;
        if !state.faults.syncs_lie {
            state.durable_names = state.names.clone();
            state.renames.clear();
        }
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.lock();
        Ok(state.faults.space.unwrap_or(u64::MAX).saturating_sub(state.used()))
    }
}

impl TestDisk {
    fn file(&self, name: &str, inode: usize) -> Arc<dyn DiskFile> {
        // A segment under its first name is one as well.
        let log = name != "index.redb";
        let mut state = self.lock();
        state.open += 1;
        state.most_open = state.most_open.max(state.open);
        Arc::new(TestFile { disk: self.clone(), inode, log })
    }
}

impl State {
    fn rename(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.renames.push(change);
    }

    /// Whether one of the records was written before. As the format has it: time at 16 of HEAD, length and checksum of the body
    /// at 24, operation at 37, hash at 40; HEAD and TAIL have 112 bytes.
    fn is_copy(&mut self, mut bytes: &[u8]) -> bool {
        let mut copy = false;
        while bytes.len() >= 224 && bytes[37] == 1 {
            copy |= !self.written.insert((bytes[16..32].to_vec(), bytes[40..104].to_vec()));
            let body = u32::from_le_bytes(bytes[24..28].try_into().expect("four bytes")) as usize;
            bytes = bytes.get(224 + body.next_multiple_of(8)..).unwrap_or_default();
        }
        copy
    }

    fn used(&self) -> u64 {
        self.names.values().map(|inode| self.files[*inode].now.len() as u64).sum()
    }
}

#[derive(Debug)]
struct TestFile {
    disk: TestDisk,
    inode: usize,
    log: bool,
}

impl Drop for TestFile {
    fn drop(&mut self) {
        self.disk.lock().open -= 1;
    }
}

impl DiskFile for TestFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.lock().files[self.inode].now.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.disk.lock();
        let from = usize::try_from(offset).expect("small");
        let bytes =
            state.files[self.inode].now.get(from..from + buffer.len()).ok_or(ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.change()?;
        let full = self.log && state.faults.writes_find_it_full;
        let bytes = if full { &bytes[..bytes.len() / 2] } else { bytes };
        let copied = self.log && state.is_copy(bytes);
        let file = &mut state.files[self.inode];
        file.copied |= copied;
        file.noted |= self.log && bytes.starts_with(NOTE);
        let from = usize::try_from(offset).expect("small");
        if file.now.len() < from + bytes.len() {
            file.now.resize(from + bytes.len(), 0);
        }
        file.now[from..from + bytes.len()].copy_from_slice(bytes);
        file.unsynced.push((offset, bytes.to_vec()));
        if full { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        let mut state = self.disk.change()?;
        let had = state.files[self.inode].now.len() as u64;
        let space = state.faults.space.unwrap_or(u64::MAX);
        let no_index = !self.log && state.faults.index_finds_it_full;
        if no_index || state.used() + size.saturating_sub(had) > space {
            return Err(ErrorKind::StorageFull.into());
        }
        let size = usize::try_from(size).expect("small");
        let file = &mut state.files[self.inode];
        if file.now.len() < size {
            file.now.resize(size, 0);
        }
        Ok(())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        let mut state = self.disk.change()?;
        let size = usize::try_from(size).expect("small");
        state.files[self.inode].now.resize(size, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.change()?;
        if self.log && std::mem::take(&mut state.faults.next_sync_fails) {
            return Err(io::Error::other("the disk has a bad day"));
        }
        while !self.log && state.faults.index_syncs_hang {
            state = self.disk.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let faults = state.faults;
        let file = &mut state.files[self.inode];
        file.syncs += 1;
        let commit = self.log && file.syncs > SYNCS_OF_A_NEW_SEGMENT;
        let copied = std::mem::take(&mut file.copied);
        let noted = std::mem::take(&mut file.noted);
        let lies = faults.syncs_lie
            || (faults.commits_lie && commit)
            || (faults.copies_lie && copied)
            || (faults.notes_lie && noted);
        if !lies {
            file.sync();
        }
        Ok(())
    }
}
