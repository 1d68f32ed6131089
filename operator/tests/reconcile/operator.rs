//! The operator's process.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::world::{DEADLINE, World};

const SIGKILL: i32 = 9;

pub(crate) struct Operator {
    process: Child,
    /// Where it serves health and metrics: a port that the kernel gave it, which its log names.
    logged: Receiver<SocketAddr>,
    health: OnceCell<SocketAddr>,
    log: Log,
}

/// What the operator logged so far.
type Log = Arc<Mutex<Vec<String>>>;

impl Operator {
    pub(crate) fn start(world: &World) -> Self {
        Self::start_with(world, &[])
    }

    pub(crate) fn start_with(world: &World, arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_tessera-operator"))
            .args(["--namespaces", &world.namespace, "--operator-namespace", &world.operator_namespace])
            .args(["--cluster-name", "test", "--health-bind", "127.0.0.1:0", "--log", "info"])
            .args(arguments)
            .env("KUBECONFIG", &world.kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the operator starts");
        let log = Log::default();
        let logged = follow(process.stdout.take().expect("its output is piped"), Arc::clone(&log));
        Self { process, logged, health: OnceCell::new(), log }
    }

    /// The lines of its log that contain `text`.
    pub(crate) fn log_with(&self, text: &str) -> Vec<String> {
        let log = self.log.lock().expect("the log is followed");
        log.iter().filter(|line| line.contains(text)).cloned().collect()
    }

    /// The kernel's line about core files of the process.
    pub(crate) fn core_limit(&self) -> String {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", self.process.id())).expect("it runs");
        let line = limits.lines().find(|line| line.starts_with("Max core file size"));
        line.expect("the kernel has such a limit").split_whitespace().skip(4).collect::<Vec<_>>().join(" ")
    }

    /// Whether it ended by SIGKILL; `None`: it runs.
    pub(crate) fn was_killed(&mut self) -> Option<bool> {
        let status = self.process.try_wait().expect("the operator is our child");
        status.map(|status| status.signal() == Some(SIGKILL))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, signal).expect("the operator runs");
    }

    /// SIGTERM; waits until it has ended.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.until_ended()
    }

    /// Waits until it has ended.
    pub(crate) fn until_ended(&mut self) -> ExitStatus {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.process.try_wait().expect("the operator is our child") {
                return status;
            }
            assert!(Instant::now() < end, "the operator does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// How many reconciles of nodes and of networks this process has done.
    pub(crate) fn reconciles_of_each_kind(&self) -> [u64; 2] {
        let text = self.metrics().unwrap_or_default();
        ["Node", "Network"].map(|kind| reconciles(&text, kind))
    }

    /// Waits until this process has reconciled nodes and networks since it had so many reconciles.
    pub(crate) async fn until_reconciled_since(&self, before: [u64; 2]) {
        let end = Instant::now() + DEADLINE;
        loop {
            let now = self.reconciles_of_each_kind();
            if now.iter().zip(&before).all(|(now, before)| now > before) {
                return;
            }
            assert!(Instant::now() < end, "the operator does not reconcile: {now:?} after {before:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// How many requests reconciles have made to the API server; its probes' are not among them.
    pub(crate) fn requests(&self) -> u64 {
        self.counter("tessera_operator_reconcile_requests_total ")
    }

    /// How many lists of the Events of a pod that does not come up were asked for.
    pub(crate) fn event_lists(&self) -> u64 {
        self.counter("tessera_operator_event_lists_total ")
    }

    fn counter(&self, prefix: &str) -> u64 {
        let text = self.metrics().unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(prefix)).expect("it is counted");
        line.trim().parse().expect("a number")
    }

    /// Waits until it answers for itself.
    pub(crate) async fn until_serves(&self) {
        let end = Instant::now() + DEADLINE;
        while self.metrics().is_none() {
            assert!(Instant::now() < end, "the operator does not serve its metrics");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// How many reconciles of any kind this process has done.
    pub(crate) fn reconciles(&self) -> u64 {
        let text = self.metrics().unwrap_or_default();
        reconciles(&text, "Node") + reconciles(&text, "Network")
    }

    fn metrics(&self) -> Option<String> {
        self.served("/metrics")
    }

    /// Waits until it says that it is ready.
    pub(crate) async fn until_ready(&self) {
        let end = Instant::now() + DEADLINE;
        loop {
            let answer = self.served("/readyz").unwrap_or_default();
            if answer.starts_with("HTTP/1.1 200") {
                return;
            }
            assert!(Instant::now() < end, "the operator is not ready: {answer}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// How many TCP connections the process has open.
    pub(crate) fn connections(&self) -> usize {
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).expect("it runs");
        let opened = descriptors.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
        let sockets: HashSet<_> = opened.map(|target| target.to_string_lossy().into_owned()).collect();
        let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel has such a table");
        let established = table.lines().filter_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            (fields.get(3) == Some(&"01")).then(|| format!("socket:[{}]", fields[9]))
        });
        established.filter(|socket| sockets.contains(socket)).count()
    }

    fn served(&self, path: &str) -> Option<String> {
        if self.health.get().is_none() {
            self.health.set(self.logged.try_recv().ok()?).ok()?;
        }
        let mut stream = TcpStream::connect(self.health.get()?).ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn reconciles(metrics: &str, kind: &str) -> u64 {
    let prefix = format!("tessera_operator_reconcile_duration_seconds_count{{kind=\"{kind}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&prefix)?.trim().parse().ok()).unwrap_or(0)
}

/// Passes the operator's log on, and hands over the address on which it says that it serves.
fn follow(log: ChildStdout, lines: Log) -> Receiver<SocketAddr> {
    let (found, addresses) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            println!("{line}");
            if let Some(address) = health_address(&line) {
                // The test may have given the operator up.
                let _ = found.send(address);
            }
            lines.lock().expect("no reader panics").push(line);
        }
    });
    addresses
}

fn health_address(line: &str) -> Option<SocketAddr> {
    let event: serde_json::Value = serde_json::from_str(line).ok()?;
    (event["message"] == "serving health and metrics").then(|| event["address"].as_str()?.parse().ok())?
}
