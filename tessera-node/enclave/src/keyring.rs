//! The node's own keys, the default among them, and the shared keys derived so far.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use crate::crypto::{self, CryptoError};
use crate::java;
use crate::key::{KeyPair, PublicKey, SharedKey};

/// How many shared keys are kept, as long as locked memory has a place for them. Each saves a scalar multiplication.
const SHARED_KEYS: NonZeroUsize = NonZeroUsize::new(512).expect("not zero");

/// The local keys. Cheap to rebuild around the same pairs when a key is added.
#[derive(Debug)]
pub struct KeyRing {
    pairs: Vec<Arc<KeyPair>>,
    default: usize,
    shared: Mutex<LruCache<Parties, Arc<SharedKey>>>,
}

/// Which key signs for a request without `from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefaultKey {
    /// The one that Java Tessera would choose among these keys.
    AsJava,
    /// This one.
    Named(PublicKey),
}

/// Why a key cannot be had.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
#[non_exhaustive]
pub enum KeyRingError {
    /// There is nothing to choose a default from.
    #[error("no key: a node needs at least one key pair")]
    Empty,
    /// The named default is not among the keys.
    #[error("default key {0} is not among the node's keys")]
    NoSuchDefault(PublicKey),
    /// The key is not ours.
    #[error("Public key {0} not found when searching for private key")]
    UnknownKey(PublicKey),
    /// The other party's key is unusable.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

impl KeyRing {
    /// A ring of these pairs; a pair given twice counts once.
    pub fn new(
        pairs: impl IntoIterator<Item = Arc<KeyPair>>,
        default: &DefaultKey,
    ) -> Result<Self, KeyRingError> {
        let mut unique: Vec<Arc<KeyPair>> = Vec::new();
        for pair in pairs {
            if !unique.iter().any(|known| known.public() == pair.public()) {
                unique.push(pair);
            }
        }
        let default = match default {
            DefaultKey::AsJava => java_default(&unique).ok_or(KeyRingError::Empty)?,
            DefaultKey::Named(_) if unique.is_empty() => return Err(KeyRingError::Empty),
            DefaultKey::Named(key) => position(&unique, key).ok_or(KeyRingError::NoSuchDefault(*key))?,
        };
        Ok(Self { pairs: unique, default, shared: Mutex::new(LruCache::new(SHARED_KEYS)) })
    }

    /// The key of requests without `from`, and of key validation.
    pub fn default_key(&self) -> &PublicKey {
        self.pairs[self.default].public()
    }

    /// All public keys, in configuration order.
    pub fn public_keys(&self) -> impl ExactSizeIterator<Item = &PublicKey> {
        self.pairs.iter().map(|pair| pair.public())
    }

    /// The pairs, for building another ring around them.
    pub fn pairs(&self) -> &[Arc<KeyPair>] {
        &self.pairs
    }

    /// Whether the key is one of ours.
    pub fn contains(&self, key: &PublicKey) -> bool {
        position(&self.pairs, key).is_some()
    }

    /// The pair of one of our keys.
    pub fn pair(&self, key: &PublicKey) -> Result<&KeyPair, KeyRingError> {
        position(&self.pairs, key).map(|index| &*self.pairs[index]).ok_or(KeyRingError::UnknownKey(*key))
    }

