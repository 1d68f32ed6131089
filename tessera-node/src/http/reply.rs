//! Answers.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

/// An answer with its whole body.
pub(crate) type Reply = Response<Full<Bytes>>;

/// An answer; an empty `kind` is no content type.
pub(crate) fn of(status: StatusCode, kind: &'static str, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    if !kind.is_empty() {
        reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    reply
}

pub(crate) fn ok(kind: &'static str, body: impl Into<Bytes>) -> Reply {
    of(StatusCode::OK, kind, body.into())
}

pub(crate) fn created(kind: &'static str, body: impl Into<Bytes>) -> Reply {
    of(StatusCode::CREATED, kind, body.into())
}

/// Adds `Location`; one that is no header value is left out.
pub(crate) fn with_location(mut reply: Reply, location: &str) -> Reply {
    if let Ok(value) = HeaderValue::from_str(location) {
        reply.headers_mut().insert(LOCATION, value);
    }
    reply
}
