//! A rollover from one authority to the next. Each party that shows a leaf of the new authority shows with it a certificate of the new
//! authority that the old one signed, so that a party that knows the old root alone accepts it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may panic as tests do")]

mod common;

use std::io;
use std::time::Duration;

use common::{
    Ca, DEADLINE, DOMAIN, Issued, ServerConnection, Wish, any_client, clients, fixed, identity, meet,
    meet_any, node, wish,
};
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tessera_tls::{
    AcceptError, AllowedPeers, ChainProblem, ClientTls, CloseReason, ConnectError, Credentials,
    CredentialsPublisher, CredentialsReceiver, Expectation, Refusal, ServerTls, Usage,
};
use tokio::net::TcpStream;

const NODE: &str = "spiffe://org-a.example/node/node-a";
const PEER: &str = "spiffe://org-a.example/node/node-b";
const LEDGER: &str = "spiffe://org-a.example/client/node-a.quorum-a";
const OLD: &str = "org-a network CA";
const NEW: &str = "org-a network CA 2";
const HOUR: SignedDuration = SignedDuration::from_hours(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Old,
    NewWithCross,
    NewAlone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Roots {
    Old,
    Both,
    New,
}

/// What one end shows and trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Party {
    shown: Shown,
    roots: Roots,
}

/// A listener of a node.
#[derive(Debug, Clone, Copy)]
enum Port {
    P2p,
    Q2t,
}

/// Who refused whom.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    ByClient(Refusal),
    ByServer(Refusal),
}

impl Shown {
    fn verifies(self, roots: Roots) -> bool {
        match self {
            Self::Old => roots != Roots::New,
            Self::NewWithCross => true,
            Self::NewAlone => roots != Roots::Old,
        }
    }

    fn issuer(self) -> String {
        format!("CN={}", if self == Self::Old { OLD } else { NEW })
    }
}

const ALL_SHOWN: [Shown; 3] = [Shown::Old, Shown::NewWithCross, Shown::NewAlone];
const ALL_ROOTS: [Roots; 3] = [Roots::Old, Roots::Both, Roots::New];

/// All whose own certificate verifies against their own roots. No other credentials are loaded.
fn parties() -> Vec<Party> {
    let all = ALL_SHOWN.iter().flat_map(|&shown| ALL_ROOTS.map(|roots| Party { shown, roots }));
    all.filter(|party| party.shown.verifies(party.roots)).collect()
}

/// Whether a connection between the two comes about.
fn fit(server: Party, client: Party) -> bool {
    server.shown.verifies(client.roots) && client.shown.verifies(server.roots)
}

struct World {
    old: Ca,
    new: Ca,
    cross: String,
}

impl World {
    fn new() -> Self {
        Self::with_cross_until(HOUR)
    }

    fn with_cross_until(until: SignedDuration) -> Self {
        let (old, new) = (Ca::new(OLD), Ca::new(NEW));
        let cross = old.cross_sign(&new, until);
        Self { old, new, cross }
    }

    fn issue(&self, wish: &Wish, Party { shown, roots }: Party) -> Issued {
        let issued = match shown {
            Shown::Old => self.old.issue(wish),
            Shown::NewWithCross => self.new.issue(wish).with(&self.cross),
            Shown::NewAlone => self.new.issue(wish),
        };
        match roots {
            Roots::Old => issued.trusting(&[&self.old]),
            Roots::Both => issued.trusting(&[&self.old, &self.new]),
            Roots::New => issued.trusting(&[&self.new]),
        }
    }

    fn node(&self, party: Party) -> Credentials {
        self.issue(&wish(NODE), party).credentials(&node("node-a"), Usage::Both)
    }

    /// A node's listener of that kind.
    fn listener(port: Port, credentials: CredentialsReceiver) -> ServerTls {
        let serves = match port {
            Port::P2p => AllowedPeers::nodes(DOMAIN),
            Port::Q2t => clients(&[&identity(LEDGER)]),
        };
        ServerTls::new(credentials, serves)
    }

