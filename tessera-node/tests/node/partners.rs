//! Two organisations, each with a CA of its own, exchange transactions; neither speaks for more than its names.

use bytes::Bytes;
use serde_json::{Value, json};
use tessera_enclave::codec::party_info::PartyInfo;
use tessera_node_api::admin::{Outcome, Shown, TriedServer, partner_server};
use tessera_node_api::identity::Identity;
use tessera_node_api::paths::PARTNERS_FILE;

use crate::support::ca::{Ca, Wish, wish};
use crate::support::client::{Answer, Client, OCTETS, request, send_body};
use crate::support::rollover::{Successor, certify, status};
use crate::support::{Net, PATIENCE, Running, Spec, eventually};

const A: &str = "org-a.test";
const B: &str = "org-b.test";

struct Pair {
    ours: Net,
    theirs: Net,
    _nodes: [Running; 2],
}

fn partner(of: &Net, cas: &[&Ca]) -> Value {
    let node = &of.nodes[0];
    json!({
        "name": "partner",
        "trustDomain": node.domain,
        "dnsNames": ["localhost"],
        "urls": [node.p2p_url()],
        "caBundle": cas.iter().map(|ca| ca.pem.as_str()).collect::<String>(),
    })
}

fn write_partners(at: &Spec, partners: &[Value]) {
    let file = json!({"version": 1, "partners": partners});
    std::fs::write(at.dir.join(PARTNERS_FILE), file.to_string()).unwrap();
}

impl Pair {
    async fn start() -> Self {
        let (ours, theirs) = (Net::organisation(A, "a"), Net::organisation(B, "b"));
        write_partners(&ours.nodes[0], &[partner(&theirs, &[&theirs.ca])]);
        write_partners(&theirs.nodes[0], &[partner(&ours, &[&ours.ca])]);
        let nodes = [ours.nodes[0].start(), theirs.nodes[0].start()];
        let pair = Self { ours, theirs, _nodes: nodes };
        pair.a().wait_until_knows(&pair.b().public_key).await;
        pair.b().wait_until_knows(&pair.a().public_key).await;
        pair
    }

    fn a(&self) -> &Spec {
        &self.ours.nodes[0]
    }

    fn b(&self) -> &Spec {
        &self.theirs.nodes[0]
    }

    /// A client of a port of A under a certificate of B's CA. It trusts A's CA for the server.
    fn under_their_ca(&self, port: u16, wish: &Wish) -> Client {
        let a = self.a();
        let directory = tempfile::tempdir_in(&a.dir).unwrap();
        // What it trusts stands beside its own certificate, which must verify against it.
        self.theirs.ca.issue(wish).trusting(&[&self.theirs.ca, &self.ours.ca]).write(directory.path());
        let own = wish.uris[0].parse::<Identity>().unwrap();
        Client::new(a.at(port), directory.path(), &own, &a.identity())
    }

    /// With a certificate that also holds a name outside of B's scope.
    async fn announce(&self, said: &PartyInfo) -> Answer {
        let mut wish = self.b().wish();
        wish.names.push("elsewhere.test".to_owned());
        let client = self.under_their_ca(self.a().p2p, &wish);
        client.try_send(request("POST", "/partyinfo", &[OCTETS], said.encode())).await.expect("an answer")
    }
}

