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
    let before = operator.reconciles().await?;
    tokio::time::sleep(Duration::from_secs(args.idle)).await;
    let reconciles = operator.reconciles().await? - before;
    let (reads, writes) = count(&args.audit_log, from)?;
    Ok(Idle { reconciles, reads, writes })
}

async fn settle(args: &Args) -> Result<()> {
    let deadline = Instant::now() + SETTLE_LIMIT;
    loop {
        let from = length(&args.audit_log)?;
        tokio::time::sleep(SETTLED).await;
        // An operator that never stops writing is counted as such.
        if count(&args.audit_log, from)?.1 == 0 || Instant::now() > deadline {
            return Ok(());
        }
    }
}

fn length(log: &Path) -> Result<u64> {
    Ok(std::fs::metadata(log).with_context(|| format!("the audit log {}", log.display()))?.len())
}

/// The operator's reads and writes after a position of the log. A watch is neither: the API server speaks there.
fn count(log: &Path, from: u64) -> Result<(u64, u64)> {
    let mut file = std::fs::File::open(log)?;
    file.seek(SeekFrom::Start(from))?;
    let (mut reads, mut writes) = (0, 0);
    for line in BufReader::new(file).lines() {
        // The last line may be half written.
        let Ok(event) = serde_json::from_str::<Value>(&line?) else { continue };
        if event["impersonatedUser"]["username"] != OPERATOR || event["stage"] != "ResponseComplete" {
            continue;
        }
        match event["verb"].as_str() {
            Some("get" | "list") => reads += 1,
            Some("create" | "update" | "patch" | "delete" | "deletecollection") => writes += 1,
            _ => {}
        }
    }
    Ok((reads, writes))
}
