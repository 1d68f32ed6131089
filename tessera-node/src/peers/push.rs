//! Delivers one payload to the holder of one key.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tessera_enclave::EncodedPayload;
use tessera_enclave::codec::versions::ApiVersions;
use tokio::time::Instant;

use super::client::Call;
use super::directory::Holder;
use super::{Peers, versions_header};

/// All of a send, so that a client with a five-second timeout still hears why. Pushes take what is left of it.
pub(crate) const SEND_DEADLINE: Duration = Duration::from_millis(3500);

/// The peer has the payload, durably.
#[derive(Debug)]
pub(crate) struct Pushed;

/// Why a payload is not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PushError {
    /// No answer. The peer may or may not have it.
    #[error("Connection error while communicating with {0}")]
    Offline(String),
    /// An answer other than 200 or 201.
    #[error("Unable to push payload to recipient url {0}")]
    Rejected(String),
}

impl Peers {
    /// Pushes `payload`, already reduced to this recipient.
    pub(crate) async fn push(
        &self,
        holder: &Holder,
        payload: &EncodedPayload,
        deadline: Instant,
    ) -> Result<Pushed, PushError> {
        let started = Instant::now();
        let outcome = self.push_unmeasured(holder, payload, deadline).await;
        let label = match &outcome {
            Ok(Pushed) => "stored",
            Err(PushError::Offline(_)) => "offline",
            Err(PushError::Rejected(_)) => "rejected",
        };
        self.metrics.pushed(label, started.elapsed());
        outcome
    }

    async fn push_unmeasured(
        &self,
        holder: &Holder,
        payload: &EncodedPayload,
        deadline: Instant,
    ) -> Result<Pushed, PushError> {
        let url = &holder.url;
        // The receiver chooses its decoder by the header of this very request: it must agree with the body.
        let codec = holder.versions.preferred_codec();
        let versions = versions_header(&ApiVersions::ours_for(codec));
        let call = Call { path: "push", versions, body: Bytes::from(codec.encode(payload)) };
        let answer = self.client.call(url, &call, deadline).await.map_err(|error| {
            if self.note(url, false) {
                tracing::warn!(peer = %url, error = crate::telemetry::chain(&error), "a push failed: peer is offline");
            }
            PushError::Offline(url.to_string())
        })?;
        self.note(url, true);
        match answer.status {
            StatusCode::OK | StatusCode::CREATED => Ok(Pushed),
            StatusCode::INTERNAL_SERVER_ERROR if answer.repeated && is_duplicate(&answer.body) => Ok(Pushed),
            status => {
                tracing::warn!(peer = %url, %status, "a push was rejected");
                Err(PushError::Rejected(url.to_string()))
            }
        }
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
    use super::is_duplicate;

    #[test]
    fn only_a_databases_complaint_is_a_duplicate() {
        let postgres =
            b"ERROR: duplicate key value violates unique constraint \"encrypted_transaction_pkey\"";
        assert!(is_duplicate(postgres));
        assert!(is_duplicate(b"Unique index or primary key violation: \"PUBLIC.PRIMARY_KEY_4\""));
        assert!(!is_duplicate(b"Invalid existing transaction"));
    }
}
