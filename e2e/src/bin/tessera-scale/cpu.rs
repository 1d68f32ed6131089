//! CPU time, as the kernel counts it: who took the time that a bound measures.

use std::time::Duration;

use anyhow::{Context as _, Result};

/// The kernel's unit in `/proc`, on every architecture that we build for.
const TICK: Duration = Duration::from_millis(10);

/// What the process has used.
pub(crate) fn of_process(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the name, in parentheses; the times are the 14th and 15th.
    let (_, fields) = stat.rsplit_once(')').context("no name in /proc/…/stat")?;
    sum(fields.split_whitespace().skip(11).take(2))
}

/// What all processes and the kernel have used since the machine started.
pub(crate) fn of_machine() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let line =
        stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).context("no cpu in /proc/stat")?;
    let fields: Vec<_> = line.split_whitespace().collect();
    // user, nice, system; without idle and iowait; irq, softirq.
    sum(fields
        .iter()
        .copied()
        .enumerate()
        .filter(|(at, _)| matches!(at, 0..=2 | 5 | 6))
        .map(|(_, field)| field))
}

fn sum<'a>(ticks: impl Iterator<Item = &'a str>) -> Result<Duration> {
    let ticks: Vec<u32> = ticks.map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.into_iter().map(|ticks| TICK * ticks).sum())
}
