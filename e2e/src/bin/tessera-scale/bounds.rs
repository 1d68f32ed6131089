//! The figures, and the bounds that they must keep.

use std::process::ExitCode;
use std::time::Duration;

use crate::Args;

/// Bytes of peers ConfigMaps that one node may add to a network.
const PEER_BYTES: usize = 256;
/// What the clock asks for in a minute, of a network and not of its nodes: twice or three times the ConfigMap with the store's
/// CA, with each look at the store; the Secret with the network's own; and, for what deleted networks left, the list of those
/// Secrets and whether the network is there.
const READS_A_MINUTE: u64 = 6;
/// Until deleted budgets must be back, whatever the silent nodes do.
const REPAIR_WITHIN: Duration = Duration::from_secs(2);

/// What was measured.
pub(crate) struct Figures {
    pub(crate) args: Args,
    /// From the first create until every node had a status.
    pub(crate) status: Duration,
    /// Who used the CPUs until then.
    pub(crate) cpu: Cpu,
    /// From the first create until every node that answers was Ready, and no other.
    pub(crate) settled: Duration,
    pub(crate) idle: Idle,
    /// From the deletion of budgets until all were back: the slowest round.
    pub(crate) repair: Duration,
    pub(crate) peers: Peers,
    /// MiB.
    pub(crate) memory: u64,
}

/// CPU time. What the operator did not use went to the API server, its store, its controllers, and what stands for kubelets.
pub(crate) struct Cpu {
    pub(crate) operator: Duration,
    /// Of all processes, and the kernel.
    pub(crate) all: Duration,
}

/// What the operator did while nothing changed.
pub(crate) struct Idle {
    pub(crate) reconciles: u64,
    pub(crate) cpu: Duration,
    pub(crate) reads: Vec<String>,
    pub(crate) writes: Vec<String>,
}

/// The ConfigMaps that tell nodes of each other.
pub(crate) struct Peers {
    pub(crate) objects: usize,
    pub(crate) bytes: usize,
}

impl Figures {
    /// The figures, each missed bound, and the closing line.
    pub(crate) fn print(&self) -> ExitCode {
        let missed = self.missed();
        for bound in &missed {
            println!("missed: {bound}");
        }
        println!("{}", self.line());
        if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn line(&self) -> String {
        format!(
            "scale: {} nodes, {} silent in ten: every status after {:.1} s ({:.0} of {:.0} CPU seconds \
             were the operator's), settled after {:.1} s, peak memory {} MiB, \
             {} reads and {} writes in {} idle reconciles with {} ms of CPU a second, {} peers ConfigMaps with {} bytes, \
             deleted budgets back after {:.1} s",
            self.args.nodes,
            self.args.silent,
            self.status.as_secs_f32(),
            self.cpu.operator.as_secs_f32(),
            self.cpu.all.as_secs_f32(),
            self.settled.as_secs_f32(),
            self.memory,
            self.idle.reads.len(),
            self.idle.writes.len(),
            self.idle.reconciles,
            self.idle.cpu.as_millis() / u128::from(self.args.idle.max(1)),
            self.peers.objects,
            self.peers.bytes,
            self.repair.as_secs_f32(),
        )
    }

    fn missed(&self) -> Vec<String> {
        let Self { args, idle, peers, .. } = self;
        let bounds = [
            (self.status.as_secs() < args.status_within, format!("a status within {} s", args.status_within)),
            (self.memory <= args.memory, format!("at most {} MiB", args.memory)),
            (
                idle.reads.len() as u64 <= READS_A_MINUTE * args.idle.div_ceil(60),
                format!(
                    "at most {READS_A_MINUTE} reads a minute while nothing changes: {}",
                    first(&idle.reads)
                ),
            ),
            (idle.writes.is_empty(), format!("no write while nothing changes: {}", first(&idle.writes))),
            (peers.objects == 1, "one peers ConfigMap for the network".to_owned()),
            (
                peers.bytes <= PEER_BYTES * args.nodes,
                format!("at most {PEER_BYTES} bytes of peers for each node"),
            ),
            (
                self.repair <= REPAIR_WITHIN,
                format!("deleted budgets back within {} s", REPAIR_WITHIN.as_secs()),
            ),
        ];
        bounds.into_iter().filter(|(kept, _)| !kept).map(|(_, bound)| bound).collect()
    }
}

/// Enough of them to know what they are.
fn first(requests: &[String]) -> String {
    requests.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ")
}
