//! Several nodes on one database, with the same keys: what one keeps, the other reads, and no box is lost between them.

use bytes::Bytes;
use serde_json::json;
use tessera_enclave::keyring::DefaultKey;
use tessera_enclave::seal::SealRequest;
use tessera_enclave::{
    EncodedPayload, KeyPair, KeyRing, PayloadCodec, PrivacyMetadata, PublicKey, SealBuffer, base64, seal,
};

use crate::is_ready;
use crate::support::client::Answer;
use crate::support::postgres::{Server, keep_in};
use crate::support::{Net, Spec};

const PAYLOADS: usize = 40;

/// A payload of a stranger for all of `recipients`.
fn sealed(recipients: &[PublicKey], message: &[u8]) -> EncodedPayload {
    let pair = KeyPair::generate().unwrap();
    let sender = *pair.public();
    let ring = KeyRing::new([pair.into()], &DefaultKey::Named(sender)).unwrap();
    let request =
        SealRequest { sender, recipients: recipients.to_vec(), privacy: PrivacyMetadata::default() };
    seal::seal(&ring, SealBuffer::from(message), request).unwrap()
}

async fn push(node: &Spec, body: Vec<u8>) -> Answer {
    let headers = [
        ("content-type", "application/octet-stream"),
        ("tesseraSupportedApiVersions", "2.1,3.0,4.0,5.0,v1,v2"),
    ];
    node.peer_client(node).request("POST", "/push", &headers, Bytes::from(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn boxes_that_arrive_at_two_replicas_at_once_are_all_kept() {
    let server = Server::start();
    server.create_database("shared");
    let pairs: Vec<_> = (0..4).map(|_| KeyPair::generate().unwrap()).collect();
    let key_data: Vec<_> = pairs
        .iter()
        .map(|pair| {
            json!({
                "publicKey": pair.public().to_string(),
                "privateKey": base64::encode(pair.private().expose()),
            })
        })
        .collect();
    let mut net = Net::with(&["a", "c"], |config| config["keys"]["keyData"] = json!(key_data));
    for node in &mut net.nodes {
        keep_in(node, &server, "shared");
    }
    let _running: Vec<_> = net.nodes.iter().map(Spec::start).collect();
    for node in &net.nodes {
        is_ready(node).await;
    }
    let (a, c) = (net.node("a"), net.node("c"));
    let keys: Vec<PublicKey> = pairs.iter().map(|pair| *pair.public()).collect();
    for number in 0..PAYLOADS {
        let message = number.to_be_bytes();
        let payload = sealed(&keys, &message);
        let parts = keys.iter().map(|key| PayloadCodec::Cbor.encode(&payload.for_recipient(key).unwrap()));
        // Each key's part to another replica than its neighbour's, all at once.
        let pushes = parts.zip([a, c].into_iter().cycle()).map(|(part, node)| push(node, part));
        for answer in futures::future::join_all(pushes).await {
            assert_eq!(answer.status, 201, "{}", answer.text());
        }
        let hash = payload.hash().to_string();
        for node in [a, c] {
            let path = format!("/transaction/{}", crate::support::client::segment(&hash));
            let headers = [("accept", "application/vnd.tessera-2.1+json")];
            let read = node.client().request("GET", &path, &headers, "").await;
            assert_eq!(read.status, 200, "{}", read.text());
            let managed = read.json()["managedParties"].as_array().unwrap().len();
            assert_eq!(managed, keys.len(), "payload {number} at {}", node.name);
        }
    }
    assert_eq!(server.psql("shared", "SELECT count(*) FROM encrypted_transaction"), PAYLOADS.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_at_once_are_one_store() {
    let server = Server::start();
    server.create_database("shared");
    let mut net = Net::new(&["a", "b", "c", "d"]);
    for node in &mut net.nodes {
        keep_in(node, &server, "shared");
    }
    let _running: Vec<_> = net.nodes.iter().map(Spec::start).collect();
    let mut ids = std::collections::BTreeSet::new();
    for node in &net.nodes {
        is_ready(node).await;
        let status = node.operator_client().get("/v1/status").await.json();
        ids.insert(status["payloadStore"]["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(
        ids.into_iter().collect::<Vec<_>>(),
        [server.psql("shared", "SELECT id FROM tessera_node_store")]
    );
}
