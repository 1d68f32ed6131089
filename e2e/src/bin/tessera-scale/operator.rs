//! The operator's process.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::{Args, cpu};

/// Until the operator says where it serves its metrics.
const START: Duration = Duration::from_secs(30);

pub(crate) struct Operator {
    /// Killed when dropped.
    process: Child,
    metrics: String,
}

impl Operator {
    pub(crate) async fn start(args: &Args) -> Result<Self> {
        let mut process = Command::new(&args.operator)
            .args([
                "--namespaces",
                &args.namespace,
                "--operator-namespace",
                "scale-system",
                "--cluster-name",
                "scale",
            ])
            .args(["--health-bind", "127.0.0.1:0", "--log", "info"])
            .env("KUBECONFIG", &args.operator_kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", args.operator.display()))?;
        let log = process.stdout.take().context("its output is piped")?;
        let address = timeout(START, health_address(log)).await.context("the operator does not start")??;
        Ok(Self { process, metrics: format!("http://{address}/metrics") })
    }

    /// What it has used of the CPUs.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        cpu::of_process(self.process.id().context("the operator has ended")?)
    }

    /// VmHWM in MiB.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        let pid = self.process.id().context("the operator has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kibibytes.div_ceil(1024))
    }

    /// How many reconciles of any kind it has done.
    pub(crate) async fn reconciles(&self) -> Result<u64> {
        let text = reqwest::get(&self.metrics).await?.error_for_status()?.text().await?;
        let counts = text
            .lines()
            .filter(|line| line.starts_with("tessera_operator_reconcile_duration_seconds_count"))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        Ok(counts.sum())
    }
}

/// The address that the log names; the rest of the log is read and dropped, or the operator would stop at a full pipe.
async fn health_address(log: ChildStdout) -> Result<String> {
    let mut lines = BufReader::new(log).lines();
    while let Some(line) = lines.next_line().await? {
        let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        if event["message"] != "serving health and metrics" {
            continue;
        }
        let address = event["address"].as_str().context("the message has an address")?.to_owned();
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        return Ok(address);
    }
    bail!("the operator ended")
}
