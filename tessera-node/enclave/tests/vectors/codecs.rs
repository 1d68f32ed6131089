//! Payload encodings, party lists, the version header.

use bytes::Bytes;
use serde_json::Value;
use tessera_enclave::codec::DecodeError;
use tessera_enclave::codec::party_info::PartyInfo;
use tessera_enclave::codec::versions::ApiVersions;
use tessera_enclave::{
    EncodedPayload, Nonce, PayloadCodec, PayloadParts, PrivacyMetadata, PrivacyMode, PublicKey, SecurityHash,
    TxHash,
};

use crate::{hex, key, list, text, vectors};

/// A member that is a text, or the hexadecimal of one.
type Read = fn(&Value) -> Bytes;

fn utf8(value: &Value) -> Bytes {
    text(value).to_owned().into()
}

fn affected(value: &Value, read: Read) -> (TxHash, SecurityHash) {
    let hash = TxHash::from_bytes(&read(&value[0])).expect("short");
    (hash, SecurityHash::from_bytes(&read(&value[1])))
}

fn keys(value: &Value, read: Read) -> Vec<PublicKey> {
    list(value).map(|key| PublicKey::from_bytes(&read(key)).expect("short")).collect()
}

fn mode(entry: &Value) -> PrivacyMode {
    PrivacyMode::from_flag(entry["privacyMode"].as_u64().expect("a flag"))
}

/// The payload of an entry of `legacy_payload_decode`.
fn expected(entry: &Value) -> EncodedPayload {
    let parts = PayloadParts {
        sender: PublicKey::from_bytes(&hex(&entry["senderKey_hex"])).expect("short"),
        cipher_text: hex(&entry["cipherText_hex"]),
        cipher_text_nonce: Nonce::from_bytes(&hex(&entry["cipherTextNonce_hex"])),
        recipient_boxes: list(&entry["recipientBoxes_hex"]).map(hex).collect(),
        recipient_nonce: Nonce::from_bytes(&hex(&entry["recipientNonce_hex"])),
        recipient_keys: keys(&entry["recipientKeys_hex"], hex),
        privacy: PrivacyMetadata {
            mode: mode(entry),
            affected: list(&entry["affected"]).map(|pair| affected(pair, hex)).collect(),
            exec_hash: utf8(&entry["execHash_utf8"]),
            ..PrivacyMetadata::default()
        },
    };
    EncodedPayload::new(parts).expect("consistent")
}

/// The payload of an entry of `payload_encodings_computed`.
fn inputs(entry: &Value) -> EncodedPayload {
    let parts = PayloadParts {
        sender: PublicKey::from_bytes(&utf8(&entry["senderKey"])).expect("short"),
        cipher_text: utf8(&entry["cipherText"]),
        cipher_text_nonce: Nonce::from_bytes(&utf8(&entry["cipherTextNonce"])),
        recipient_boxes: list(&entry["recipientBoxes"]).map(utf8).collect(),
        recipient_nonce: Nonce::from_bytes(&utf8(&entry["recipientNonce"])),
        recipient_keys: keys(&entry["recipientKeys"], utf8),
        privacy: PrivacyMetadata {
            mode: mode(entry),
            affected: list(&entry["affected"]).map(|pair| affected(pair, utf8)).collect(),
            exec_hash: utf8(&entry["execHash"]),
            mandatory_recipients: keys(&entry["mandatoryRecipients"], utf8).into_iter().collect(),
            privacy_group_id: Some(utf8(&entry["privacyGroupId"])).filter(|id| !id.is_empty()),
        },
    };
    EncodedPayload::new(parts).expect("consistent")
}

#[test]
fn legacy_payloads_of_every_age() {
    let vectors = vectors();
    let mut seen = 0;
    for entry in list(&vectors["legacy_payload_decode"]) {
        let bytes = hex(&entry["legacy_hex"]);
        let payload = PayloadCodec::Legacy.decode(&bytes).expect("decoded");
        assert_eq!(payload, expected(&entry["expected"]), "{}", entry["description"]);
        let again = PayloadCodec::Legacy.encode(&payload);
        assert_eq!(again == bytes, entry["reencode_is_identical"].as_bool().expect("bool"));
        let newest = PayloadCodec::Legacy.decode(&again.into()).expect("decoded");
        assert_eq!(newest, payload);
        seen += 1;
    }
    assert_eq!(seen, 9);
}

#[test]
fn computed_encodings_both_ways() {
    let vectors = vectors();
    let mut seen = 0;
    for entry in list(&vectors["payload_encodings_computed"]) {
        let payload = inputs(&entry["inputs_utf8"]);
        for (codec, member) in [(PayloadCodec::Legacy, "legacy_hex"), (PayloadCodec::Cbor, "cbor_hex")] {
            let bytes = hex(&entry[member]);
            assert_eq!(codec.encode(&payload), bytes, "{} {codec:?}", entry["description"]);
            assert_eq!(codec.decode(&bytes), Ok(payload.clone()), "{} {codec:?}", entry["description"]);
        }
        seen += 1;
    }
    assert_eq!(seen, 6);
}

