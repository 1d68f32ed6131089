//! Networks of several organisations, each with a CA of its own, exchange private transactions: those that name each other, and
//! nobody else.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tessera_e2e::cluster::Kind;
use tessera_e2e::fleet::{Fleet, Ledger, NETWORK, expect_condition};
use tessera_e2e::wait;

const NAMESPACES: [&str; 3] = ["e2e-partner-a", "e2e-partner-b", "e2e-partner-c"];
/// The operator writes at once; a kubelet takes up to two minutes to bring the file.
const TAKEN_UP: Duration = Duration::from_mins(5);

#[tokio::test]
async fn partners_exchange_private_transactions_and_a_third_network_does_not() -> Result<()> {
    let [a, b, c] = NAMESPACES;
    let a = Fleet::start(a, &["a", "a2"]).await?;
    let b = Fleet::start(b, &["b"]).await?;
    let c = Fleet::start(c, &["c"]).await?;
    for (of, at) in [(&a, &b), (&b, &a), (&a, &c), (&c, &a)] {
        give_bundle(of, at).await?;
    }
    let pods = [pod_of(&a, "tessera-a-0").await?, pod_of(&a, "tessera-a2-0").await?];

    // The pods of C reach A's port, and C trusts A: what keeps C out is its certificate.
    let from = [b.namespace.as_str(), c.namespace.as_str()];
    set_partners(&a, &[partner(&b, &["b"], &from), absent()]).await?;
    set_partners(&b, &[partner(&a, &["a", "a2"], &[&a.namespace])]).await?;
    set_partners(&c, &[partner(&a, &["a", "a2"], &[&a.namespace])]).await?;
    reached(&a, &b.namespace, &url(&b, "b")).await?;
    reached(&b, &a.namespace, &url(&a, "a")).await?;

    let (ledger_a, ledger_b, ledger_c) = (a.ledger("a").await?, b.ledger("b").await?, c.ledger("c").await?);
    let (key_a, key_a2) = (a.public_key("a").await?, a.public_key("a2").await?);
    let (key_b, key_c) = (b.public_key("b").await?, c.public_key("c").await?);
    for (from, to, key) in [(&ledger_a, &ledger_b, &key_b), (&ledger_b, &ledger_a, &key_a)] {
        let hash = from.send(b"between organisations", std::slice::from_ref(key)).await?;
        ensure!(to.payload(&hash).await? == b"between organisations");
        ensure!(from.payload(&hash).await? == b"between organisations");
        ensure!(ledger_c.receive(&hash).await?.status == 404, "C is no party");
    }

    let condition = a.network_condition("PartnersAccepted", "False", "InvalidReference").await?;
    let text = condition["status"]["conditions"].to_string();
    ensure!(text.contains("partner nobody is cut off: ConfigMap nobody-ca does not exist"), "{text}");
    ensure!(partner_status(&condition, &b.namespace)["accepted"] == true, "it alone is cut off");
    let table = a.plugin(&["status", NETWORK], &[]).await?;
    ensure!(table.contains("PARTNER") && table.contains("partner nobody: ConfigMap nobody-ca"), "{table}");

    refused(&c, &ledger_c, &a, &key_a).await?;
    unknown(&ledger_a, &key_c).await?;
    // The control: once A names C, all else being equal, C is served.
    set_partners(&a, &[partner(&b, &["b"], &from), partner(&c, &["c"], &from)]).await?;
    reached(&c, &a.namespace, &url(&a, "a")).await?;
    let hash = ledger_c.send(b"now it is", std::slice::from_ref(&key_a)).await?;
    ensure!(ledger_a.payload(&hash).await? == b"now it is");

    set_partners(&a, &[]).await?;
    wait::until("sends to a removed partner failing", TAKEN_UP, || async {
        unknown(&ledger_a, &key_b).await
    })
    .await?;
    let hash = ledger_a.send(b"among ourselves", std::slice::from_ref(&key_a2)).await?;
    ensure!(a.ledger("a2").await?.payload(&hash).await? == b"among ourselves");
    wait::until("A unreached by B", TAKEN_UP, || async {
        let network = network(&b).await?;
        let partner = partner_status(&network, &a.namespace);
        ensure!(partner["unreached"] == json!([url(&a, "a")]), "{partner}");
        Ok(())
    })
    .await?;
    ensure!([pod_of(&a, "tessera-a-0").await?, pod_of(&a, "tessera-a2-0").await?] == pods, "a restart");
    for fleet in [&a, &b, &c] {
        fleet.done().await?;
    }
    Ok(())
}

