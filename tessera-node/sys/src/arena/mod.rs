//! One locked region for all secrets of the process.
//!
//! ```text
//!   guard page │ chunk chunk chunk … chunk │ guard page
//!   no access  │ mlock, DONTDUMP, DONTFORK │ no access
//! ```
//!
//! One region, not a lock per secret: `RLIMIT_MEMLOCK` may be 64 KiB, and locks count in pages.
//! A secret takes whole 32-byte chunks, first fit. A child of `fork` does not have the region.

use std::ffi::c_void;
use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::mm::{
    Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mlock, mmap_anonymous, mprotect, munmap,
};
use rustix::process::{Resource, getrlimit};
use zeroize::Zeroize;

/// The largest arena: what is left of a 64 KiB `RLIMIT_MEMLOCK` when libraries lock a little too.
pub const MAX_ARENA_BYTES: usize = 48 * 1024;

/// Keys are 32 bytes; every secret starts on such a boundary.
const CHUNK: usize = 32;

/// Why a secret has no locked memory.
#[derive(Debug, thiserror::Error)]
pub enum ArenaError {
    /// A size that no arena has.
    #[error("an arena of {bytes} bytes is not between 1 and {MAX_ARENA_BYTES}")]
    Size {
        /// What was asked for.
        bytes: usize,
    },
    /// A call on the region failed.
    #[error("cannot prepare locked memory ({call})")]
    Map {
        /// The call.
        call: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused to lock the pages.
    #[error(
        "cannot lock {bytes} bytes of memory; RLIMIT_MEMLOCK is {limit}: \
         raise it to 64 KiB or more (ulimit -l)"
    )]
    Lock {
        /// The size of the region.
        bytes: usize,
        /// The soft limit as a person reads it.
        limit: String,
        /// What the system said.
        source: io::Error,
    },
    /// No room for the secret.
    #[error("the locked memory is full: {bytes} bytes do not fit, {used} of {capacity} are taken")]
    Full {
        /// The size of the secret.
        bytes: usize,
        /// Bytes taken.
        used: usize,
        /// Bytes there are.
        capacity: usize,
    },
}

/// The arena of the process, once [`install`] made it.
static PROCESS: OnceLock<Arena> = OnceLock::new();

/// The arena that all secrets of this process share. The first call makes it, of so many bytes.
pub fn install(bytes: usize) -> Result<&'static Arena, ArenaError> {
    if let Some(arena) = PROCESS.get() {
        return Ok(arena);
    }
    // Of two first calls at once one arena is dropped unused.
    let arena = Arena::new(bytes)?;
    Ok(PROCESS.get_or_init(|| arena))
}

/// The locked region. Clones share it; it goes when the last secret and the last clone are gone.
#[derive(Clone)]
pub struct Arena(Arc<Shared>);

struct Shared {
    region: Region,
    /// Which chunks are taken.
    taken: Mutex<Vec<bool>>,
}

impl Arena {
    /// Maps and locks a region of `bytes`, rounded up to whole pages.
    pub fn new(bytes: usize) -> Result<Self, ArenaError> {
        if bytes == 0 || bytes > MAX_ARENA_BYTES {
            return Err(ArenaError::Size { bytes });
        }
        let region = Region::map(bytes.next_multiple_of(rustix::param::page_size()))?;
        region.guard()?;
        region.advise()?;
        region.lock()?;
        let taken = Mutex::new(vec![false; region.len / CHUNK]);
        Ok(Self(Arc::new(Shared { region, taken })))
    }

    /// A zeroed secret of `N` bytes.
    pub fn secret<const N: usize>(&self) -> Result<Locked<N>, ArenaError> {
        let chunks = chunks_of(N);
        let mut taken = self.0.taken();
        let first = first_fit(&taken, chunks).ok_or_else(|| ArenaError::Full {
            bytes: N,
            used: taken.iter().filter(|taken| **taken).count() * CHUNK,
            capacity: self.capacity(),
        })?;
        taken[first..first + chunks].fill(true);
        Ok(Locked { slot: self.0.region.slot(first), first, arena: Arc::clone(&self.0) })
    }

    /// Bytes for secrets.
    pub fn capacity(&self) -> usize {
        self.0.region.len
    }

    /// Bytes taken, in whole chunks.
    pub fn used(&self) -> usize {
        self.0.taken().iter().filter(|taken| **taken).count() * CHUNK
    }
}

impl Shared {
    /// The map is valid after a panic elsewhere: it is changed in single steps that cannot panic.
    fn taken(&self) -> MutexGuard<'_, Vec<bool>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A secret in locked memory: no copy, no `Debug`, zeroed when it goes.
pub struct Locked<const N: usize> {
    slot: NonNull<u8>,
    first: usize,
    arena: Arc<Shared>,
}

impl<const N: usize> Locked<N> {
    fn as_ptr(&self) -> *mut [u8; N] {
        self.slot.as_ptr().cast()
    }
}

impl<const N: usize> Deref for Locked<N> {
    type Target = [u8; N];

