//! Asks a node for a payload that is damaged here.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use serde_json::json;
use tessera_enclave::codec::versions::ApiVersions;
use tessera_enclave::{PayloadCodec, PublicKey, TxHash};
use tokio::time::Instant;

use super::client::Call;
use super::directory::Peer;
use super::endpoint::Resource;
use super::{Peers, versions_header};

/// Bytes of a refusal that are shown.
const REFUSAL_BYTES: usize = 200;

/// Why a node gave no payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResendError {
    /// No answer, or one that is not read to its end.
    #[error("did not answer: {0}")]
    Offline(String),
    /// It has no such payload for the key, or cannot read or send it now: a node answers both with the same words.
    #[error("has no such payload for the key, or cannot give it now")]
    Unknown,
    /// It knows no such resource, or does not want to answer.
    #[error("refused: {0} {1}")]
    Refused(StatusCode, String),
}

impl Peers {
    /// Asks `peer` for the part of a payload that is for `key`, one of ours. What it answers is not checked here; an answer of more
    /// than `largest` bytes is none.
    pub(crate) async fn resend(
        &self,
        peer: &Arc<Peer>,
        key: &PublicKey,
        hash: &TxHash,
        largest: usize,
        deadline: Instant,
    ) -> Result<Bytes, ResendError> {
        let body = json!({"type": "INDIVIDUAL", "publicKey": key.to_string(), "key": hash.to_string()});
        let call = Call {
            resource: Resource::Resend,
            // The answer is in this format whatever the header says.
            versions: versions_header(&ApiVersions::ours_for(PayloadCodec::Legacy)),
            body: body.to_string().into(),
            largest_answer: largest,
        };
        let answer = self.client.call(&peer.endpoint, Some(&peer.identity), &call, deadline).await;
        let answer = answer.map_err(|error| ResendError::Offline(crate::telemetry::chain(&error)))?;
        match answer.status {
            StatusCode::OK => Ok(answer.body),
            StatusCode::NOT_FOUND => Err(ResendError::Unknown),
            status => Err(ResendError::Refused(status, one_line(&answer.body))),
        }
    }
}

/// The start of a peer's text in printable ASCII: nothing in it pretends to be another line, or changes a terminal.
fn one_line(body: &[u8]) -> String {
    body.iter().take(REFUSAL_BYTES).map(|byte| char::from(*byte)).map(printable).collect()
}

/// The character, or a space for one that is not printable ASCII.
pub(crate) fn printable(character: char) -> char {
    if character == ' ' || character.is_ascii_graphic() { character } else { ' ' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_one_short_line() {
        assert_eq!(one_line(b"no\r\n0 repaired"), "no  0 repaired");
        assert_eq!(one_line(&[b'x'; 1000]).len(), REFUSAL_BYTES);
        assert_eq!(one_line("a\u{1b}[2J\u{202e}b\u{e9}".as_bytes()), "a [2J   b  ");
    }
}
