//! Where secret bytes live: in the process's one locked region.
//!
//! Every secret of this crate is held by [`SecretBytes`] and by nothing else, so where secrets live is decided here.

use std::fmt;

use subtle::ConstantTimeEq;
use tessera_sys::Locked;
use zeroize::{Zeroize, Zeroizing};

/// `N` secret bytes: a move copies a pointer, never the secret; zeroed on drop, compared in constant time, neither
/// printable nor clonable.
pub(crate) struct SecretBytes<const N: usize>(Place<N>);

/// Locked memory, as long as there is room. A node installs the region before it reads a key and refuses to run without;
/// its size holds every private key and cached shared key. What may overflow are the master keys of a thousand requests
/// at once: they live for microseconds, on the heap, and are zeroed all the same.
enum Place<const N: usize> {
    Locked(Locked<N>),
    Heap(Box<Zeroizing<[u8; N]>>),
}

impl<const N: usize> SecretBytes<N> {
    fn zeroed() -> Self {
        let locked = tessera_sys::installed().and_then(|arena| arena.secret().ok());
        Self(locked.map_or_else(|| Place::Heap(Box::new(Zeroizing::new([0; N]))), Place::Locked))
    }

    fn bytes_mut(&mut self) -> &mut [u8; N] {
        match &mut self.0 {
            Place::Locked(bytes) => bytes,
            Place::Heap(bytes) => bytes,
        }
    }

    /// Lets `fill` write the secret where it will live, so that no copy stays on the stack.
    pub(crate) fn fill_with(fill: impl FnOnce(&mut [u8; N])) -> Self {
        let mut secret = Self::zeroed();
        fill(secret.bytes_mut());
        secret
    }

    /// Like [`Self::fill_with`]; an error leaves nothing behind.
    pub(crate) fn try_fill_with<E>(fill: impl FnOnce(&mut [u8; N]) -> Result<(), E>) -> Result<Self, E> {
        let mut secret = Self::zeroed();
        fill(secret.bytes_mut())?;
        Ok(secret)
    }

    /// Takes the bytes and zeroes their old place.
    pub(crate) fn take(source: &mut [u8; N]) -> Self {
        let secret = Self::fill_with(|bytes| bytes.copy_from_slice(source));
        source.zeroize();
        secret
    }

    /// The secret. Callers keep it borrowed; a copy must be zeroed by whoever makes it.
    pub(crate) fn expose(&self) -> &[u8; N] {
        match &self.0 {
            Place::Locked(bytes) => bytes,
            Place::Heap(bytes) => bytes,
        }
    }
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

    #[test]
    fn debug_shows_no_byte() {
        let secret = SecretBytes::<4>::fill_with(|bytes| *bytes = [222, 173, 190, 239]);
        assert_eq!(format!("{secret:?}"), "[redacted]");
    }

    #[test]
    fn take_zeroes_the_source() {
        let mut source = [7; 8];
        let secret = SecretBytes::take(&mut source);
        assert_eq!(source, [0; 8]);
        assert_eq!(secret.expose(), &[7; 8]);
    }

    #[test]
    fn equality_looks_at_every_byte() {
        let secret = |last| SecretBytes::<4>::fill_with(|bytes| *bytes = [1, 2, 3, last]);
        assert_eq!(secret(4), secret(4));
        assert_ne!(secret(4), secret(5));
    }
}
