//! Decoders of the node's HTTP layer. They are compiled from their files, so that a run needs neither the node's TLS nor
//! its Vault client; of what they use, only the error type is replaced.

#[allow(dead_code, missing_docs, unreachable_pub)]
#[path = "../../src/http/members.rs"]
pub mod members;
#[allow(dead_code, missing_docs, unreachable_pub)]
#[path = "../../src/http/path.rs"]
pub mod path;

mod problem {
    /// Stands for the answer that a refused request gets.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum Problem {
        /// 400
        BadRequest,
        /// 400, for a path that two servers may read differently.
        AmbiguousPath,
        /// 500, with Java's words.
        Internal(String),
    }

    impl Problem {
        pub(crate) fn bad_request() -> Self {
            Self::BadRequest
        }

        pub(crate) fn ambiguous_path() -> Self {
            Self::AmbiguousPath
        }

        pub(crate) fn internal(message: impl Into<String>) -> Self {
            Self::Internal(message.into())
        }
    }
}

/// Parses a body, and reads what a request reads of it.
pub fn members(body: &[u8]) {
    let _ = members::Members::parse(body);
    if let Ok(text) = std::str::from_utf8(body) {
        let _ = members::bytes(text);
    }
}

/// The canonical form of a path: it is its own.
pub fn canonical_path(text: &str) {
    if let Ok(path) = path::canonical(text) {
        let again = path::canonical(&path).expect("a canonical path is a path");
        assert_eq!(again, path);
    }
}
