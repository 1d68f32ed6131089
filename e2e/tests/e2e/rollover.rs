//! A network gets new CAs while clients of three TLS stacks shake hands and payloads flow; then a CA that somebody stole is
//! distrusted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tessera_e2e::checklist_record;
use tessera_e2e::client_pod::ClientPod;
use tessera_e2e::cluster::Kind;
use tessera_e2e::fleet::{Fleet, Ledger, NETWORK};
use tessera_e2e::stacks::{Plan, Roots, Stack, StackClient};
use tessera_e2e::wait;

/// Five nodes of four endpoints each: P2P, Q2T, metrics, admin.
const NODES: [&str; 5] = ["a", "b", "c", "d", "e"];
/// Each phase takes the kubelet's period, and a slow machine more.
const DEADLINE: Duration = Duration::from_mins(10);
/// In which a certificate of a distrusted CA is refused everywhere: the kubelet's period to bring a Secret, twice.
const DISTRUSTED_WITHIN: Duration = Duration::from_mins(3);

#[tokio::test]
async fn serial_cas_are_replaced_while_everything_goes_on() -> Result<()> {
    let fleet = fleet().await?;
    let (sender, recipient) = (fleet.ledger("a").await?, fleet.public_key("b").await?);
    let pods = pods(&fleet).await?;
    let old = fingerprints(&network(&fleet).await?);
    let stolen = steal(&fleet, "stolen").await?;
    let mut clients = clients(&fleet, "before").await?;
    let mut load = Load { sender: &sender, recipient, sends: 0 };

    demand(&fleet, 1).await?;
    let retiring = load.until("the rollover retires the old CA", &fleet, |network| {
        network["status"]["rollover"]["phase"] == "Retiring"
            && network["status"]["rollover"]["waitingFor"][0]
                .as_str()
                .is_some_and(|who| who.starts_with("client "))
            && network["status"]["rollover"]["waiting"] == 6
    });
    let retiring = retiring.await?;
    // Those that read the old CA at their start are still served, by the cross certificate. Then each starts anew.
    let mut done = finish(std::mem::take(&mut clients)).await?;
    let clients = self::clients(&fleet, "after").await?;
    acknowledge(&fleet, &retiring).await?;
    let after =
        load.until("the old CA is gone", &fleet, |network| network["status"]["rollover"].is_null()).await?;
    for _ in 0..5 {
        load.send().await?;
    }
    done.extend(finish(clients).await?);

    let new = fingerprints(&after);
    ensure!(new.len() == 2 && new.iter().all(|ca| !old.contains(ca)), "{old:?} then {new:?}");
    for node in fleet_statuses(&fleet).await? {
        ensure!(
            node["status"]["pods"][0]["trustFingerprints"] == json!([new[0]]),
            "{}",
            node["status"]["pods"]
        );
    }
    ensure!(stolen.request("GET", &sender.url, None).await.is_err(), "a certificate of the old CA is served");
    ensure!(self::pods(&fleet).await? == pods, "a pod or a container was restarted");
    let (handshakes, failed) = done.iter().fold((0, 0), |(all, bad), done| (all + done.0, bad + done.1));
    ensure!(failed == 0, "{failed} of {handshakes} handshakes failed: {done:?}");
    a_stolen_ca_is_distrusted(&fleet, &mut load, &new[0]).await?;
    let sends = load.sends;
    checklist_record::closing(&format!(
        "rollover: {handshakes} handshakes, {sends} sends, 0 failed, 0 restarts"
    ))?;
    fleet.done().await
}

