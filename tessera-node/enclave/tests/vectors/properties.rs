//! Decoders are fed by peers: whatever comes in, they answer and do not panic; whatever we write, they read back.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use tessera_enclave::base64;
use tessera_enclave::codec::party_info::PartyInfo;
use tessera_enclave::{
    EncodedPayload, Nonce, PayloadCodec, PayloadParts, PrivacyMetadata, PrivacyMode, PublicKey, SecurityHash,
    TxHash,
};

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

fn key() -> impl Strategy<Value = PublicKey> {
    bytes(33).prop_map(|key| PublicKey::from_bytes(&key).expect("short"))
}

fn nonce() -> impl Strategy<Value = Nonce> {
    bytes(30).prop_map(|nonce| Nonce::from_bytes(&nonce))
}

fn affected() -> impl Strategy<Value = BTreeMap<TxHash, SecurityHash>> {
    let hash = bytes(65).prop_map(|hash| TxHash::from_bytes(&hash).expect("short"));
    let security_hash = bytes(70).prop_map(|hash| SecurityHash::from_bytes(&hash));
    btree_map(hash, security_hash, 0..4)
}

/// Metadata that its mode allows.
fn privacy() -> impl Strategy<Value = PrivacyMetadata> {
    let exec_hash = vec(any::<u8>(), 1..40);
    let mandatory = btree_set(key(), 1..4);
    let group = proptest::option::of(vec(any::<u8>(), 1..40));
    (0_u64..4, affected(), exec_hash, mandatory, group).prop_map(
        |(flag, affected, exec_hash, mandatory, group)| {
            let mode = PrivacyMode::from_flag(flag);
            let validates = mode == PrivacyMode::PrivateStateValidation;
            let requires = mode == PrivacyMode::MandatoryRecipients;
            PrivacyMetadata {
                mode,
                affected,
                exec_hash: if validates { exec_hash.into() } else { Bytes::new() },
                mandatory_recipients: if requires { mandatory } else { BTreeSet::new() },
                privacy_group_id: group.map(Bytes::from),
            }
        },
    )
}

fn payload() -> impl Strategy<Value = EncodedPayload> {
    let boxes = vec(bytes(60), 0..5);
    let keys = vec(key(), 0..5);
    (key(), bytes(300), nonce(), boxes, nonce(), keys, privacy()).prop_map(
        |(
            sender,
            cipher_text,
            cipher_text_nonce,
            recipient_boxes,
            recipient_nonce,
            recipient_keys,
            privacy,
        )| {
            let parts = PayloadParts {
                sender,
                cipher_text,
                cipher_text_nonce,
                recipient_boxes,
                recipient_nonce,
                recipient_keys,
                privacy,
            };
            EncodedPayload::new(parts).expect("consistent")
        },
    )
}

const CODECS: [PayloadCodec; 2] = [PayloadCodec::Legacy, PayloadCodec::Cbor];

proptest! {
    #[test]
    fn payloads_survive_both_codecs(payload in payload()) {
        for codec in CODECS {
            prop_assert_eq!(codec.decode(&codec.encode(&payload).into()), Ok(payload.clone()));
        }
    }

    #[test]
    fn truncated_payloads_do_not_panic(payload in payload(), cut in any::<prop::sample::Index>()) {
        for codec in CODECS {
            let mut encoded = codec.encode(&payload);
            encoded.truncate(cut.index(encoded.len()));
            if let Ok(shorter) = codec.decode(&encoded.into()) {
                prop_assert_eq!(codec.decode(&codec.encode(&shorter).into()), Ok(shorter));
            }
        }
    }

    #[test]
    fn changed_payloads_do_not_panic(payload in payload(), at in any::<prop::sample::Index>(), byte: u8) {
        for codec in CODECS {
            let mut encoded = codec.encode(&payload);
            let at = at.index(encoded.len());
            encoded[at] = byte;
            if let Ok(changed) = codec.decode(&encoded.into()) {
                prop_assert_eq!(codec.decode(&codec.encode(&changed).into()), Ok(changed));
            }
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(input in bytes(400)) {
        for codec in CODECS {
            let _ = codec.decode(&input);
        }
        if let Ok(info) = PartyInfo::decode(&input) {
            prop_assert_eq!(PartyInfo::decode(&info.encode().into()), Ok(info));
        }
    }

    #[test]
    fn base64_survives(input in bytes(100)) {
        let text = base64::encode(&input);
        let unpadded = text.trim_end_matches('=');
        let broken: String = text.chars().flat_map(|c| [c, '\n']).collect();
        prop_assert_eq!(base64::decode_strict(&text), Ok(input.to_vec()));
        prop_assert_eq!(base64::decode_strict(unpadded), Ok(input.to_vec()));
        prop_assert_eq!(base64::decode_lenient(unpadded), Ok(input.to_vec()));
        prop_assert_eq!(base64::decode_lenient(&text), Ok(input.to_vec()));
        if !text.contains("==") {
            prop_assert_eq!(base64::decode_lenient(&broken), Ok(input.to_vec()));
        }
    }

    #[test]
    fn base64_of_arbitrary_text_does_not_panic(text: String) {
        if let Ok(strict) = base64::decode_strict(&text) {
            prop_assert_eq!(base64::decode_lenient(&text), Ok(strict));
        }
    }
}
