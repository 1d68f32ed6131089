//! Decides which peers a listener serves and which servers a client accepts.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rustls::client::verify_server_name;
use rustls::server::ParsedCertificate;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tessera_node_api::identity::{Identity, Role};
use tokio::sync::watch;

use crate::certificate::Leaf;
use crate::partners::{Partners, Scope, VerifiedBy};
use crate::refusal::{ChainProblem, Refusal};
use crate::reload::CredentialsReceiver;
use crate::roots::Roots;

/// Which identities are accepted, under our roots and, on P2P, those of partners. Each listener and each client has its own rule.
#[derive(Debug, Clone)]
pub enum AllowedPeers {
    /// P2P: the nodes of this trust domain, and those of partners, each inside of its scope.
    Nodes {
        /// The trust domain.
        trust_domain: String,
        /// Other organisations.
        partners: watch::Receiver<Arc<Partners>>,
    },
    /// Q2T and metrics: exactly these clients.
    Clients(watch::Receiver<Arc<HashSet<Identity>>>),
    /// Admin, at both ends: exactly this one. The name of the host is not compared, since the operator dials by address and
    /// the identity says more.
    Exactly(Identity),
    /// A ledger's connection to its node: exactly this one, under the name that was dialled.
    Named(Identity),
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
    /// The distinguished name of the authority that signed its certificate, as in [`Leaf::issuer`].
    pub issuer: String,
    /// The partner that it is of, by what that may speak for; `None`: it is of our own trust domain.
    pub partner: Option<Arc<Scope>>,
}

/// Our roots and the rule on top of them, both live.
#[derive(Debug, Clone)]
pub struct Trust {
    credentials: CredentialsReceiver,
    allowed: AllowedPeers,
    /// How often a chain was verified, by this one and all its clones.
    verifications: Arc<AtomicU64>,
}

/// What a handshake found: the peer, its chain, and the trust by which it was accepted.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) peer: Peer,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) presented: Presented,
    pub(crate) trust: Trust,
}

/// Verifies the certificate of one handshake, once, and keeps what it found for the connection.
#[derive(Debug)]
pub(crate) struct HandshakeVerifier {
    trust: Trust,
    accepted: Mutex<Option<Accepted>>,
}

impl HandshakeVerifier {
    /// A change of trust after this moment is seen by the connection's guard.
    pub(crate) fn new(trust: &Trust) -> Arc<Self> {
        let mut trust = trust.clone();
        trust.mark_seen();
        Arc::new(Self { trust, accepted: Mutex::default() })
    }

    pub(crate) fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        presented: Presented,
        now: UnixTime,
    ) -> Result<(), Refusal> {
        let chain: Vec<_> = std::iter::once(end_entity).chain(intermediates).cloned().collect();
        let peer = self.trust.judge(&chain, &presented, now)?;
        let chain = chain.into_iter().map(CertificateDer::into_owned).collect();
        let accepted = Accepted { peer, chain, presented, trust: self.trust.clone() };
        *self.accepted.lock().unwrap_or_else(PoisonError::into_inner) = Some(accepted);
        Ok(())
    }

    /// What was found; once.
    pub(crate) fn take(&self) -> Result<Accepted, Refusal> {
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.take().ok_or(Refusal::NoCertificate)
    }
}

/// The side of the connection that showed the certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Presented {
    ByClient,
    ByServer(ServerName<'static>),
}

impl Presented {
    /// Whether the chain ends in `roots` and its leaf may be used on that side. Says nothing about names.
    pub(crate) fn verify_by(
        &self,
        roots: &Roots,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), ChainProblem> {
        match self {
            Self::ByClient => roots.verify_client(chain, now),
            Self::ByServer(_) => roots.verify_server(chain, now),
        }
    }
}

impl Peer {
    /// Whether this may be the node called `wanted`. A partner's leaf need not say which node it is of, and a node may have one as a
    /// server and another as a client: such a peer is named after the host that was dialled or announced, for which its
    /// certificate was verified.
    pub fn may_be(&self, wanted: &Identity) -> bool {
        self.identity == *wanted
            || self
                .partner
                .as_ref()
                .is_some_and(|partner| partner.is_named(&self.identity) && partner.is_named(wanted))
    }
}

impl AllowedPeers {
    /// P2P: the nodes of `trust_domain`, and no partners.
    pub fn nodes(trust_domain: &str) -> Self {
        Self::nodes_and_partners(trust_domain, constant(Arc::default()))
    }

