//! A node is exposed to a partner outside of the cluster, whose own node is a process on the host that stands for the world.

mod outside;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tessera_e2e::cluster::Kind;
use tessera_e2e::fleet::{Fleet, Ledger, NETWORK, expect_condition};
use tessera_e2e::wait;

use self::outside::{Ours, Partner};

/// Nothing in the cluster resolves this name.
const HOST: &str = "a.tm.world.example";
const PORT: u16 = 9443;
const KUBELET: u16 = 10250;
const SERVICE: &str = "a-exposed";
/// The Service by which the cluster's DNS leads to the partner's node.
const PARTNER_SERVICE: &str = "partner-b";
const OUTSIDERS: &str = "e2e-outsiders";
/// The operator writes at once; a kubelet takes up to two minutes to bring the file.
const TAKEN_UP: Duration = Duration::from_mins(5);

#[tokio::test]
async fn a_partner_outside_of_the_cluster_and_an_exposed_node_exchange_private_transactions() -> Result<()> {
    let fleet = Fleet::start("e2e-exposure", &["a", "a2"]).await?;
    let (ledger_a, ledger_a2) = (fleet.ledger("a").await?, fleet.ledger("a2").await?);
    let (key_a, key_a2) = (fleet.public_key("a").await?, fleet.public_key("a2").await?);
    let inside = fleet.node("a").await?["status"]["endpoints"]["p2p"].clone();
    let address = machine_of(&fleet, "tessera-a-0").await?;
    let partner = Partner::start(&Ours {
        address: &address,
        host: HOST,
        url: &format!("https://{HOST}:{PORT}"),
        ca: &bundle(&fleet).await?,
        trust_domain: &format!("{}.example", fleet.namespace),
        partner_host: &format!("{PARTNER_SERVICE}.{OUTSIDERS}.svc"),
    })
    .await?;
    name_in_cluster(&fleet, &partner).await?;
    set_partner(&fleet, &partner).await?;

    // The load balancer's controller is not there yet: the node serves, and says what it awaits.
    expose(&fleet, Some(&partner.address)).await?;
    fleet.node_condition("a", "Reconciling", "True", "AwaitingLoadBalancer").await?;
    expect_condition(&fleet.node("a").await?, "Ready", "True", "Ready")?;
    assign(&fleet, &address).await?;
    let url = format!("https://{HOST}:{PORT}/");
    wait::until("the address in the status", TAKEN_UP, || async {
        let endpoints = fleet.node("a").await?["status"]["endpoints"].clone();
        ensure!(endpoints["p2p"] == url && endpoints["loadBalancer"] == json!([address]), "{endpoints}");
        Ok(())
    })
    .await?;
    let evidence = fleet.node("a").await?["status"]["checklist"].to_string();
    ensure!(
        evidence.contains(&format!("its load balancer takes connections to P2P from {}/32", partner.address)),
        "{evidence}"
    );

    ensure!(machine_of(&fleet, "tessera-a-0").await? == address, "the pod stays with its volume");

    // Both ways, between hosts that know each other by names alone.
    let hash = partner.send(b"from outside", &key_a).await?;
    ensure!(ledger_a.payload(&hash).await? == b"from outside");
    let hash = sent(&ledger_a, b"to outside", &partner.public_key).await?;
    ensure!(partner.payload(&hash).await? == b"to outside");
    // Within the cluster the node is found at its Service, since nothing there resolves the name.
    for (from, to, key) in [(&ledger_a, &ledger_a2, &key_a2), (&ledger_a2, &ledger_a, &key_a)] {
        let hash = sent(from, b"inside", key).await?;
        ensure!(to.payload(&hash).await? == b"inside");
    }
    // The machine of the tests is no source; it reaches the same machine's kubelet.
    ensure!(connects(&address, KUBELET).await, "the control");
    ensure!(!connects(&address, PORT).await, "this host is no source of the load balancer");

    expose(&fleet, None).await?;
    wait::until("the node inside of the cluster alone", TAKEN_UP, || async {
        let services = fleet.cluster.list(Kind::Service, &fleet.namespace, "").await?;
        ensure!(services.iter().all(|service| service["metadata"]["name"] != SERVICE), "{SERVICE} is there");
        let endpoints = fleet.node("a").await?["status"]["endpoints"].clone();
        ensure!(endpoints["p2p"] == inside && endpoints["loadBalancer"].is_null(), "{endpoints}");
        Ok(())
    })
    .await?;
    fleet.node_ready("a").await?;
    let hash = sent(&ledger_a2, b"inside again", &key_a).await?;
    ensure!(ledger_a.payload(&hash).await? == b"inside again");
    let refused = partner.try_send(b"too late", &key_a).await?;
    ensure!([404, 410].contains(&refused), "the partner reaches a node that is not exposed: {refused}");
    ensure!(partner.try_send(b"to itself", &partner.public_key).await? == 201, "the control");
    for kind in [Kind::Service, Kind::EndpointSlice] {
        fleet.cluster.delete(kind, OUTSIDERS, PARTNER_SERVICE).await?;
    }
    fleet.done().await
}

