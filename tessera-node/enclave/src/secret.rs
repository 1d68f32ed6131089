//! Where secret bytes live: in the process's one locked region.
//!
//! Every secret of this crate is held by [`SecretBytes`] and by nothing else, so where secrets live is decided here.

use std::fmt;

use subtle::ConstantTimeEq;
use tessera_sys::{Arena, ArenaError, Locked, MAX_ARENA_BYTES};
use zeroize::Zeroizing;

/// `N` secret bytes: a move copies a pointer, never the secret; zeroed on drop, compared in constant time, neither
/// printable nor clonable. New ones are zero, and written where they live.
pub(crate) struct SecretBytes<const N: usize>(Place<N>);

enum Place<const N: usize> {
    Locked(Locked<N>),
    Heap(Box<Zeroizing<[u8; N]>>),
}

impl<const N: usize> SecretBytes<N> {
    /// In locked memory, or not at all: for private keys.
    pub(crate) fn locked() -> Result<Self, ArenaError> {
        Ok(Self(Place::Locked(region()?.secret()?)))
    }

    /// In locked memory while half of it is free, else on the heap: for secrets that live as long as one request. A
    /// thousand requests at once leave room for private keys.
    pub(crate) fn transient() -> Self {
        let region = region().ok().filter(|region| region.used() < region.capacity() / 2);
        let locked = region.and_then(|region| region.secret().ok());
        Self(locked.map_or_else(|| Place::Heap(Box::new(Zeroizing::new([0; N]))), Place::Locked))
    }

    /// Whether the bytes are in locked memory, so that they may be kept.
    pub(crate) fn is_locked(&self) -> bool {
        matches!(self.0, Place::Locked(_))
    }

    /// The secret, for writing it. A copy on the stack must be zeroed.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8; N] {
        match &mut self.0 {
            Place::Locked(bytes) => bytes,
            Place::Heap(bytes) => bytes,
        }
    }

    /// The secret. Callers keep it borrowed; a copy must be zeroed by its maker.
    pub(crate) fn expose(&self) -> &[u8; N] {
        match &self.0 {
            Place::Locked(bytes) => bytes,
            Place::Heap(bytes) => bytes,
        }
    }
}

/// The region that a node installs before it reads a key; made now in a process that did not.
fn region() -> Result<&'static Arena, ArenaError> {
    tessera_sys::install(MAX_ARENA_BYTES)
}

impl<const N: usize> PartialEq for SecretBytes<N> {
    fn eq(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl<const N: usize> Eq for SecretBytes<N> {}

impl<const N: usize> fmt::Debug for SecretBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(bytes: [u8; 4]) -> SecretBytes<4> {
        let mut secret = SecretBytes::transient();
        *secret.bytes_mut() = bytes;
        secret
    }

    #[test]
    fn debug_shows_no_byte() {
        assert_eq!(format!("{:?}", secret([222, 173, 190, 239])), "[redacted]");
    }

    #[test]
    fn equality_looks_at_every_byte() {
        assert_eq!(secret([1, 2, 3, 4]), secret([1, 2, 3, 4]));
        assert_ne!(secret([1, 2, 3, 4]), secret([1, 2, 3, 5]));
    }
}
