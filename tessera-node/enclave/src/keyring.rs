//! The node's own keys, the default among them, and the shared keys derived so far.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::crypto::{self, CryptoError};
use crate::java;
use crate::key::{KeyPair, PublicKey, SharedKey};

/// How many shared keys are kept. Each saves a scalar multiplication; all of them fit the node's locked memory.
const SHARED_KEYS: usize = 512;

/// The local keys. Cheap to rebuild around the same pairs when a key is added.
#[derive(Debug)]
pub struct KeyRing {
    pairs: Vec<Arc<KeyPair>>,
    default: usize,
    shared: Mutex<SharedKeyCache>,
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
            DefaultKey::Named(key) => {
                position(&unique, key).ok_or_else(|| KeyRingError::NoSuchDefault(key.clone()))?
            }
        };
        Ok(Self { pairs: unique, default, shared: Mutex::new(SharedKeyCache::new(SHARED_KEYS)) })
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
        position(&self.pairs, key)
            .map(|index| &*self.pairs[index])
            .ok_or_else(|| KeyRingError::UnknownKey(key.clone()))
    }

    /// The key that `own`, one of ours, shares with `peer`.
    pub fn shared_key(&self, own: &PublicKey, peer: &PublicKey) -> Result<Arc<SharedKey>, KeyRingError> {
        let index = position(&self.pairs, own).ok_or_else(|| KeyRingError::UnknownKey(own.clone()))?;
        let name = (index, peer.clone());
        if let Some(found) = self.cache().get(&name) {
            return Ok(found);
        }
        // Derived outside the lock: two threads may both derive it, none waits for the other's multiplication.
        let derived = Arc::new(crypto::shared_key(peer, self.pairs[index].private())?);
        self.cache().insert(name, Arc::clone(&derived));
        Ok(derived)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, SharedKeyCache> {
        // A cache is valid at every step: a panic elsewhere does not spoil it.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Least recently used goes first. Eviction scans: it happens once per new peer of a full cache, and a scan of a few
/// hundred entries costs less than the multiplication that led to it.
#[derive(Debug)]
struct SharedKeyCache {
    capacity: usize,
    clock: u64,
    entries: HashMap<Parties, (u64, Arc<SharedKey>)>,
}

impl SharedKeyCache {
    fn new(capacity: usize) -> Self {
        Self { capacity, clock: 0, entries: HashMap::new() }
    }

    fn get(&mut self, parties: &Parties) -> Option<Arc<SharedKey>> {
        self.clock += 1;
        let (used, key) = self.entries.get_mut(parties)?;
        *used = self.clock;
        Some(Arc::clone(key))
    }

    fn insert(&mut self, parties: Parties, key: Arc<SharedKey>) {
        self.clock += 1;
        self.entries.insert(parties, (self.clock, key));
        if self.entries.len() > self.capacity {
            self.evict();
        }
    }

    fn evict(&mut self) {
        let oldest = self.entries.iter().min_by_key(|(_, (used, _))| *used);
        if let Some(parties) = oldest.map(|(parties, _)| parties.clone()) {
            self.entries.remove(&parties);
        }
    }
}
