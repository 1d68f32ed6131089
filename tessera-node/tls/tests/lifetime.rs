//! A connection is closed when its peer would be refused, and at the end of the peer's certificate.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may panic as tests do")]

mod common;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use common::{Ca, DEADLINE, Issued, ServerConnection, Wish, any_client, identity, meet_any, node, wish};
use jiff::{SignedDuration, Timestamp};
use tessera_node_api::identity::Identity;
use tessera_tls::{AllowedPeers, CloseReason, CredentialsPublisher, Refusal, ServerTls, Usage};
use tokio::sync::watch;

const CLIENT: &str = "spiffe://org-a.example/client/node-a.quorum-a";
const NODE: &str = "spiffe://org-a.example/node/node-a";
/// What is promised.
const PROMISE: Duration = Duration::from_secs(5);

struct Server {
    tls: ServerTls,
    publisher: CredentialsPublisher,
    list: watch::Sender<Arc<HashSet<Identity>>>,
}

fn server(ca: &Ca) -> Server {
    let (publisher, receiver) =
        CredentialsPublisher::new(ca.issue(&wish(NODE)).credentials(&node("node-a"), Usage::Both));
    let (list, listed) = watch::channel(Arc::new(HashSet::from([identity(CLIENT)])));
    Server { tls: ServerTls::new(receiver, AllowedPeers::Clients(listed)), publisher, list }
}

async fn connected(server: &Server, ca: &Ca, wish: &Wish) -> ServerConnection {
    let (accepted, client) = meet_any(&server.tls, any_client(Some(&ca.issue(wish)), ca)).await;
    client.expect("served");
    accepted.expect("served")
}

async fn closed_within_promise(connection: ServerConnection, change: impl FnOnce()) -> CloseReason {
    let mut guard = Box::pin(connection.guard.closed());
    // Positive control: with nothing changed the connection stays open.
    tokio::time::timeout(Duration::from_millis(300), &mut guard).await.expect_err("closed without a reason");
    change();
    tokio::time::timeout(PROMISE, guard).await.expect("still open after the promised time")
}

#[tokio::test]
async fn a_client_that_leaves_the_list_is_closed() {
    let ca = Ca::new("network");
    let server = server(&ca);
    let connection = connected(&server, &ca, &wish(CLIENT)).await;
    let reason = closed_within_promise(connection, || {
        server.list.send_replace(Arc::default());
    })
    .await;
    assert_eq!(reason, CloseReason::TrustLost(Refusal::NotListed(identity(CLIENT))));
}

#[tokio::test]
async fn a_dropped_root_closes_and_an_added_root_does_not() {
    let (old, new) = (Ca::new("old"), Ca::new("new"));
    let server = server(&old);
    let connection = connected(&server, &old, &wish(CLIENT)).await;
    assert_eq!(server.tls.trust().verifications(), 1, "once in the handshake");
    let both = Issued { roots: format!("{}{}", old.pem, new.pem), ..old.issue(&wish(NODE)) };
    server.publisher.publish(both.credentials(&node("node-a"), Usage::Both));
    let reason = closed_within_promise(connection, || {
        server.publisher.publish(new.issue(&wish(NODE)).credentials(&node("node-a"), Usage::Both));
    })
    .await;
    assert_eq!(reason, CloseReason::TrustLost(Refusal::Chain(tessera_tls::ChainProblem::UnknownIssuer)));
    // Nothing but the two changes was judged.
    assert_eq!(server.tls.trust().verifications(), 3);
}

#[tokio::test]
async fn the_end_of_the_peers_certificate_closes() {
    let ca = Ca::new("network");
    let server = server(&ca);
    let short = Wish { until: SignedDuration::from_secs(6), ..wish(CLIENT) };
    let connection = connected(&server, &ca, &short).await;
    let not_after = connection.guard.not_after();
    let reason = tokio::time::timeout(DEADLINE, connection.guard.closed()).await.expect("still open");
    assert_eq!(reason, CloseReason::Expired);
    let late = Timestamp::now().duration_since(not_after);
    assert!(late > SignedDuration::ZERO, "closed before the end");
    assert!(late < SignedDuration::try_from(PROMISE).unwrap(), "closed {late} after the end");
}

#[tokio::test]
async fn a_listener_shows_its_new_certificate_to_the_next_connection() {
    let ca = Ca::new("network");
    let server = server(&ca);
    connected(&server, &ca, &wish(CLIENT)).await;
    let renewed = ca.issue(&wish(NODE));
    server.publisher.publish(renewed.credentials(&node("node-a"), Usage::Both));
    let (_, client) = meet_any(&server.tls, any_client(Some(&ca.issue(&wish(CLIENT))), &ca)).await;
    let client = client.expect("served");
    let shown = client.get_ref().1.peer_certificates().unwrap();
    assert_eq!(shown[0], renewed.der());
}
