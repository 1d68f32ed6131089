//! The one table from what went wrong to the answer: status, body, media type. Nothing else names an error's
//! status. The texts are Java's, since clients match on them.
//!
//! | what | status | body |
//! |---|---|---|
//! | a domain error with a message | by its kind | the message, `text/plain` |
//! | one whose Java exception has no entity | by its kind | a page of the servlet container, by `Accept` |
//! | a violated constraint | 400 | one line each, or a JSON array, by `Accept` |
//! | what JAX-RS itself refuses (405, 406, 415) | 500 | `HTTP 405 Method Not Allowed` |

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, RETRY_AFTER, VARY};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use serde_json::json;
use tessera_enclave::NameError;

use super::reply::{self, Reply};
use crate::resources::BudgetError;
use crate::transaction::Error;

/// An error, as the caller gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Problem {
    /// A status and a message.
    Text(StatusCode, String),
    /// A status and a message that Java leaves to the servlet container.
    Page(StatusCode, String),
    /// A status alone.
    Empty(StatusCode),
    /// Constraints that the request violates.
    Violations(Vec<Violation>),
}

/// One violated constraint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) message: &'static str,
    pub(crate) template: &'static str,
    pub(crate) path: String,
}

impl Violation {
    pub(crate) fn missing(path: impl Into<String>) -> Self {
        Self {
            message: "may not be null",
            template: "{jakarta.validation.constraints.NotNull.message}",
            path: path.into(),
        }
    }

    pub(crate) fn empty(path: impl Into<String>) -> Self {
        Self {
            message: "size must be between 1 and 2147483647",
            template: "{jakarta.validation.constraints.Size.message}",
            path: path.into(),
        }
    }

    pub(crate) fn base64(path: impl Into<String>) -> Self {
        Self { message: "{ValidBase64.message}", template: "{ValidBase64.message}", path: path.into() }
    }

    pub(crate) fn not_boolean(path: impl Into<String>) -> Self {
        Self {
            message: "must match \"(?i)true|false\"",
            template: "{jakarta.validation.constraints.Pattern.message}",
            path: path.into(),
        }
    }

    pub(crate) fn plain(message: &'static str, path: impl Into<String>) -> Self {
        Self { message, template: message, path: path.into() }
    }
}

impl Problem {
    pub(crate) fn bad_request() -> Self {
        Self::Text(StatusCode::BAD_REQUEST, "HTTP 400 Bad Request".into())
    }

    pub(crate) fn not_found() -> Self {
        Self::Text(StatusCode::NOT_FOUND, "HTTP 404 Not Found".into())
    }

    /// A body of the admin port that cannot be read.
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::Text(StatusCode::BAD_REQUEST, message.into())
    }

    /// What cannot be said now, and may be said later.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::Text(StatusCode::SERVICE_UNAVAILABLE, message.into())
    }

    /// Base64 that Tessera's own decoder refuses.
    pub(crate) fn bad_base64(message: String) -> Self {
        Self::Text(StatusCode::BAD_REQUEST, message)
    }

    /// A key in `from` that is too long to be one.
    pub(crate) fn unknown_sender(key: &str) -> Self {
        let message = format!("Public key {key} not found when searching for private key");
        Self::Text(StatusCode::NOT_FOUND, message)
    }

    /// JAX-RS' own refusals keep their text and lose their status.
    pub(crate) fn jax_rs(text: &str) -> Self {
        Self::Text(StatusCode::INTERNAL_SERVER_ERROR, format!("HTTP {text}"))
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::Text(StatusCode::INTERNAL_SERVER_ERROR, message.into())
    }

    /// A request path that the servlet container itself refuses.
    pub(crate) fn ambiguous_path() -> Self {
        Self::Page(StatusCode::BAD_REQUEST, "Ambiguous empty segment in URI".into())
    }

    /// No limit exists in Java; without one a single caller takes all memory.
    pub(crate) fn body_too_large(limit: u64) -> Self {
        Self::Text(StatusCode::PAYLOAD_TOO_LARGE, format!("request body is larger than {limit} bytes"))
    }

    pub(crate) fn body_too_slow() -> Self {
        Self::Text(StatusCode::REQUEST_TIMEOUT, "request body did not arrive in time".into())
    }

    /// HTTP/1.1 requires exactly one `Host`; the servlet container refuses a request with another number.
    pub(crate) fn bad_host(message: &str) -> Self {
        Self::Page(StatusCode::BAD_REQUEST, message.into())
    }

    pub(crate) fn body_broken() -> Self {
        Self::bad_request()
    }

    /// A page without a message, as for a Java exception without one.
    pub(crate) fn unexplained() -> Self {
        Self::Page(StatusCode::INTERNAL_SERVER_ERROR, "Request failed.".into())
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::Text(StatusCode::FORBIDDEN, message.into())
    }

    pub(crate) fn empty_bad_request() -> Self {
        Self::Empty(StatusCode::BAD_REQUEST)
    }

    pub(crate) fn security() -> Self {
        Self::Page(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error".into())
    }

    pub(crate) fn not_whitelisted() -> Self {
        Self::Page(StatusCode::UNAUTHORIZED, "Unauthorized".into())
    }

    /// The answer to `request`.
    pub(crate) fn into_reply(self, request: &Parts) -> Reply {
        match self {
            Self::Text(status, message) => text(status, message),
            Self::Empty(status) => reply::of(status, "", Bytes::new()),
            Self::Page(status, message) => page(status, &message, request),
            Self::Violations(violations) => self::violations(&violations, request),
        }
    }
}

