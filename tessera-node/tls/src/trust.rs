//! The judge: whom a listener serves and whom a client accepts.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::client::verify_server_name;
use rustls::server::ParsedCertificate;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tessera_node_api::identity::{Identity, Role};
use tokio::sync::watch;

use crate::certificate::Leaf;
use crate::refusal::{ChainProblem, Refusal};
use crate::reload::CredentialsReceiver;
use crate::roots::Roots;

/// Who is accepted by those who know our roots. Each listener has its own.
#[derive(Debug, Clone)]
pub enum AllowedPeers {
    /// P2P: the nodes of our trust domain under our CA, and the nodes of each partner under the partner's.
    Nodes {
        /// Our own trust domain.
        trust_domain: String,
        /// The partners at present.
        partners: watch::Receiver<Arc<Vec<PartnerTrust>>>,
    },
    /// Q2T and metrics: exactly these clients, under our CA.
    Clients(watch::Receiver<Arc<HashSet<Identity>>>),
    /// Admin and enclave, at both ends: exactly this one. The name of the host is not looked at, since one dials by address
    /// and the identity says more.
    Exactly(Identity),
}

/// Another organisation: what its CA may speak for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerTrust {
    /// The partner's CA.
    pub roots: Roots,
    /// Its trust domain.
    pub trust_domain: String,
    /// Its names; `*.` stands for exactly one label.
    pub dns_names: Vec<String>,
}

/// A peer that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Whom its certificate speaks for.
    pub identity: Identity,
    /// When its certificate ends, and any connection with it.
    pub not_after: Timestamp,
    /// SHA-256 of its certificate, lower-case hex.
    pub fingerprint: String,
}

/// Our roots and the rule on top of them, both live.
#[derive(Debug, Clone)]
pub struct Trust {
    credentials: CredentialsReceiver,
    allowed: AllowedPeers,
}

/// In which part a peer shows its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Presented {
    ByClient,
    ByServer(ServerName<'static>),
}

impl AllowedPeers {
    /// P2P without partners.
    pub fn own_nodes(trust_domain: &str) -> Self {
        Self::Nodes { trust_domain: trust_domain.to_owned(), partners: constant(Arc::new(Vec::new())) }
    }

    /// A list of clients that never changes.
    pub fn fixed_clients(clients: HashSet<Identity>) -> Self {
        Self::Clients(constant(Arc::new(clients)))
    }
}

impl Trust {
    /// The roots that stand beside our own certificate, and the rule.
    pub fn new(credentials: CredentialsReceiver, allowed: AllowedPeers) -> Self {
        Self { credentials, allowed }
    }

    /// The credentials whose roots are trusted.
    pub fn credentials(&self) -> &CredentialsReceiver {
        &self.credentials
    }

    /// Fingerprints of all roots that are trusted now: our own first, then the partners'.
    pub fn fingerprints(&self) -> Vec<String> {
        let own = self.credentials.current();
        let own = own.iter().flat_map(|credentials| credentials.roots().fingerprints().to_vec());
        own.chain(self.partners().iter().flat_map(|partner| partner.roots.fingerprints().to_vec())).collect()
    }

    /// Whether the owner of this chain may be spoken with at `now`.
    pub(crate) fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        presented: &Presented,
        now: UnixTime,
    ) -> Result<Peer, Refusal> {
        let credentials = self.credentials.current().ok_or(Refusal::NotReady)?;
        let der = chain.first().ok_or(Refusal::NoCertificate)?;
        let own = verify_chain(credentials.roots(), chain, presented, now)
            .and_then(|()| self.judge_own(&Candidate::new(der, presented)?));
        let refusal = match own {
            Err(refusal) if refusal.is_unknown_issuer() => refusal,
            // A chain that ends in our own CA is ours to judge, whatever a partner's CA may have signed as well.
            decided => return decided,
        };
        let partners = self.partners();
        let verdicts = partners.iter().map(|partner| judge_partner(partner, chain, presented, now));
        first_decision(verdicts).unwrap_or(Err(refusal))
    }

    /// Waits until a judgement may come out otherwise.
    pub(crate) async fn changed(&mut self) {
        match &mut self.allowed {
            AllowedPeers::Exactly(_) => self.credentials.changed().await,
            AllowedPeers::Nodes { partners, .. } => tokio::select! {
                () = self.credentials.changed() => {}
                () = changed(partners) => {}
            },
            AllowedPeers::Clients(clients) => tokio::select! {
                () = self.credentials.changed() => {}
                () = changed(clients) => {}
            },
        }
    }

    fn partners(&self) -> Arc<Vec<PartnerTrust>> {
        match &self.allowed {
            AllowedPeers::Nodes { partners, .. } => Arc::clone(&partners.borrow()),
            AllowedPeers::Clients(_) | AllowedPeers::Exactly(_) => Arc::default(),
        }
    }

    fn judge_own(&self, candidate: &Candidate<'_>) -> Result<Peer, Refusal> {
        match &self.allowed {
            AllowedPeers::Nodes { trust_domain, .. } => {
                candidate.is_node_of(trust_domain)?;
                candidate.has_the_name()?;
            }
            AllowedPeers::Clients(clients) => {
                candidate.has_role(Role::Client)?;
                if !clients.borrow().contains(&candidate.identity) {
                    return Err(Refusal::NotListed(candidate.identity.clone()));
                }
            }
            AllowedPeers::Exactly(expected) => {
                if candidate.identity != *expected {
                    return Err(Refusal::NotExpected {
                        found: candidate.identity.clone(),
                        expected: expected.clone(),
                    });
                }
            }
        }
        Ok(candidate.peer())
    }
}