/// Everything that the CA signed is refused within the stated time, and the network works under another.
async fn a_stolen_ca_is_distrusted(fleet: &Fleet, load: &mut Load<'_>, bad: &str) -> Result<()> {
    let stolen = steal(fleet, "stolen-later").await?;
    // The policies of the nodes' machines take a moment to know a new pod.
    wait::until("the control: the thief is served", DEADLINE, || async {
        let served = stolen.request("GET", &format!("{}/upcheck", load.sender.url), None).await?;
        ensure!(served.status == 200, "{served:?}");
        Ok(())
    })
    .await?;
    let mut manifest =
        fleet.cluster.get(Kind::TesseraNetwork, &fleet.namespace, NETWORK).await?["spec"].clone();
    manifest["pki"]["ca"]["distrust"] = json!([bad]);
    apply(fleet, &manifest).await?;
    wait::until("what the distrusted CA signed is refused", DISTRUSTED_WITHIN, || async {
        for node in NODES {
            let url = format!("https://{node}.{}.svc:8080/upcheck", fleet.namespace);
            let answer = stolen.request("GET", &url, None).await;
            ensure!(answer.is_err(), "{node} serves it: {answer:?}");
        }
        Ok(())
    })
    .await?;
    wait::until("payloads flow under the new CA", DEADLINE, || async {
        let answer = load.sender.try_send(b"after", std::slice::from_ref(&load.recipient)).await?;
        ensure!(answer.status == 201, "{answer:?}");
        Ok(())
    })
    .await?;
    let now = fingerprints(&network(fleet).await?);
    ensure!(!now.contains(&bad.to_owned()), "{now:?}");
    let bundle = fleet.cluster.get(Kind::ConfigMap, &fleet.namespace, &format!("{NETWORK}-ca")).await?;
    let bundle = bundle["data"]["ca.crt"].as_str().context("no bundle")?;
    ensure!(bundle.matches("BEGIN CERTIFICATE").count() == 1, "the bundle has one CA: {bundle}");
    Ok(())
}

/// A network whose CAs end in a year, five nodes with a ledger each, and a scraper.
async fn fleet() -> Result<Fleet> {
    let fleet = Fleet::prepare("e2e-rollover").await?;
    fleet.create_network().await?;
    fleet.set_up_store().await?;
    for node in NODES {
        let mut manifest = fleet.node_manifest(node);
        // One ledger's pods have the label of the stand-in, the other's that of a foreign stack.
        manifest["spec"]["clients"][0]["from"] = json!([
            {"podSelector": {"matchLabels": {"app": format!("ledger-{node}")}}},
            {"podSelector": {"matchLabels": {"app": "thief"}}},
        ]);
        fleet.cluster.apply(Kind::TesseraNode, &fleet.namespace, &manifest).await?;
    }
    for node in NODES {
        fleet.node_ready(node).await?;
    }
    Ok(fleet)
}

/// A client of a foreign stack for each node's Q2T, and one for metrics; all read the CAs once.
async fn clients(fleet: &Fleet, when: &str) -> Result<Vec<(String, StackClient)>> {
    let plans = [
        ("a", Stack::Go, 100),
        ("b", Stack::Go, 100),
        ("c", Stack::Go, 100),
        ("d", Stack::Jdk, 250),
        ("e", Stack::OpenSsl, 1000),
    ];
    let mut all = Vec::new();
    for (node, stack, every) in plans {
        let name = format!("stack-{node}-{when}");
        let plan = Plan {
            name: &name,
            app: &format!("ledger-{node}"),
            image: &fleet.settings.stacks_image,
            secret: &format!("{node}-client-ledger"),
            stack,
            server: &format!("{node}.{}.svc", fleet.namespace),
            port: 8080,
            every: Duration::from_millis(every),
            roots: Roots::Once,
        };
        all.push((name.clone(), StackClient::start(&fleet.cluster, &fleet.namespace, &plan).await?));
    }
    let name = format!("scraper-{when}");
    let plan = Plan {
        name: &name,
        app: "scraper",
        image: &fleet.settings.stacks_image,
        secret: &format!("{NETWORK}-monitoring-scraper"),
        stack: Stack::Go,
        server: &format!("a.{}.svc", fleet.namespace),
        port: 9464,
        every: Duration::from_millis(100),
        roots: Roots::Once,
    };
    all.push((name.clone(), StackClient::start(&fleet.cluster, &fleet.namespace, &plan).await?));
    Ok(all)
}

/// Handshakes and failures of each.
async fn finish(clients: Vec<(String, StackClient)>) -> Result<Vec<(u64, u64, Vec<String>)>> {
    let mut done = Vec::new();
    for (name, client) in clients {
        let tally = client.finish().await.with_context(|| name.clone())?;
        ensure!(tally.handshakes > 0, "{name} did nothing");
        done.push((tally.handshakes, tally.failed, tally.complaints));
    }
    Ok(done)
}

/// Payloads that flow meanwhile.
struct Load<'a> {
    sender: &'a Ledger,
    recipient: String,
    sends: u64,
}

