//! The part of the node's TLS that its configuration names. A bundle is not parsed: rustls is no code of ours.

use tessera_node_api::dns_scope::{DnsPatternError, DnsScope};
use tessera_node_api::identity::{Identity, IdentityError};

/// Stands for the roots of a partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots;

/// Why a bundle is refused.
#[derive(Debug, thiserror::Error)]
#[error("ca bundle has no certificate")]
pub struct RootsError;

impl Roots {
    /// Takes what looks like a certificate.
    pub fn from_pem(pem: &[u8]) -> Result<Self, RootsError> {
        if pem.starts_with(b"-----BEGIN CERTIFICATE-----") { Ok(Self) } else { Err(RootsError) }
    }
}

/// Whom a partner's certificates may speak for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope(DnsScope);

/// Why a partner cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// One of its names is none.
    #[error(transparent)]
    Name(#[from] DnsPatternError),
    /// It has no name.
    #[error("it has no DNS name")]
    Empty,
    /// Its trust domain is none.
    #[error(transparent)]
    TrustDomain(#[from] IdentityError),
}

impl Scope {
    /// As the node's.
    pub fn new<T: AsRef<str>>(trust_domain: &str, dns_names: &[T]) -> Result<Self, ScopeError> {
        Identity::node(trust_domain, "a")?;
        let names = DnsScope::parse(dns_names)?;
        if names.patterns().is_empty() { Err(ScopeError::Empty) } else { Ok(Self(names)) }
    }

    /// The names.
    pub fn names(&self) -> &DnsScope {
        &self.0
    }

    /// Whether `host` lies inside.
    pub fn holds_host(&self, host: &str) -> bool {
        self.0.holds(host)
    }
}

/// Another organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partner(Scope, Roots);

impl Partner {
    /// As the node's.
    pub fn new(scope: Scope, roots: Roots) -> Self {
        Self(scope, roots)
    }
}

/// All partners.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Partners(Vec<Partner>);

impl Partners {
    /// As the node's.
    pub fn new(partners: Vec<Partner>) -> Self {
        Self(partners)
    }
}