    /// What calls that listener: the pool of another node, or the sidecar of a ledger.
    fn caller(&self, port: Port, party: Party) -> ClientTls {
        let (uri, wants) = match port {
            Port::P2p => (PEER, AllowedPeers::nodes(DOMAIN)),
            Port::Q2t => (LEDGER, AllowedPeers::Named(node("node-a"))),
        };
        ClientTls::new(fixed(&self.issue(&wish(uri), party), &identity(uri)), wants)
    }
}

/// The connection at the server's end.
async fn connect(server: &ServerTls, client: &ClientTls) -> Result<ServerConnection, Refused> {
    let mut judged = None;
    let (accepted, read) = meet(server, async |stream: TcpStream| {
        let connected = client.connect("localhost", stream).await;
        connected.map(|connection| connection.stream).map_err(|error| {
            judged = Some(error);
            io::Error::other("refused")
        })
    })
    .await;
    match (accepted, judged) {
        (Ok(connection), None) => {
            read.expect("the client reads what the server sends");
            Ok(connection)
        }
        (Err(_), Some(ConnectError::Refused(refusal))) => Err(Refused::ByClient(refusal)),
        (Err(AcceptError::Refused(refusal)), None) => Err(Refused::ByServer(refusal)),
        (accepted, judged) => panic!("neither served nor refused: {accepted:?}, {judged:?}"),
    }
}

fn unknown_issuer() -> Refusal {
    Refusal::Chain(ChainProblem::UnknownIssuer)
}

#[tokio::test]
async fn a_party_with_one_root_needs_the_cross_certificate_and_no_other_does() {
    let world = World::new();
    for (port, server) in [Port::P2p, Port::Q2t]
        .into_iter()
        .flat_map(|port| parties().into_iter().map(move |party| (port, party)))
    {
        let listener = World::listener(port, CredentialsReceiver::fixed(world.node(server)));
        for client in parties() {
            let found = connect(&listener, &world.caller(port, client))
                .await
                .map(|connection| connection.peer.issuer);
            let expected = if !server.shown.verifies(client.roots) {
                Err(Refused::ByClient(unknown_issuer()))
            } else if !client.shown.verifies(server.roots) {
                Err(Refused::ByServer(unknown_issuer()))
            } else {
                Ok(client.shown.issuer())
            };
            assert_eq!(found, expected, "{port:?}: {server:?} and {client:?}");
        }
    }
}

#[test]
fn credentials_are_loaded_exactly_if_their_own_roots_verify_them() {
    let world = World::new();
    for shown in ALL_SHOWN {
        for roots in ALL_ROOTS {
            let loaded = world.issue(&wish(NODE), Party { shown, roots }).load(&node("node-a"), Usage::Both);
            assert_eq!(loaded.is_ok(), shown.verifies(roots), "{shown:?} beside {roots:?}: {loaded:?}");
            let Ok(loaded) = loaded else { continue };
            assert_eq!(loaded.leaf().issuer(), shown.issuer());
            assert_eq!(loaded.chained(), shown == Shown::NewWithCross);
        }
    }
}

/// The connection stays open for a while.
async fn stays_open(connection: ServerConnection, duration: Duration) {
    tokio::time::timeout(duration, connection.guard.closed()).await.expect_err("closed without a reason");
}

#[tokio::test]
async fn when_the_old_root_goes_the_connections_that_need_it_are_closed_and_no_other() {
    let world = World::new();
    let both = Party { shown: Shown::NewWithCross, roots: Roots::Both };
    for port in [Port::P2p, Port::Q2t] {
        let (publisher, receiver) = CredentialsPublisher::new(world.node(both));
        let listener = World::listener(port, receiver);
        let open = async |shown, roots| {
            connect(&listener, &world.caller(port, Party { shown, roots })).await.unwrap()
        };
        let old = open(Shown::Old, Roots::Old).await;
        let with_cross = open(Shown::NewWithCross, Roots::Old).await;
        let alone = open(Shown::NewAlone, Roots::New).await;
        publisher.publish(world.node(Party { roots: Roots::New, ..both }));
        let reason = tokio::time::timeout(DEADLINE, old.guard.closed()).await.expect("still open");
        assert_eq!(reason, CloseReason::TrustLost(unknown_issuer()));
        let second = Duration::from_secs(1);
        tokio::join!(stays_open(with_cross, second), stays_open(alone, second));
    }
}

