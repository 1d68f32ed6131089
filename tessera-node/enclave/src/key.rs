//! Keys and nonces.
//!
//! A [`PublicKey`] is a name as much as a key: payloads and party lists carry shorter names, too, and only the
//! operations that need an X25519 point ask for 32 bytes. Secret keys are [`SecretBytes`]: not printable, not clonable.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use curve25519_dalek::MontgomeryPoint;
use rand_core::{OsRng, RngCore};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tessera_sys::ArenaError;

use crate::base64;
use crate::name::{Name, NameError};
use crate::secret::SecretBytes;

/// Length of keys of either kind.
pub(crate) const KEY_LEN: usize = 32;
/// Length of a nonce.
pub(crate) const NONCE_LEN: usize = 24;

/// A public key: what `from`, `to` and party lists name. Ordered as bytes, shown as base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(Name<KEY_LEN>);

impl PublicKey {
    /// A key received or stored: of at most 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NameError> {
        Name::new(bytes).map(Self).ok_or(NameError::LongKey(bytes.len()))
    }

    /// The key as it is on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The key as a point; none has fewer bytes.
    pub(crate) fn x25519(&self) -> Option<&[u8; KEY_LEN]> {
        self.as_bytes().try_into().ok()
    }
}

/// The name of no bytes.
impl Default for PublicKey {
    fn default() -> Self {
        Self(Name::EMPTY)
    }
}

impl From<[u8; KEY_LEN]> for PublicKey {
    fn from(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes.into())
    }
}

impl FromStr for PublicKey {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::from_bytes(&base64::decode_strict(text)?)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A private key, in locked memory. Its bytes are reachable only for storing them: see [`PrivateKey::expose`].
#[derive(PartialEq, Eq, Debug)]
pub struct PrivateKey(pub(crate) SecretBytes<KEY_LEN>);

impl PrivateKey {
    /// A new key from the operating system's random source.
    pub fn generate() -> Result<Self, ArenaError> {
        let mut secret = SecretBytes::locked()?;
        OsRng.fill_bytes(secret.bytes_mut());
        Ok(Self(secret))
    }

    /// Copies the bytes. The caller zeroes its own copy.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, PrivateKeyError> {
        let bytes: &[u8; KEY_LEN] = bytes.try_into().map_err(|_| PrivateKeyError::Length(bytes.len()))?;
        let mut secret = SecretBytes::locked()?;
        secret.bytes_mut().copy_from_slice(bytes);
        Ok(Self(secret))
    }

    /// The secret itself, for writing it to a secret store. Zero every copy.
    pub fn expose(&self) -> &[u8; KEY_LEN] {
        self.0.expose()
    }

    fn public(&self) -> PublicKey {
        PublicKey::from(MontgomeryPoint::mul_base_clamped(*self.expose()).to_bytes())
    }
}

/// Why there is no private key.
#[derive(Debug, thiserror::Error)]
pub enum PrivateKeyError {
    /// Its bytes are too few or too many.
    #[error("private key has {0} bytes: give the 32 bytes of an X25519 key")]
    Length(usize),
    /// There is no locked memory for it, and no other memory may hold it.
    #[error(transparent)]
    Memory(#[from] ArenaError),
}

/// The key two parties share: sealed boxes between them are made with it.
#[derive(PartialEq, Eq, Debug)]
pub struct SharedKey(pub(crate) SecretBytes<KEY_LEN>);

impl SharedKey {
    pub(crate) fn expose(&self) -> &[u8; KEY_LEN] {
        self.0.expose()
    }

    /// Whether it may be kept: only in locked memory.
    pub(crate) fn is_locked(&self) -> bool {
        self.0.is_locked()
    }
}

/// The key that seals one message.
#[derive(PartialEq, Eq, Debug)]
pub struct MasterKey(pub(crate) SecretBytes<KEY_LEN>);

impl MasterKey {
    /// The key of these random bytes, [`KEY_LEN`] of them. The caller zeroes its own copy.
    pub(crate) fn copied_from(random: &[u8]) -> Self {
        let mut secret = SecretBytes::transient();
        secret.bytes_mut().copy_from_slice(random);
        Self(secret)
    }

