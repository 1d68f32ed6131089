//! The body of `POST /resend`.

use std::borrow::Cow;

use serde::Deserialize;
use tessera_enclave::{NameError, PublicKey, TxHash};

use super::members::not_base64;
use super::problem::{Problem, Violation};

/// A peer asks for one payload.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ResendRequest {
    /// The key that is a party of it.
    pub(super) key: PublicKey,
    pub(super) hash: TxHash,
}

#[derive(Debug, Deserialize)]
struct Members<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(rename = "publicKey", borrow)]
    public_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
}

impl ResendRequest {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        let members: Members<'_> = serde_json::from_slice(body).map_err(|_| Problem::bad_request())?;
        match members.kind.as_deref() {
            Some("INDIVIDUAL") => {}
            Some("ALL") => return Err(Problem::forbidden("this node resends single payloads only")),
            _ => return Err(violated(Violation::plain("must match \"^(ALL|INDIVIDUAL)$\"", at("type")))),
        }
        let text = members.public_key.ok_or_else(|| violated(Violation::missing(at("publicKey"))))?;
        let key = text.parse().map_err(|error| match error {
            NameError::Base64(_) => violated(Violation::base64(at("publicKey"))),
            long => Problem::from(long),
        })?;
        let text = members.key.ok_or_else(|| violated(Violation::missing(at("key"))))?;
        let hash = text.parse().map_err(|error| match error {
            NameError::Base64(error) => not_base64(error),
            long => Problem::from(long),
        })?;
        Ok(Self { key, hash })
    }
}

fn at(member: &str) -> String {
    format!("RecoveryResource.resend.arg0.{member}")
}

fn violated(violation: Violation) -> Problem {
    Problem::Violations(vec![violation])
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use tessera_enclave::base64;

    use super::*;

    #[test]
    fn one_payload_is_asked_for_by_key_and_hash() {
        let (key, hash) = (base64::encode(&[1; 32]), base64::encode(&[2; 64]));
        let body = format!(r#"{{"type":"INDIVIDUAL","publicKey":"{key}","key":"{hash}","more":1}}"#);
        let asked = ResendRequest::parse(body.as_bytes()).unwrap();
        assert_eq!((asked.key.to_string(), asked.hash.to_string()), (key, hash));
    }

    #[test]
    fn other_requests_are_refused() {
        let key = base64::encode(&[1; 32]);
        let status = |body: String| match ResendRequest::parse(body.as_bytes()).unwrap_err() {
            Problem::Text(status, _) => status,
            Problem::Violations(_) => StatusCode::BAD_REQUEST,
            other => panic!("{other:?}"),
        };
        assert_eq!(status("[]".to_owned()), 400);
        assert_eq!(status("{}".to_owned()), 400);
        assert_eq!(status(format!(r#"{{"type":"SOME","publicKey":"{key}"}}"#)), 400);
        assert_eq!(status(format!(r#"{{"type":"ALL","publicKey":"{key}"}}"#)), 403);
        assert_eq!(status(r#"{"type":"INDIVIDUAL","publicKey":"?","key":"AA=="}"#.to_owned()), 400);
        assert_eq!(status(format!(r#"{{"type":"INDIVIDUAL","publicKey":"{key}"}}"#)), 400);
        assert_eq!(status(format!(r#"{{"type":"INDIVIDUAL","publicKey":"{key}","key":"?"}}"#)), 500);
    }
}