/// The CA of `of` in the namespace of `at`, as its people would have mailed it.
async fn give_bundle(of: &Fleet, at: &Fleet) -> Result<()> {
    let bundle = of.cluster.get(Kind::ConfigMap, &of.namespace, &format!("{NETWORK}-ca")).await?;
    let ca = bundle["data"]["ca.crt"].as_str().context("the network has a bundle")?;
    let copy = json!({"metadata": {"name": format!("{}-ca", of.namespace)}, "data": {"ca.crt": ca}});
    at.cluster.apply(Kind::ConfigMap, &at.namespace, &copy).await.map(drop)
}

/// The network of `of` as a partner, with these nodes, the first of which is polled; pods of the namespaces `from` reach our P2P port.
fn partner(of: &Fleet, nodes: &[&str], from: &[&str]) -> Value {
    let namespace = &of.namespace;
    let pods = nodes.iter().map(|node| format!("*.{node}-p2p.{namespace}.svc"));
    let hosts: Vec<_> = [format!("*.{namespace}.svc")].into_iter().chain(pods).collect();
    let names: Vec<_> =
        hosts.iter().flat_map(|host| [host.clone(), format!("{host}.cluster.local")]).collect();
    let is_in = |namespaces: &[&str]| {
        json!({"matchExpressions": [{
            "key": "kubernetes.io/metadata.name", "operator": "In", "values": namespaces,
        }]})
    };
    json!({
        "name": namespace,
        "trustDomain": format!("{namespace}.example"),
        "caBundleRef": {"name": format!("{namespace}-ca")},
        "dnsNames": names,
        "urls": [url(of, nodes[0])],
        "egress": [{"namespaceSelector": is_in(&[namespace]), "port": 9000}],
        "from": [{"namespaceSelector": is_in(from)}],
    })
}

/// A partner whose bundle is not there.
fn absent() -> Value {
    json!({
        "name": "nobody",
        "trustDomain": "nobody.example",
        "caBundleRef": {"name": "nobody-ca"},
        "dnsNames": ["*.tm.nobody.example"],
        "egress": [{"cidr": "192.0.2.0/28", "port": 9000}],
    })
}

fn url(of: &Fleet, node: &str) -> String {
    format!("https://{node}-p2p.{}.svc:9000", of.namespace)
}

async fn set_partners(at: &Fleet, partners: &[Value]) -> Result<()> {
    let mut manifest = at.network_manifest();
    manifest["spec"]["partners"] = partners.into();
    at.cluster.apply(Kind::TesseraNetwork, &at.namespace, &manifest).await.map(drop)
}

async fn network(of: &Fleet) -> Result<Value> {
    of.cluster.get(Kind::TesseraNetwork, &of.namespace, NETWORK).await
}

fn partner_status(network: &Value, name: &str) -> Value {
    let partners = network["status"]["partners"].as_array().cloned().unwrap_or_default();
    partners.into_iter().find(|partner| partner["name"] == name).unwrap_or_default()
}

/// Waits until all nodes of the network reach this URL of the partner.
async fn reached(at: &Fleet, partner: &str, url: &str) -> Result<()> {
    wait::until(&format!("{url} reached from {}", at.namespace), TAKEN_UP, || async {
        let status = partner_status(&network(at).await?, partner);
        ensure!(status["reached"] == json!([url]), "{status}");
        ensure!(status["cas"][0]["fingerprint"].is_string(), "{status}");
        Ok(())
    })
    .await
}

/// C trusts A, its pods reach A's port, and A does not take it.
async fn refused(c: &Fleet, ledger: &Ledger, a: &Fleet, key_a: &str) -> Result<()> {
    let live = network(c).await?;
    expect_condition(&live, "PartnersAccepted", "True", "Accepted")?;
    let partner = partner_status(&live, &a.namespace);
    ensure!(partner["unreached"] == json!([url(a, "a")]), "{partner}");
    unknown(ledger, key_a).await
}

/// A send to this key fails, and says why.
async fn unknown(from: &Ledger, key: &str) -> Result<()> {
    let answer = from.try_send(b"to nobody", &[key.to_owned()]).await?;
    ensure!(answer.status == 404, "{answer:?}");
    ensure!(answer.body == format!("Recipient not found for key: {key}"), "{answer:?}");
    Ok(())
}

/// The pod and how often its container was restarted.
async fn pod_of(fleet: &Fleet, name: &str) -> Result<(Value, Value)> {
    let pod = fleet.cluster.get(Kind::Pod, &fleet.namespace, name).await?;
    Ok((pod["metadata"]["uid"].clone(), pod["status"]["containerStatuses"][0]["restartCount"].clone()))
}
