//! Every field of what a peer may send, with values that no node sends.

use bytes::Bytes;
use tessera_enclave::{
    EncodedPayload, Nonce, PayloadCodec, PayloadParts, PrivacyMode, PublicKey, SecurityHash, TxHash, base64,
};

use crate::mallory::push_bytes;
use crate::scene::Scene;
use crate::support::client::{OCTETS, request};
use crate::support::load::message;

fn odd_bytes() -> Vec<Bytes> {
    [0, 1, 31, 33, 64, 70_000].map(|length| Bytes::from(message(length as u64, length))).to_vec()
}

/// The genuine parts, each time with one field that lies.
fn lies(genuine: &PayloadParts) -> Vec<PayloadParts> {
    let mut lies = Vec::new();
    let mut lie = |change: &dyn Fn(&mut PayloadParts)| {
        let mut parts = genuine.clone();
        change(&mut parts);
        lies.push(parts);
    };
    for bytes in odd_bytes() {
        lie(&|parts| parts.cipher_text = bytes.clone());
        lie(&|parts| parts.cipher_text_nonce = Nonce::from_bytes(&bytes));
        lie(&|parts| parts.recipient_nonce = Nonce::from_bytes(&bytes));
        lie(&|parts| parts.recipient_boxes = vec![bytes.clone(); 3]);
        lie(&|parts| parts.privacy.privacy_group_id = Some(bytes.clone()));
        lie(&|parts| {
            parts.privacy.mode = PrivacyMode::PrivateStateValidation;
            parts.privacy.exec_hash.clone_from(&bytes);
        });
    }
    lie(&|parts| parts.recipient_keys = vec![parts.recipient_keys[0]; 5_000]);
    lie(&|parts| parts.recipient_boxes = vec![Bytes::new(); 5_000]);
    lies
}

/// A name that no node has; the encoded payload gets another in its place.
const MARK: [u8; 32] = [0x5a; 32];

/// The genuine payload, each time with one name that lies. No type of ours holds the longer ones, so they are put into
/// the encoded payload.
fn false_names(genuine: &PayloadParts) -> Vec<Bytes> {
    let mark = PublicKey::from(MARK);
    let named = (TxHash::from_bytes(&MARK).unwrap(), SecurityHash::from_bytes(&MARK));
    let places: [&dyn Fn(&mut PayloadParts); 4] = [
        &|parts| parts.sender = mark,
        &|parts| parts.recipient_keys = vec![mark; 3],
        &|parts| parts.privacy.affected = [named.clone()].into(),
        &|parts| {
            parts.privacy.mode = PrivacyMode::MandatoryRecipients;
            parts.privacy.mandatory_recipients = [mark].into();
        },
    ];
    let marked = places.map(|place| {
        let mut parts = genuine.clone();
        place(&mut parts);
        PayloadCodec::Cbor.encode(&EncodedPayload::new(parts).expect("consistent"))
    });
    let replaced = |name: &Bytes| {
        let key = |name: &[u8]| cbor(0x40, name);
        let hash = |name: &[u8]| cbor(0x60, base64::encode(name).as_bytes());
        let (keys, hashes) = ((key(&MARK), key(name)), (hash(&MARK), hash(name)));
        marked.each_ref().map(|whole| replace(&replace(whole, &keys.0, &keys.1), &hashes.0, &hashes.1).into())
    };
    odd_bytes().iter().flat_map(replaced).collect()
}

/// A byte string (`0x40`) or a text (`0x60`).
fn cbor(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap();
    let head = match u8::try_from(length) {
        Ok(short @ ..24) => vec![kind | short],
        Ok(short) => vec![kind + 24, short],
        Err(_) => [&[kind + 26][..], &length.to_be_bytes()].concat(),
    };
    [&head, content].concat()
}

/// `whole` with each `old` replaced.
fn replace(whole: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::new();
    let mut rest = whole;
    while let Some(at) = rest.windows(old.len()).position(|window| window == old) {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(new);
        rest = &rest[at + old.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}

#[tokio::test(flavor = "multi_thread")]
async fn no_field_of_a_push_or_an_announcement_breaks_the_node() {
    let mut scene = Scene::start().await;
    let key: PublicKey = scene.b().public_key.parse().unwrap();
    scene
        .beside(async |scene| {
            let genuine = scene.mallory.seal(b"genuine", std::slice::from_ref(&key));
            let mut bodies: Vec<Bytes> = lies(&genuine.clone().into_parts())
                .into_iter()
                .filter_map(|parts| EncodedPayload::new(parts).ok())
                .map(|payload| PayloadCodec::Cbor.encode(&payload).into())
                .collect();
            let named = false_names(&genuine.clone().into_parts());
            assert_eq!(named.len(), 24);
            bodies.extend(named);
            let whole = Bytes::from(PayloadCodec::Cbor.encode(&genuine));
            bodies.extend((0..whole.len()).step_by(9).map(|end| whole.slice(..end)));
            // A length beyond all that follows, in front of everything.
            bodies.push(Bytes::from_static(&[0xbb, 255, 255, 255, 255, 255, 255, 255, 255]));
            bodies.push(Bytes::from(vec![0x9f; 50_000]));
            let mut session = scene.mallory.session(scene.b()).await;
            for body in &bodies {
                let answer = session.try_send(push_bytes(body.clone())).await.expect("an answer");
                assert!([201, 400, 403, 413, 500].contains(&answer.status), "{}", answer.status);
            }
            for body in bodies {
                for path in ["/partyinfo", "/partyinfo/validate"] {
                    let answer = session.try_send(request("POST", path, &[OCTETS], body.clone())).await;
                    let status = answer.expect("an answer").status;
                    assert!((200..=500).contains(&status), "{path}: {status}");
                }
            }
        })
        .await;
    scene.judge().await;
}
