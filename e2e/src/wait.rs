//! Waiting on a condition with a deadline.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is looked at.
const TICK: Duration = Duration::from_millis(250);

/// Calls `probe` until it answers `Ok(value)`; `Err` says what is still awaited. Errors out, with the last of these, past
/// the deadline. Deadlines are generous: they tell a hang from a slow machine, nothing else.
pub async fn until<T, F, Fut>(what: &str, deadline: Duration, mut probe: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let started = Instant::now();
    loop {
        match probe().await {
            Ok(value) => return Ok(value),
            Err(error) if started.elapsed() > deadline => {
                bail!("{what}: not within {} s: {error:#}", deadline.as_secs())
            }
            Err(_) => tokio::time::sleep(TICK).await,
        }
    }
}

/// Observes for the whole of `period` that `probe` keeps answering `Ok`.
pub async fn holds<F, Fut>(what: &str, period: Duration, mut probe: F) -> Result<()>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<()>>,
{
    let started = Instant::now();
    while started.elapsed() < period {
        if let Err(error) = probe().await {
            bail!("{what}: broke after {:.1} s: {error:#}", started.elapsed().as_secs_f32());
        }
        tokio::time::sleep(TICK).await;
    }
    Ok(())
}
