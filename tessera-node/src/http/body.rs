//! Reads a request's body: all of it, within a size, a time, and a memory budget that all bodies share.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::problem::Problem;
use crate::config::Limits;

/// A body of any size may not be slower than this for long.
const BYTES_PER_SECOND: u32 = 64 << 10;
/// Pauses that a body may make up for by being faster, in units of `Limits::body_pause`.
const PAUSES: u32 = 3;
/// The most memory that is allocated because a caller announced a length.
const TRUSTED_LENGTH: u64 = 64 << 10;
/// Of each body, outside the budget: small requests are served beside the largest.
const FREE_BYTES: u64 = 64 << 10;
/// The unit of the budget.
const UNIT: u64 = 1 << 10;
/// The longest pause of a body that holds a part of the budget: a caller that stops there keeps others out.
const HOLDER_PAUSE: Duration = Duration::from_secs(2);
/// How long a body waits for the budget. Peers give a push up after 3.5 seconds: the refusal must reach them before.
const BUDGET_WAIT: Duration = Duration::from_secs(1);
/// How long a refused caller may go on sending before the answer. Together with [`BUDGET_WAIT`] still before peers give up.
const LINGER: Duration = Duration::from_secs(2);

/// The memory that the bodies in progress at one listener share. Without it, as many of the largest bodies as there are
/// connections would be held at once. Each listener has its own: peers must not crowd out our own ledger node.
#[derive(Debug, Clone)]
pub(crate) struct MemoryBudget(Arc<Semaphore>);

impl MemoryBudget {
    /// Enough for one body of `largest` bytes, or for several that are as large together.
    pub(crate) fn new(largest: u64) -> Self {
        let units = usize::try_from(largest.div_ceil(UNIT)).unwrap_or(usize::MAX);
        Self(Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))))
    }

    /// One request's permit, empty at first.
    pub(crate) fn permit(&self) -> Permit {
        Permit { budget: Arc::clone(&self.0), held: None }
    }
}

/// What one request holds of the budget.
#[derive(Debug)]
pub(crate) struct Permit {
    budget: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Permit {
    /// Makes it large enough for `bytes`.
    async fn grow(&mut self, bytes: u64) -> Result<(), Problem> {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let units = usize::try_from(bytes.saturating_sub(FREE_BYTES).div_ceil(UNIT)).unwrap_or(usize::MAX);
        let missing = units.saturating_sub(held);
        if missing == 0 {
            return Ok(());
        }
        let missing = u32::try_from(missing).map_err(|_| Problem::budget_exhausted())?;
        let more = timeout(BUDGET_WAIT, Arc::clone(&self.budget).acquire_many_owned(missing)).await;
        let Ok(Ok(more)) = more else { return Err(Problem::budget_exhausted()) };
        match &mut self.held {
            Some(held) => held.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }

    /// Releases it before the request ends.
    fn release(&mut self) {
        self.held = None;
    }
}

/// The whole body. Each pause is at most `limits.body_pause`, and all pauses together are bounded as well.
pub(crate) async fn collect(
    parts: &Parts,
    mut body: Incoming,
    limits: &Limits,
    permit: &mut Permit,
) -> Result<Bytes, Problem> {
    let announced =
        parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let announced = announced.unwrap_or(0);
    if announced > limits.body_bytes {
        return Err(refuse(Problem::body_too_large(limits.body_bytes), body).await);
    }
    let mut whole =
        BytesMut::with_capacity(usize::try_from(announced.min(TRUSTED_LENGTH)).unwrap_or_default());
    let mut pause = limits.body_pause;
    // Used up by waiting, earned by bytes: what came fast at first does not pay for a trickle later.
    let mut left = pause * PAUSES;
    loop {
        let asked = Instant::now();
        let frame = match timeout(pause.min(left), body.frame()).await {
            Err(_) => return Err(Problem::body_too_slow()),
            Ok(None) => return Ok(whole.freeze()),
            Ok(Some(Err(_))) => return Err(Problem::body_broken()),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        let earned =
            Duration::from_secs(1) * u32::try_from(data.len()).unwrap_or(u32::MAX) / BYTES_PER_SECOND;
        left = (left.saturating_sub(asked.elapsed()) + earned).min(pause * PAUSES);
        let length = whole.len() as u64 + data.len() as u64;
        if length > limits.body_bytes {
            return Err(refuse(Problem::body_too_large(limits.body_bytes), body).await);
        }
        if length > FREE_BYTES {
            // All that was announced, at once: a body that waits for the budget holds none of it.
            if let Err(problem) = permit.grow(length.max(announced)).await {
                drop((whole, data));
                permit.release();
                return Err(refuse(problem, body).await);
            }
            pause = limits.body_pause.min(HOLDER_PAUSE);
        }
        whole.extend_from_slice(&data);
    }
}

/// The refusal, once the caller has sent what it was sending. A connection that is closed with unread bytes is reset, and
/// the caller would see that instead of the answer.
async fn refuse(problem: Problem, mut body: Incoming) -> Problem {
    let rest = async { while let Some(Ok(_)) = body.frame().await {} };
    let _ = timeout(LINGER, rest).await;
    problem
}
