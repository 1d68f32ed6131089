//! Every field of what a peer may send, with values that no node sends.

use bytes::Bytes;
use tessera_enclave::{
    EncodedPayload, Nonce, PayloadCodec, PayloadParts, PrivacyMode, PublicKey, SecurityHash, TxHash,
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
        lie(&|parts| parts.sender = PublicKey::from_bytes(&bytes));
        lie(&|parts| parts.cipher_text = bytes.clone());
        lie(&|parts| parts.cipher_text_nonce = Nonce::from_bytes(&bytes));
        lie(&|parts| parts.recipient_nonce = Nonce::from_bytes(&bytes));
        lie(&|parts| parts.recipient_boxes = vec![bytes.clone(); 3]);
        lie(&|parts| parts.recipient_keys = vec![PublicKey::from_bytes(&bytes); 3]);
        lie(&|parts| {
            let named = (TxHash::from_bytes(&bytes), SecurityHash::from_bytes(&bytes));
            parts.privacy.affected = [named].into();
        });
        lie(&|parts| parts.privacy.privacy_group_id = Some(bytes.clone()));
        lie(&|parts| {
            parts.privacy.mode = PrivacyMode::MandatoryRecipients;
            parts.privacy.mandatory_recipients = [PublicKey::from_bytes(&bytes)].into();
        });
        lie(&|parts| {
            parts.privacy.mode = PrivacyMode::PrivateStateValidation;
            parts.privacy.exec_hash.clone_from(&bytes);
        });
    }
    lie(&|parts| parts.recipient_keys = vec![parts.recipient_keys[0].clone(); 5_000]);
    lie(&|parts| parts.recipient_boxes = vec![Bytes::new(); 5_000]);
    lies
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