    /// P2P: the nodes of `trust_domain`, and those of partners, each inside of its scope.
    pub fn nodes_and_partners(trust_domain: &str, partners: watch::Receiver<Arc<Partners>>) -> Self {
        Self::Nodes { trust_domain: trust_domain.to_owned(), partners }
    }

    /// The partners whose roots count here: only on P2P there are any.
    fn partners(&self) -> Arc<Partners> {
        match self {
            Self::Nodes { partners, .. } => Arc::clone(&partners.borrow()),
            Self::Clients(_) | Self::Exactly(_) | Self::Named(_) => Arc::default(),
        }
    }

    /// A list of clients that never changes.
    pub fn fixed_clients(clients: HashSet<Identity>) -> Self {
        Self::Clients(constant(Arc::new(clients)))
    }
}

impl Trust {
    /// The roots that stand beside our own certificate, and the rule.
    pub fn new(credentials: CredentialsReceiver, allowed: AllowedPeers) -> Self {
        Self { credentials, allowed, verifications: Arc::default() }
    }

    /// The credentials whose roots are trusted.
    pub fn credentials(&self) -> &CredentialsReceiver {
        &self.credentials
    }

    /// Fingerprints of all roots of ours that are trusted now.
    pub fn fingerprints(&self) -> Vec<String> {
        let credentials = self.credentials.current();
        credentials.iter().flat_map(|credentials| credentials.roots().fingerprints().to_vec()).collect()
    }

    /// Whether the owner of this chain is accepted at `now`.
    pub(crate) fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        presented: &Presented,
        now: UnixTime,
    ) -> Result<Peer, Refusal> {
        let credentials = self.credentials.current().ok_or(Refusal::NotReady)?;
        let der = chain.first().ok_or(Refusal::NoCertificate)?;
        self.verifications.fetch_add(1, Ordering::Relaxed);
        let partners = self.allowed.partners();
        match partners.verify(credentials.roots(), chain, presented, now)? {
            VerifiedBy::Own => self.judge_identity(&Candidate::new(der, presented)?),
            VerifiedBy::Partner(scope, identity) => {
                let candidate = Candidate { der, presented, leaf: Leaf::parse(der)?, identity };
                self.judge_partner(&candidate, scope)
            }
        }
    }

    /// How often a chain was verified: once for each handshake, and once for each open connection and change of trust.
    pub fn verifications(&self) -> u64 {
        self.verifications.load(Ordering::Relaxed)
    }

    /// What holds now is no change for [`Self::changed`].
    fn mark_seen(&mut self) {
        self.credentials.mark_seen();
        match &mut self.allowed {
            AllowedPeers::Clients(clients) => clients.mark_unchanged(),
            AllowedPeers::Nodes { partners, .. } => partners.mark_unchanged(),
            AllowedPeers::Exactly(_) | AllowedPeers::Named(_) => {}
        }
    }

    /// Waits until a judgement may come out otherwise.
    pub(crate) async fn changed(&mut self) {
        match &mut self.allowed {
            AllowedPeers::Exactly(_) | AllowedPeers::Named(_) => self.credentials.changed().await,
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

    fn judge_identity(&self, candidate: &Candidate<'_>) -> Result<Peer, Refusal> {
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
            AllowedPeers::Exactly(expected) => candidate.is_exactly(expected)?,
            AllowedPeers::Named(expected) => {
                candidate.is_exactly(expected)?;
                candidate.has_the_name()?;
            }
        }
        Ok(candidate.peer(None))
    }

    /// The leaf lies inside of the scope. Our own trust domain is no partner's, whatever a configuration says.
    fn judge_partner(&self, candidate: &Candidate<'_>, scope: &Arc<Scope>) -> Result<Peer, Refusal> {
        match &self.allowed {
            AllowedPeers::Nodes { trust_domain, .. } if trust_domain != scope.trust_domain() => {
                candidate.has_the_name()?;
                Ok(candidate.peer(Some(Arc::clone(scope))))
            }
            _ => Err(Refusal::NotListed(candidate.identity.clone())),
        }
    }
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

    fn is_exactly(&self, expected: &Identity) -> Result<(), Refusal> {
        if self.identity == *expected {
            Ok(())
        } else {
            Err(Refusal::NotExpected { found: self.identity.clone(), expected: expected.clone() })
        }
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

    fn peer(&self, partner: Option<Arc<Scope>>) -> Peer {
        Peer {
            identity: self.identity.clone(),
            not_after: self.leaf.not_after(),
            fingerprint: self.leaf.fingerprint().to_owned(),
            issuer: self.leaf.issuer().to_owned(),
            partner,
        }
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