/// What a node says of itself.
fn said(url: &str, keys: &[&str], parties: &[&str]) -> PartyInfo {
    PartyInfo {
        url: url.to_owned(),
        recipients: keys.iter().map(|key| (key.parse().unwrap(), url.to_owned())).collect(),
        parties: parties.iter().map(|party| (*party).to_owned()).collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partners_exchange_transactions_both_ways() {
    let pair = Pair::start().await;
    for (from, to) in [(pair.a(), pair.b()), (pair.b(), pair.a())] {
        let hash = from.client().send(b"between organisations", &[&to.public_key]).await;
        for node in [from, to] {
            assert_eq!(node.client().receive(&hash).await, (200, b"between organisations".to_vec()));
        }
    }
    let status = status(pair.a()).await.unwrap();
    assert_eq!(status["peersReached"], json!([pair.b().p2p_url()]));
    assert_eq!(status["trustFingerprints"].as_array().unwrap().len(), 1, "of our own roots alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_a_partner_is_served_on_p2p_for_its_own_names_alone() {
    let pair = Pair::start().await;
    let a = pair.a();
    let genuine = pair.b().wish();
    let with = |uri: &str, names: &[&str]| Wish {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..wish(uri)
    };
    let served = async |port, wish: &Wish| {
        let client = pair.under_their_ca(port, wish);
        client.try_get("/upcheck").await.is_some_and(|answer| answer.status == 200)
    };
    assert!(served(a.p2p, &genuine).await, "the control");
    for port in [a.q2t, a.admin, a.metrics] {
        assert!(!served(port, &genuine).await, "a partner at port {port}");
    }
    let b = pair.b().identity().to_string();
    for (what, wish) in [
        ("another name", with(&b, &["elsewhere.test"])),
        ("our node", with(&a.identity().to_string(), &["localhost"])),
        ("our client", with(&a.client_identity().to_string(), &["localhost"])),
        ("our operator", with(&Identity::operator(A).unwrap().to_string(), &["localhost"])),
    ] {
        for port in [a.p2p, a.q2t, a.admin, a.metrics] {
            assert!(!served(port, &wish).await, "{what} at port {port}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_announces_its_own_addresses_and_takes_no_key_and_introduces_nobody() {
    let pair = Pair::start().await;
    let (a, b) = (pair.a(), pair.b());
    // Its certificate holds both, and neither lies in the partner's scope.
    let by_address = format!("https://{}/", b.at(b.p2p));
    for outside in [by_address.as_str(), "https://elsewhere.test:9000/"] {
        let answer = pair.announce(&said(outside, &[&b.public_key], &[])).await;
        assert_eq!(answer.status, 403, "{outside}: {}", answer.text());
    }
    // Our own key, at its own address: heard, and not taken.
    let stranger = "https://127.0.0.1:1/";
    let claim = said(&b.p2p_url(), &[&a.public_key, &b.public_key], &[stranger]);
    assert_eq!(pair.announce(&claim).await.status, 200);
    let info = a.peer_client(a).get("/partyinfo").await.json();
    let keys = info["keys"].as_array().unwrap();
    let holder = |key: &str| {
        let of: Vec<_> = keys.iter().filter(|entry| entry["key"] == key).map(|entry| &entry["url"]).collect();
        of.into_iter().map(|url| url.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(holder(&a.public_key), [a.p2p_url()]);
    assert!(!info.to_string().contains(stranger), "{info}");
    let hash = a.client().send(b"still", &[&b.public_key]).await;
    assert_eq!(b.client().receive(&hash).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_is_removed_is_cut_off_without_a_restart_and_may_come_back() {
    let pair = Pair::start().await;
    let (a, b) = (pair.a(), pair.b());
    let started_at = status(a).await.unwrap()["startedAt"].clone();
    a.client().send(b"before", &[&b.public_key]).await;
    let mut session = pair.under_their_ca(a.p2p, &b.wish()).session().await.expect("a partner is served");
    assert_eq!(session.get("/upcheck").await.status, 200);

    write_partners(a, &[]);
    let closed = async {
        // Each request is answered until the connection closes.
        while session.try_send(request("GET", "/upcheck", &[], Bytes::new())).await.is_some() {}
    };
    tokio::time::timeout(PATIENCE, closed).await.expect("the connection of a removed partner stays open");
    assert!(
        pair.under_their_ca(a.p2p, &b.wish()).try_get("/upcheck").await.is_none(),
        "it is served no more"
    );
    eventually("sends to it fail", async || {
        let answer = a.client().post_json("/send", send_body(b"after", &[&b.public_key])).await;
        (answer.status == 404 && answer.text().contains(&b.public_key)).then_some(())
    })
    .await;
    a.client().send(b"for ourselves", &[]).await;

    write_partners(a, &[partner(&pair.theirs, &[&pair.theirs.ca])]);
    a.wait_until_knows(&b.public_key).await;
    a.client().send(b"again", &[&b.public_key]).await;
    assert_eq!(status(a).await.unwrap()["startedAt"], started_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_cannot_be_used_is_reported_and_disables_its_partner_alone() {
    let pair = Pair::start().await;
    let a = pair.a();
    let mut broken = partner(&pair.theirs, &[]);
    broken["name"] = json!("broken");
    broken["caBundle"] = json!("no PEM");
    write_partners(a, &[broken]);
    eventually("it is reported", async || {
        let errors = status(a).await?["reloadErrors"].clone();
        (errors == json!(["partner broken: its ca bundle has no certificate"])).then_some(())
    })
    .await;
    a.client().send(b"for ourselves", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollover_shows_whether_a_partner_trusts_the_new_authority() {
    let pair = Pair::start().await;
    let (a, b) = (pair.a(), pair.b());
    let tried = async || {
        let status = status(a).await?;
        let servers: Vec<TriedServer> =
            serde_json::from_value(status["serverTrials"].clone()).unwrap_or_default();
        let of_partner = servers.into_iter().find(|server| server.name == partner_server("partner"));
        Some(of_partner.map(|server| {
            assert_eq!(server.address, b.p2p_url());
            server.trials.iter().map(|trial| (trial.shown, trial.outcome)).collect::<Vec<_>>()
        }))
    };
    assert_eq!(tried().await.unwrap(), None, "only a rollover asks");

    let successor = Successor::of(&pair.ours.ca);
    let leaf = successor.ca.issue(&a.wish());
    certify(a, &leaf.with(&successor.cross).trusting(&[&pair.ours.ca, &successor.ca])).await;
    let alone = |outcome| Some(vec![(Shown::OwnAlone, outcome)]);
    eventually("the partner refuses the leaf alone", async || {
        (tried().await? == alone(Outcome::Refused)).then_some(())
    })
    .await;
    // With the cross certificate it serves as before.
    a.client().send(b"meanwhile", &[&b.public_key]).await;

    write_partners(b, &[partner(&pair.ours, &[&pair.ours.ca, &successor.ca])]);
    let mut dynamic: Value =
        serde_json::from_slice(&std::fs::read(a.dir.join("dynamic.json")).unwrap()).unwrap();
    dynamic["probeEverySeconds"] = json!(1);
    std::fs::write(a.dir.join("dynamic.json"), dynamic.to_string()).unwrap();
    eventually("the partner serves the leaf alone", async || {
        (tried().await? == alone(Outcome::Served)).then_some(())
    })
    .await;
}