async fn bundle(fleet: &Fleet) -> Result<String> {
    let bundle = fleet.cluster.get(Kind::ConfigMap, &fleet.namespace, &format!("{NETWORK}-ca")).await?;
    bundle["data"]["ca.crt"].as_str().map(str::to_owned).context("the network has a bundle")
}

/// The address of the machine that a pod is on: what a load balancer without machines of its own listens on.
async fn machine_of(fleet: &Fleet, pod: &str) -> Result<String> {
    let pod = fleet.cluster.get(Kind::Pod, &fleet.namespace, pod).await?;
    pod["status"]["hostIP"].as_str().map(str::to_owned).context("the pod has a machine")
}

/// A Service that leads to the partner's host.
async fn name_in_cluster(fleet: &Fleet, partner: &Partner) -> Result<()> {
    let ports = json!([{"name": "p2p", "port": partner.port, "protocol": "TCP"}]);
    let service = json!({"metadata": {"name": PARTNER_SERVICE}, "spec": {"ports": ports}});
    fleet.cluster.apply(Kind::Service, OUTSIDERS, &service).await?;
    let slice = json!({
        "metadata": {"name": PARTNER_SERVICE, "labels": {"kubernetes.io/service-name": PARTNER_SERVICE}},
        "addressType": "IPv4", "ports": ports, "endpoints": [{"addresses": [partner.address]}],
    });
    fleet.cluster.apply(Kind::EndpointSlice, OUTSIDERS, &slice).await.map(drop)
}

async fn set_partner(fleet: &Fleet, partner: &Partner) -> Result<()> {
    let bundle = json!({"metadata": {"name": "partner-ca"}, "data": {"ca.crt": partner.ca}});
    fleet.cluster.apply(Kind::ConfigMap, &fleet.namespace, &bundle).await?;
    let mut manifest = fleet.network_manifest();
    manifest["spec"]["partners"] = json!([{
        "name": "org-b",
        "trustDomain": partner.trust_domain,
        "caBundleRef": {"name": "partner-ca"},
        "dnsNames": [partner.host],
        "urls": [format!("https://{}:{}", partner.host, partner.port)],
        "egress": [{"cidr": format!("{}/32", partner.address), "port": partner.port}],
    }]);
    fleet.cluster.apply(Kind::TesseraNetwork, &fleet.namespace, &manifest).await.map(drop)
}

async fn expose(fleet: &Fleet, source: Option<&str>) -> Result<()> {
    let mut manifest = fleet.node_manifest("a");
    if let Some(source) = source {
        manifest["spec"]["exposure"] = json!({"type": "LoadBalancer", "loadBalancer": {
            "advertisedURL": format!("https://{HOST}:{PORT}"), "sourceCIDRs": [format!("{source}/32")],
        }});
    }
    fleet.cluster.apply(Kind::TesseraNode, &fleet.namespace, &manifest).await.map(drop)
}

/// As the controller of a load balancer does.
async fn assign(fleet: &Fleet, address: &str) -> Result<()> {
    let status: Value = json!({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}});
    let services = fleet.cluster.api(Kind::Service, &fleet.namespace);
    services.patch_status(SERVICE, &PatchParams::default(), &Patch::Merge(status)).await?;
    Ok(())
}

/// Sends once the recipient is known (404) and reached (410), which a node that was restarted a moment ago is not yet; gives the hash.
async fn sent(from: &Ledger, payload: &[u8], to: &str) -> Result<String> {
    let answer = wait::until("the recipient reached", TAKEN_UP, || async {
        let answer = from.try_send(payload, &[to.to_owned()]).await?;
        ensure!(![404, 410].contains(&answer.status), "{answer:?}");
        Ok(answer)
    })
    .await?;
    ensure!(answer.status == 201, "{answer:?}");
    let body: Value = serde_json::from_str(&answer.body)?;
    body["key"].as_str().map(str::to_owned).context("no key in the answer")
}

/// From the machine of the tests.
async fn connects(address: &str, port: u16) -> bool {
    let connect = tokio::net::TcpStream::connect((address, port));
    matches!(tokio::time::timeout(Duration::from_secs(5), connect).await, Ok(Ok(_)))
}
