//! What node and operator both hold to before they show the secret store a token. Pure.
//!
//! A token of a node's ServiceAccount opens that node's keys. So it goes only to the store that it was made for, and the
//! store's name must not be answered by a Service of the namespace, which others may write.

use core::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// Why a token is not sent to the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The text is no JSON web token.
    #[error("is not a ServiceAccount token")]
    NotAToken,
    /// The token is made for something else than the store.
    #[error("has audience {found:?}, but secretStore.address is {address:?}: it was not sent")]
    Audience {
        /// The token's audiences.
        found: Vec<String>,
        /// The store's address as configured.
        address: String,
    },
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    aud: Audience,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Default for Audience {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

/// Refuses a token whose only audience is not exactly `address`. The signature is the store's to verify: the holder of a
/// token gains nothing by lying to himself.
pub fn require_audience(token: &str, address: &str) -> Result<(), TokenError> {
    let found = match claims(token).ok_or(TokenError::NotAToken)?.aud {
        Audience::One(audience) => vec![audience],
        Audience::Many(audiences) => audiences,
    };
    if found == [address] { Ok(()) } else { Err(TokenError::Audience { found, address: address.to_owned() }) }
}

fn claims(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    if parts.next().is_some() { None } else { serde_json::from_slice(&payload).ok() }
}

/// The name to look `host` up under, with a dot at its end so that no search domain is tried: in a pod, `vault.bank` is
/// looked up as `vault.bank.<namespace>.svc.<cluster domain>` first, and a Service of the namespace may answer.
///
/// A name that ends in `.svc` gets the cluster's domain, which `resolv_conf` (the text of `/etc/resolv.conf`) has among its
/// search domains. TLS goes on verifying `host` itself.
pub fn lookup_name(host: &str, resolv_conf: &str) -> String {
    // An address is looked up by nobody.
    if host.eq_ignore_ascii_case("localhost") || host.ends_with('.') || host.parse::<IpAddr>().is_ok() {
        return host.to_owned();
    }
    match cluster_domain(resolv_conf).filter(|_| host.rsplit('.').next() == Some("svc")) {
        Some(domain) => format!("{host}.{}.", domain.trim_end_matches('.')),
        None => format!("{host}."),
    }
}

/// Of the search domains `<namespace>.svc.<domain> svc.<domain> <domain>` that a kubelet writes, the last. Of several
/// search lines the last counts, as for the C library.
fn cluster_domain(resolv_conf: &str) -> Option<&str> {
    let line = resolv_conf.lines().filter_map(|line| line.trim().strip_prefix("search")).next_back()?;
    line.split_whitespace().find_map(|domain| domain.strip_prefix("svc.")).filter(|domain| !domain.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "https://vault.vault.svc:8200";
    const POD: &str = "search org-a.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.0.0.10\noptions ndots:5\n";

    fn token(claims: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn only_a_token_made_for_the_store_alone_passes() {
        for claims in [format!(r#"{{"aud":["{ADDRESS}"]}}"#), format!(r#"{{"aud":"{ADDRESS}","exp":1}}"#)] {
            assert_eq!(require_audience(&token(&claims), ADDRESS), Ok(()));
        }
        for aud in [
            r#"["https://vault.vault.svc:8201"]"#.to_owned(),
            r#"["https://vault.vault.svc:8200/"]"#.to_owned(),
            format!(r#"["{ADDRESS}","https://kubernetes.default.svc"]"#),
            "[]".to_owned(),
            "\"\"".to_owned(),
        ] {
            let error = require_audience(&token(&format!(r#"{{"aud":{aud}}}"#)), ADDRESS).unwrap_err();
            assert!(matches!(error, TokenError::Audience { .. }), "{aud}: {error}");
        }
        assert!(matches!(require_audience(&token("{}"), ADDRESS), Err(TokenError::Audience { .. })));
    }

    #[test]
    fn what_is_no_token_is_not_sent() {
        let four_parts = format!("{}.x", token(&format!(r#"{{"aud":"{ADDRESS}"}}"#)));
        for text in ["", "a", "a.b", "a.b.c", "e30.e30", "e30.!!!.e30", "hvs.token", &four_parts] {
            assert_eq!(require_audience(text, ADDRESS), Err(TokenError::NotAToken), "{text:?}");
        }
    }

    #[test]
    fn a_name_is_looked_up_as_absolute() {
        assert_eq!(lookup_name("vault.bank", POD), "vault.bank.");
        assert_eq!(lookup_name("vault", POD), "vault.");
        assert_eq!(lookup_name("vault.vault.svc", POD), "vault.vault.svc.cluster.local.");
        assert_eq!(lookup_name("vault.vault.svc.cluster.local", POD), "vault.vault.svc.cluster.local.");
        assert_eq!(lookup_name("vault.bank.example.", POD), "vault.bank.example.");
        assert_eq!(lookup_name("localhost", POD), "localhost");
        assert_eq!(lookup_name("10.0.0.5", POD), "10.0.0.5");
        assert_eq!(lookup_name("2001:db8::5", POD), "2001:db8::5");
    }

    #[test]
    fn without_a_cluster_domain_the_name_stands_for_itself() {
        for text in ["", "search example.com\n", "nameserver 10.0.0.10\n", "search svc.\n"] {
            assert_eq!(lookup_name("vault.vault.svc", text), "vault.vault.svc.");
        }
        let two = "search svc.first\nsearch a.svc.k8s.bank svc.k8s.bank. k8s.bank\n";
        assert_eq!(lookup_name("vault.vault.svc", two), "vault.vault.svc.k8s.bank.");
    }
}
