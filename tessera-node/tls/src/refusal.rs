//! Why a peer was refused: findings, so that they can be compared, counted and tested.

use std::io;
use std::sync::Arc;

use rustls::{CertificateError, OtherError};
use tessera_node_api::identity::{Identity, Role};

use crate::certificate::LeafError;

/// Why a peer was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The peer showed none.
    #[error("peer presented no certificate")]
    NoCertificate,
    /// We have no trusted roots yet.
    #[error("no credentials are loaded yet, so no peer can be judged")]
    NotReady,
    /// The chain does not verify.
    #[error("peer's certificate does not verify: {0}")]
    Chain(ChainProblem),
    /// The leaf does not say whom it speaks for.
    #[error("peer's {0}")]
    Leaf(LeafError),
    /// The certificate is for another trust domain.
    #[error("peer {found} is outside trust domain {expected}, the only one that is served here")]
    TrustDomain {
        /// Whom the certificate speaks for.
        found: Identity,
        /// What is served here.
        expected: String,
    },
    /// The right CA, the wrong kind of party.
    #[error("peer {found} is not a {}, and only that is served here", expected.as_str())]
    Role {
        /// Whom the certificate speaks for.
        found: Identity,
        /// What is served here.
        expected: Role,
    },
    /// The right kind of party, but not one that is listed here.
    #[error("peer {0} is not in the list of those served here")]
    NotListed(Identity),
    /// Only one identity is accepted here, and this is another.
    #[error("peer is {found}, but only {expected} is accepted here")]
    NotExpected {
        /// Whom the certificate speaks for.
        found: Identity,
        /// The one that is accepted.
        expected: Identity,
    },
    /// A CA of a partner signed it, and it is for no name that this partner may speak for.
    #[error(
        "peer's certificate is for {name:?}, which is outside of what partner {partner} may speak for, and for no name inside"
    )]
    NameOutsideScope {
        /// The first name in the certificate.
        name: String,
        /// The partner's trust domain.
        partner: String,
    },
    /// A CA of a partner signed it, and it is for no name at all.
    #[error("peer's certificate of partner {partner} has no DNS name, so it speaks for nothing")]
    NoNameInScope {
        /// The partner's trust domain.
        partner: String,
    },
    /// A CA of a partner signed it, and it speaks for an identity of another trust domain, for example of ours.
    #[error("peer's certificate carries {uri:?}, which is outside of the trust domain of partner {partner}")]
    UriOutsideScope {
        /// The URI in the certificate.
        uri: String,
        /// The partner's trust domain.
        partner: String,
    },
    /// The server's certificate is for another host.
    #[error("server's certificate is not valid for {0}")]
    WrongName(String),
}

/// Why a chain does not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainProblem {
    /// It ends in no root that is trusted here.
    #[error("it is issued by no CA that is trusted here")]
    UnknownIssuer,
    /// Past its end.
    #[error("it has expired")]
    Expired,
    /// Before its start.
    #[error("it is not valid yet")]
    NotYetValid,
    /// Its extended key usage does not cover this use.
    #[error("its extended key usage does not allow this use")]
    Purpose,
    /// Anything else: encoding, signature, algorithm, critical extension, path length.
    #[error("its encoding, signature or constraints are invalid")]
    Invalid,
}

impl Refusal {
    /// A word for a metric's label or a log's field; constant per kind.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoCertificate => "NoCertificate",
            Self::NotReady => "NotReady",
            Self::Chain(problem) => problem.reason(),
            Self::Leaf(_) => "Identity",
            Self::TrustDomain { .. } => "TrustDomain",
            Self::Role { .. } => "Role",
            Self::NotListed(_) => "NotListed",
            Self::NotExpected { .. } => "NotExpected",
            Self::NameOutsideScope { .. } | Self::NoNameInScope { .. } | Self::UriOutsideScope { .. } => {
                "PartnerScope"
            }
            Self::WrongName(_) => "WrongName",
        }
    }

    /// The identity that a certificate under our own CA, or under a partner's in its own trust domain, carries; none where the chain or the leaf itself is bad.
    pub fn identity(&self) -> Option<&Identity> {
        match self {
            Self::TrustDomain { found, .. } | Self::Role { found, .. } | Self::NotExpected { found, .. } => {
                Some(found)
            }
            Self::NotListed(found) => Some(found),
            Self::NoCertificate
            | Self::NotReady
            | Self::Chain(_)
            | Self::Leaf(_)
            | Self::NameOutsideScope { .. }
            | Self::NoNameInScope { .. }
            | Self::UriOutsideScope { .. }
            | Self::WrongName(_) => None,
        }
    }

    /// The refusal inside a failed handshake, if that is why it failed.
    pub(crate) fn from_handshake(error: &io::Error) -> Option<Self> {
        match error.get_ref()?.downcast_ref::<rustls::Error>()? {
            rustls::Error::NoCertificatesPresented => Some(Self::NoCertificate),
            rustls::Error::InvalidCertificate(CertificateError::Other(other)) => {
                other.0.downcast_ref().cloned()
            }
            error @ rustls::Error::InvalidCertificate(_) => Some(Self::Chain(error.clone().into())),
            _ => None,
        }
    }
}

impl ChainProblem {
    /// A word for a metric's label or a log's field; constant per kind.
    pub fn reason(self) -> &'static str {
        match self {
            Self::UnknownIssuer => "UnknownIssuer",
            Self::Expired => "Expired",
            Self::NotYetValid => "NotYetValid",
            Self::Purpose => "Purpose",
            Self::Invalid => "InvalidChain",
        }
    }
}

impl From<rustls::Error> for ChainProblem {
    fn from(error: rustls::Error) -> Self {
        use CertificateError as E;
        let rustls::Error::InvalidCertificate(error) = error else { return Self::Invalid };
        match error {
            // A path that leads to an anchor of the right name but another key is, to us, an unknown issuer.
            E::UnknownIssuer | E::BadSignature => Self::UnknownIssuer,
            E::Expired | E::ExpiredContext { .. } => Self::Expired,
            E::NotValidYet | E::NotValidYetContext { .. } => Self::NotYetValid,
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => Self::Purpose,
            _ => Self::Invalid,
        }
    }
}

/// What the verifier answers to rustls. Problems of the chain keep their own alert, which helps the peer's operator; any
/// other finding travels inside, so that the side that ran the handshake gets it back, and the peer learns nothing.
impl From<Refusal> for rustls::Error {
    fn from(refusal: Refusal) -> Self {
        Self::InvalidCertificate(match refusal {
            Refusal::Chain(ChainProblem::UnknownIssuer) => CertificateError::UnknownIssuer,
            Refusal::Chain(ChainProblem::Expired) => CertificateError::Expired,
            Refusal::Chain(ChainProblem::NotYetValid) => CertificateError::NotValidYet,
            Refusal::Chain(ChainProblem::Purpose) => CertificateError::InvalidPurpose,
            other => CertificateError::Other(OtherError(Arc::new(other))),
        })
    }
}

impl From<LeafError> for Refusal {
    fn from(error: LeafError) -> Self {
        Self::Leaf(error)
    }
}
