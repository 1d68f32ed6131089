//! Asks a peer to prove that it holds a key (`features.enableRemoteKeyValidation`): only the holder can open a payload
//! that is sealed for it.

use bytes::Bytes;
use tessera_enclave::codec::versions::ApiVersions;
use tessera_enclave::seal::SealRequest;
use tessera_enclave::{EncodedPayload, KeyRing, PayloadCodec, PrivacyMetadata, PublicKey, SealBuffer, seal};

use super::client::Call;
use super::{NodeUrl, Peers, versions_header};

impl Peers {
    /// Whether the node at `url` can open what is sealed for `key`.
    pub(crate) async fn holds_key(&self, ring: &KeyRing, url: &NodeUrl, key: &PublicKey) -> bool {
        let secret = uuid::Uuid::new_v4().to_string();
        let Some(payload) = sealed(ring, &secret, key) else { return false };
        let call = Call {
            path: "partyinfo/validate",
            versions: versions_header(&ApiVersions::ours()),
            body: Bytes::from(PayloadCodec::Legacy.encode(&payload)),
        };
        // As Java: the body decides, not the status.
        self.client
            .call(url, &call, self.call_deadline())
            .await
            .is_ok_and(|answer| answer.body == secret.as_bytes())
    }
}

fn sealed(ring: &KeyRing, secret: &str, key: &PublicKey) -> Option<EncodedPayload> {
    let request = SealRequest {
        sender: ring.default_key().clone(),
        recipients: vec![key.clone()],
        privacy: PrivacyMetadata::default(),
        affected: Vec::new(),
    };
    seal::seal(ring, SealBuffer::from(secret.as_bytes()), request).ok()
}