impl Load<'_> {
    async fn send(&mut self) -> Result<()> {
        let payload = format!("payload {}", self.sends);
        let hash = self.sender.send(payload.as_bytes(), std::slice::from_ref(&self.recipient)).await?;
        ensure!(self.sender.payload(&hash).await? == payload.as_bytes());
        self.sends += 1;
        Ok(())
    }

    /// Sends until the network is as asked for. A send that fails ends the test, whatever is awaited.
    async fn until(&mut self, what: &str, fleet: &Fleet, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
        let started = Instant::now();
        loop {
            self.send().await?;
            let network = network(fleet).await?;
            if is_so(&network) {
                return Ok(network);
            }
            ensure!(
                started.elapsed() < DEADLINE,
                "{what}: after {} sends {}",
                self.sends,
                network["status"]["rollover"]
            );
        }
    }
}

async fn network(fleet: &Fleet) -> Result<Value> {
    fleet.cluster.get(Kind::TesseraNetwork, &fleet.namespace, NETWORK).await
}

async fn apply(fleet: &Fleet, spec: &Value) -> Result<()> {
    let manifest = json!({"metadata": {"name": NETWORK}, "spec": spec});
    fleet.cluster.apply(Kind::TesseraNetwork, &fleet.namespace, &manifest).await.map(drop)
}

async fn demand(fleet: &Fleet, trigger: u32) -> Result<()> {
    let mut spec = network(fleet).await?["spec"].clone();
    spec["pki"]["ca"]["rolloverTrigger"] = trigger.into();
    apply(fleet, &spec).await
}

/// What a person does when the clients have started with the new CA: says so of each that status names.
async fn acknowledge(fleet: &Fleet, retiring: &Value) -> Result<()> {
    let ca = &fingerprints(retiring)[0];
    let waiting = retiring["status"]["rollover"]["waitingFor"].as_array().cloned().unwrap_or_default();
    let identity = |who: &Value| who.as_str().and_then(|who| who.split(' ').nth(1)).map(str::to_owned);
    let all: Vec<_> = waiting.iter().filter_map(identity).collect();
    ensure!(all.len() == 6, "{waiting:?}");
    let mut spec = network(fleet).await?["spec"].clone();
    spec["pki"]["acknowledge"] =
        all.iter().map(|identity| json!({"identity": identity, "caFingerprint": ca})).collect();
    apply(fleet, &spec).await
}

/// Of the CAs that sign: the network's, then that of the admin ports.
fn fingerprints(network: &Value) -> Vec<String> {
    let cas = network["status"]["cas"].as_array().cloned().unwrap_or_default();
    let current = cas.iter().filter(|ca| ca["state"] == "Current");
    current.filter_map(|ca| ca["fingerprint"].as_str().map(str::to_owned)).collect()
}

/// A pod with a copy of a ledger's certificate, which nobody renews.
async fn steal(fleet: &Fleet, name: &str) -> Result<ClientPod> {
    let secret = fleet.cluster.get(Kind::Secret, &fleet.namespace, "a-client-ledger").await?;
    let copy = json!({"metadata": {"name": name}, "type": "kubernetes.io/tls", "data": secret["data"]});
    fleet.cluster.apply(Kind::Secret, &fleet.namespace, &copy).await?;
    let mut pod = tessera_e2e::client_pod::manifest(name, &fleet.settings.client_image, Some(name));
    pod["metadata"]["labels"]["app"] = "thief".into();
    ClientPod::start_as(&fleet.cluster, &fleet.namespace, &pod).await
}

async fn fleet_statuses(fleet: &Fleet) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for node in NODES {
        all.push(fleet.node(node).await?);
    }
    Ok(all)
}

/// What changes when a pod or its container is started again.
async fn pods(fleet: &Fleet) -> Result<BTreeMap<&'static str, (Value, Value)>> {
    let mut all = BTreeMap::new();
    for node in NODES {
        let pod = fleet.cluster.get(Kind::Pod, &fleet.namespace, &format!("tessera-{node}-0")).await?;
        let restarts = pod["status"]["containerStatuses"][0]["restartCount"].clone();
        all.insert(node, (pod["metadata"]["uid"].clone(), restarts));
    }
    Ok(all)
}