/// A key that is too long is the server's error, as in Java; a hash that is too long is the hash of nothing.
impl From<NameError> for Problem {
    fn from(error: NameError) -> Self {
        let status = match error {
            NameError::LongHash(_) => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::Text(status, error.to_string())
    }
}

impl From<BudgetError> for Problem {
    fn from(error: BudgetError) -> Self {
        Self::Text(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::RecipientUnknown(_)
            | Error::SenderUnknown(_)
            | Error::TransactionUnknown(_)
            | Error::RawUnknown(_)
            | Error::RawTransactionUnknown(_)
            | Error::PrivacyGroupUnknown(_) => Self::Text(StatusCode::NOT_FOUND, message),
            Error::Refused(_) | Error::KeyArchived(_) | Error::KeyNotProven(_) => {
                Self::Text(StatusCode::FORBIDDEN, message)
            }
            Error::NotMandatory => Self::Text(StatusCode::BAD_REQUEST, message),
            Error::NodeOffline(_) => Self::Page(StatusCode::GONE, message),
            Error::NoKeys
            | Error::KeysIncomplete
            | Error::StoreTimeout
            | Error::Memory(_)
            | Error::VolumeReplaced
            | Error::Read(_)
            | Error::Write(_)
            | Error::Database(_)
            | Error::StoredPayload(_)
            | Error::StoredCodec(_) => Self::Text(StatusCode::SERVICE_UNAVAILABLE, message),
            Error::TooLarge(_) => Self::Text(StatusCode::PAYLOAD_TOO_LARGE, message),
            Error::Undecodable(_) => Self::unexplained(),
            // What Java's database says, and ledger nodes match on.
            Error::AlreadySent => Self::Text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "duplicate key value violates unique constraint \"encrypted_transaction_pkey\"".to_owned(),
            ),
            // Waiting does not help, and the ledger must not take it for "not a party".
            Error::Damaged(_)
            | Error::PushRejected(_)
            | Error::NoSuitableKey(_)
            | Error::NotListed
            | Error::KeyRing(_)
            | Error::Seal(_)
            | Error::Open(_)
            | Error::Payload(_)
            | Error::Merge(_)
            | Error::OwnMessage(_)
            | Error::SecurityHash(_)
            | Error::Panicked(_) => Self::Text(StatusCode::INTERNAL_SERVER_ERROR, message),
        }
    }
}

fn text(status: StatusCode, message: String) -> Reply {
    let mut reply = reply::of(status, "text/plain", message);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    reply
}

