//! What unit tests share: the vectors, and rings of generated keys.

use std::sync::Arc;

use serde_json::Value;

use crate::key::{KeyPair, MasterKey, PrivateKey, PublicKey};
use crate::keyring::{DefaultKey, KeyRing};

/// `tests/vectors/tessera-vectors.json`.
pub(crate) struct Vectors(Value);

impl Vectors {
    pub(crate) fn load() -> Self {
        let text = include_str!("../tests/vectors/tessera-vectors.json");
        Self(serde_json::from_str(text).expect("the vectors are JSON"))
    }

    pub(crate) fn at(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).expect("an entry of the vectors")
    }

    /// All key pairs of the vectors, in file order.
    pub(crate) fn pairs(&self) -> Vec<Arc<KeyPair>> {
        let entries = self.at("/nacl_key_pairs").as_array().expect("pairs");
        entries.iter().map(|entry| Arc::new(pair(entry))).collect()
    }

    pub(crate) fn key_ring(&self) -> KeyRing {
        KeyRing::new(self.pairs(), &DefaultKey::AsJava).expect("a ring")
    }
}

fn pair(entry: &Value) -> KeyPair {
    let private = entry["privateKey_base64"].as_str().expect("base64");
    let private = crate::base64::decode_strict(private).expect("base64");
    let private = PrivateKey::from_slice(&private).expect("32 bytes");
    KeyPair::checked(&key(&entry["publicKey_base64"]), private).expect("a pair")
}

pub(crate) fn hex(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("hex")).expect("hex")
}

pub(crate) fn key(value: &Value) -> PublicKey {
    value.as_str().expect("base64").parse().expect("base64")
}

pub(crate) fn keys(value: &Value) -> Vec<PublicKey> {
    value.as_array().expect("keys").iter().map(key).collect()
}

pub(crate) fn master_key(entry: &Value, member: &str) -> MasterKey {
    let bytes = hex(&entry[member]);
    let mut secret = crate::secret::SecretBytes::transient();
    secret.bytes_mut().copy_from_slice(&bytes);
    MasterKey(secret)
}

/// A ring of one new key.
pub(crate) fn ring_of_one() -> (PublicKey, KeyRing) {
    let pair = Arc::new(KeyPair::generate().expect("locked memory"));
    let key = *pair.public();
    (key, KeyRing::new([pair], &DefaultKey::AsJava).expect("a ring"))
}
