//! What Q2T and P2P have in common: who answers here, in which version.

use http::header::{ALLOW, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};
use tessera_enclave::codec::versions::ApiVersions;

use super::problem::Problem;
use super::reply::{self, Reply};

/// The version of this node. A ledger node assumes an ancient manager where this is empty.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A resource that both servers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Common {
    Root,
    UpCheck,
    Version,
    ApiVersions,
}

impl Common {
    pub(crate) fn find(segments: &[&str]) -> Option<Self> {
        Some(match segments {
            [] => Self::Root,
            ["upcheck"] => Self::UpCheck,
            ["version"] | ["version", "distribution"] => Self::Version,
            ["version", "api"] => Self::ApiVersions,
            _ => return None,
        })
    }

    pub(crate) fn route(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::UpCheck => "upcheck",
            Self::Version => "version",
            Self::ApiVersions => "version_api",
        }
    }

    pub(crate) fn answer(self, request: &Parts) -> Result<Reply, Problem> {
        only(request, &[Method::GET])?;
        Ok(match self {
            Self::Root => reply::ok("text/plain", ""),
            Self::UpCheck => reply::ok("text/plain", "I'm up!"),
            Self::Version => reply::ok("text/plain", VERSION),
            Self::ApiVersions => reply::ok(
                "application/json",
                serde_json::Value::from(ApiVersions::numbers().to_vec()).to_string(),
            ),
        })
    }
}

/// Refuses another method. `HEAD` goes wherever `GET` does.
pub(crate) fn only(request: &Parts, methods: &[Method]) -> Result<(), Problem> {
    let method = if request.method == Method::HEAD { Method::GET } else { request.method.clone() };
    if methods.contains(&method) { Ok(()) } else { Err(Problem::jax_rs("405 Method Not Allowed")) }
}

/// The answer to `OPTIONS`, which every resource has.
pub(crate) fn options(methods: &[Method]) -> Reply {
    let mut names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    if names.contains(&"GET") {
        names.insert(0, "HEAD");
    }
    names.push("OPTIONS");
    let mut reply = reply::of(StatusCode::OK, "", bytes::Bytes::new());
    if let Ok(value) = HeaderValue::from_str(&names.join(",")) {
        reply.headers_mut().insert(ALLOW, value);
    }
    reply
}
