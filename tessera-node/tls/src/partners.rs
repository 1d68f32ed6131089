//! Partners: other organisations. Each has roots of its own, and these speak for its declared names alone.
//!
//! ```text
//! a client's chain ── our roots ──► our rule
//!                  └─ none of ours ── the roots of each partner ──► inside of its scope? ──► a peer of that partner
//! a server's chain ── a host in a partner's scope ── its roots alone ──► inside of its scope? ──► a peer of that partner
//!                  └─ any other host ── our roots alone ──► our rule
//! ```
//!
//! Roots and scope are one value: no chain can be verified by the roots of a partner without being held against its scope.

use std::sync::Arc;

use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tessera_node_api::dns_scope::{DnsPatternError, DnsScope};
use tessera_node_api::identity::{Identity, IdentityError, Role};

use crate::certificate::{Leaf, LeafError};
use crate::refusal::{ChainProblem, Refusal};
use crate::roots::Roots;
use crate::trust::Presented;

/// Whom a partner's certificates may speak for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    trust_domain: String,
    names: DnsScope,
}

/// Why a partner cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// One of its names is none.
    #[error(transparent)]
    Name(#[from] DnsPatternError),
    /// It has no name.
    #[error("it has no DNS name, so it can speak for nothing")]
    Empty,
    /// Its trust domain is none.
    #[error(transparent)]
    TrustDomain(#[from] IdentityError),
}

/// Another organisation: its roots, and what they may speak for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partner {
    scope: Arc<Scope>,
    roots: Roots,
}

/// All partners.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Partners(Vec<Partner>);

/// By whose roots a chain was verified.
pub(crate) enum VerifiedBy<'p> {
    /// Ours. Our rule is still to be asked.
    Own,
    /// A partner's, and a name of the leaf lies inside of its scope.
    Partner(&'p Arc<Scope>, Identity),
}

impl Scope {
    /// The organisation of `trust_domain`, which may speak for `dns_names`.
    pub fn new<T: AsRef<str>>(trust_domain: &str, dns_names: &[T]) -> Result<Self, ScopeError> {
        // A partner's identities are of this domain.
        Identity::node(trust_domain, "a")?;
        let names = DnsScope::parse(dns_names)?;
        if names.patterns().is_empty() {
            return Err(ScopeError::Empty);
        }
        Ok(Self { trust_domain: trust_domain.to_owned(), names })
    }

    /// The partner's trust domain.
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// The names.
    pub fn names(&self) -> &DnsScope {
        &self.names
    }

    /// Whether `host` is a DNS name inside. No IP address ever is.
    pub fn holds_host(&self, host: &str) -> bool {
        self.names.holds(host)
    }

    /// Whether `identity` is of this partner, and was named after a DNS name of its certificate.
    pub(crate) fn is_named(&self, identity: &Identity) -> bool {
        identity.trust_domain() == self.trust_domain && self.names.holds(identity.name())
    }

    /// Whom a leaf speaks for that a CA of this partner signed. At least one DNS name of it lies inside, and a SPIFFE URI in it is of
    /// this partner's trust domain. A leaf with a URI of our form must be that of a node; one without is named after the first of its
    /// DNS names inside. Names outside count for nothing, since every use of a name asks [`Self::holds_host`]: those of the partner's
    /// own cluster, say, which mean something else in ours. Nor do addresses.
    fn identify(&self, leaf: &Leaf) -> Result<Identity, Refusal> {
        let partner = || self.trust_domain.clone();
        let first = leaf.dns_names().iter().filter(|name| self.names.holds(name)).min();
        let first = first.ok_or_else(|| match leaf.dns_names().first() {
            Some(name) => Refusal::NameOutsideScope { name: bounded(name), partner: partner() },
            None => Refusal::NoNameInScope { partner: partner() },
        })?;
        let prefix = format!("spiffe://{}/", self.trust_domain);
        let is_spiffe = |uri: &&String| {
            uri.split_once(':').is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("spiffe"))
        };
        let ids: Vec<_> = leaf.uris().iter().filter(is_spiffe).collect();
        if let Some(uri) = ids.iter().find(|uri| !uri.starts_with(&prefix)) {
            return Err(Refusal::UriOutsideScope { uri: bounded(uri), partner: partner() });
        }
        match ids.as_slice() {
            [] => self.named(first),
            [uri] => match uri.parse::<Identity>() {
                Ok(found) if found.role() == Role::Node => Ok(found),
                Ok(found) => Err(Refusal::Role { found, expected: Role::Node }),
                Err(_) => self.named(first),
            },
            many => Err(Refusal::Leaf(LeafError::ManyIdentities(many.len()))),
        }
    }

    fn named(&self, name: &str) -> Result<Identity, Refusal> {
        let name = name.replace('*', "_");
        Identity::node(&self.trust_domain, &name).map_err(|error| Refusal::Leaf(LeafError::Identity(error)))
    }
}

/// A certificate may hold a text of any length, and a refusal is logged.
fn bounded(text: &str) -> String {
    text.chars().take(256).collect()
}

impl Partner {
    /// What these roots sign is accepted inside of the scope, and nowhere else.
    pub fn new(scope: Scope, roots: Roots) -> Self {
        Self { scope: Arc::new(scope), roots }
    }

    /// What it may speak for.
    pub fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }

    /// Its roots.
    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        presented: &Presented,
        now: UnixTime,
    ) -> Result<VerifiedBy<'_>, Refusal> {
        presented.verify_by(&self.roots, chain, now).map_err(Refusal::Chain)?;
        let leaf = Leaf::parse(chain.first().ok_or(Refusal::NoCertificate)?)?;
        Ok(VerifiedBy::Partner(&self.scope, self.scope.identify(&leaf)?))
    }
}

impl Partners {
    /// No two of them should have a name in common: the first that does is asked for it.
    pub fn new(partners: Vec<Partner>) -> Self {
        Self(partners)
    }

    /// Each.
    pub fn iter(&self) -> impl Iterator<Item = &Partner> {
        self.0.iter()
    }

    /// The partner that may speak for `host`.
    pub fn of_host(&self, host: &str) -> Option<&Partner> {
        self.0.iter().find(|partner| partner.scope.holds_host(host))
    }

    /// Finds the roots by which the chain is to be verified, and verifies it.
    pub(crate) fn verify(
        &self,
        own: &Roots,
        chain: &[CertificateDer<'_>],
        presented: &Presented,
        now: UnixTime,
    ) -> Result<VerifiedBy<'_>, Refusal> {
        if let Presented::ByServer(ServerName::DnsName(name)) = presented
            && let Some(partner) = self.of_host(name.as_ref())
        {
            return partner.verify(chain, presented, now);
        }
        match (presented.verify_by(own, chain, now), presented) {
            (Ok(()), _) => Ok(VerifiedBy::Own),
            (Err(ChainProblem::UnknownIssuer), Presented::ByClient) => self.verify_client(chain, now),
            (Err(problem), _) => Err(Refusal::Chain(problem)),
        }
    }

    /// Two partners may have one CA between them, so the scope of each that verifies the chain is asked. What the first of them says
    /// is the reason of a refusal.
    fn verify_client(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<VerifiedBy<'_>, Refusal> {
        let mut reason = None;
        for partner in &self.0 {
            match partner.verify(chain, &Presented::ByClient, now) {
                Ok(verified) => return Ok(verified),
                Err(Refusal::Chain(ChainProblem::UnknownIssuer)) => {}
                Err(refusal) => reason = reason.or(Some(refusal)),
            }
        }
        Err(reason.unwrap_or(Refusal::Chain(ChainProblem::UnknownIssuer)))
    }
}
