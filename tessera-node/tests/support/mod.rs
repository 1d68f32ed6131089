//! A network of whole nodes on loopback, with a certificate authority of its own.

#![allow(dead_code, unreachable_pub, missing_docs)] // Each test binary uses its part.

pub mod backup;
pub mod balancer;
pub mod ca;
pub mod client;
pub mod damage;
pub mod load;
pub mod port;
pub mod postgres;
pub mod process;
pub mod rollover;
pub mod store;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ca::{Ca, Wish, wish};
use client::Client;
pub use port::Port;
use serde_json::{Value, json};
use tempfile::TempDir;
use tessera_enclave::{KeyPair, base64};
use tessera_node_api::identity::Identity;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const TRUST_DOMAIN: &str = "org.test";
/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Directories, ports and a CA. Nodes know each other from the start.
pub struct Net {
    pub dir: TempDir,
    pub ca: Ca,
    pub nodes: Vec<Spec>,
}

/// What one node is made of; it outlives the node's runs.
#[derive(Debug, Clone)]
pub struct Spec {
    pub name: String,
    pub dir: PathBuf,
    /// A loopback address that no other node of the network has: certificates are for addresses, not for ports.
    pub host: IpAddr,
    /// The name by which others dial P2P, if not the address.
    pub dialled: Option<String>,
    pub domain: String,
    pub q2t: u16,
    pub p2p: u16,
    pub admin: u16,
    pub metrics: u16,
    /// In base64.
    pub public_key: String,
    /// The text of its configuration file.
    pub config: Value,
    /// Keeps the ports while the node is down.
    pub ports: Arc<[Port; 4]>,
}

/// A node that runs in this process.
pub struct Running {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), tessera_node::node::RunError>>,
}

impl Net {
    pub fn new(names: &[&str]) -> Self {
        Self::with(names, |_| {})
    }

    /// `change` sees each node's configuration before it is written.
    pub fn with(names: &[&str], change: impl Fn(&mut Value)) -> Self {
        Self::of(TRUST_DOMAIN, names, None, change)
    }

    /// One node of an organisation of its own, which others dial as `localhost`.
    pub fn organisation(domain: &str, name: &str) -> Self {
        Self::of(domain, &[name], Some("localhost"), |_| {})
    }

    fn of(domain: &str, names: &[&str], dialled: Option<&str>, change: impl Fn(&mut Value)) -> Self {
        let dir = TempDir::new().unwrap();
        let ca = Ca::new("network");
        let admin_ca = Ca::new("admin");
        let mut nodes: Vec<Spec> = names
            .iter()
            .zip(1..)
            .map(|(name, number)| spec(dir.path(), domain, name, number, dialled))
            .collect();
        let urls: Vec<_> = nodes.iter().map(Spec::p2p_url).collect();
        for node in &mut nodes {
            node.certify(&ca);
            let directory = |name: &str| node.dir.join(name);
            admin_ca.issue(&node.wish()).write(&directory("admin-tls"));
            let operator = Identity::operator(domain).unwrap();
            admin_ca.issue(&wish(&operator.to_string())).write(&directory("operator-tls"));
            ca.issue(&wish(&node.client_identity().to_string())).write(&directory("client-tls"));
            ca.issue(&wish(&node.scraper().to_string())).write(&directory("scraper-tls"));
            node.write_dynamic(&urls);
            change(&mut node.config);
            node.write_config();
        }
        Self { dir, ca, nodes }
    }

    pub fn node(&self, name: &str) -> &Spec {
        self.nodes.iter().find(|node| node.name == name).unwrap()
    }

    /// Starts all nodes, and waits until each has heard of every other.
    pub async fn start(&self) -> Vec<Running> {
        let running = self.nodes.iter().map(Spec::start).collect();
        self.wait_until_met().await;
        running
    }

    pub async fn wait_until_met(&self) {
        for node in &self.nodes {
            for other in &self.nodes {
                node.wait_until_knows(&other.public_key).await;
            }
        }
    }
}

impl Spec {
    /// Writes a new certificate of the node.
    pub fn certify(&self, ca: &Ca) {
        ca.issue(&self.wish()).write(&self.dir.join("tls"));
    }

    /// A certificate of this node: its identity, for its address.
    pub fn wish(&self) -> Wish {
        let names = [self.host.to_string()].into_iter().chain(self.dialled.clone());
        Wish { names: names.collect(), ..wish(&self.identity().to_string()) }
    }

