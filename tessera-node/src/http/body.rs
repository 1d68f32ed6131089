//! Reads a request's body: all of it, within a size, a time, and a memory budget that all bodies share.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};

use super::problem::Problem;
use crate::config::Limits;
use crate::resources::Permit;

/// A body of any size may not be slower than this for long.
const BYTES_PER_SECOND: u32 = 64 << 10;
/// Pauses that a body may make up for by being faster, in units of `Limits::body_pause`.
const PAUSES: u32 = 3;
/// The most memory that is allocated because a caller announced a length.
const TRUSTED_LENGTH: u64 = 64 << 10;
/// Of each body, outside the budget: a connection's own share of memory covers it.
const FREE_BYTES: u64 = 16 << 10;
/// The longest pause of a body that holds a part of the budget: a caller that stops there keeps others out.
const HOLDER_PAUSE: Duration = Duration::from_secs(2);
/// How long a refused caller may go on sending before the answer. Together with the wait for memory still before peers give up.
const LINGER: Duration = Duration::from_secs(2);

/// The whole body. Each pause is at most `limits.body_pause`, and all pauses together are bounded as well. `permit` grows
/// to `cost` bytes for each byte of the body: what is made of a body is as large as the body.
pub(crate) async fn collect(
    parts: &Parts,
    mut body: Incoming,
    limits: &Limits,
    cost: u64,
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
            if let Err(error) = permit.grow(length.max(announced).saturating_mul(cost)).await {
                drop((whole, data));
                permit.release();
                return Err(refuse(error.into(), body).await);
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