#[test]
fn a_sender_that_is_no_byte_string_is_refused() {
    let vectors = vectors();
    let refused = PayloadCodec::Cbor.decode(&hex(&vectors["cbor_decode_error"]["bytes_hex"]));
    let Err(DecodeError::Cbor(_)) = refused else { panic!("{refused:?}") };
}

/// `{"sender": h'01', "cipherText": …}` with what a lenient parser must take.
fn cbor(text: &str) -> Result<EncodedPayload, DecodeError> {
    let text: String = text.split_whitespace().collect();
    PayloadCodec::Cbor.decode(&::hex::decode(text).expect("hex").into())
}

const SENDER: &str = "66 73656e646572 41 01";
const CIPHER_TEXT: &str = "6a 63697068657254657874 41 02";
const NONCE: &str = "65 6e6f6e6365 41 03";
const RECIPIENT_NONCE: &str = "6e 726563697069656e744e6f6e6365 41 04";

#[test]
fn cbor_entries_come_in_any_order_and_may_be_missing() {
    let payload = cbor(&format!("a4 {RECIPIENT_NONCE} {NONCE} {CIPHER_TEXT} {SENDER}")).expect("decoded");
    assert_eq!(payload.sender.as_bytes(), [1]);
    assert_eq!(&payload.cipher_text[..], [2]);
    assert_eq!(payload.cipher_text_nonce.as_bytes(), [3]);
    assert_eq!(payload.recipient_nonce.as_bytes(), [4]);
    assert_eq!(payload.privacy, PrivacyMetadata::default());
}

#[test]
fn cbor_without_what_every_payload_has_is_refused() {
    for missing in [SENDER, CIPHER_TEXT, NONCE, RECIPIENT_NONCE] {
        let rest =
            [SENDER, CIPHER_TEXT, NONCE, RECIPIENT_NONCE].into_iter().filter(|entry| *entry != missing);
        let refused = cbor(&format!("a3 {}", rest.collect::<String>())).expect_err("incomplete");
        assert!(refused.to_string().ends_with("is missing"), "{refused}");
    }
}

#[test]
fn cbor_indefinite_lengths_tags_and_long_numbers_are_read() {
    let text = format!(
        "d9d9f7 bf {SENDER} 6a 63697068657254657874 5f 41 02 41 05 ff
         7f 62 6e6f 63 6e6365 ff c2 41 03 {RECIPIENT_NONCE}
         6a 726563697069656e7473 9f 41 06 ff 6b 70726976616379466c6167 18 01
         68 6166666563746564 bf 64 51513d3d 41 07 ff ff"
    );
    let payload = cbor(&text).expect("decoded");
    assert_eq!(&payload.cipher_text[..], [2, 5]);
    assert_eq!(payload.cipher_text_nonce.as_bytes(), [3]);
    assert_eq!(payload.recipient_keys, [PublicKey::from_bytes(&[6]).expect("short")]);
    assert_eq!(payload.privacy.mode, PrivacyMode::PartyProtection);
    let affected = [(TxHash::from_bytes(b"A").expect("short"), SecurityHash::from_bytes(&[7]))];
    assert_eq!(payload.privacy.affected, affected.into());
}

#[test]
fn cbor_behind_an_unknown_key_is_ignored() {
    let known = format!("{SENDER} {CIPHER_TEXT} {NONCE} {RECIPIENT_NONCE}");
    let flag = "6b 70726976616379466c6167 01";
    let payload = cbor(&format!("a6 {known} 63 6e6577 00 {flag}")).expect("decoded");
    assert_eq!(payload.privacy.mode, PrivacyMode::StandardPrivate);
}

#[test]
fn cbor_flags_that_are_no_known_integer_are_standard_private() {
    let known = format!("{SENDER} {CIPHER_TEXT} {NONCE} {RECIPIENT_NONCE}");
    for flag in ["07", "20", "61 33", "80", "f6", "1b ffffffffffffffff"] {
        let payload = cbor(&format!("a5 {known} 6b 70726976616379466c6167 {flag}")).expect("decoded");
        assert_eq!(payload.privacy.mode, PrivacyMode::StandardPrivate, "{flag}");
    }
}

#[test]
fn cbor_null_and_text_are_no_byte_strings() {
    for value in ["f6", "61 33", "80"] {
        let refused = cbor(&format!("a1 66 73656e646572 {value}")).expect_err("no bytes");
        assert!(refused.to_string().starts_with("Unable to decode payload data. "), "{refused}");
    }
}

#[test]
fn cbor_lists_of_nothing_are_bounded_by_the_input() {
    let empty = "40".repeat(256);
    let refused = cbor(&format!("a1 6a 726563697069656e7473 99 0100 {empty}")).expect_err("too many");
    assert_eq!(refused.to_string(), "a list has more items than its input can mean, or than any payload has");
}