    /// The key that `own`, one of ours, shares with `peer`.
    pub fn shared_key(&self, own: &PublicKey, peer: &PublicKey) -> Result<Arc<SharedKey>, KeyRingError> {
        let index = position(&self.pairs, own).ok_or(KeyRingError::UnknownKey(*own))?;
        let name = (index, *peer);
        if let Some(found) = self.shared.lock().get(&name) {
            return Ok(Arc::clone(found));
        }
        // Derived outside the lock: two threads may both derive it, none waits for the other's multiplication.
        let derived = Arc::new(crypto::shared_key(peer, self.pairs[index].private())?);
        if derived.is_locked() {
            self.shared.lock().put(name, Arc::clone(&derived));
        }
        Ok(derived)
    }
}

/// The index of the key that Java Tessera takes as default: the first in the iteration order of its hash set.
pub fn java_default(pairs: &[Arc<KeyPair>]) -> Option<usize> {
    let capacity = java::hash_set_capacity(pairs.len());
    // `min_by_key` keeps the first of equals, as a bucket's chain does.
    (0..pairs.len()).min_by_key(|&index| java::hash_map_bucket(key_pair_hash(&pairs[index]), capacity))
}

fn key_pair_hash(pair: &KeyPair) -> i32 {
    let public = java::array_hash(pair.public().as_bytes());
    let private = java::array_hash(pair.private().expose());
    public.wrapping_add(31).wrapping_mul(31).wrapping_add(private)
}

fn position(pairs: &[Arc<KeyPair>], key: &PublicKey) -> Option<usize> {
    pairs.iter().position(|pair| pair.public() == key)
}

/// Which of our keys, with which other party's.
type Parties = (usize, PublicKey);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Vectors;

    fn pair() -> Arc<KeyPair> {
        Arc::new(KeyPair::generate().expect("locked memory"))
    }

    fn refused(pairs: Vec<Arc<KeyPair>>, default: &DefaultKey) -> KeyRingError {
        KeyRing::new(pairs, default).expect_err("refused")
    }

    #[test]
    fn the_default_is_the_one_of_java() {
        let ring = Vectors::load().key_ring();
        assert_eq!(ring.default_key().to_string(), "BULeR8JyUWhiuuCMU/HLA0Q5pzkYT+cHII3ZKBey3Bo=");
    }

    #[test]
    fn a_named_default_wins() {
        let pairs = Vectors::load().pairs();
        let named = *pairs[2].public();
        let ring = KeyRing::new(pairs, &DefaultKey::Named(named)).expect("a ring");
        assert_eq!(*ring.default_key(), named);
    }

    #[test]
    fn an_empty_ring_is_refused() {
        assert_eq!(refused(Vec::new(), &DefaultKey::AsJava), KeyRingError::Empty);
        let named = DefaultKey::Named(PublicKey::default());
        assert_eq!(refused(Vec::new(), &named), KeyRingError::Empty);
    }

    #[test]
    fn a_default_that_is_not_ours_is_refused() {
        let key = PublicKey::from([1; 32]);
        assert_eq!(
            refused(vec![pair()], &DefaultKey::Named(key)).to_string(),
            format!("default key {key} is not among the node's keys")
        );
    }

    #[test]
    fn an_unknown_key_has_the_text_of_java() {
        let ring = KeyRing::new([pair()], &DefaultKey::AsJava).expect("a ring");
        let error = ring.pair(&PublicKey::default()).expect_err("unknown").to_string();
        assert_eq!(error, "Public key  not found when searching for private key");
    }

    #[test]
    fn a_shorter_peer_key_is_refused() {
        let ring = KeyRing::new([pair()], &DefaultKey::AsJava).expect("a ring");
        let shared = |length| {
            let peer = PublicKey::from_bytes(&vec![7; length]).expect("short");
            ring.shared_key(ring.default_key(), &peer).map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(shared(3), Err("Index 3 out of bounds for length 3".to_owned()));
        assert_eq!(shared(0), Err("Index 0 out of bounds for length 0".to_owned()));
        assert_eq!(shared(32), Ok(()));
    }

    #[test]
    fn a_pair_given_twice_counts_once() {
        let pair = pair();
        let ring = KeyRing::new([Arc::clone(&pair), pair], &DefaultKey::AsJava).expect("a ring");
        assert_eq!(ring.public_keys().len(), 1);
    }

    #[test]
    fn a_cached_key_is_the_derived_one() {
        let (ours, theirs) = (pair(), pair());
        let ring = KeyRing::new([Arc::clone(&ours)], &DefaultKey::AsJava).expect("a ring");
        let peers = KeyRing::new([Arc::clone(&theirs)], &DefaultKey::AsJava).expect("a ring");
        let shared = || ring.shared_key(ours.public(), theirs.public()).expect("derived");
        assert!(Arc::ptr_eq(&shared(), &shared()));
        assert_eq!(shared(), peers.shared_key(theirs.public(), ours.public()).expect("derived"));
    }
}
