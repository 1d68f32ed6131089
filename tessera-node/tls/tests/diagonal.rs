//! Every kind of our certificates is presented to every kind of listener over a real connection; only the diagonal is
//! served.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{
    Ca, DOMAIN, Issued, Wish, any_client, client_of, clients, fixed, identity, meet_any, node, wish,
};
use jiff::SignedDuration;
use rcgen::ExtendedKeyUsagePurpose;
use rustls::HandshakeKind;
use rustls::version::TLS12;
use tessera_node_api::identity::{Identity, Role};
use tessera_tls::{AcceptError, AllowedPeers, ChainProblem, LeafError, Refusal, ServerTls};

const CLIENT: &str = "spiffe://org-a.example/client/node-a.quorum-a";
const OTHER_CLIENT: &str = "spiffe://org-a.example/client/node-b.quorum-b";
const MONITORING: &str = "spiffe://org-a.example/client/_monitoring.prometheus";
const OPERATOR: &str = "spiffe://org-a.example/operator/tessera-operator";
const PEER: &str = "spiffe://org-a.example/node/node-b";
const FOREIGN: &str = "spiffe://org-b.example/node/node-x";

/// One organisation, its admin CA, a stranger, and the four listeners of node-a.
struct World {
    network: Ca,
    admin: Ca,
    stranger: Ca,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listener {
    P2p,
    Q2t,
    Admin,
    Metrics,
}

const LISTENERS: [Listener; 4] = [Listener::P2p, Listener::Q2t, Listener::Admin, Listener::Metrics];

impl World {
    fn new() -> Self {
        Self { network: Ca::new("network"), admin: Ca::new("admin"), stranger: Ca::new("stranger") }
    }

    fn listener(&self, kind: Listener) -> ServerTls {
        let credentials =
            fixed(&self.server_ca(kind).issue(&wish("spiffe://org-a.example/node/node-a")), &node("node-a"));
        let allowed = match kind {
            Listener::P2p => AllowedPeers::nodes(DOMAIN),
            Listener::Q2t => clients(&[&identity(CLIENT)]),
            Listener::Admin => AllowedPeers::Exactly(Identity::operator(DOMAIN).unwrap()),
            Listener::Metrics => clients(&[&identity(MONITORING)]),
        };
        ServerTls::new(credentials, allowed)
    }

    /// The CA of the listener's own certificate, which the client must know to get as far as being judged.
    fn server_ca(&self, kind: Listener) -> &Ca {
        if kind == Listener::Admin { &self.admin } else { &self.network }
    }

    /// Presents a certificate, or none, to a listener and returns what the listener found.
    async fn present(&self, shown: Option<&Issued>, kind: Listener) -> Result<Identity, Refusal> {
        let client = any_client(shown, self.server_ca(kind));
        let (accepted, connected) = meet_any(&self.listener(kind), client).await;
        match accepted {
            Ok(connection) => {
                connected.expect("the listener serves, so the client reads");
                Ok(connection.peer.identity)
            }
            Err(AcceptError::Refused(refusal)) => {
                assert!(connected.is_err(), "a refused client must not read a byte");
                Err(refusal)
            }
            Err(other) => panic!("{kind:?}: neither served nor refused: {other:?}"),
        }
    }

