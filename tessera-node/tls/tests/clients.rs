//! The connecting side: whom it accepts as a server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may panic as tests do")]

mod common;

use std::io;

use common::{Ca, DOMAIN, Issued, Wish, fixed, identity, meet, node, wish};
use tessera_node_api::identity::Identity;
use tessera_tls::{AllowedPeers, ClientTls, ConnectError, Peer, Refusal, ServerTls};
use tokio::net::TcpStream;

const PEER: &str = "spiffe://org-a.example/node/node-b";
const OPERATOR: &str = "spiffe://org-a.example/operator/tessera-operator";

/// A server that shows `shown` and serves any `client`, so that only the client's judgement decides.
async fn connect(
    client: &ClientTls,
    host: &str,
    shown: &Issued,
    serves: AllowedPeers,
) -> Result<Peer, ConnectError> {
    let who = tessera_tls::Leaf::parse(&shown.der()).unwrap().identity().unwrap();
    let listener = ServerTls::new(fixed(shown, &who), serves);
    let mut judged = None;
    let (_, _) = meet(&listener, async |stream: TcpStream| match client.connect(host, stream).await {
        Ok(connection) => {
            judged = Some(Ok(connection.peer));
            Ok(connection.stream)
        }
        Err(error) => {
            judged = Some(Err(error));
            Err(io::Error::other("refused"))
        }
    })
    .await;
    judged.expect("the client has judged")
}

fn p2p(ca: &Ca) -> ClientTls {
    let credentials = fixed(&ca.issue(&wish("spiffe://org-a.example/node/node-a")), &node("node-a"));
    ClientTls::new(credentials, AllowedPeers::nodes(DOMAIN))
}

fn refusal(result: Result<Peer, ConnectError>) -> Refusal {
    match result {
        Err(ConnectError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_peer_needs_chain_name_and_role() {
    let (network, stranger) = (Ca::new("network"), Ca::new("stranger"));
    let client = p2p(&network);
    let nodes = || AllowedPeers::nodes(DOMAIN);

    let peer = connect(&client, "localhost", &network.issue(&wish(PEER)), nodes()).await.unwrap();
    assert_eq!(peer.identity, identity(PEER));

    let elsewhere = Wish { names: vec!["elsewhere.example".into()], ..wish(PEER) };
    let found = refusal(connect(&client, "localhost", &network.issue(&elsewhere), nodes()).await);
    assert_eq!(found, Refusal::WrongName("localhost".into()));

    let not_a_node = "spiffe://org-a.example/client/node-a.quorum";
    let found = refusal(connect(&client, "localhost", &network.issue(&wish(not_a_node)), nodes()).await);
    assert_eq!(found.reason(), "Role");

    let found = refusal(connect(&client, "localhost", &stranger.issue(&wish(PEER)), nodes()).await);
    assert_eq!(found.reason(), "UnknownIssuer");
}

#[tokio::test]
async fn the_operator_dials_an_address_and_wants_one_identity() {
    let admin = Ca::new("admin");
    let operator = Identity::operator(DOMAIN).unwrap();
    let wants = |name| {
        ClientTls::new(fixed(&admin.issue(&wish(OPERATOR)), &operator), AllowedPeers::Exactly(node(name)))
    };
    let shown = admin.issue(&wish(PEER));
    let serves = || AllowedPeers::Exactly(operator.clone());

    let peer = connect(&wants("node-b"), "127.0.0.1", &shown, serves()).await.unwrap();
    assert_eq!(peer.identity, node("node-b"));

    let found = refusal(connect(&wants("node-c"), "127.0.0.1", &shown, serves()).await);
    assert_eq!(found, Refusal::NotExpected { found: node("node-b"), expected: node("node-c") });
}

#[tokio::test]
async fn a_ledger_wants_one_node_under_the_name_that_it_dials() {
    let network = Ca::new("network");
    let ledger = Identity::client(DOMAIN, "node-b", "quorum").unwrap();
    let wants = |name| {
        let shown = network.issue(&wish(&ledger.to_string()));
        ClientTls::new(fixed(&shown, &ledger), AllowedPeers::Named(node(name)))
    };
    let serves = || AllowedPeers::fixed_clients([ledger.clone()].into());
    let shown = network.issue(&wish(PEER));

    let peer = connect(&wants("node-b"), "localhost", &shown, serves()).await.unwrap();
    assert_eq!(peer.identity, node("node-b"));

    let found = refusal(connect(&wants("node-c"), "localhost", &shown, serves()).await);
    assert_eq!(found, Refusal::NotExpected { found: node("node-b"), expected: node("node-c") });

    let elsewhere = Wish { names: vec!["elsewhere.example".into()], ..wish(PEER) };
    let found = refusal(connect(&wants("node-b"), "localhost", &network.issue(&elsewhere), serves()).await);
    assert_eq!(found, Refusal::WrongName("localhost".into()));
}
