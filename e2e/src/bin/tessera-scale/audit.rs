//! What the operator asked of the API server, by the audit log.

use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::bounds::Idle;
use crate::operator::Operator;
use crate::{Args, say};

/// The name under which the operator acts here.
const OPERATOR: &str = "tessera-operator";
/// Nothing changes any more when the operator wrote nothing for so long, and in the end at most for `SETTLE_LIMIT`.
const SETTLED: Duration = Duration::from_secs(10);
const SETTLE_LIMIT: Duration = Duration::from_mins(2);

/// Waits until the operator has nothing left to write, then counts what it asks for while nothing changes.
pub(crate) async fn observe_idle(args: &Args, operator: &Operator) -> Result<Idle> {
    let began = Instant::now();
    settle(args).await?;
    say(began, &format!("observing {} s of idleness", args.idle));
    let from = length(&args.audit_log)?;
    let (before, cpu_before) = (operator.reconciles().await?, operator.cpu()?);
    tokio::time::sleep(Duration::from_secs(args.idle)).await;
    let reconciles = operator.reconciles().await? - before;
    let cpu = operator.cpu()?.saturating_sub(cpu_before);
    let Requests { reads, writes } = requests(&args.audit_log, from)?;
    Ok(Idle { reconciles, cpu, reads, writes })
}

async fn settle(args: &Args) -> Result<()> {
    let deadline = Instant::now() + SETTLE_LIMIT;
    loop {
        let from = length(&args.audit_log)?;
        tokio::time::sleep(SETTLED).await;
        // An operator that never stops writing is counted as such.
        if requests(&args.audit_log, from)?.writes.is_empty() || Instant::now() > deadline {
            return Ok(());
        }
    }
}

fn length(log: &Path) -> Result<u64> {
    Ok(std::fs::metadata(log).with_context(|| format!("the audit log {}", log.display()))?.len())
}

/// What the operator asked for, a line each.
struct Requests {
    reads: Vec<String>,
    writes: Vec<String>,
}

/// The operator's reads and writes after a position of the log. A watch is neither: the API server speaks there. The Lease
/// is no part of a reconcile: it says who leads, and is renewed and looked at by the clock.
fn requests(log: &Path, from: u64) -> Result<Requests> {
    let mut file = std::fs::File::open(log)?;
    file.seek(SeekFrom::Start(from))?;
    let mut requests = Requests { reads: Vec::new(), writes: Vec::new() };
    for line in BufReader::new(file).lines() {
        // The last line may be half written.
        let Ok(event) = serde_json::from_str::<Value>(&line?) else { continue };
        if event["impersonatedUser"]["username"] != OPERATOR
            || event["stage"] != "ResponseComplete"
            || event["objectRef"]["resource"] == "leases"
        {
            continue;
        }
        let of_kind = match event["verb"].as_str() {
            Some("get" | "list") => &mut requests.reads,
            Some("create" | "update" | "patch" | "delete" | "deletecollection") => &mut requests.writes,
            _ => continue,
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        of_kind.push(format!("{} {}", text(&event["verb"]), text(&event["requestURI"])));
    }
    Ok(requests)
}
