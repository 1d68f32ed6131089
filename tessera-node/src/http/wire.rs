//! Answers as JSON, with Java's members in Java's order. A ledger node's parser refuses a member that it does not know, so
//! nothing is ever added.

use bytes::Bytes;
use serde::Serialize;
use tessera_enclave::{PublicKey, TxHash, base64};

use super::media::Media;
use super::reply::{Hold, ReplyBody};
use crate::transaction::{Received, Sent};

/// The answer to a send.
pub(crate) fn sent(media: Media, sent: &Sent) -> String {
    let vendor = media != Media::Json;
    json(&SentBody {
        key: &sent.hash,
        managed_parties: vendor.then_some(&sent.managed),
        sender_key: vendor.then_some(&sent.sender),
    })
}

/// The answer to storing a raw payload.
pub(crate) fn stored(hash: &TxHash) -> String {
    json(&SentBody { key: hash, managed_parties: None, sender_key: None })
}

/// The answer to reading a transaction. `hold` is released when the answer has been sent.
pub(crate) fn received(media: Media, received: Received, hold: Option<Hold>) -> ReplyBody {
    let vendor = media != Media::Json;
    // Everything behind the first member, which is the message.
    let rest = json(&ReceivedRest {
        affected_contract_transactions: &received.affected,
        exec_hash: &received.exec_hash,
        managed_parties: vendor.then_some(&received.managed),
        privacy_flag: received.flag,
        privacy_group_id: received.privacy_group_id.as_ref().map(|id| base64::encode(id)),
        sender_key: vendor.then_some(&received.sender),
    });
    let rest = rest.replacen('{', "\",", 1);
    ReplyBody::base64(Bytes::from_static(br#"{"payload":""#), received.message, rest.into(), hold)
}

/// A list of keys as text.
pub(crate) fn keys(keys: &[PublicKey]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SentBody<'a> {
    key: &'a TxHash,
    #[serde(skip_serializing_if = "Option::is_none")]
    managed_parties: Option<&'a Vec<PublicKey>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_key: Option<&'a PublicKey>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReceivedRest<'a> {
    affected_contract_transactions: &'a [TxHash],
    exec_hash: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    managed_parties: Option<&'a Vec<PublicKey>>,
    privacy_flag: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    privacy_group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_key: Option<&'a PublicKey>,
}

fn json(body: &impl Serialize) -> String {
    serde_json::to_string(body).expect("strings, numbers and lists of them are always JSON")
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use http_body_util::BodyExt;

    use super::*;

    fn text(media: Media, answer: Received) -> String {
        let body = received(media, answer, None).collect().now_or_never().unwrap().unwrap();
        String::from_utf8(body.to_bytes().to_vec()).unwrap()
    }

    fn key() -> PublicKey {
        PublicKey::from([1; 32])
    }

    #[test]
    fn the_plain_shape_has_no_more_members_than_a_ledger_node_knows() {
        let answer = || Received {
            message: b"hi".to_vec(),
            flag: 0,
            affected: Vec::new(),
            exec_hash: String::new(),
            privacy_group_id: None,
            managed: vec![key()],
            sender: key(),
        };
        assert_eq!(
            text(Media::Json, answer()),
            r#"{"payload":"aGk=","affectedContractTransactions":[],"execHash":"","privacyFlag":0}"#
        );
        let key = key();
        assert_eq!(
            text(Media::V21, answer()),
            format!(
                r#"{{"payload":"aGk=","affectedContractTransactions":[],"execHash":"","managedParties":["{key}"],"privacyFlag":0,"senderKey":"{key}"}}"#
            )
        );
    }

    #[test]
    fn a_send_is_answered_in_javas_order() {
        let answer =
            Sent { hash: TxHash::from_bytes(b"h").expect("short"), sender: key(), managed: Vec::new() };
        assert_eq!(sent(Media::Json, &answer), r#"{"key":"aA=="}"#);
        let expected = format!(r#"{{"key":"aA==","managedParties":[],"senderKey":"{}"}}"#, key());
        assert_eq!(sent(Media::V40, &answer), expected);
    }
}