#[test]
fn a_longer_name_than_any_is_refused() {
    let (key, hash) = ([7; 32], TxHash::of(b"affected"));
    let affected = [(hash, SecurityHash::from_bytes(&[1]))].into();
    let privacy = PrivacyMetadata { affected, ..PrivacyMetadata::default() };
    let parts = PayloadParts { sender: key.into(), privacy, ..PayloadParts::default() };
    let payload = EncodedPayload::new(parts).expect("consistent");
    let refused = |codec: PayloadCodec, written: fn(&[u8]) -> Vec<u8>, name: &[u8]| {
        let longer = [name, &[7]].concat();
        let whole = stretch(&codec.encode(&payload), &written(name), &written(&longer));
        codec.decode(&whole.into()).expect_err("too long").to_string()
    };
    let text = "public key has 33 bytes: give the 32 bytes of an X25519 key";
    assert_eq!(refused(PayloadCodec::Legacy, prefixed, &key), text);
    assert_eq!(refused(PayloadCodec::Cbor, |name| cbor_item(0x58, name), &key), text);
    let text = "transaction hash has 65 bytes: the longest has 64";
    let base64 = |name: &[u8]| cbor_item(0x78, tessera_enclave::base64::encode(name).as_bytes());
    assert_eq!(refused(PayloadCodec::Legacy, prefixed, hash.as_bytes()), text);
    assert_eq!(refused(PayloadCodec::Cbor, base64, hash.as_bytes()), text);
}

/// `whole` with `longer` in the place of `name`.
fn stretch(whole: &[u8], name: &[u8], longer: &[u8]) -> Vec<u8> {
    let at = whole.windows(name.len()).position(|window| window == name).expect("the name");
    [&whole[..at], longer, &whole[at + name.len()..]].concat()
}

fn prefixed(name: &[u8]) -> Vec<u8> {
    [&(name.len() as u64).to_be_bytes()[..], name].concat()
}

fn cbor_item(head: u8, content: &[u8]) -> Vec<u8> {
    [&[head, u8::try_from(content.len()).expect("short")][..], content].concat()
}

#[test]
fn decoded_contradictions_are_refused() {
    let known = format!("{SENDER} {CIPHER_TEXT} {NONCE} {RECIPIENT_NONCE}");
    let refused = cbor(&format!("a5 {known} 6b 70726976616379466c6167 03")).expect_err("no hash");
    assert_eq!(refused.to_string(), "ExecutionHash data is invalid");
}

#[test]
fn legacy_lengths_that_cannot_be_are_refused() {
    let decode =
        |bytes: &[u8]| PayloadCodec::Legacy.decode(&Bytes::copy_from_slice(bytes)).expect_err("refused");
    assert_eq!(decode(&[]), DecodeError::Truncated { needed: 8, left: 0 });
    assert_eq!(decode(&(-1_i64).to_be_bytes()).to_string(), "Invalid length -1");
    assert_eq!(decode(&(1_i64 << 31).to_be_bytes()).to_string(), "Invalid length 2147483648");
    let refused = decode(&i64::from(i32::MAX).to_be_bytes());
    assert_eq!(refused.to_string(), "input ends early: 2147483647 bytes announced, 0 left");
}

#[test]
fn party_info() {
    let vectors = vectors();
    let recipients = |entry: &Value| -> Vec<_> {
        list(&entry["recipients"]).map(|pair| (key(&pair[0]), text(&pair[1]).to_owned())).collect()
    };
    let parties =
        |entry: &Value| -> Vec<String> { list(&entry["parties"]).map(|url| text(url).to_owned()).collect() };
    for entry in list(&vectors["party_info"]) {
        let bytes = hex(&entry["encoded_hex"]);
        let given = PartyInfo {
            url: text(&entry["url"]).to_owned(),
            recipients: recipients(entry),
            parties: parties(entry),
        };
        assert_eq!(given.encode(), bytes);

        let mut padded = bytes.to_vec();
        padded.extend_from_slice(&[0; 16]);
        let decoded = PartyInfo::decode(&padded.into()).expect("decoded");
        assert_eq!((&decoded.url, &decoded.recipients), (&given.url, &given.recipients));
        let normalised = given.parties.iter().map(|url| format!("{}/", url.trim_end_matches('/')));
        assert_eq!(decoded.parties, normalised.collect::<Vec<_>>());
    }
}

#[test]
fn nothing_is_advertised_that_is_not_served() {
    let vectors = vectors();
    let java = ApiVersions::parse([text(&vectors["headers"]["value_sent_by_current_node"])]);
    assert_eq!(java.to_string(), text(&vectors["headers"]["value_sent_by_current_node"]));
    assert_eq!(ApiVersions::ours().to_string(), "4.0,5.0,v1,v2");
}