/// What the servlet container writes when nobody else did: HTML for a caller that takes anything, JSON for one that asks for
/// JSON, nothing for others.
fn page(status: StatusCode, message: &str, request: &Parts) -> Reply {
    let method_has_page = matches!(request.method, Method::GET | Method::POST | Method::HEAD);
    let path = request.uri.path();
    let mut reply = match page_kind(request) {
        _ if !method_has_page => reply::of(status, "", Bytes::new()),
        PageKind::Html => reply::of(status, "text/html;charset=iso-8859-1", html(status, message, path)),
        PageKind::Json => {
            let body =
                json!({"servlet": SERVLET, "message": message, "url": path, "status": status.as_str()});
            reply::of(status, "application/json", body.to_string())
        }
        PageKind::None => reply::of(status, "", Bytes::new()),
    };
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("must-revalidate,no-cache,no-store"));
    reply
}

const SERVLET: &str = "tessera-node";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PageKind {
    Html,
    Json,
    None,
}

fn page_kind(request: &Parts) -> PageKind {
    let Some(accept) = request.headers.get(ACCEPT).and_then(|value| value.to_str().ok()) else {
        return PageKind::Html;
    };
    for range in accept.split(',') {
        match range.split(';').next().unwrap_or("").trim() {
            "text/html" | "text/*" | "*/*" => return PageKind::Html,
            "application/json" | "text/json" => return PageKind::Json,
            _ => {}
        }
    }
    PageKind::None
}

fn html(status: StatusCode, message: &str, path: &str) -> String {
    let (code, message, path) = (status.as_str(), escape(message), escape(path));
    format!(
        "<html>\n<head>\n<meta http-equiv=\"Content-Type\" content=\"text/html;charset=ISO-8859-1\"/>\n\
         <title>Error {code} {message}</title>\n</head>\n<body><h2>HTTP ERROR {code} {message}</h2>\n<table>\n\
         <tr><th>URI:</th><td>{path}</td></tr>\n<tr><th>STATUS:</th><td>{code}</td></tr>\n\
         <tr><th>MESSAGE:</th><td>{message}</td></tr>\n<tr><th>SERVLET:</th><td>{SERVLET}</td></tr>\n</table>\n\n\
         </body>\n</html>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn violations(violations: &[Violation], request: &Parts) -> Reply {
    let wants_json = request
        .headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("application/json"));
    let mut reply = if wants_json {
        let list: Vec<_> = violations
            .iter()
            .map(|v| json!({"message": v.message, "messageTemplate": v.template, "path": v.path}))
            .collect();
        reply::of(StatusCode::BAD_REQUEST, "application/json", serde_json::Value::from(list).to_string())
    } else {
        let lines: Vec<_> = violations
            .iter()
            .map(|v| format!("{} (path = {}, invalidValue = null)", v.message, v.path))
            .collect();
        reply::of(StatusCode::BAD_REQUEST, "text/plain", lines.join("\n"))
    };
    reply.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use http::header::CONTENT_TYPE;

    fn parts(method: &str, accept: Option<&str>) -> Parts {
        let mut request = Request::builder().method(method).uri("/send");
        if let Some(accept) = accept {
            request = request.header(ACCEPT, accept);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn kind_of(reply: &Reply) -> Option<&str> {
        reply.headers().get(CONTENT_TYPE).map(|value| value.to_str().unwrap())
    }

    #[test]
    fn the_containers_page_follows_accept() {
        let html = Some("text/html;charset=iso-8859-1");
        for (method, accept, kind) in [
            ("POST", None, html),
            ("POST", Some("*/*"), html),
            ("GET", Some("text/html, image/gif"), html),
            ("POST", Some("application/json"), Some("application/json")),
            ("POST", Some("application/vnd.tessera-2.1+json"), None),
            ("DELETE", Some("*/*"), None),
        ] {
            let offline = Problem::from(Error::NodeOffline("https://b:9000/push".into()));
            let reply = offline.into_reply(&parts(method, accept));
            assert_eq!((reply.status().as_u16(), kind_of(&reply)), (410, kind), "{method} {accept:?}");
        }
    }

    #[test]
    fn violations_are_lines_or_json() {
        let problem = Problem::Violations(vec![Violation::missing("R.send.arg0.payload")]);
        let reply = problem.clone().into_reply(&parts("POST", None));
        assert_eq!(kind_of(&reply), Some("text/plain"));
        let reply = problem.into_reply(&parts("POST", Some("application/json")));
        assert_eq!(kind_of(&reply), Some("application/json"));
    }
}
