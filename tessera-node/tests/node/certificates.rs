//! Who is served where, and what happens when a certificate is replaced or an identity loses its place.

use std::path::Path;

use jiff::SignedDuration;
use serde_json::json;
use tessera_node_api::identity::Identity;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::ca::{Ca, Wish, wish};
use crate::support::client::Client;
use crate::support::{Net, PATIENCE, Spec, TRUST_DOMAIN, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn each_port_serves_its_own_callers_only() {
    let net = Net::new(&["a", "b"]);
    let _nodes = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let callers = [
        ("client", a.dir.join("client-tls"), a.client_identity()),
        ("peer", b.dir.join("tls"), b.identity()),
        ("operator", a.dir.join("operator-tls"), Identity::operator(TRUST_DOMAIN).unwrap()),
        ("scraper", a.dir.join("scraper-tls"), Identity::monitoring(TRUST_DOMAIN, "prometheus").unwrap()),
        ("client of b", b.dir.join("client-tls"), b.client_identity()),
        ("node under the admin CA", a.dir.join("admin-tls"), a.identity()),
    ];
    // Each caller trusts both CAs, so that only the node can be the one that refuses.
    let cas =
        ["tls", "admin-tls"].map(|tls| std::fs::read_to_string(a.dir.join(tls).join("ca.crt")).unwrap());
    let both = |directory: &Path| {
        let copy = directory.with_extension("both");
        std::fs::create_dir_all(&copy).unwrap();
        for file in ["tls.crt", "tls.key"] {
            std::fs::copy(directory.join(file), copy.join(file)).unwrap();
        }
        std::fs::write(copy.join("ca.crt"), cas.concat()).unwrap();
        copy
    };
    let ports = [
        ("client", a.q2t, "/"),
        ("peer", a.p2p, "/"),
        ("operator", a.admin, "/v1/status"),
        ("scraper", a.metrics, "/metrics"),
    ];
    for (served, port, path) in ports {
        for (caller, directory, identity) in &callers {
            let client = Client::new(a.at(port), &both(directory), identity, &a.identity());
            let answer = client.try_get(path).await;
            assert_eq!(answer.is_some(), *caller == served, "{caller} on the port for {served}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_served_without_a_restart_and_a_bad_one_is_not() {
    let net = Net::new(&["a", "b"]);
    let _nodes = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let served =
        async || a.operator_client().get("/v1/status").await.json()["certificate"]["fingerprint"].clone();
    let first = served().await;

    a.certify(&net.ca);
    let second =
        eventually("the new certificate is served", async || Some(served().await).filter(|f| *f != first))
            .await;

    std::fs::write(a.dir.join("tls/tls.crt"), "garbage").unwrap();
    let errors = eventually("the bad one is reported", async || {
        let status = a.operator_client().get("/v1/status").await.json();
        Some(status["reloadErrors"].clone()).filter(|errors| errors != &json!([]))
    })
    .await;
    assert!(errors[0].as_str().unwrap().contains("tls.crt"), "{errors}");
    assert_eq!(served().await, second);
    let hash = a.client().send(b"still here", &[&b.public_key]).await;
    assert_eq!(b.client().receive(&hash).await.0, 200);

    a.certify(&net.ca);
    eventually("it heals", async || {
        let status = a.operator_client().get("/v1/status").await.json();
        (status["reloadErrors"] == json!([])).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_taken_off_the_list_loses_its_open_connection() {
    let net = Net::new(&["a"]);
    let _nodes = net.start().await;
    let a = net.node("a");
    let mut open = a.client().connect().await.unwrap();
    is_served(&mut open).await;
    let file = a.dir.join("dynamic.json");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("client/a.quorum", "client/a.other")).unwrap();
    let ended = tokio::time::timeout(PATIENCE, open.read_u8()).await;
    assert!(matches!(ended, Ok(Err(_))), "still open");
    assert!(a.client().try_get("/upcheck").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_with_its_certificate() {
    let net = Net::new(&["a"]);
    let _nodes = net.start().await;
    let a = net.node("a");
    let directory = a.dir.join("short-tls");
    // Long enough to be served on a busy machine.
    let short = Wish { until: SignedDuration::from_secs(8), ..wish(&a.client_identity().to_string()) };
    net.ca.issue(&short).write(&directory);
    let client = Client::new(a.at(a.q2t), &directory, &a.client_identity(), &a.identity());
    let mut open = client.connect().await.unwrap();
    is_served(&mut open).await;
    let ended = tokio::time::timeout(PATIENCE, open.read_u8()).await;
    assert!(matches!(ended, Ok(Err(_))), "open long after the certificate's end");
}

/// A client's handshake ends before the server has judged it: only an answer shows that it is served.
async fn is_served(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) {
    stream.write_all(b"GET /upcheck HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"I'm up!") {
        answer.push(stream.read_u8().await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_announced_only_by_whom_it_belongs_to() {
    let net = Net::new(&["a", "b"]);
    let _nodes = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let thief = tessera_enclave::codec::party_info::PartyInfo {
        url: "https://elsewhere.test:9000/".to_owned(),
        recipients: vec![(b.public_key.parse().unwrap(), "https://elsewhere.test:9000/".to_owned())],
        parties: Vec::new(),
    };
    let octets = [("content-type", "application/octet-stream")];
    let refused = a.peer_client(b).request("POST", "/partyinfo", &octets, thief.encode()).await;
    assert_eq!(
        (refused.status, refused.text()),
        (403, "https://elsewhere.test:9000/ is not an address of this certificate")
    );
    let own = tessera_enclave::codec::party_info::PartyInfo { url: b.p2p_url(), ..thief };
    let taken = a.peer_client(b).request("POST", "/partyinfo", &octets, own.encode()).await;
    assert_eq!(taken.status, 200);
}

/// What a partner organisation's CA could do: it signs whatever it likes, and names ours in it.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_identity_under_another_ca_is_a_stranger() {
    let net = Net::new(&["a", "b"]);
    let _nodes = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let foreign = Ca::new("foreign");
    let operator = Identity::operator(TRUST_DOMAIN).unwrap();
    let scraper = Identity::monitoring(TRUST_DOMAIN, "prometheus").unwrap();
    let callers = [
        (a.admin, "/v1/status", a.dir.join("operator-tls"), operator),
        (a.q2t, "/upcheck", a.dir.join("client-tls"), a.client_identity()),
        (a.p2p, "/upcheck", b.dir.join("tls"), b.identity()),
        (a.metrics, "/metrics", a.dir.join("scraper-tls"), scraper),
    ];
    for (port, path, genuine, identity) in callers {
        let directory = a.dir.join("foreign-tls");
        foreign
            .issue(&Wish { names: vec![a.host.to_string()], ..wish(&identity.to_string()) })
            .write(&directory);
        // It trusts both CAs, so that only the node can be the one that refuses.
        let ours = std::fs::read_to_string(genuine.join("ca.crt")).unwrap();
        std::fs::write(directory.join("ca.crt"), format!("{}{ours}", foreign.pem)).unwrap();
        let stranger = Client::new(a.at(port), &directory, &identity, &a.identity());
        let answer = tokio::time::timeout(PATIENCE, stranger.try_get(path)).await.unwrap();
        assert!(answer.is_none(), "{identity} under another CA was answered on port {port}");

        // The control: the genuine certificate under the same two CAs is served.
        for file in ["tls.crt", "tls.key"] {
            std::fs::copy(genuine.join(file), directory.join(file)).unwrap();
        }
        let known = Client::new(a.at(port), &directory, &identity, &a.identity());
        assert_eq!(known.try_get(path).await.map(|answer| answer.status), Some(200), "{identity}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_white_list_admits_the_configured_peers_by_their_certificates() {
    let mut net = Net::new(&["a", "b", "c"]);
    net.nodes[0].config["useWhiteList"] = json!(true);
    net.nodes[0].write_config();
    let [a, b, c] = ["a", "b", "c"].map(|name| net.node(name));
    a.write_dynamic(&[b.p2p_url()]);
    let _nodes: Vec<_> = net.nodes.iter().map(Spec::start).collect();
    a.wait_until_serves().await;
    b.wait_until_knows(&c.public_key).await;
    // All call from the same address: only their certificates tell them apart.
    eventually("the configured peer has announced itself", async || {
        let known = a.peer_client(b).get("/partyinfo").await;
        (known.status == 200 && known.text().contains(&b.public_key)).then_some(())
    })
    .await;
    assert_eq!(a.peer_client(c).get("/partyinfo").await.status, 401);
    b.wait_until_knows(&a.public_key).await;
    let hash = b.client().send(b"from a configured peer", &[&a.public_key]).await;
    assert_eq!(a.client().receive(&hash).await.0, 200);
    let body = json!({"payload": "aGk=", "to": [a.public_key]}).to_string();
    let refused = c.client().post_json("/send", body).await;
    assert_ne!(refused.status, 201, "a peer that is not configured was served");
}
