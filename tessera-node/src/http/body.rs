//! Takes a request's body: all of it, within a size, a time, and the room that all bodies share.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::problem::Problem;
use crate::config::Limits;

/// However large, a body may not be slower than this after its first pause is used up.
const BYTES_PER_SECOND: u64 = 64 << 10;
/// No more is set aside on a caller's word alone.
const TRUSTED_LENGTH: u64 = 64 << 10;
/// Of each body, outside the shared room: small requests are served beside the largest.
const FREE_BYTES: usize = 64 << 10;
/// The unit of the shared room.
const UNIT: usize = 1 << 10;

/// The room that the bodies under way in this process share. Without it, as many of the largest bodies as there are
/// connections would be held at once.
#[derive(Debug, Clone)]
pub(crate) struct BodyRoom(Arc<Semaphore>);

impl BodyRoom {
    /// Room for one body of `largest` bytes, or for several that are as large together.
    pub(crate) fn new(largest: u64) -> Self {
        let units = usize::try_from(largest).unwrap_or(usize::MAX).div_ceil(UNIT);
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
    /// Makes it large enough for `bytes`. Who finds no room waits with what it holds, so the wait is short: two that wait
    /// for each other must not do so for long.
    async fn grow(&mut self, bytes: usize, patience: Duration) -> Result<(), Problem> {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = bytes.saturating_sub(FREE_BYTES).div_ceil(UNIT).saturating_sub(held);
        if missing == 0 {
            return Ok(());
        }
        let units = u32::try_from(missing).unwrap_or(u32::MAX);
        let more = timeout(patience, Arc::clone(&self.room).acquire_many_owned(units)).await;
        let Ok(Ok(more)) = more else { return Err(Problem::no_room_for_body()) };
        match &mut self.held {
            Some(held) => held.merge(more),
            none => *none = Some(more),
        }
        Ok(())
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
    if announced.is_some_and(|length| length > limits.body_bytes) {
        return Err(Problem::body_too_large(limits.body_bytes));
    }
    let expected = usize::try_from(announced.unwrap_or(0).min(TRUSTED_LENGTH)).unwrap_or(0);
    let mut started = Instant::now();
    let mut whole = BytesMut::with_capacity(expected);
    loop {
        let earned = Duration::from_secs(whole.len() as u64 / BYTES_PER_SECOND);
        let deadline = (Instant::now() + limits.body_pause).min(started + limits.body_pause * 3 + earned);
        let frame = match timeout_at(deadline, body.frame()).await {
            Err(_) => return Err(Problem::body_too_slow()),
            Ok(None) => return Ok(whole.freeze()),
            Ok(Some(Err(_))) => return Err(Problem::body_broken()),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() as u64 + data.len() as u64 > limits.body_bytes {
            return Err(Problem::body_too_large(limits.body_bytes));
        }
        let asked = Instant::now();
        part.grow(whole.len() + data.len(), limits.body_pause).await?;
        // Our own lack of room is not the caller's slowness.
        started += asked.elapsed();
        whole.extend_from_slice(&data);
    }
}