    fn deref(&self) -> &[u8; N] {
        // SAFETY: the slot lies in the region, which `arena` keeps mapped, and has room for N
        // bytes that are initialised (the mapping is zero-filled). It is ours alone until we drop,
        // and `&self` excludes `deref_mut`.
        unsafe { &*self.as_ptr() }
    }
}

impl<const N: usize> DerefMut for Locked<N> {
    fn deref_mut(&mut self) -> &mut [u8; N] {
        // SAFETY: as in `deref`; `&mut self` excludes every other reference.
        unsafe { &mut *self.as_ptr() }
    }
}

impl<const N: usize> Drop for Locked<N> {
    fn drop(&mut self) {
        self.deref_mut().zeroize();
        // Given back only when zero, so that a slot is zero whenever it is handed out.
        self.arena.taken()[self.first..self.first + chunks_of(N)].fill(false);
    }
}

// SAFETY: the slot is plain bytes owned by this handle alone; no thread-local state is behind it.
unsafe impl<const N: usize> Send for Locked<N> {}

// SAFETY: `&Locked` gives only `&[u8; N]`; writing needs `&mut Locked`.
unsafe impl<const N: usize> Sync for Locked<N> {}

/// At least one chunk, so that every secret has a place of its own.
fn chunks_of(bytes: usize) -> usize {
    bytes.div_ceil(CHUNK).max(1)
}

fn first_fit(taken: &[bool], chunks: usize) -> Option<usize> {
    taken.windows(chunks).position(|window| window.iter().all(|taken| !taken))
}

/// A mapping of `len` bytes between two pages that cannot be touched.
struct Region {
    start: NonNull<c_void>,
    guard: usize,
    len: usize,
}

impl Region {
    fn map(len: usize) -> Result<Self, ArenaError> {
        let guard = rustix::param::page_size();
        // SAFETY: a fresh private anonymous mapping at an address of the kernel's choice aliases
        // nothing.
        let start = unsafe {
            mmap_anonymous(ptr::null_mut(), len + 2 * guard, ProtFlags::empty(), MapFlags::PRIVATE)
        }
        .map_err(|error| map_error("mmap", error))?;
        let start = NonNull::new(start).ok_or_else(|| map_error("mmap", rustix::io::Errno::NOMEM))?;
        Ok(Self { start, guard, len })
    }

    /// Opens the middle; the pages before and after stay without access.
    fn guard(&self) -> Result<(), ArenaError> {
        let open = MprotectFlags::READ | MprotectFlags::WRITE;
        // SAFETY: the range lies inside our own mapping, to which there is no reference yet.
        unsafe { mprotect(self.data().as_ptr(), self.len, open) }
            .map_err(|error| map_error("mprotect", error))
    }

    fn advise(&self) -> Result<(), ArenaError> {
        for (call, advice) in [
            ("madvise MADV_DONTDUMP", Advice::LinuxDontDump),
            ("madvise MADV_DONTFORK", Advice::LinuxDontFork),
        ] {
            // SAFETY: both advices keep the content; the range lies inside our own mapping.
            unsafe { madvise(self.data().as_ptr(), self.len, advice) }
                .map_err(|error| map_error(call, error))?;
        }
        Ok(())
    }

    fn lock(&self) -> Result<(), ArenaError> {
        // SAFETY: locking changes no content; the range lies inside our own mapping.
        unsafe { mlock(self.data().as_ptr(), self.len) }.map_err(|error| ArenaError::Lock {
            bytes: self.len,
            limit: getrlimit(Resource::Memlock)
                .current
                .map_or_else(|| "unlimited".to_owned(), |bytes| format!("{bytes} bytes")),
            source: error.into(),
        })
    }

    /// The first byte between the guards.
    fn data(&self) -> NonNull<c_void> {
        // SAFETY: the mapping is `guard + len + guard` bytes long.
        unsafe { self.start.byte_add(self.guard) }
    }

    fn slot(&self, chunk: usize) -> NonNull<u8> {
        debug_assert!(chunk * CHUNK < self.len, "a chunk of the region");
        // SAFETY: chunks are numbered below `len / CHUNK`.
        unsafe { self.data().cast::<u8>().add(chunk * CHUNK) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // Every secret holds the arena, so all are gone, and each zeroed itself. Unmapping unlocks.
        // SAFETY: the mapping is ours and nothing refers to it any more.
        let unmapped = unsafe { munmap(self.start.as_ptr(), self.len + 2 * self.guard) };
        debug_assert!(unmapped.is_ok(), "our own mapping can be unmapped");
    }
}

// SAFETY: the region is an address range; every access goes through a `Locked` that owns its part.
unsafe impl Send for Region {}

// SAFETY: as above; no method of `&Region` reads or writes the bytes.
unsafe impl Sync for Region {}

fn map_error(call: &'static str, error: rustix::io::Errno) -> ArenaError {
    ArenaError::Map { call, source: error.into() }
}

#[cfg(test)]
mod tests;
