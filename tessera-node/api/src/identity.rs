//! Who a certificate speaks for: `spiffe://<trustDomain>/{node|client|operator}/<name>`.
//!
//! This format is public API: ledger nodes, scrapers and partners see it in the certificates that we issue.

use std::fmt;
use std::str::FromStr;

/// What kind of party a certificate speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// A transaction manager.
    Node,
    /// A ledger node or a scraper of metrics.
    Client,
    /// The operator.
    Operator,
}

impl Role {
    /// The role as it stands in the URI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Client => "client",
            Self::Operator => "operator",
        }
    }
}

/// A parsed SPIFFE identity of ours.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    trust_domain: String,
    role: Role,
    name: String,
}

/// Why a URI is not an identity of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not `spiffe://<trustDomain>/<role>/<name>`.
    #[error("identity {0:?} is not of the form spiffe://<trustDomain>/<role>/<name>")]
    Form(String),
    /// The role is none of node, client, operator.
    #[error("identity {0:?} has an unknown role")]
    Role(String),
    /// A part is empty or holds a character that SPIFFE does not allow.
    #[error("identity {0:?} has an empty part or a character outside [a-z0-9._-] (names also A-Z)")]
    Characters(String),
}

impl Identity {
    /// An identity from its parts; each must be non-empty and of SPIFFE's characters.
    pub fn new(trust_domain: &str, role: Role, name: &str) -> Result<Self, IdentityError> {
        let identity = Self { trust_domain: trust_domain.to_owned(), role, name: name.to_owned() };
        if valid_trust_domain(trust_domain) && valid_name(name) {
            Ok(identity)
        } else {
            Err(IdentityError::Characters(identity.to_string()))
        }
    }

    /// The node called `node`.
    pub fn node(trust_domain: &str, node: &str) -> Result<Self, IdentityError> {
        Self::new(trust_domain, Role::Node, node)
    }

    /// The client (ledger node) that `node` declares as `client`. A node's name has no dot, so the pair is unambiguous
    /// and a client of one node is a stranger to the next.
    pub fn client(trust_domain: &str, node: &str, client: &str) -> Result<Self, IdentityError> {
        Self::new(trust_domain, Role::Client, &format!("{node}.{client}"))
    }

    /// The scraper that a network declares as `name` under `monitoring`. No node's name starts with an underscore.
    pub fn monitoring(trust_domain: &str, name: &str) -> Result<Self, IdentityError> {
        Self::new(trust_domain, Role::Client, &format!("_monitoring.{name}"))
    }

    /// The operator.
    pub fn operator(trust_domain: &str) -> Result<Self, IdentityError> {
        Self::new(trust_domain, Role::Operator, "tessera-operator")
    }

    /// The trust domain, for example `org-a.example`.
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// The kind of party.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The party's name in its trust domain.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/{}/{}", self.trust_domain, self.role.as_str(), self.name)
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(uri: &str) -> Result<Self, Self::Err> {
        let form = || IdentityError::Form(uri.to_owned());
        let rest = uri.strip_prefix("spiffe://").ok_or_else(form)?;
        let mut parts = rest.split('/');
        let (Some(trust_domain), Some(role), Some(name), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(form());
        };
        let role = match role {
            "node" => Role::Node,
            "client" => Role::Client,
            "operator" => Role::Operator,
            _ => return Err(IdentityError::Role(uri.to_owned())),
        };
        Self::new(trust_domain, role, name)
    }
}

fn valid_trust_domain(s: &str) -> bool {
    !s.is_empty()
        && s.len() <= 255
        && s.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_'))
}

fn valid_name(s: &str) -> bool {
    !s.is_empty()
        && s.bytes().all(|b| matches!(b, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips() {
        for uri in [
            "spiffe://org-a.example/node/node-a",
            "spiffe://org-a.example/client/node-a.quorum-a",
            "spiffe://org-a.example/client/_monitoring.prometheus",
            "spiffe://org-a.example/operator/tessera-operator",
        ] {
            assert_eq!(uri.parse::<Identity>().unwrap().to_string(), uri);
        }
    }

    #[test]
    fn refuses_what_is_not_ours() {
        for uri in [
            "https://org-a.example/node/a",
            "spiffe://org-a.example/node",
            "spiffe://org-a.example/node/a/b",
            "spiffe://org-a.example/node/a?x",
            "spiffe:///node/a",
            "spiffe://Org/node/a",
            "spiffe://org/root/a",
        ] {
            assert!(uri.parse::<Identity>().is_err(), "{uri}");
        }
    }
}
