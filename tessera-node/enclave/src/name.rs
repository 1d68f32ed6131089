//! What keys and transactions are called by: short byte strings, held in place.
//!
//! Java Tessera takes names of any length: its own payloads hold shorter ones than those of X25519 and SHA3-512, so a
//! decoded payload keeps them. No name is longer: such a text or member ends where it is parsed.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use crate::base64::{self, Base64Error};

/// Bytes that name nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
#[non_exhaustive]
pub enum NameError {
    /// The text is not base64.
    #[error(transparent)]
    Base64(#[from] Base64Error),
    /// Java uses the first 32 bytes; then many strings would name one key.
    #[error("public key has {0} bytes: give the 32 bytes of an X25519 key")]
    LongKey(usize),
    /// No digest is that long.
    #[error("transaction hash has {0} bytes: the longest has 64")]
    LongHash(usize),
}

/// At most `N` bytes. Equal, ordered and hashed as the slice of them.
#[derive(Clone, Copy)]
pub(crate) struct Name<const N: usize> {
    length: usize,
    bytes: [u8; N],
}

impl<const N: usize> Name<N> {
    pub(crate) const EMPTY: Self = Self { length: 0, bytes: [0; N] };

    /// None: too long.
    pub(crate) fn new(name: &[u8]) -> Option<Self> {
        let mut bytes = [0; N];
        bytes.get_mut(..name.len())?.copy_from_slice(name);
        Some(Self { length: name.len(), bytes })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl<const N: usize> From<[u8; N]> for Name<N> {
    fn from(bytes: [u8; N]) -> Self {
        Self { length: N, bytes }
    }
}

impl<const N: usize> PartialEq for Name<N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl<const N: usize> Eq for Name<N> {}

impl<const N: usize> PartialOrd for Name<N> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const N: usize> Ord for Name<N> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl<const N: usize> Hash for Name<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

/// In base64.
impl<const N: usize> fmt::Display for Name<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&base64::display(self.as_bytes()), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(bytes: &[u8]) -> Name<4> {
        Name::new(bytes).expect("short")
    }

    #[test]
    fn names_are_ordered_as_their_bytes() {
        let ordered = [&b""[..], b"\0", b"\0\0", b"a", b"aa", b"b"].map(name);
        assert!(ordered.is_sorted_by(|one, next| one < next), "the padding is no part of a name");
    }

    #[test]
    fn a_name_has_its_own_length() {
        for length in 0..=4 {
            assert_eq!(name(&[7; 4][..length]).as_bytes(), &[7; 4][..length]);
        }
        assert!(Name::<4>::new(&[7; 5]).is_none());
    }
}