    fn scraper(&self) -> Identity {
        Identity::monitoring(&self.domain, "prometheus").unwrap()
    }

    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.host, port)
    }

    pub fn identity(&self) -> Identity {
        Identity::node(&self.domain, &self.name).unwrap()
    }

    pub fn client_identity(&self) -> Identity {
        Identity::client(&self.domain, &self.name, "quorum").unwrap()
    }

    pub fn p2p_url(&self) -> String {
        match &self.dialled {
            Some(name) => format!("https://{name}:{}/", self.p2p),
            None => format!("https://{}/", self.at(self.p2p)),
        }
    }

    /// The ledger node's connection.
    pub fn client(&self) -> Client {
        Client::new(
            self.at(self.q2t),
            &self.dir.join("client-tls"),
            &self.client_identity(),
            &self.identity(),
        )
    }

    /// Another node's connection, shown by the certificate of `peer`.
    pub fn peer_client(&self, peer: &Self) -> Client {
        Client::new(self.at(self.p2p), &peer.dir.join("tls"), &peer.identity(), &self.identity())
    }

    pub fn operator_client(&self) -> Client {
        let operator = Identity::operator(&self.domain).unwrap();
        Client::new(self.at(self.admin), &self.dir.join("operator-tls"), &operator, &self.identity())
    }

    pub fn scraper_client(&self) -> Client {
        Client::new(self.at(self.metrics), &self.dir.join("scraper-tls"), &self.scraper(), &self.identity())
    }

    /// The value of one metric, whatever the case of its labels; 0 when it was never counted.
    pub async fn metric(&self, name: &str) -> u64 {
        let scraped = self.scraper_client().get("/metrics").await;
        let named =
            |line: &&str| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        let line = scraped.text().lines().find(named).and_then(|line| line[name.len()..].strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }

    pub fn config_file(&self) -> PathBuf {
        self.dir.join("tessera.json")
    }

    pub fn write_config(&self) {
        std::fs::write(self.config_file(), self.config.to_string()).unwrap();
    }

    pub fn write_dynamic(&self, peers: &[String]) {
        let own = self.p2p_url();
        let peers: Vec<_> = peers.iter().filter(|url| **url != own).map(|url| json!({"url": url})).collect();
        let dynamic = json!({
            "version": 1,
            "peers": peers,
            "clients": [self.client_identity().to_string()],
            "monitoring": [self.scraper().to_string()],
            "keys": [],
        });
        std::fs::write(self.dir.join("dynamic.json"), dynamic.to_string()).unwrap();
    }

    pub fn start(&self) -> Running {
        let config = tessera_node::config::load(&self.config_file()).unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            // A dropped sender is a test that ended: stop as well.
            let _ = stopped.await;
        };
        Running { stop: Some(stop), task: tokio::spawn(tessera_node::node::run(config, shutdown)) }
    }

    /// Waits until its ledger is answered.
    pub async fn wait_until_serves(&self) {
        let client = self.client();
        eventually(&format!("{} serves", self.name), async || client.try_get("/upcheck").await).await;
    }

    /// Waits until the node serves and lists `key` among those it knows.
    pub async fn wait_until_knows(&self, key: &str) {
        let client = self.peer_client(self);
        eventually(&format!("{} knows {key}", self.name), async || {
            let answer = client.try_get("/partyinfo").await?;
            answer.text().contains(key).then_some(())
        })
        .await;
    }
}

impl Running {
    pub async fn stop(mut self) {
        let _ = self.stop.take().unwrap().send(());
        self.task.await.unwrap().unwrap();
    }
}

/// Asks until there is an answer, for a while.
pub async fn eventually<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn spec(root: &Path, domain: &str, name: &str, number: u8, dialled: Option<&str>) -> Spec {
    let dir = root.join(name);
    std::fs::create_dir_all(&dir).unwrap();
    let host = IpAddr::V4(Ipv4Addr::new(127, 0, 0, number));
    let ports = std::array::from_fn(|_| Port::reserve(host));
    let [q2t, p2p, admin, metrics] = ports.each_ref().map(Port::number);
    let pair = KeyPair::generate().unwrap();
    let public_key = pair.public().to_string();
    let path = |file: &str| dir.join(file).display().to_string();
    let server = |app: &str, port: u16| {
        let dialled = dialled.filter(|_| app == "P2P").map_or_else(|| host.to_string(), str::to_owned);
        json!({
            "app": app,
            "serverAddress": format!("https://{dialled}:{port}"),
            "bindingAddress": format!("https://{host}:{port}"),
            "sslConfig": {"tls": "STRICT"},
            "properties": {"partyInfoInterval": "500"},
        })
    };
    let config = json!({
        "mode": "tessera",
        "serverConfigs": [server("P2P", p2p), server("Q2T", q2t)],
        "peer": [],
        "keys": {"keyData": [{
            "privateKey": base64::encode(pair.private().expose()),
            "publicKey": public_key,
        }]},
        "tesseraNode": {
            "version": 1,
            "identity": {"trustDomain": domain, "name": name},
            "dynamicConfig": path("dynamic.json"),
            "nodeTls": path("tls"),
            "storage": {"directory": path("data")},
            "admin": {"bind": format!("{host}:{admin}"), "tls": path("admin-tls")},
            "metrics": {"bind": format!("{host}:{metrics}")},
            "probeSocket": path("probe.sock"),
        },
    });
    let ports = Arc::new(ports);
    Spec {
        name: name.to_owned(),
        dir,
        host,
        dialled: dialled.map(str::to_owned),
        domain: domain.to_owned(),
        q2t,
        p2p,
        admin,
        metrics,
        public_key,
        config,
        ports,
    }
}
