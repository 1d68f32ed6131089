//! Measures the operator with many nodes, on a real API server and a real Vault. `hack/scale` starts it.
//!
//! ```text
//! TesseraNodes ──► operator (release, a process) ──► StatefulSets ──► pods          (the real StatefulSet controller)
//!                        │                                             │
//!                        └── GET /v1/status over mTLS ──► fake kubelet: every pod runs, and answers or is silent
//! ```
//!
//! The closing line is `scale: …` with the figures. The exit code is 1 when a bound is missed.

mod audit;
mod bounds;
mod checklist;
mod cpu;
mod fake_node;
mod kubelet;
mod load;
mod operator;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use tessera_e2e::cluster::Cluster;

use crate::bounds::{Cpu, Figures};
use crate::load::Load;
use crate::operator::Operator;

#[derive(Debug, Clone, Parser)]
#[command(name = "tessera-scale", about = "Measures the operator with many nodes; hack/scale starts it")]
pub(crate) struct Args {
    /// How many TesseraNodes, all in one network
    #[arg(long)]
    nodes: usize,
    /// Of every ten nodes, how many have a pod that accepts connections and never answers
    #[arg(long, default_value_t = 0)]
    silent: usize,
    /// The operator's binary
    #[arg(long)]
    operator: PathBuf,
    /// The operator's kubeconfig: it acts under a name of its own, by which the audit log knows it
    #[arg(long)]
    operator_kubeconfig: PathBuf,
    /// The API server's audit log
    #[arg(long)]
    audit_log: PathBuf,
    /// The namespace, with a network `net` whose store is set up
    #[arg(long, default_value = "scale")]
    namespace: String,
    /// Seconds until every node must have a status
    #[arg(long, default_value_t = 90)]
    status_within: u64,
    /// MiB that the operator may take at its peak
    #[arg(long, default_value_t = 96)]
    memory: u64,
    /// Nodes say of themselves what the security checklist asks of a node, afresh each time
    #[arg(long)]
    checklist: bool,
    /// Seconds of idleness to observe
    #[arg(long, default_value_t = 60)]
    idle: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    match measure(Args::parse()).await {
        Ok(figures) => figures.print(),
        Err(error) => {
            eprintln!("error: {error:#}");
            println!("scale: failed");
            ExitCode::FAILURE
        }
    }
}

async fn measure(args: Args) -> Result<Figures> {
    let cluster = Cluster::connect().await?;
    kubelet::start(&cluster, &args);
    let load = Load::new(cluster, &args);
    let operator = Operator::start(&args).await?;
    let before = cpu::of_machine()?;
    let began = load.create_nodes().await?;
    let status = load.every_node_has_a_status(began).await?;
    let cpu = Cpu { operator: operator.cpu()?, all: cpu::of_machine()?.saturating_sub(before) };
    let settled = load.every_node_is_settled(began).await?;
    if args.checklist {
        load.every_node_is_judged(began).await?;
    }
    let idle = audit::observe_idle(&args, &operator).await?;
    let repair = load.repair_budgets().await?;
    let peers = load.peers().await?;
    let memory = operator.peak_memory().context("the operator's peak memory")?;
    Ok(Figures { args, status, cpu, settled, idle, repair, peers, memory })
}

/// Prints progress to standard error, with the seconds since `began`.
pub(crate) fn say(began: std::time::Instant, what: &str) {
    eprintln!("[{:>5.1}s] {what}", began.elapsed().as_secs_f32());
}

/// How often something is looked at again.
pub(crate) const TICK: Duration = Duration::from_millis(200);