#[tokio::test]
async fn the_end_of_the_cross_certificate_closes_only_where_it_is_needed() {
    let world = World::with_cross_until(SignedDuration::from_secs(5));
    let end = Timestamp::now() + SignedDuration::from_secs(5);
    let caller = world.caller(Port::P2p, Party { shown: Shown::NewWithCross, roots: Roots::Both });
    let open = async |roots| {
        let listener = World::listener(
            Port::P2p,
            CredentialsReceiver::fixed(world.node(Party { shown: Shown::Old, roots })),
        );
        connect(&listener, &caller).await.unwrap()
    };
    let (knows_old, knows_both) = (open(Roots::Old).await, open(Roots::Both).await);
    let closed = async {
        let reason = tokio::time::timeout(DEADLINE, knows_old.guard.closed()).await.expect("still open");
        assert_eq!(reason, CloseReason::Expired);
        assert!(Timestamp::now() >= end, "closed before the end");
    };
    // Two rounds of the guard after the end.
    tokio::join!(closed, stays_open(knows_both, Duration::from_secs(10)));
}

/// The steps of a node. A client is served throughout a step if it fits before and after.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_goes_through_a_rollover_without_a_failed_handshake() {
    let (world, directory) = (World::new(), TempDir::new().unwrap());
    let steps = [
        Party { shown: Shown::Old, roots: Roots::Old },
        Party { shown: Shown::Old, roots: Roots::Both },
        Party { shown: Shown::NewWithCross, roots: Roots::Both },
        Party { shown: Shown::NewWithCross, roots: Roots::New },
        Party { shown: Shown::NewAlone, roots: Roots::New },
    ];
    let issued = steps.map(|step| world.issue(&wish(NODE), step));
    issued[0].write(directory.path());
    let expected = Expectation { identity: node("node-a"), usage: Usage::Both };
    let quick = Duration::from_millis(20);
    let receiver = CredentialsReceiver::watch_directory_every(directory.path(), expected, quick).await;
    let listener = World::listener(Port::Q2t, receiver.clone());
    for (step, issued) in steps.windows(2).zip(&issued[1..]) {
        let &[before, after] = step else { panic!("two of them") };
        let callers: Vec<_> =
            parties().into_iter().filter(|&client| fit(before, client) && fit(after, client)).collect();
        assert!(callers.len() >= 2, "{before:?} to {after:?}: {callers:?}");
        let all_are_served = async || {
            for &caller in &callers {
                let served = connect(&listener, &world.caller(Port::Q2t, caller)).await;
                assert!(served.is_ok(), "{caller:?} between {before:?} and {after:?}: {served:?}");
            }
        };
        all_are_served().await;
        issued.write(directory.path());
        let loaded = async {
            let wanted = issued.credentials(&node("node-a"), Usage::Both);
            let is_loaded = |now: &Credentials| now.leaf().fingerprint() == wanted.leaf().fingerprint();
            while !receiver.current().is_some_and(|now| is_loaded(&now)) {
                all_are_served().await;
            }
            all_are_served().await;
        };
        tokio::time::timeout(DEADLINE, loaded).await.expect("never loaded");
    }
}

/// A client that reads its roots once, as `GoQuorum` does, and its certificate for each handshake.
#[tokio::test]
async fn a_client_that_keeps_the_old_root_is_served_until_the_cross_certificate_goes() {
    let world = World::new();
    let ledger = world.issue(&wish(LEDGER), Party { shown: Shown::NewWithCross, roots: Roots::Old });
    for (shown, served) in [(Shown::NewWithCross, true), (Shown::NewAlone, false)] {
        let server = CredentialsReceiver::fixed(world.node(Party { shown, roots: Roots::New }));
        let (accepted, connected) =
            meet_any(&World::listener(Port::Q2t, server), any_client(Some(&ledger), &world.old)).await;
        assert_eq!((accepted.is_ok(), connected.is_ok()), (served, served), "{shown:?}");
    }
}
