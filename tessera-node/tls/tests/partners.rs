//! What certificates of partners are good for: their own names, on P2P, and nothing else.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may panic as tests do")]

mod common;

use std::sync::Arc;

use common::{
    Ca, DEADLINE, DOMAIN, Issued, Wish, any_client, clients, fixed, identity, meet, meet_any, node, wish,
};
use proptest::prelude::*;
use rcgen::ExtendedKeyUsagePurpose;
use tessera_node_api::identity::Identity;
use tessera_tls::{
    AcceptError, AllowedPeers, ChainProblem, ClientTls, CloseReason, ConnectError, CredentialsReceiver,
    Partner, Partners, Peer, Refusal, Roots, Scope, ServerTls,
};
use tokio::net::TcpStream;
use tokio::sync::watch;

const PARTNER: &str = "org-b.example";
const OUR_NODE: &str = "spiffe://org-a.example/node/node-a";
const OUR_CLIENT: &str = "spiffe://org-a.example/client/node-a.quorum-a";
const OUR_SCRAPER: &str = "spiffe://org-a.example/client/_monitoring.prometheus";
const OUR_OPERATOR: &str = "spiffe://org-a.example/operator/tessera-operator";
const THEIR_NODE: &str = "spiffe://org-b.example/node/node-b";
const OUR_NAME: &str = "node-a-p2p.org-a.svc";

/// Two organisations and a stranger to both.
struct World {
    network: Ca,
    admin: Ca,
    partner: Ca,
    third: Ca,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listener {
    P2p,
    Q2t,
    Admin,
    Metrics,
}

const LISTENERS: [Listener; 4] = [Listener::P2p, Listener::Q2t, Listener::Admin, Listener::Metrics];

fn partner(trust_domain: &str, names: &[&str], ca: &Ca) -> Partner {
    Partner::new(Scope::new(trust_domain, names).unwrap(), Roots::from_pem(ca.pem.as_bytes()).unwrap())
}

/// A certificate of a partner: these URIs, these names.
fn of_partner(uris: &[&str], names: &[&str]) -> Wish {
    Wish {
        uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..wish(THEIR_NODE)
    }
}

impl World {
    fn new() -> Self {
        Self {
            network: Ca::new("network"),
            admin: Ca::new("admin"),
            partner: Ca::new("partner"),
            third: Ca::new("third"),
        }
    }

    fn partners(&self) -> Arc<Partners> {
        Arc::new(Partners::new(vec![
            partner(PARTNER, &["*.tm.org-b.example", "gate.org-b.example", "localhost"], &self.partner),
            partner("org-c.example", &["*.tm.org-c.example"], &self.third),
        ]))
    }

    fn nodes(&self) -> AllowedPeers {
        AllowedPeers::nodes_and_partners(DOMAIN, watch::channel(self.partners()).1)
    }

    fn listener(&self, kind: Listener) -> ServerTls {
        let credentials = fixed(&self.server_ca(kind).issue(&wish(OUR_NODE)), &node("node-a"));
        let allowed = match kind {
            Listener::P2p => self.nodes(),
            Listener::Q2t => clients(&[&identity(OUR_CLIENT)]),
            Listener::Admin => AllowedPeers::Exactly(Identity::operator(DOMAIN).unwrap()),
            Listener::Metrics => clients(&[&identity(OUR_SCRAPER)]),
        };
        ServerTls::new(credentials, allowed)
    }

    fn server_ca(&self, kind: Listener) -> &Ca {
        if kind == Listener::Admin { &self.admin } else { &self.network }
    }

    async fn present(&self, shown: &Issued, kind: Listener) -> Result<Peer, Refusal> {
        let (accepted, connected) =
            meet_any(&self.listener(kind), any_client(Some(shown), self.server_ca(kind))).await;
        match accepted {
            Ok(connection) => {
                connected.expect("the listener serves, so the client reads");
                Ok(connection.peer)
            }
            Err(AcceptError::Refused(refusal)) => Err(refusal),
            Err(other) => panic!("{kind:?}: neither served nor refused: {other:?}"),
        }
    }

