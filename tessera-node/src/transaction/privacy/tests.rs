use tessera_enclave::PayloadParts;

use super::*;

fn key(byte: u8) -> PublicKey {
    PublicKey::from([byte; 32])
}

fn keys(bytes: &[u8]) -> Vec<PublicKey> {
    bytes.iter().map(|byte| key(*byte)).collect()
}

fn hash() -> TxHash {
    TxHash::of(b"affected")
}

fn payload(mode: PrivacyMode, recipients: &[u8], affected: &[TxHash]) -> EncodedPayload {
    let validates = mode == PrivacyMode::PrivateStateValidation;
    EncodedPayload::new(PayloadParts {
        sender: key(1),
        recipient_keys: keys(recipients),
        privacy: PrivacyMetadata {
            mode,
            affected: affected
                .iter()
                .map(|hash| (*hash, tessera_enclave::SecurityHash::from_bytes(b"claim")))
                .collect(),
            exec_hash: if validates { Bytes::from_static(b"root") } else { Bytes::new() },
            mandatory_recipients: if mode == PrivacyMode::MandatoryRecipients {
                [key(1)].into()
            } else {
                BTreeSet::new()
            },
            privacy_group_id: None,
        },
        ..PayloadParts::default()
    })
    .unwrap()
}

fn request(mode: PrivacyMode, affected: &[TxHash]) -> PrivacyRequest {
    PrivacyRequest { mode, affected: affected.iter().copied().collect(), ..PrivacyRequest::default() }
}

fn known(mode: PrivacyMode, recipients: &[u8]) -> Known {
    Known::from([(hash(), Affected::of(&payload(mode, recipients, &[])))])
}

#[test]
fn a_send_is_refused_by_the_first_rule_that_it_breaks() {
    use PrivacyMode::{MandatoryRecipients, PartyProtection, PrivateStateValidation, StandardPrivate};
    let recipients = keys(&[1, 2]);
    let check =
        |request: &PrivacyRequest, known: &Known, enabled| check_send(request, known, &recipients, enabled);
    let refused = |result: Result<(), Error>| match result.unwrap_err() {
        Error::Refused(refusal) => refusal,
        other => panic!("{other}"),
    };

    assert!(check(&request(StandardPrivate, &[]), &Known::new(), false).is_ok());
    let unknown = check(&request(StandardPrivate, &[hash()]), &Known::new(), true);
    assert_eq!(refused(unknown), Refusal::AffectedUnknown(hash()));
    let disabled = check(&request(PartyProtection, &[]), &Known::new(), false);
    assert_eq!(refused(disabled), Refusal::Disabled);
    let other_mode = check(&request(StandardPrivate, &[hash()]), &known(PartyProtection, &[1, 2]), true);
    assert_eq!(refused(other_mode), Refusal::Metadata(hash()));
    let fewer =
        check(&request(PrivateStateValidation, &[hash()]), &known(PrivateStateValidation, &[1, 2, 3]), true);
    assert_eq!(refused(fewer), Refusal::Recipients(hash()));
    let mandatory =
        PrivacyRequest { mandatory_recipients: [key(9)].into(), ..request(MandatoryRecipients, &[]) };
    assert_eq!(refused(check(&mandatory, &Known::new(), true)), Refusal::MandatoryMissing);
    assert!(matches!(check(&request(MandatoryRecipients, &[]), &Known::new(), true), Err(Error::Payload(_))));
}

#[test]
fn a_push_is_taken_ignored_or_refused() {
    use PrivacyMode::{PartyProtection, PrivateStateValidation, StandardPrivate};
    let affects = |mode, recipients: &[u8]| payload(mode, recipients, &[hash()]);

    assert_eq!(check_mode(StandardPrivate, false), Ok(()));
    assert_eq!(check_mode(PartyProtection, false), Err(Refusal::Disabled));
    assert_eq!(check_push(&affects(StandardPrivate, &[2]), &Known::new()), Ok(PushDecision::Accept));
    let other_mode = check_push(&affects(PartyProtection, &[2]), &known(StandardPrivate, &[2]));
    assert!(matches!(other_mode, Ok(PushDecision::Ignore(_))));
    let early = check_push(&affects(PrivateStateValidation, &[1, 2]), &Known::new());
    assert!(matches!(early, Ok(PushDecision::Ignore(_))));
    let foreign =
        check_push(&affects(PrivateStateValidation, &[1, 2]), &known(PrivateStateValidation, &[2, 3]));
    assert!(matches!(foreign, Ok(PushDecision::Ignore(_))));
    let more =
        check_push(&affects(PrivateStateValidation, &[1, 2, 3]), &known(PrivateStateValidation, &[1, 2]));
    assert_eq!(more, Err(Refusal::Recipients(hash())));
    let same = check_push(&affects(PrivateStateValidation, &[2, 1]), &known(PrivateStateValidation, &[1, 2]));
    assert_eq!(same, Ok(PushDecision::Accept));
}
