//! Takes a request's body: all of it, within a size and a time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::problem::Problem;
use crate::config::Limits;

/// However large, a body may not be slower than this after its first pause is used up.
const BYTES_PER_SECOND: u64 = 64 << 10;
/// No more is set aside on a caller's word alone.
const TRUSTED_LENGTH: u64 = 64 << 10;

/// The whole body. It may pause for `limits.body_pause`, and not trickle for ever either.
pub(crate) async fn collect(parts: &Parts, mut body: Incoming, limits: &Limits) -> Result<Bytes, Problem> {
    let announced =
        parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limits.body_bytes) {
        return Err(Problem::body_too_large(limits.body_bytes));
    }
    let expected = usize::try_from(announced.unwrap_or(0).min(TRUSTED_LENGTH)).unwrap_or(0);
    let started = Instant::now();
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
        whole.extend_from_slice(&data);
    }
}