    /// Presents a certificate to all four listeners; `served` is the diagonal.
    async fn expect_served_only_at(&self, what: &str, shown: &Issued, served: Option<Listener>) {
        for kind in LISTENERS {
            let found = self.present(Some(shown), kind).await;
            assert_eq!(found.is_ok(), served == Some(kind), "{what} at {kind:?}: {found:?}");
        }
    }
}

#[tokio::test]
async fn only_the_diagonal_is_served() {
    let world = World::new();
    let diagonal = [
        ("node under network CA", world.network.issue(&wish(PEER)), Some(Listener::P2p)),
        ("listed client under network CA", world.network.issue(&wish(CLIENT)), Some(Listener::Q2t)),
        ("scraper under network CA", world.network.issue(&wish(MONITORING)), Some(Listener::Metrics)),
        ("operator under admin CA", world.admin.issue(&wish(OPERATOR)), Some(Listener::Admin)),
        ("node under admin CA", world.admin.issue(&wish(PEER)), None),
        ("client under admin CA", world.admin.issue(&wish(CLIENT)), None),
        ("scraper under admin CA", world.admin.issue(&wish(MONITORING)), None),
        ("operator under network CA", world.network.issue(&wish(OPERATOR)), None),
        ("unlisted client under network CA", world.network.issue(&wish(OTHER_CLIENT)), None),
        (
            "unknown role under network CA",
            world.network.issue(&wish("spiffe://org-a.example/enclave/x")),
            None,
        ),
    ];
    for (what, shown, served) in &diagonal {
        world.expect_served_only_at(what, shown, *served).await;
    }
}

#[tokio::test]
async fn a_stranger_bearing_our_names_is_refused_everywhere() {
    let world = World::new();
    for uri in [OPERATOR, CLIENT, MONITORING, PEER] {
        for kind in LISTENERS {
            let found = world.present(Some(&world.stranger.issue(&wish(uri))), kind).await;
            assert_eq!(found, Err(Refusal::Chain(ChainProblem::UnknownIssuer)), "{uri} at {kind:?}");
        }
    }
}

#[tokio::test]
async fn each_refusal_names_its_reason() {
    let world = World::new();
    let expired = Wish { until: SignedDuration::from_secs(-5), ..wish(CLIENT) };
    let early = Wish { from: SignedDuration::from_mins(5), ..wish(CLIENT) };
    let server_only = Wish { usages: vec![ExtendedKeyUsagePurpose::ServerAuth], ..wish(CLIENT) };
    let anonymous = Wish { uris: vec![], ..wish(CLIENT) };
    let ambiguous = Wish { uris: vec![CLIENT.into(), OPERATOR.into()], ..wish(CLIENT) };
    let cases = [
        (expired, Refusal::Chain(ChainProblem::Expired)),
        (early, Refusal::Chain(ChainProblem::NotYetValid)),
        (server_only, Refusal::Chain(ChainProblem::Purpose)),
        (anonymous, Refusal::Leaf(LeafError::NoIdentity)),
        (ambiguous, Refusal::Leaf(LeafError::ManyIdentities(2))),
        (wish(PEER), Refusal::Role { found: identity(PEER), expected: Role::Client }),
        (wish(OTHER_CLIENT), Refusal::NotListed(identity(OTHER_CLIENT))),
    ];
    for (wish, refusal) in cases {
        let found = world.present(Some(&world.network.issue(&wish)), Listener::Q2t).await;
        assert_eq!(found, Err(refusal));
    }
}

#[tokio::test]
async fn no_certificate_and_foreign_trust_domain_are_refused() {
    let world = World::new();
    for kind in LISTENERS {
        assert_eq!(world.present(None, kind).await, Err(Refusal::NoCertificate), "{kind:?}");
    }
    let foreign = world.network.issue(&wish(FOREIGN));
    let refusal = Refusal::TrustDomain { found: identity(FOREIGN), expected: DOMAIN.into() };
    assert_eq!(world.present(Some(&foreign), Listener::P2p).await, Err(refusal));
}

#[tokio::test]
async fn tls_1_2_is_judged_alike() {
    let world = World::new();
    for (uri, served) in [(CLIENT, true), (OTHER_CLIENT, false)] {
        let client = client_of(&[&TLS12], Some(&world.network.issue(&wish(uri))), &world.network);
        let (accepted, connected) = meet_any(&world.listener(Listener::Q2t), client).await;
        assert_eq!(accepted.is_ok(), served, "{uri}: {accepted:?}");
        assert_eq!(connected.is_ok(), served, "{uri}");
    }
}

#[tokio::test]
async fn no_session_is_ever_resumed() {
    let world = World::new();
    let listener = world.listener(Listener::Q2t);
    // Resumption is on in this client, which keeps its memory between the two connections.
    let client = any_client(Some(&world.network.issue(&wish(CLIENT))), &world.network);
    for _ in 0..2 {
        let (accepted, connected) = meet_any(&listener, client.clone()).await;
        accepted.expect("served");
        let kind = connected.expect("served").get_ref().1.handshake_kind();
        assert!(
            matches!(kind, Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest)),
            "{kind:?}"
        );
    }
}
