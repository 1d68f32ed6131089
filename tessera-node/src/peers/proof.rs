//! Asks a node to prove that it holds a key: only the holder can open a payload that is sealed for it.

use bytes::Bytes;
use futures::{StreamExt, stream};
use tessera_enclave::codec::versions::ApiVersions;
use tessera_enclave::seal::SealRequest;
use tessera_enclave::{EncodedPayload, KeyRing, PayloadCodec, PrivacyMetadata, PublicKey, SealBuffer, seal};
use tokio::time::Instant;

use super::client::{ANSWER_BYTES, Call};
use super::directory::Peer;
use super::endpoint::Resource;
use super::registry::{Claim, PROOFS_AT_ONCE};
use super::{Peers, challenge, versions_header};

/// Challenges to one node at one time.
const AT_ONCE: usize = 4;

impl Peers {
    /// Asks for each key, and publishes those that are proven.
    pub(super) async fn prove(&self, ring: &KeyRing, claim: Claim) {
        let proven = self.ask(ring, &claim.peer, claim.keys).await;
        if !proven.is_empty() {
            self.change(|registry| registry.proven(&claim.peer, proven));
        }
    }

    /// The keys that the node proves. At most [`PROOFS_AT_ONCE`] are asked for; the rest of a longer list comes again with
    /// the next announcement. A node that leaves one challenge without an answer is asked no more: its silence would keep
    /// the proofs of others waiting.
    pub(super) async fn ask(&self, ring: &KeyRing, peer: &Peer, keys: Vec<PublicKey>) -> Vec<PublicKey> {
        // Never closed.
        let _permit = self.proofs.acquire().await;
        // One for all keys: a node that stalls must not keep others from proving theirs.
        let deadline = self.call_deadline();
        let asked = keys.len();
        // Collected, since the compiler cannot tell that a lazy iterator of them may be sent.
        let challenges: Vec<_> = keys
            .into_iter()
            .take(PROOFS_AT_ONCE)
            .map(|key| async move {
                self.holds_key(ring, peer, &key, deadline).await.map(|holds| holds.then_some(key))
            })
            .collect();
        let mut answers = stream::iter(challenges).buffer_unordered(AT_ONCE);
        let mut proven = Vec::new();
        while let Some(Some(answer)) = answers.next().await {
            proven.extend(answer);
        }
        if proven.len() < asked && self.may_log(&peer.identity) {
            let missing = asked - proven.len();
            tracing::warn!(peer = %peer.identity, missing, "a node did not prove keys that it announced");
        }
        proven
    }

    /// Nothing when the node does not answer.
    async fn holds_key(
        &self,
        ring: &KeyRing,
        peer: &Peer,
        key: &PublicKey,
        deadline: Instant,
    ) -> Option<bool> {
        let secret = challenge::for_node(&peer.identity).to_string();
        let Some(payload) = sealed(ring, &secret, key) else { return Some(false) };
        let call = Call {
            resource: Resource::Validate,
            versions: versions_header(&ApiVersions::ours()),
            body: Bytes::from(PayloadCodec::Legacy.encode(&payload)),
            largest_answer: ANSWER_BYTES,
        };
        // As Java: the body decides, not the status.
        let answer = self.client.call(&peer.endpoint, Some(&peer.identity), &call, deadline).await;
        answer.ok().map(|answer| answer.body == secret.as_bytes())
    }
}

fn sealed(ring: &KeyRing, secret: &str, key: &PublicKey) -> Option<EncodedPayload> {
    let request = SealRequest {
        sender: *ring.default_key(),
        recipients: vec![*key],
        privacy: PrivacyMetadata::default(),
    };
    seal::seal(ring, SealBuffer::from(secret.as_bytes()), request).ok()
}
