//! Takes a request's body: all of it, within a size, a time, and the room that all bodies share.

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

/// However large, a body may not be slower than this for long.
const BYTES_PER_SECOND: u32 = 64 << 10;
/// Pauses that a body may make up for by being faster, in units of `Limits::body_pause`.
const PAUSES: u32 = 3;
/// No more memory is set aside on a caller's word alone.
const TRUSTED_LENGTH: u64 = 64 << 10;
/// Of each body, outside the shared room: small requests are served beside the largest.
const FREE_BYTES: u64 = 64 << 10;
/// The unit of the shared room.
const UNIT: u64 = 1 << 10;
/// The longest pause of a body that holds shared room: who stops there keeps others out.
const HOLDER_PAUSE: Duration = Duration::from_secs(2);
/// How long a body waits for room. Peers give a push up after 3.5 seconds: the refusal must come before, so that they hear
/// of it.
const ROOM_PATIENCE: Duration = Duration::from_secs(1);
/// How long a refused caller may go on sending before the answer. Together with [`ROOM_PATIENCE`] still before peers give up.
const LINGER: Duration = Duration::from_secs(2);

/// The room that the bodies under way at one listener share. Without it, as many of the largest bodies as there are
/// connections would be held at once. Each listener has its own: peers must not crowd out our own ledger node.
#[derive(Debug, Clone)]
pub(crate) struct BodyRoom(Arc<Semaphore>);

impl BodyRoom {
    /// Room for one body of `largest` bytes, or for several that are as large together.
    pub(crate) fn new(largest: u64) -> Self {
        let units = usize::try_from(largest.div_ceil(UNIT)).unwrap_or(usize::MAX);
        Self(Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))))
    }

    /// One request's part, empty at first. It ends with the request, not with its body: what is made of a body is as large.
    pub(crate) fn part(&self) -> BodyPart {
        BodyPart { room: Arc::clone(&self.0), held: None }
    }
}

/// What one request holds of the room.
#[derive(Debug)]
pub(crate) struct BodyPart {
    room: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl BodyPart {
    /// Makes it large enough for `bytes`.
    async fn grow(&mut self, bytes: u64) -> Result<(), Problem> {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let units = usize::try_from(bytes.saturating_sub(FREE_BYTES).div_ceil(UNIT)).unwrap_or(usize::MAX);
        let missing = units.saturating_sub(held);
        if missing == 0 {
            return Ok(());
        }
        let missing = u32::try_from(missing).map_err(|_| Problem::no_room_for_body())?;
        let more = timeout(ROOM_PATIENCE, Arc::clone(&self.room).acquire_many_owned(missing)).await;
        let Ok(Ok(more)) = more else { return Err(Problem::no_room_for_body()) };
        match &mut self.held {
            Some(held) => held.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }

    /// Gives it up before the request ends.
    fn give_back(&mut self) {
        self.held = None;
    }
}

/// The whole body. It may pause for `limits.body_pause`, and not trickle for ever either.
pub(crate) async fn collect(
    parts: &Parts,
    mut body: Incoming,
    limits: &Limits,
    part: &mut BodyPart,
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
            // All that was announced at once: who waits for room should have none in hand.
            if let Err(problem) = part.grow(length.max(announced)).await {
                drop((whole, data));
                part.give_back();
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