    /// Our node dials `host`, where a server shows `shown`.
    async fn dial(&self, host: &str, shown: &Issued) -> Result<Peer, Refusal> {
        let client = fixed(&self.network.issue(&wish(OUR_NODE)), &node("node-a"));
        dial(&ClientTls::new(client, self.nodes()), host, shown, &self.network).await
    }
}

/// `client` dials `host`, where a plain rustls server shows `shown` and takes any client of `clients`.
async fn dial(client: &ClientTls, host: &str, shown: &Issued, clients: &Ca) -> Result<Peer, Refusal> {
    let server = common::any_server(shown, clients);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accept = async {
        let (stream, _) = listener.accept().await.unwrap();
        server.accept(stream).await
    };
    let connect = async { client.connect(host, TcpStream::connect(address).await.unwrap()).await };
    let (_, connected) =
        tokio::time::timeout(DEADLINE, async { tokio::join!(accept, connect) }).await.expect("it hangs");
    match connected {
        Ok(connection) => Ok(connection.peer),
        Err(ConnectError::Refused(refusal)) => Err(refusal),
        Err(other) => panic!("neither accepted nor refused: {other:?}"),
    }
}

#[tokio::test]
async fn partner_roots_count_on_p2p_inside_of_the_scope_alone_and_every_other_certificate_is_treated_as_without_them()
 {
    let world = World::new();
    let issue = |ca: &Ca, uri: &str, name: &str| ca.issue(&of_partner(&[uri], &[name]));
    let cases = [
        ("our node", issue(&world.network, OUR_NODE, OUR_NAME), Some(Listener::P2p)),
        ("our client", issue(&world.network, OUR_CLIENT, OUR_NAME), Some(Listener::Q2t)),
        ("our scraper", issue(&world.network, OUR_SCRAPER, OUR_NAME), Some(Listener::Metrics)),
        ("our operator", issue(&world.admin, OUR_OPERATOR, OUR_NAME), Some(Listener::Admin)),
        ("a partner's node", issue(&world.partner, THEIR_NODE, "a.tm.org-b.example"), Some(Listener::P2p)),
        (
            "a partner without a URI",
            world.partner.issue(&of_partner(&[], &["gate.org-b.example", "a.tm.org-b.example"])),
            Some(Listener::P2p),
        ),
        (
            "a partner with a URI that is no SPIFFE",
            world.partner.issue(&of_partner(&["https://org-b.example/"], &["a.tm.org-b.example"])),
            Some(Listener::P2p),
        ),
        (
            "a partner's workload of another form",
            world
                .partner
                .issue(&of_partner(&["spiffe://org-b.example/ns/tm/sa/tessera"], &["a.tm.org-b.example"])),
            Some(Listener::P2p),
        ),
        ("our node of the partner", issue(&world.partner, OUR_NODE, "a.tm.org-b.example"), None),
        ("our client of the partner", issue(&world.partner, OUR_CLIENT, "a.tm.org-b.example"), None),
        ("our scraper of the partner", issue(&world.partner, OUR_SCRAPER, "a.tm.org-b.example"), None),
        ("our operator of the partner", issue(&world.partner, OUR_OPERATOR, "a.tm.org-b.example"), None),
        ("our name of the partner", issue(&world.partner, THEIR_NODE, OUR_NAME), None),
        (
            "our name beside the partner's",
            world.partner.issue(&of_partner(&[THEIR_NODE], &["a.tm.org-b.example", OUR_NAME])),
            Some(Listener::P2p),
        ),
        (
            "the partner's client",
            issue(&world.partner, "spiffe://org-b.example/client/b.quorum", "a.tm.org-b.example"),
            None,
        ),
        (
            "the partner's operator",
            issue(&world.partner, "spiffe://org-b.example/operator/tessera-operator", "a.tm.org-b.example"),
            None,
        ),
        ("a name of another partner", issue(&world.partner, THEIR_NODE, "a.tm.org-c.example"), None),
        (
            "an identity of another partner",
            issue(&world.partner, "spiffe://org-c.example/node/c", "a.tm.org-b.example"),
            None,
        ),
        (
            "another spelling of our trust domain",
            issue(&world.partner, "SPIFFE://org-a.example/node/node-a", "a.tm.org-b.example"),
            None,
        ),
        (
            "two identities",
            world.partner.issue(&of_partner(
                &[THEIR_NODE, "spiffe://org-b.example/node/other"],
                &["a.tm.org-b.example"],
            )),
            None,
        ),
        ("no name", world.partner.issue(&of_partner(&[THEIR_NODE], &[])), None),
        ("an address alone", world.partner.issue(&of_partner(&[THEIR_NODE], &["127.0.0.1"])), None),
    ];
    for (what, shown, served) in &cases {
        for kind in LISTENERS {
            let found = world.present(shown, kind).await;
            assert_eq!(found.is_ok(), *served == Some(kind), "{what} at {kind:?}: {found:?}");
        }
    }
}

#[tokio::test]
async fn each_refusal_names_its_reason_and_a_peer_its_partner() {
    let world = World::new();
    let refused = async |wish: Wish| {
        world.present(&world.partner.issue(&wish), Listener::P2p).await.unwrap_err().to_string()
    };
    let inside = "a.tm.org-b.example";
    assert_eq!(
        refused(of_partner(&[], &[OUR_NAME])).await,
        format!(
            "peer's certificate is for {OUR_NAME:?}, which is outside of what partner {PARTNER} may speak for, and for no name inside"
        )
    );
    assert_eq!(
        refused(of_partner(&[OUR_OPERATOR], &[inside])).await,
        format!(
            "peer's certificate carries {OUR_OPERATOR:?}, which is outside of the trust domain of partner {PARTNER}"
        )
    );
    assert!(refused(of_partner(&[THEIR_NODE], &[])).await.contains("speaks for nothing"));
    let server_only =
        Wish { usages: vec![ExtendedKeyUsagePurpose::ServerAuth], ..of_partner(&[], &[inside]) };
    assert!(refused(server_only).await.contains("extended key usage"));

    let names = ["b.tm.org-b.example", inside];
    let peer = world.present(&world.partner.issue(&of_partner(&[], &names)), Listener::P2p).await.unwrap();
    assert_eq!(peer.identity, identity("spiffe://org-b.example/node/a.tm.org-b.example"));
    assert_eq!(peer.partner.as_ref().unwrap().trust_domain(), PARTNER);
    let wide = world.partner.issue(&of_partner(&[], &[inside, "a.before.example"]));
    let wide = world.present(&wide, Listener::P2p).await.unwrap();
    assert_eq!(wide.identity, peer.identity, "it is named after a name inside of the scope");
    assert!(peer.may_be(&identity("spiffe://org-b.example/node/b.tm.org-b.example")));
    assert!(!peer.may_be(&identity(THEIR_NODE)) && !peer.may_be(&identity(OUR_NODE)));
    let ours = world.network.issue(&of_partner(&[OUR_NODE], &[OUR_NAME]));
    assert_eq!(world.present(&ours, Listener::P2p).await.unwrap().partner, None);
}

#[tokio::test]
async fn a_host_in_a_partners_scope_is_verified_by_its_roots_alone_and_every_other_by_ours() {
    let world = World::new();
    let unknown = Err(Refusal::Chain(ChainProblem::UnknownIssuer));
    let inside = "a.tm.org-b.example";
    let theirs = world.partner.issue(&of_partner(&[THEIR_NODE], &[inside]));
    for host in [inside, "A.tm.org-b.example"] {
        assert!(world.dial(host, &theirs).await.is_ok(), "{host}");
    }
    let impostor = world.network.issue(&of_partner(&[OUR_NODE], &[inside]));
    assert_eq!(world.dial(inside, &impostor).await.map(drop), unknown, "our CA does not speak for a partner");
    let other = world.third.issue(&of_partner(&[], &[inside]));
    assert_eq!(world.dial(inside, &other).await.map(drop), unknown, "nor does another partner");
    let ours = world.partner.issue(&of_partner(&[THEIR_NODE], &[OUR_NAME]));
    assert_eq!(world.dial(OUR_NAME, &ours).await.map(drop), unknown, "a partner does not speak for us");
    let address = world.partner.issue(&of_partner(&[], &[inside, "127.0.0.1"]));
    assert_eq!(world.dial("127.0.0.1", &address).await.map(drop), unknown, "nor for an address");
    let wrong = world.partner.issue(&of_partner(&[], &["b.tm.org-b.example"]));
    assert_eq!(world.dial(inside, &wrong).await.map(drop), Err(Refusal::WrongName(inside.into())));
    // A name outside of the scope is of no use beside one inside.
    let wide = world.partner.issue(&of_partner(&[], &[inside, OUR_NAME]));
    assert!(world.dial(inside, &wide).await.is_ok());
    assert_eq!(world.dial(OUR_NAME, &wide).await.map(drop), unknown);
    let node = world.network.issue(&of_partner(&[OUR_NODE], &[OUR_NAME]));
    assert!(world.dial(OUR_NAME, &node).await.is_ok());
}

#[tokio::test]
async fn our_own_trust_domain_is_no_partners() {
    let world = World::new();
    let evil = partner(DOMAIN, &["*.tm.org-b.example"], &world.partner);
    let allowed =
        AllowedPeers::nodes_and_partners(DOMAIN, watch::channel(Arc::new(Partners::new(vec![evil]))).1);
    let server = ServerTls::new(fixed(&world.network.issue(&wish(OUR_NODE)), &node("node-a")), allowed);
    let shown = world.partner.issue(&of_partner(&[OUR_NODE], &["a.tm.org-b.example"]));
    let (accepted, _) = meet_any(&server, any_client(Some(&shown), &world.network)).await;
    assert!(matches!(accepted, Err(AcceptError::Refused(Refusal::NotListed(_)))));
}

#[tokio::test]
async fn two_partners_may_have_one_ca_and_a_partners_ca_may_roll_over() {
    let world = World::new();
    let next = Ca::new("partner 2");
    let shared = Arc::new(Partners::new(vec![
        partner(PARTNER, &["*.tm.org-b.example"], &world.partner),
        partner("org-c.example", &["*.tm.org-c.example"], &world.partner),
    ]));
    let allowed = AllowedPeers::nodes_and_partners(DOMAIN, watch::channel(shared).1);
    let server = ServerTls::new(fixed(&world.network.issue(&wish(OUR_NODE)), &node("node-a")), allowed);
    let present = async |shown: &Issued| {
        let (accepted, _) = meet_any(&server, any_client(Some(shown), &world.network)).await;
        accepted.map(|connection| connection.peer.partner.unwrap().trust_domain().to_owned()).ok()
    };
    let of = |name: &str| of_partner(&[], &[name]);
    assert_eq!(present(&world.partner.issue(&of("a.tm.org-b.example"))).await.unwrap(), PARTNER);
    assert_eq!(present(&world.partner.issue(&of("a.tm.org-c.example"))).await.unwrap(), "org-c.example");
    assert_eq!(present(&world.partner.issue(&of("a.tm.org-d.example"))).await, None);
    let new_leaf = next.issue(&of("a.tm.org-b.example"));
    assert_eq!(present(&new_leaf).await, None, "the control: the new CA is not known");
    let cross = world.partner.cross_sign(&next, jiff::SignedDuration::from_mins(60));
    assert_eq!(present(&new_leaf.with(&cross)).await.unwrap(), PARTNER);
}

#[tokio::test]
async fn connections_of_a_partner_that_goes_close_and_others_stay() {
    let world = World::new();
    let (sender, partners) = watch::channel(world.partners());
    let server = ServerTls::new(
        fixed(&world.network.issue(&wish(OUR_NODE)), &node("node-a")),
        AllowedPeers::nodes_and_partners(DOMAIN, partners.clone()),
    );
    let connect = async |shown: &Issued| {
        let (accepted, connected) = meet_any(&server, any_client(Some(shown), &world.network)).await;
        connected.unwrap();
        accepted.unwrap().guard
    };
    let theirs = connect(&world.partner.issue(&of_partner(&[], &["a.tm.org-b.example"]))).await;
    let ours = connect(&world.network.issue(&of_partner(&[OUR_NODE], &[OUR_NAME]))).await;
    let third = connect(&world.third.issue(&of_partner(&[], &["a.tm.org-c.example"]))).await;
    // The side that dialled closes as well.
    let client: CredentialsReceiver = fixed(&world.network.issue(&wish(OUR_NODE)), &node("node-a"));
    let client = ClientTls::new(client, AllowedPeers::nodes_and_partners(DOMAIN, partners));
    let at_partner = ServerTls::new(
        fixed(&world.partner.issue(&wish(THEIR_NODE)).trusting(&[&world.partner]), &identity(THEIR_NODE)),
        AllowedPeers::nodes_and_partners(
            PARTNER,
            watch::channel(Arc::new(Partners::new(vec![partner(DOMAIN, &["localhost"], &world.network)]))).1,
        ),
    );
    let mut dialled = None;
    let (accepted, connected) = meet(&at_partner, async |stream| {
        let connection = client.connect("localhost", stream).await.map_err(std::io::Error::other)?;
        dialled = Some(connection.guard);
        Ok(connection.stream)
    })
    .await;
    connected.unwrap();
    let _accepted = accepted.unwrap();

    sender.send_replace(Arc::new(Partners::new(vec![partner(
        "org-c.example",
        &["*.tm.org-c.example"],
        &world.third,
    )])));
    let lost = CloseReason::TrustLost(Refusal::Chain(ChainProblem::UnknownIssuer));
    let closed = async { (theirs.closed().await, dialled.unwrap().closed().await) };
    let closed = tokio::time::timeout(std::time::Duration::from_secs(5), closed).await;
    assert_eq!(closed.expect("still open after the promised time"), (lost.clone(), lost));
    for guard in [ours, third] {
        let open = tokio::time::timeout(std::time::Duration::from_millis(300), guard.closed()).await;
        assert!(open.is_err(), "{open:?}");
    }
}

/// Names near the border of the scope, and far from it.
fn name() -> impl Strategy<Value = String> {
    let label = prop::sample::select(vec!["a", "tm", "org-b", "org-a", "example", "svc", "gate", "x_y", "*"]);
    prop_oneof![
        prop::collection::vec(label, 1..5).prop_map(|labels| labels.join(".")),
        prop::sample::select(vec![
            "a.tm.org-b.example",
            "*.tm.org-b.example",
            "gate.org-b.example",
            OUR_NAME,
            "localhost",
        ])
        .prop_map(str::to_owned),
    ]
}

fn uri() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        OUR_NODE,
        OUR_CLIENT,
        OUR_OPERATOR,
        THEIR_NODE,
        "spiffe://org-b.example/client/b.q",
        "spiffe://org-c.example/node/c",
        "spiffe://org-b.example.evil/node/c",
        "spiffe:org-a.example",
        "https://org-a.example/node/node-a",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Stated anew and without the code under test: what is accepted speaks for the partner alone.
    #[test]
    fn no_certificate_of_a_partner_is_accepted_outside_of_its_scope(
        names in prop::collection::vec(name(), 0..3),
        uris in prop::collection::vec(uri(), 0..3),
    ) {
        thread_local! { static WORLD: World = World::new(); }
        let (accepted, elsewhere) = WORLD.with(|world| {
            let wish = Wish { uris: uris.clone(), names: names.clone(), ..wish(THEIR_NODE) };
            let shown = world.partner.issue(&wish);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let elsewhere = [
                    world.present(&shown, Listener::Q2t).await.is_ok(),
                    world.present(&shown, Listener::Metrics).await.is_ok(),
                    world.dial(OUR_NAME, &shown).await.is_ok(),
                    world.dial("127.0.0.1", &shown).await.is_ok(),
                    world.dial("a.tm.org-c.example", &shown).await.is_ok(),
                ];
                (world.present(&shown, Listener::P2p).await, elsewhere)
            })
        });
        prop_assert_eq!(elsewhere, [false; 5]);
        let inside = |name: &String| {
            let below = name.strip_suffix(".tm.org-b.example").is_some_and(|first| !first.contains('.'));
            below || name == "gate.org-b.example" || name == "localhost"
        };
        let ids: Vec<_> = uris.iter().filter(|uri| uri.starts_with("spiffe")).collect();
        let is_theirs = match ids.as_slice() {
            [] => true,
            [uri] => *uri == THEIR_NODE,
            _ => false,
        };
        let expected = names.iter().any(inside) && is_theirs;
        prop_assert_eq!(accepted.is_ok(), expected, "{:?} {:?}: {:?}", names, uris, accepted);
        if let Ok(peer) = accepted {
            prop_assert_eq!(peer.identity.trust_domain(), PARTNER);
        }
    }
}
