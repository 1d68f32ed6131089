use std::sync::Arc;

use super::*;
use crate::hash::SecurityHash;
use crate::key::{KeyPair, Nonce};
use crate::keyring::DefaultKey;
use crate::payload::{PayloadParts, PrivacyMetadata};
use crate::seal::{self, SealRequest};
use crate::testing;

const MESSAGE: &[u8] = b"message";

/// A message to both keys of one node, as its sender keeps it.
struct Sent {
    /// The recipient's.
    ring: KeyRing,
    keys: [PublicKey; 2],
    payload: EncodedPayload,
}

fn sent(mode: PrivacyMode) -> Sent {
    let pairs = [(); 2].map(|()| Arc::new(KeyPair::generate().expect("locked memory")));
    let keys = pairs.each_ref().map(|pair| *pair.public());
    let ring = KeyRing::new(pairs, &DefaultKey::AsJava).expect("a ring");
    let (sender, sending) = testing::ring_of_one();
    let exec_hash = if mode == PrivacyMode::PrivateStateValidation { "hash" } else { "" };
    let request = SealRequest {
        sender,
        recipients: keys.to_vec(),
        privacy: PrivacyMetadata { mode, exec_hash: exec_hash.into(), ..PrivacyMetadata::default() },
    };
    Sent { ring, keys, payload: seal::seal(&sending, MESSAGE.into(), request).expect("sealed") }
}

impl Sent {
    fn pushed_to(&self, index: usize) -> EncodedPayload {
        self.payload.for_recipient(&self.keys[index]).expect("a recipient")
    }

    fn merge(&self, stored: &EncodedPayload, incoming: EncodedPayload) -> Result<Merged, MergeError> {
        merge(&self.ring, stored, incoming, &BTreeSet::new())
    }

    fn reads(&self, payload: &EncodedPayload, index: usize) -> bool {
        open::open(&self.ring, payload, &self.keys[index]).is_ok_and(|message| message == MESSAGE)
    }
}

fn changed(payload: &EncodedPayload, change: impl FnOnce(&mut PayloadParts)) -> EncodedPayload {
    let mut parts = payload.clone().into_parts();
    change(&mut parts);
    EncodedPayload::new(parts).expect("consistent")
}

fn stored(merged: Result<Merged, MergeError>) -> EncodedPayload {
    match merged.expect("accepted") {
        Merged::Store(payload) => payload,
        Merged::Unchanged => panic!("something new"),
    }
}

#[test]
fn a_repetition_changes_nothing() {
    let sent = sent(PrivacyMode::StandardPrivate);
    assert_eq!(sent.merge(&sent.pushed_to(0), sent.pushed_to(0)), Ok(Merged::Unchanged));
    let both = stored(sent.merge(&sent.pushed_to(0), sent.pushed_to(1)));
    for index in [0, 1] {
        assert_eq!(sent.merge(&both, sent.pushed_to(index)), Ok(Merged::Unchanged));
    }
}

#[test]
fn another_key_of_ours_goes_in_front() {
    for mode in [PrivacyMode::StandardPrivate, PrivacyMode::PrivateStateValidation] {
        let sent = sent(mode);
        let both = stored(sent.merge(&sent.pushed_to(0), sent.pushed_to(1)));
        assert_eq!(both.recipient_keys, [sent.keys[1], sent.keys[0]], "{mode:?}");
        assert!(sent.reads(&both, 0) && sent.reads(&both, 1), "{mode:?}");
    }
}

#[test]
fn a_box_that_does_not_open_changes_nothing() {
    for mode in [PrivacyMode::StandardPrivate, PrivacyMode::PrivateStateValidation] {
        let sent = sent(mode);
        for index in [0, 1] {
            for keys in [sent.pushed_to(index).recipient_keys.clone(), Vec::new()] {
                let forged = changed(&sent.pushed_to(index), |parts| {
                    parts.recipient_boxes = vec![vec![0; 48].into()];
                    parts.recipient_keys = keys;
                });
                assert_eq!(sent.merge(&sent.pushed_to(0), forged), Ok(Merged::Unchanged), "{mode:?} {index}");
            }
        }
    }
}

#[test]
fn a_box_for_a_key_that_is_not_ours_changes_nothing() {
    let sent = sent(PrivacyMode::StandardPrivate);
    let others = changed(&sent.pushed_to(1), |parts| parts.recipient_keys = vec![PublicKey::from([9; 32])]);
    assert_eq!(sent.merge(&sent.pushed_to(0), others), Ok(Merged::Unchanged));
}

