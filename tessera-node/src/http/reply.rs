//! Answers, and their bodies. A message leaves in pieces: its base64 never exists as a whole.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use tessera_enclave::base64;

use super::caller::Reading;
use crate::resources::Permit;

/// An answer.
pub(crate) type Reply = Response<ReplyBody>;

/// Bytes of a message in one piece; a multiple of three, so that the pieces of base64 join without padding.
const PIECE: usize = 48 << 10;

/// The body of an answer: bytes, a message, bytes.
#[derive(Debug, Default)]
pub(crate) struct ReplyBody {
    before: Bytes,
    message: Message,
    after: Bytes,
    /// Released when the body has been sent, or when its connection ends.
    _hold: Option<Hold>,
}

/// What an answer holds until it is sent.
#[derive(Debug)]
pub(crate) struct Hold {
    _permit: Permit,
    _reading: Reading,
}

impl Hold {
    pub(crate) fn new(permit: Permit, reading: Reading) -> Self {
        Self { _permit: permit, _reading: reading }
    }
}

/// The part of a body that may be large.
#[derive(Debug)]
enum Message {
    Octets(Bytes),
    Base64(Bytes),
}

impl Default for Message {
    fn default() -> Self {
        Self::Octets(Bytes::new())
    }
}

impl Message {
    fn len(&self) -> usize {
        match self {
            Self::Octets(bytes) => bytes.len(),
            Self::Base64(bytes) => bytes.len().div_ceil(3) * 4,
        }
    }

    fn next(&mut self) -> Bytes {
        match self {
            Self::Octets(bytes) => std::mem::take(bytes),
            Self::Base64(bytes) => {
                let piece = bytes.split_to(bytes.len().min(PIECE));
                Bytes::from(base64::encode(&piece))
            }
        }
    }
}

impl ReplyBody {
    /// A message as it is.
    pub(crate) fn octets(message: Vec<u8>, hold: Option<Hold>) -> Self {
        Self { message: Message::Octets(message.into()), _hold: hold, ..Self::default() }
    }

    /// The base64 of a message between two texts.
    pub(crate) fn base64(before: Bytes, message: Vec<u8>, after: Bytes, hold: Option<Hold>) -> Self {
        Self { before, message: Message::Base64(message.into()), after, _hold: hold }
    }

    fn len(&self) -> usize {
        self.before.len() + self.message.len() + self.after.len()
    }

    fn next(&mut self) -> Bytes {
        if !self.before.is_empty() {
            return std::mem::take(&mut self.before);
        }
        if self.message.len() > 0 {
            return self.message.next();
        }
        std::mem::take(&mut self.after)
    }
}

impl<T: Into<Bytes>> From<T> for ReplyBody {
    fn from(bytes: T) -> Self {
        Self { before: bytes.into(), ..Self::default() }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.next();
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len() as u64)
    }
}

/// An answer; an empty `kind` is no content type.
pub(crate) fn of(status: StatusCode, kind: &'static str, body: impl Into<ReplyBody>) -> Reply {
    let mut reply = Response::new(body.into());
    *reply.status_mut() = status;
    if !kind.is_empty() {
        reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    reply
}

pub(crate) fn ok(kind: &'static str, body: impl Into<ReplyBody>) -> Reply {
    of(StatusCode::OK, kind, body)
}

pub(crate) fn created(kind: &'static str, body: impl Into<ReplyBody>) -> Reply {
    of(StatusCode::CREATED, kind, body)
}

/// Adds `Location`; one that is no header value is left out.
pub(crate) fn with_location(mut reply: Reply, location: &str) -> Reply {
    if let Ok(value) = HeaderValue::from_str(location) {
        reply.headers_mut().insert(LOCATION, value);
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut body: ReplyBody) -> (u64, Vec<u8>, usize) {
        let announced = body.size_hint().exact().unwrap();
        let (mut bytes, mut largest) = (Vec::new(), 0);
        while !body.is_end_stream() {
            let piece = body.next();
            largest = largest.max(piece.len());
            bytes.extend_from_slice(&piece);
        }
        (announced, bytes, largest)
    }

    #[test]
    fn the_pieces_of_a_message_are_its_base64() {
        for length in [0, 1, 2, 3, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 5] {
            let message: Vec<u8> = (0..=250).cycle().take(length).collect();
            let whole = format!("[{}]", base64::encode(&message));
            let body = ReplyBody::base64("[".into(), message, "]".into(), None);
            let (announced, bytes, largest) = read(body);
            assert_eq!((announced, bytes.len()), (whole.len() as u64, whole.len()), "{length}");
            assert!(bytes == whole.as_bytes() && largest <= PIECE / 3 * 4, "{length}");
        }
    }
}