fn judge_partner(
    partner: &PartnerTrust,
    chain: &[CertificateDer<'_>],
    presented: &Presented,
    now: UnixTime,
) -> Result<Peer, Refusal> {
    let der = chain.first().ok_or(Refusal::NoCertificate)?;
    verify_chain(&partner.roots, chain, presented, now)?;
    let candidate = Candidate::new(der, presented)?;
    candidate.is_node_of(&partner.trust_domain)?;
    candidate.has_the_name()?;
    // A server speaks for the host that we dialled; a client for whatever names it holds.
    let declared = match presented {
        Presented::ByServer(name) => partner.declares(&name.to_str()),
        Presented::ByClient => candidate.leaf.dns_names().iter().any(|name| partner.declares(name)),
    };
    if declared { Ok(candidate.peer()) } else { Err(Refusal::UndeclaredName { found: candidate.identity }) }
}

/// An acceptance if there is one, else the refusal that says most: by a root that knows the chain.
fn first_decision(verdicts: impl Iterator<Item = Result<Peer, Refusal>>) -> Option<Result<Peer, Refusal>> {
    let mut decided = None;
    for verdict in verdicts {
        match verdict {
            Ok(peer) => return Some(Ok(peer)),
            Err(refusal) if refusal.is_unknown_issuer() => {}
            Err(refusal) => decided = Some(Err(refusal)),
        }
    }
    decided
}

/// A peer whose chain verified and whose rule is still to be asked.
struct Candidate<'a> {
    der: &'a CertificateDer<'a>,
    presented: &'a Presented,
    leaf: Leaf,
    identity: Identity,
}

impl<'a> Candidate<'a> {
    fn new(der: &'a CertificateDer<'a>, presented: &'a Presented) -> Result<Self, Refusal> {
        let leaf = Leaf::parse(der)?;
        let identity = leaf.identity()?;
        Ok(Self { der, presented, leaf, identity })
    }

    fn is_node_of(&self, trust_domain: &str) -> Result<(), Refusal> {
        if self.identity.trust_domain() != trust_domain {
            return Err(Refusal::TrustDomain {
                found: self.identity.clone(),
                expected: trust_domain.to_owned(),
            });
        }
        self.has_role(Role::Node)
    }

    fn has_role(&self, expected: Role) -> Result<(), Refusal> {
        if self.identity.role() == expected {
            Ok(())
        } else {
            Err(Refusal::Role { found: self.identity.clone(), expected })
        }
    }

    /// A server must hold the name that we dialled.
    fn has_the_name(&self) -> Result<(), Refusal> {
        let Presented::ByServer(name) = self.presented else { return Ok(()) };
        ParsedCertificate::try_from(self.der)
            .and_then(|certificate| verify_server_name(&certificate, name))
            .map_err(|_| Refusal::WrongName(name.to_str().into_owned()))
    }

    fn peer(&self) -> Peer {
        Peer {
            identity: self.identity.clone(),
            not_after: self.leaf.not_after(),
            fingerprint: self.leaf.fingerprint().to_owned(),
        }
    }
}

impl PartnerTrust {
    fn declares(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.dns_names.iter().any(|pattern| covers(&pattern.to_ascii_lowercase(), &name))
    }
}

/// Whether a pattern covers a name. A wildcard stands for exactly one label, the first, as in certificates.
fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        None => pattern == name,
        Some(parent) => {
            pattern == name
                || name.split_once('.').is_some_and(|(label, rest)| label != "*" && rest == parent)
        }
    }
}

fn verify_chain(
    roots: &Roots,
    chain: &[CertificateDer<'_>],
    presented: &Presented,
    now: UnixTime,
) -> Result<(), Refusal> {
    match presented {
        Presented::ByClient => roots.verify_client(chain, now),
        Presented::ByServer(_) => roots.verify_server(chain, now),
    }
}

/// A channel whose value stays.
fn constant<T>(value: T) -> watch::Receiver<T> {
    watch::channel(value).1
}

async fn changed<T>(receiver: &mut watch::Receiver<T>) {
    if receiver.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Whether a refusal means that the peer was trusted and merely is no more.
pub(crate) fn is_expiry(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Chain(ChainProblem::Expired))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        assert!(covers("a.org", "a.org"));
        assert!(covers("*.tm.org", "a.tm.org"));
        assert!(covers("*.tm.org", "*.tm.org"));
        assert!(!covers("*.tm.org", "tm.org"));
        assert!(!covers("*.tm.org", "a.b.tm.org"));
        assert!(!covers("a.org", "b.a.org"));
        assert!(!covers("*.tm.org", "x.tm.org.evil"));
    }
}
