//! Delivers one payload to the holder of one key.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use tessera_enclave::TxHash;
use tokio::time::Instant;

use super::Peers;
use super::client::{ANSWER_BYTES, Answer, Call};
use super::directory::Peer;
use super::endpoint::Resource;

/// Why a payload is not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PushError {
    /// No answer. The peer may or may not have it.
    #[error("Connection error while communicating with {0}")]
    Offline(String),
    /// An answer other than 200 or 201, or for another payload.
    #[error("Unable to push payload to recipient url {0}")]
    Rejected(String),
}

impl Peers {
    /// Pushes an encoded payload, already reduced to this recipient. Ok: the peer has it, durably.
    pub(crate) async fn push(
        &self,
        peer: &Arc<Peer>,
        body: Bytes,
        hash: &TxHash,
        deadline: Instant,
    ) -> Result<(), PushError> {
        let started = Instant::now();
        let outcome = self.push_unmeasured(peer, body, hash, deadline).await;
        let label = match &outcome {
            Ok(()) => "stored",
            Err(PushError::Offline(_)) => "offline",
            Err(PushError::Rejected(_)) => "rejected",
        };
        self.metrics.pushed(label, started.elapsed());
        outcome
    }

    async fn push_unmeasured(
        &self,
        peer: &Arc<Peer>,
        body: Bytes,
        hash: &TxHash,
        deadline: Instant,
    ) -> Result<(), PushError> {
        let url = peer.url();
        let call = Call {
            resource: Resource::Push,
            versions: peer.push_header.clone(),
            body,
            largest_answer: ANSWER_BYTES,
        };
        let answer = self.client.call(&peer.endpoint, Some(&peer.identity), &call, deadline).await;
        let answer = answer.map_err(|error| {
            if peer.set_up(false) && self.may_log(&peer.identity) {
                tracing::warn!(
                    peer = url.authority(),
                    error = crate::telemetry::chain(&error),
                    "a push failed: peer is offline"
                );
            }
            PushError::Offline(url.to_string())
        })?;
        peer.set_up(true);
        if is_stored(&answer, hash) {
            return Ok(());
        }
        if self.may_log(&peer.identity) {
            tracing::warn!(peer = url.authority(), status = %answer.status, "a push was rejected");
        }
        Err(PushError::Rejected(url.to_string()))
    }
}

/// A peer that stored the payload answers with its hash.
fn is_stored(answer: &Answer, hash: &TxHash) -> bool {
    match answer.status {
        StatusCode::OK | StatusCode::CREATED => answer.body.trim_ascii() == hash.to_string().as_bytes(),
        StatusCode::INTERNAL_SERVER_ERROR => answer.repeated && is_duplicate(&answer.body),
        _ => false,
    }
}

/// Old nodes answer a repeated push with their database's complaint. It means "stored" only for our own second copy of
/// the same bytes.
fn is_duplicate(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body).to_lowercase();
    ["unique constraint", "unique index or primary key", "duplicate key", "unique violation"]
        .iter()
        .any(|complaint| text.contains(complaint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_databases_complaint_is_a_duplicate() {
        let postgres =
            b"ERROR: duplicate key value violates unique constraint \"encrypted_transaction_pkey\"";
        assert!(is_duplicate(postgres));
        assert!(is_duplicate(b"Unique index or primary key violation: \"PUBLIC.PRIMARY_KEY_4\""));
        assert!(!is_duplicate(b"Invalid existing transaction"));
    }

    #[test]
    fn only_an_answer_for_this_payload_means_stored() {
        let hash = TxHash::of(b"text");
        let stored = |status, body: &str, repeated| {
            is_stored(&Answer { status, body: body.to_owned().into(), repeated }, &hash)
        };
        assert!(stored(StatusCode::CREATED, &hash.to_string(), false));
        assert!(!stored(StatusCode::CREATED, &TxHash::of(b"other").to_string(), false));
        assert!(!stored(StatusCode::CREATED, "", false));
        assert!(!stored(StatusCode::ACCEPTED, &hash.to_string(), false));
        assert!(stored(StatusCode::INTERNAL_SERVER_ERROR, "duplicate key", true));
        assert!(!stored(StatusCode::INTERNAL_SERVER_ERROR, "duplicate key", false));
    }
}
