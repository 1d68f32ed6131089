//! Keys, digests, a payload that a Java node made, a locked key.

use std::sync::Arc;

use serde_json::Value;
use tessera_enclave::keyfile::KeyFile;
use tessera_enclave::keyring::{DefaultKey, KeyRing};
use tessera_enclave::{EncodedPayload, KeyPair, Nonce, PayloadCodec, PayloadParts, PrivateKey, TxHash, open};

use crate::{base64, hex, key, list, text, vectors};

fn private(value: &Value) -> PrivateKey {
    PrivateKey::from_slice(&base64(value)).expect("32 bytes")
}

#[test]
fn public_keys_follow_from_private_keys() {
    let vectors = vectors();
    let pairs: Vec<_> = list(&vectors["nacl_key_pairs"]).collect();
    assert_eq!(pairs.len(), 7);
    for pair in pairs {
        let derived = KeyPair::from_private(private(&pair["privateKey_base64"]));
        assert_eq!(*derived.public(), key(&pair["publicKey_base64"]));
    }
}

#[test]
fn digests() {
    let vectors = vectors();
    let of_tessera = list(&vectors["digests"]).filter(|entry| text(&entry["mode"]) == "tessera");
    let mut seen = 0;
    for entry in of_tessera {
        let hash = TxHash::of(text(&entry["input_utf8"]).as_bytes());
        assert_eq!(hash.to_string(), text(&entry["digest_base64"]));
        seen += 1;
    }
    assert_eq!(seen, 1);
}

fn real_payload(entry: &Value) -> EncodedPayload {
    let parts = PayloadParts {
        sender: key(&entry["senderKey_base64"]),
        cipher_text: hex(&entry["cipherText_hex"]),
        cipher_text_nonce: Nonce::from_bytes(&hex(&entry["cipherTextNonce_hex"])),
        recipient_boxes: vec![hex(&entry["recipientBox_hex"])],
        recipient_nonce: Nonce::from_bytes(&hex(&entry["recipientNonce_hex"])),
        recipient_keys: vec![key(&entry["recipientKey_base64"])],
        ..PayloadParts::default()
    };
    EncodedPayload::new(parts).expect("consistent")
}

#[test]
fn a_payload_that_a_java_node_made_opens() {
    let vectors = vectors();
    let entry = &vectors["real_encrypted_payload"];
    let payload = real_payload(entry);
    let derived = &entry["derived"];

    let sender = KeyPair::from_private(private(&entry["senderPrivateKey_base64"]));
    let keys = KeyRing::new([Arc::new(sender)], &DefaultKey::AsJava).expect("a ring");
    let message = open::open(&keys, &payload, &payload.sender).expect("the sender reads it");
    assert_eq!(message, hex(&derived["plaintext_hex"]));

    let tessera = payload.hash();
    assert_eq!(tessera.as_bytes(), hex(&derived["transactionHash_sha3_512_hex"]));
    assert_eq!(tessera.to_string(), text(&derived["transactionHash_base64"]));
}

#[test]
fn a_payload_that_a_java_node_made_is_encoded_alike() {
    let vectors = vectors();
    let entry = &vectors["real_encrypted_payload"];
    let payload = real_payload(entry);
    for (codec, member) in [(PayloadCodec::Legacy, "legacy_hex"), (PayloadCodec::Cbor, "cbor_hex")] {
        let bytes = hex(&entry["encodings"][member]);
        assert_eq!(codec.encode(&payload), bytes, "{codec:?}");
        assert_eq!(codec.decode(&bytes), Ok(payload.clone()), "{codec:?}");
    }
}

#[test]
fn a_key_locked_by_java_opens() {
    let vectors = vectors();
    let entry = &vectors["locked_private_key"];
    let options = &entry["aopts"];
    let json = serde_json::json!({
        "type": entry["type"],
        "data": {
            "aopts": {
                "variant": options["variant"],
                "memory": options["memory_kib"],
                "iterations": options["iterations"],
                "parallelism": options["parallelism"],
                "version": options["version"],
            },
            "snonce": entry["snonce_base64"],
            "asalt": entry["asalt_base64"],
            "sbox": entry["sbox_base64"],
        }
    });
    let file = KeyFile::from_json(json.to_string().as_bytes()).expect("a key file");
    let password = text(&entry["password_utf8"]).as_bytes();
    let key = file.private_key(Some(password)).expect("unlocked");
    assert_eq!(key, private(&entry["expected_privateKey_base64"]));
}