#[test]
fn a_stored_box_that_does_not_open_gives_way_to_one_that_does() {
    for mode in [PrivacyMode::StandardPrivate, PrivacyMode::PrivateStateValidation] {
        let sent = sent(mode);
        let forged = changed(&sent.pushed_to(0), |parts| parts.recipient_boxes = vec![vec![0; 48].into()]);
        let repaired = stored(sent.merge(&forged, sent.pushed_to(0)));
        assert_eq!(repaired, sent.pushed_to(0), "{mode:?}");
    }
}

#[test]
fn a_stored_payload_that_does_not_open_gives_way_to_one_that_does() {
    let sent = sent(PrivacyMode::StandardPrivate);
    let squatting =
        changed(&sent.pushed_to(0), |parts| parts.cipher_text_nonce = Nonce::from_bytes(&[7; 24]));
    assert_eq!(stored(sent.merge(&squatting, sent.pushed_to(0))), sent.pushed_to(0));
    // The control: of two that do not open the first stays.
    let other = changed(&sent.pushed_to(0), |parts| parts.recipient_nonce = Nonce::from_bytes(&[7; 24]));
    assert_eq!(sent.merge(&squatting, other), Err(MergeError::Differs));
}

#[test]
fn a_push_that_names_no_key_is_added_for_the_key_that_opens_it() {
    let sent = sent(PrivacyMode::StandardPrivate);
    let unnamed = changed(&sent.pushed_to(1), |parts| parts.recipient_keys.clear());
    let both = stored(sent.merge(&sent.pushed_to(0), unnamed));
    assert!(sent.reads(&both, 0) && sent.reads(&both, 1));
}

#[test]
fn with_state_validation_an_unknown_key_is_refused() {
    let sent = sent(PrivacyMode::PrivateStateValidation);
    let first = changed(&sent.pushed_to(0), |parts| parts.recipient_keys.truncate(1));
    let refused = sent.merge(&first, sent.pushed_to(1)).expect_err("unknown");
    assert_eq!(refused.to_string(), "expected recipient not found");
}

#[test]
fn a_push_without_box_is_refused() {
    let sent = sent(PrivacyMode::StandardPrivate);
    let without = changed(&sent.pushed_to(1), |parts| parts.recipient_boxes.clear());
    let refused = sent.merge(&sent.pushed_to(0), without).expect_err("no box");
    assert_eq!(refused.to_string(), "Index 0 out of bounds for length 0");
}

#[test]
fn another_transaction_is_refused() {
    let sent = sent(PrivacyMode::StandardPrivate);
    let changes: [fn(&mut PayloadParts); 7] = [
        |parts| parts.sender = PublicKey::from([101; 32]),
        |parts| parts.cipher_text = "other".into(),
        |parts| parts.privacy.mode = PrivacyMode::PartyProtection,
        |parts| {
            parts.privacy.mode = PrivacyMode::PrivateStateValidation;
            parts.privacy.exec_hash = "hash".into();
        },
        |parts| parts.cipher_text_nonce = Nonce::from_bytes(&[7; 24]),
        |parts| parts.recipient_nonce = Nonce::from_bytes(&[7; 24]),
        |parts| {
            parts.privacy.affected = [(TxHash::of(b"a"), SecurityHash::from_bytes(b"b"))].into();
        },
    ];
    for change in changes {
        let other = changed(&sent.pushed_to(1), change);
        let refused = sent.merge(&sent.pushed_to(0), other.clone()).expect_err("another transaction");
        assert_eq!(refused.to_string(), "Invalid existing transaction", "{other:?}");
    }
}

#[test]
fn wrong_security_hashes_do_not_count() {
    let sent = sent(PrivacyMode::StandardPrivate);
    let (good, bad) = (TxHash::of(b"good"), TxHash::of(b"bad"));
    let hash = |text: &[u8]| SecurityHash::from_bytes(text);
    let first = changed(&sent.pushed_to(0), |parts| {
        parts.privacy.affected = [(good, hash(b"g"))].into();
    });
    let second = changed(&sent.pushed_to(1), |parts| {
        parts.privacy.affected = [(good, hash(b"g")), (bad, hash(b"b"))].into();
    });
    let merged = stored(merge(&sent.ring, &first, second, &BTreeSet::from([bad])));
    assert_eq!(merged.privacy.affected.keys().collect::<Vec<_>>(), [&good]);
    assert!(sent.reads(&merged, 0) && sent.reads(&merged, 1));
}
