//! The operator's own log at a real OpenTelemetry collector: the operator as a process that stands by, since there is no API
//! server here, and its shipping as a library.
//!
//! Run by name, since it needs a collector's binary:
//! `OTELCOL_BIN="$(hack/tools otelcol)" cargo test -p tessera-operator --test real_collector`

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests fail as tests do.

#[path = "../../../tessera-node/tests/real_collector/collector.rs"]
mod collector;
mod support;

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use collector::Collector;
use serde_json::json;
use support::Port;
use support::ca::{Ca, Issued, wish};
use tempfile::TempDir;
use tessera_log_shipping::{Endpoint, Layer, Queue};
use tessera_operator::process::logs::{self, OwnLog};
use tessera_operator::process::metrics::Metrics;
use tessera_operator::process::tasks::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;

/// Longer than the pause between two canaries and the longest between two attempts.
const PATIENCE: Duration = Duration::from_mins(2);
/// In the operator's kubeconfig; nowhere else.
const TOKEN: &str = "hvs.never-in-a-log";
/// What a full queue may take of the operator's memory.
const MAX_QUEUE_KIB: u64 = 6 << 10;
/// Where the operator's standard output goes.
const LOG: &str = "log";
/// As many records as wait in memory.
const MAX_RECORDS: u64 = 2048;

/// A certificate of `clients`, beside the CA of the collector, as the chart mounts them.
fn certify(directory: &Path, clients: &Ca, collector: &Ca) -> Issued {
    let issued = Issued {
        roots: collector.pem.clone(),
        ..clients.issue(&wish("spiffe://elsewhere/ns/tessera-system/sa/tessera-operator"))
    };
    issued.write(directory);
    issued
}

/// Ended when dropped.
struct Operator {
    process: Child,
    health: Port,
    /// Its kubeconfig and its log.
    directory: TempDir,
}

impl Operator {
    fn start(endpoint: &str, directory: &Path) -> Self {
        let (health, kubeconfig) = (Port::reserve(IpAddr::V4(Ipv4Addr::LOCALHOST)), TempDir::new().unwrap());
        let file = kubeconfig.path().join("config");
        // Nobody listens there.
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
            "users": [{"name": "u", "user": {"token": TOKEN}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        });
        std::fs::write(&file, config.to_string()).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_tessera-operator"))
            .args([
                "--namespaces",
                "org-a",
                "--operator-namespace",
                "o",
                "--cluster-name",
                "c",
                "--leader-elect",
            ])
            .args(["--identity", "operator-0", "--health-bind", &format!("127.0.0.1:{}", health.number())])
            .args(["--logs-endpoint", endpoint, "--logs-tls", &directory.display().to_string()])
            .args(["--log", "trace"])
            .env("KUBECONFIG", file)
            .stdin(Stdio::null())
            .stdout(File::create(kubeconfig.path().join(LOG)).unwrap())
            .spawn()
            .unwrap();
        Self { process, health, directory: kubeconfig }
    }

    /// Whether it has logged this.
    fn has_said(&self, words: &str) -> bool {
        std::fs::read_to_string(self.directory.path().join(LOG)).unwrap().contains(words)
    }

    /// A metric as it is scraped; 0 until the operator serves.
    async fn metric(&self, name: &str) -> u64 {
        let text = self.scrape().await.unwrap_or_default();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }

    async fn scrape(&self) -> std::io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.health.number())).await?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text)
    }

    fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // A process that has ended already cannot be killed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_s_log_arrives_over_mutual_tls_and_a_new_certificate_needs_no_restart() {
    let (own, clients, other) = (Ca::new("collector"), Ca::new("clients"), Ca::new("other"));
    let (collector, directory) = (Collector::new(&own), TempDir::new().unwrap());
    let keys = [certify(directory.path(), &clients, &own).key];
    let process = collector.start(&clients);
    let mut operator = Operator::start(&collector.endpoint(), directory.path());
    until("the canary is accepted", async || {
        operator.metric("tessera_operator_logs_canary_accepted_seconds").await > 0
    })
    .await;
    until("canary and records are in the collector's output", async || {
        let output = collector.output();
        let all = ["Body: Str(log canary)", "Body: Str(serving health and metrics)", "Str(operator-0)"];
        all.iter().all(|text| output.contains(text))
    })
    .await;
    assert_eq!(operator.metric("tessera_operator_logs_dropped_total").await, 0);
    assert_silent(&collector, &keys);
    drop(process);

    let process = collector.start(&other);
    // It says so after several attempts with the old certificate.
    until("the refusal is said", async || operator.has_said("the other end refuses our certificate")).await;
    assert!(!collector.output().contains("Body:"), "the old certificate was accepted");
    let keys = [certify(directory.path(), &other, &own).key];
    until("the new certificate is accepted", async || collector.output().contains("Body: Str(log canary)"))
        .await;
    assert!(operator.is_running());
    assert_silent(&collector, &keys);
    drop(process);
}

/// No record holds a secret that the process has.
fn assert_silent(collector: &Collector, keys: &[String]) {
    let output = collector.output();
    let secret = keys.iter().flat_map(|key| key.lines().filter(|line| !line.starts_with('-')));
    for secret in secret.chain([TOKEN, "PRIVATE KEY"]) {
        assert!(!output.contains(secret), "a record holds {secret}");
    }
}

/// The memory of this process.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_find_no_place_while_the_collector_is_down_are_dropped_and_counted() {
    let own = Ca::new("collector");
    let (collector, directory) = (Collector::new(&own), TempDir::new().unwrap());
    certify(directory.path(), &own, &own);
    let queue = Arc::new(Queue::default());
    let before = resident_kib();
    tracing::subscriber::with_default(registry().with(Layer(Arc::clone(&queue))), || {
        let error =
            "the API server cannot be reached: the other end ended the TLS handshake, and so on and so forth";
        for number in 0..MAX_RECORDS + 500 {
            let (namespace, name) = ("org-a", "node-a");
            tracing::info!(kind = "TesseraNode", namespace, name, error, tries = number, "record {number}");
        }
    });
    let grown = resident_kib().saturating_sub(before);
    println!("a full queue takes {grown} KiB");
    assert!(grown < MAX_QUEUE_KIB, "{grown} KiB");
    let (metrics, stop) = (Metrics::default(), CancellationToken::new());
    let mut tasks = Tasks::new(stop.clone());
    let endpoint = Endpoint::parse(&collector.endpoint()).unwrap();
    let log = OwnLog { endpoint, directory: directory.path().to_owned(), queue };
    let reports = logs::start(log, "operator-0", metrics.logs(), &mut tasks);
    assert!(reports.status().is_some(), "from the first moment on");
    let status = || reports.status().unwrap_or_default();
    until("the collector is missed", async || status().error.is_some()).await;
    assert_eq!((status().dropped, status().accepted_at), (500, None), "{:?}", status());
    assert!(status().lost_at.is_some());
    let encoded = metrics.encode();
    assert!(encoded.contains("tessera_operator_logs_dropped_total 500\n"), "{encoded}");

    let process = collector.start(&own);
    until("the collector is back", async || status().accepted_at.is_some() && status().error.is_none()).await;
    until("the records that waited arrive", async || {
        let output = collector.output();
        output.contains("Str(record 0)") && output.contains(&format!("Str(record {})", MAX_RECORDS - 1))
    })
    .await;
    assert!(!collector.output().contains(&format!("Str(record {MAX_RECORDS})")));
    drop(process);
    stop.cancel();
    tasks.supervise().await.unwrap();
}
