//! The published vectors through the public interface, and properties of every decoder.
//!
//! Entries that need fixed randomness (`end_to_end_computed`) stand beside the code that seals. `ec_computed` belongs to
//! an encryptor that is not here.

mod codecs;
mod crypto;
mod properties;

use bytes::Bytes;
use serde_json::Value;
use tessera_enclave::PublicKey;

fn vectors() -> Value {
    serde_json::from_str(include_str!("tessera-vectors.json")).expect("the vectors are JSON")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("a list").iter()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn hex(value: &Value) -> Bytes {
    hex::decode(text(value)).expect("hex").into()
}

fn base64(value: &Value) -> Vec<u8> {
    tessera_enclave::base64::decode_strict(text(value)).expect("base64")
}

fn key(value: &Value) -> PublicKey {
    text(value).parse().expect("base64")
}
