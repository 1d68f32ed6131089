//! What a send costs: two nodes as processes, mutual TLS verified at both ends, and callers that send one payload after
//! the other, once each. In the end both nodes are killed, and every acknowledged payload is read back at both.
//!
//! Run by `hack/bench`. Exits with 1 when a send failed or a payload is lost.

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_precision_loss)] // Counts and times for a person to read.

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use support::load::{self, Load, Outcome, ReadBack, Sent};
use support::process::Process;
use support::{Net, Spec};

/// Two nodes under load, one row for each number of connections.
#[derive(Debug, Parser)]
struct Args {
    /// Connections of the callers: a row for each number.
    #[arg(long, value_delimiter = ',', default_value = "1,8,16,64,256")]
    connections: Vec<usize>,
    /// How long each row lasts.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=600), default_value_t = 5)]
    seconds: u64,
    /// Size of each payload in bytes.
    #[arg(long, value_parser = clap::value_parser!(u64).range(8..=1 << 20), default_value_t = 1024)]
    payload: u64,
    /// Another build of tessera-node than this one's.
    #[arg(long)]
    node: Option<PathBuf>,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Both nodes, running.
struct Pair<'a> {
    specs: [&'a Spec; 2],
    processes: [Process; 2],
}

/// What the kernel and the nodes have counted so far.
#[derive(Clone, Copy)]
struct Counted {
    cpu: [Duration; 2],
    callers: Duration,
    handshakes: u64,
}

/// One line of the table.
struct Row {
    connections: usize,
    sends: usize,
    rate: f64,
    handshakes: f64,
    cpu: f64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let payload = usize::try_from(args.payload).unwrap();
    let net = Net::new(&["a", "b"]);
    let pair = Pair::start(&net, args.node.as_ref()).await;
    println!("{} bytes a payload, {} s a row, load average {}", payload, args.seconds, load_average());
    println!(
        "{:>11} {:>8} {:>8} {:>8} {:>8} {:>17} {:>13} {:>11} {:>15}",
        "connections",
        "sends/s",
        "p50 ms",
        "p99 ms",
        "max ms",
        "CPU us/send a + b",
        "callers' CPU",
        "handshakes",
        "peak MiB a + b"
    );
    let (mut sent, mut failed, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    for connections in &args.connections {
        let load = Load { callers: *connections, payload };
        let (row, outcome) = pair.row(load, Duration::from_secs(args.seconds)).await;
        rows.push(row);
        sent.extend(outcome.sent);
        failed.extend(outcome.failed);
    }
    let (again, lost) = pair.kill_and_read_back(&net, args.node.as_ref(), &sent, payload).await;
    drop(again);
    conclude(&rows, &failed, &lost, sent.len())
}

impl<'a> Pair<'a> {
    async fn start(net: &'a Net, binary: Option<&PathBuf>) -> Self {
        let specs = [net.node("a"), net.node("b")];
        let processes = specs.map(|spec| match binary {
            Some(binary) => Process::start_binary(binary, spec),
            None => Process::start(spec),
        });
        net.wait_until_met().await;
        Self { specs, processes }
    }

    async fn row(&self, load: Load, time: Duration) -> (Row, Outcome) {
        let before = self.count().await;
        let to = [self.specs[1].public_key.as_str()];
        let outcome = load::run(self.specs[0], &to, load, |_, passed| passed >= time).await;
        let after = self.count().await;
        let sends = outcome.sent.len();
        let each = |time: Duration| time.as_secs_f64() * 1e6 / sends.max(1) as f64;
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        let [a, b] = [0, 1].map(|node| each(after.cpu[node].saturating_sub(before.cpu[node])));
        let row = Row {
            connections: load.callers,
            sends,
            rate: sends as f64 / outcome.took.as_secs_f64(),
            handshakes: (after.handshakes - before.handshakes) as f64 / sends.max(1) as f64,
            cpu: a + b,
        };
        println!(
            "{:>11} {:>8.0} {:>8.2} {:>8.2} {:>8.2} {:>17} {:>13.0} {:>11.4} {:>15}",
            row.connections,
            row.rate,
            millis(load::percentile(&outcome.sent, 50)),
            millis(load::percentile(&outcome.sent, 99)),
            millis(load::percentile(&outcome.sent, 100)),
            format!("{a:.0} + {b:.0}"),
            each(after.callers.saturating_sub(before.callers)),
            row.handshakes,
            format!("{} + {}", self.processes[0].kib("VmHWM") >> 10, self.processes[1].kib("VmHWM") >> 10),
        );
        (row, outcome)
    }

    async fn count(&self) -> Counted {
        let handshakes = async |spec: &Spec| spec.metric("tessera_handshakes_total{port=\"P2p\"}").await;
        let handshakes = handshakes(self.specs[0]).await + handshakes(self.specs[1]).await;
        let usage = std::fs::read_to_string("/proc/self/stat").map(|stat| support::process::cpu_of(&stat));
        Counted {
            cpu: self.processes.each_ref().map(Process::cpu),
            callers: usage.unwrap_or_default(),
            handshakes,
        }
    }

    async fn kill_and_read_back(
        mut self,
        net: &'a Net,
        binary: Option<&PathBuf>,
        sent: &[Sent],
        payload: usize,
    ) -> (Self, [ReadBack; 2]) {
        self.processes.iter_mut().for_each(Process::kill);
        let again = Pair::start(net, binary).await;
        let [a, b] = again.specs;
        let found =
            [load::read_back(a, sent, payload, 16).await, load::read_back(b, sent, payload, 16).await];
        (again, found)
    }
}

fn conclude(rows: &[Row], failed: &[String], found: &[ReadBack; 2], sent: usize) -> ExitCode {
    for failure in failed.iter().chain(found.iter().flat_map(|found| &found.unreadable)).take(10) {
        println!("failed: {failure}");
    }
    let lost: usize = found.iter().map(|found| found.denied + found.unreadable.len()).sum();
    let rate = |connections| rows.iter().find(|row| row.connections == connections).map(|row| row.rate);
    let most = |value: fn(&Row) -> f64| rows.iter().map(value).fold(0.0, f64::max);
    let versus = |connections| match (rate(connections), rate(16)) {
        (Some(rate), Some(at_16)) => format!(", {:.2} times at {connections}", rate / at_16),
        _ => String::new(),
    };
    let at_16 = rate(16).map_or(String::new(), |rate| format!("{rate:.0} sends/s at 16 connections"));
    println!(
        "bench: {at_16}{}{}; at most {:.4} handshakes and {:.0} us of CPU a send; {} of {sent} payloads of {} rows read \
         back at both nodes after kill -9, {lost} lost, {} sends failed; load average {}",
        versus(64),
        versus(256),
        most(|row| row.handshakes),
        most(|row| row.cpu),
        found[0].intact.min(found[1].intact),
        rows.iter().filter(|row| row.sends > 0).count(),
        failed.len(),
        load_average(),
    );
    if lost == 0 && failed.is_empty() && sent > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}
