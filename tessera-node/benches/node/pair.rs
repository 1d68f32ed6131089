//! Two nodes as processes, and what the kernel and the nodes themselves count while callers send.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::report::Report;
use crate::support::load::{self, Load, Outcome};
use crate::support::process::{Process, cpu_of};
use crate::support::{Net, PATIENCE, Spec};

/// Both nodes, running.
pub(crate) struct Pair<'a> {
    net: &'a Net,
    binary: Option<PathBuf>,
    pub(crate) specs: [&'a Spec; 2],
    processes: [Process; 2],
}

/// What has been counted so far.
#[derive(Clone, Copy)]
struct Counted {
    cpu: [Duration; 2],
    callers: Duration,
    switches: [u64; 2],
    handshakes: u64,
    syncs: u64,
    written: u64,
}

/// One line of the table. Counts and CPU are for each send, of a and b where there are two.
pub(crate) struct Row {
    pub(crate) connections: usize,
    pub(crate) sends: usize,
    pub(crate) rate: f64,
    times: [Duration; 3],
    cpu: [f64; 2],
    callers: f64,
    switches: [f64; 2],
    pub(crate) handshakes: f64,
    pub(crate) syncs: f64,
    /// Records of one fdatasync, or of one commit of a database.
    pub(crate) batch: f64,
}

impl<'a> Pair<'a> {
    pub(crate) async fn start(net: &'a Net, binary: Option<PathBuf>) -> Self {
        let specs = [net.node("a"), net.node("b")];
        let processes = specs.map(|spec| start(binary.as_ref(), spec));
        net.wait_until_met().await;
        Self { net, binary, specs, processes }
    }

    /// The recipient of all sends.
    pub(crate) fn to(&self) -> [&str; 1] {
        [self.specs[1].public_key.as_str()]
    }

    pub(crate) async fn row(&self, load: Load, time: Duration) -> (Row, Outcome) {
        let before = self.count().await;
        let outcome = load::run(self.specs[0], &self.to(), load, |_, passed| passed >= time).await;
        let after = self.count().await;
        (Row::new(load.callers, &outcome, before, after), outcome)
    }

    /// Kibibytes of that name in a status: the node that has more.
    pub(crate) fn most_kib(&self, field: &str) -> u64 {
        self.processes.iter().map(|process| process.kib(field)).max().unwrap_or(0)
    }

    async fn count(&self) -> Counted {
        let both = async |name: &str| self.specs[0].metric(name).await + self.specs[1].metric(name).await;
        let own = std::fs::read_to_string("/proc/self/stat").map(|stat| cpu_of(&stat));
        Counted {
            handshakes: both("tessera_handshakes_total{port=\"P2p\"}").await,
            // Of the two stores one counts.
            syncs: both("tessera_store_syncs_total").await
                + both("tessera_database_insert_statements_total").await,
            written: both("tessera_store_written_records_total").await
                + both("tessera_database_written_rows_total").await,
            switches: self.processes.each_ref().map(Process::context_switches),
            cpu: self.processes.each_ref().map(Process::cpu),
            callers: own.unwrap_or_default(),
        }
    }

    /// Kills both nodes, starts them again, and reads every acknowledged payload back at both.
    pub(crate) async fn finish(mut self, report: &mut Report, payload: usize) {
        self.processes.iter_mut().for_each(Process::kill);
        report.ready_after_kill = Some(self.restart().await);
        self.net.wait_until_met().await;
        let [a, b] = self.specs;
        report.found = [
            load::read_back(a, &report.sent, payload, 16).await,
            load::read_back(b, &report.sent, payload, 16).await,
        ];
        for process in &mut self.processes {
            process.signal(rustix::process::Signal::TERM);
            process.wait(PATIENCE).unwrap();
        }
        report.ready = Some(self.restart().await);
    }

    /// Starts both nodes one after the other; the longer time until a ledger node is answered.
    async fn restart(&mut self) -> Duration {
        let mut longest = Duration::ZERO;
        for (spec, process) in self.specs.iter().zip(&mut self.processes) {
            let client = spec.client();
            let began = Instant::now();
            *process = start(self.binary.as_ref(), spec);
            while client.try_get("/upcheck").await.is_none() {
                assert!(began.elapsed() < PATIENCE, "{} does not serve", spec.name);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            longest = longest.max(began.elapsed());
        }
        longest
    }
}

fn start(binary: Option<&PathBuf>, spec: &Spec) -> Process {
    match binary {
        Some(binary) => Process::start_binary(binary, spec),
        None => Process::start(spec),
    }
}

impl Row {
    fn new(connections: usize, outcome: &Outcome, before: Counted, after: Counted) -> Self {
        let sends = outcome.sent.len().max(1) as f64;
        let micros =
            |after: Duration, before: Duration| after.saturating_sub(before).as_secs_f64() * 1e6 / sends;
        let each = |after: u64, before: u64| after.saturating_sub(before) as f64 / sends;
        let syncs = after.syncs.saturating_sub(before.syncs);
        Self {
            connections,
            sends: outcome.sent.len(),
            rate: outcome.sent.len() as f64 / outcome.took.as_secs_f64(),
            times: [50, 99, 100].map(|percent| load::percentile(&outcome.sent, percent)),
            cpu: [0, 1].map(|node| micros(after.cpu[node], before.cpu[node])),
            callers: micros(after.callers, before.callers),
            switches: [0, 1].map(|node| each(after.switches[node], before.switches[node])),
            handshakes: each(after.handshakes, before.handshakes),
            syncs: each(after.syncs, before.syncs),
            batch: after.written.saturating_sub(before.written) as f64 / syncs.max(1) as f64,
        }
    }

    /// Microseconds of both nodes for each send.
    pub(crate) fn cpu(&self) -> f64 {
        self.cpu.iter().sum()
    }

    /// Context switches of both nodes for each send.
    pub(crate) fn switches(&self) -> f64 {
        self.switches.iter().sum()
    }

    pub(crate) fn head() -> String {
        format!(
            "{:>11} {:>8} {:>8} {:>8} {:>8} {:>17} {:>13} {:>15} {:>10} {:>9} {:>6}",
            "connections",
            "sends/s",
            "p50 ms",
            "p99 ms",
            "max ms",
            "CPU us/send a + b",
            "callers' CPU",
            "switches a + b",
            "handshakes",
            "fdatasync",
            "batch"
        )
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, max] = self.times.map(|time| time.as_secs_f64() * 1e3);
        let pair = |[a, b]: [f64; 2], digits: usize| format!("{a:.digits$} + {b:.digits$}");
        write!(
            f,
            "{:>11} {:>8.0} {p50:>8.2} {p99:>8.2} {max:>8.2} {:>17} {:>13.0} {:>15} {:>10.4} {:>9.3} {:>6.1}",
            self.connections,
            self.rate,
            pair(self.cpu, 0),
            self.callers,
            pair(self.switches, 1),
            self.handshakes,
            self.syncs,
            self.batch,
        )
    }
}