    /// A new key from the operating system's random source.
    pub(crate) fn generate() -> Self {
        let mut secret = SecretBytes::transient();
        OsRng.fill_bytes(secret.bytes_mut());
        Self(secret)
    }

    pub(crate) fn expose(&self) -> &[u8; KEY_LEN] {
        self.0.expose()
    }
}

/// A nonce. Not a secret. Decoded ones may have any length; opening asks for 24 bytes.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Nonce(Bytes);

impl Nonce {
    /// A new nonce from the operating system's random source.
    pub fn generate() -> Self {
        let mut bytes = [0; NONCE_LEN];
        OsRng.fill_bytes(&mut bytes);
        Self::from_bytes(&bytes)
    }

    /// A nonce received or stored.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }

    /// The nonce as it is on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The nonce as the cipher takes it; none has another length.
    pub(crate) fn nacl(&self) -> Option<&[u8; NONCE_LEN]> {
        self.as_bytes().try_into().ok()
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&base64::display(&self.0), f)
    }
}

/// A private key with its public half, which is always derived, never believed.
#[derive(Debug)]
pub struct KeyPair {
    public: PublicKey,
    private: PrivateKey,
}

impl KeyPair {
    /// A new pair.
    pub fn generate() -> Result<Self, ArenaError> {
        Ok(Self::from_private(PrivateKey::generate()?))
    }

    /// The pair of a private key.
    pub fn from_private(private: PrivateKey) -> Self {
        Self { public: private.public(), private }
    }

    /// The pair of a private key whose public key is on record; a mismatch is refused, since a node would otherwise
    /// answer to a name that it cannot open payloads for.
    pub fn checked(public: &PublicKey, private: PrivateKey) -> Result<Self, KeyMismatch> {
        let pair = Self::from_private(private);
        if pair.public == *public {
            return Ok(pair);
        }
        Err(KeyMismatch { given: *public, derived: pair.public })
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The private half.
    pub fn private(&self) -> &PrivateKey {
        &self.private
    }
}

/// A public and a private key that do not belong together.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
#[error("public key {given} does not belong to its private key, whose public key is {derived}")]
pub struct KeyMismatch {
    /// The public key on record.
    pub given: PublicKey,
    /// The public key of the private key.
    pub derived: PublicKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> KeyPair {
        KeyPair::generate().expect("locked memory")
    }

    #[test]
    fn a_mismatched_pair_is_refused() {
        let (one, other) = (pair(), pair());
        let private = PrivateKey::from_slice(one.private().expose()).expect("32 bytes");
        let refused = KeyPair::checked(other.public(), private).expect_err("not its key");
        assert_eq!(refused, KeyMismatch { given: *other.public(), derived: *one.public() });
    }

    #[test]
    fn a_private_key_has_32_bytes() {
        let refused = PrivateKey::from_slice(&[0; 31]).expect_err("too short");
        assert_eq!(refused.to_string(), "private key has 31 bytes: give the 32 bytes of an X25519 key");
    }

    #[test]
    fn secrets_do_not_print() {
        let pair = KeyPair::from_private(PrivateKey::from_slice(&[0xab; 32]).expect("32 bytes"));
        let shown = format!("{pair:?} {:?}", MasterKey::generate());
        let expected = format!(
            "KeyPair {{ public: {}, private: PrivateKey([redacted]) }} MasterKey([redacted])",
            pair.public()
        );
        assert_eq!(shown, expected);
    }

    #[test]
    fn public_keys_are_base64_in_json() {
        let key = PublicKey::from([1; 32]);
        let json = serde_json::to_string(&key).expect("a string");
        assert_eq!(json, format!("\"{key}\""));
        assert_eq!(serde_json::from_str::<PublicKey>(&json).expect("a key"), key);
        let refused = serde_json::from_str::<PublicKey>("\"!!\"").expect_err("no base64");
        assert!(refused.to_string().starts_with("Illegal base64 character 21"), "{refused}");
    }
}
