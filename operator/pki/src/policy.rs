//! Must a stored leaf be issued anew, and why: an ordered list of small checks, the first that objects wins.
//!
//! The order is from "there is nothing to look at" to "all is well, but it is time", so that a check may rely on what
//! those before it found in order.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use rcgen::KeyPair;
use zeroize::Zeroizing;

use crate::inspect::Certificate;
use crate::leaf::LeafSpec;
use crate::renewal;

/// How much longer than asked for a leaf may last before it counts as issued for another lifetime: clocks differ.
const LIFETIME_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// What a leaf should be.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// What it says.
    pub spec: &'a LeafSpec,
    /// Who signed it.
    pub ca: &'a Certificate,
    /// Who signed the certificate of `ca` that is shown beside it; `None`: it is shown alone.
    pub cross_signer: Option<&'a Certificate>,
    /// How long before its end it is replaced.
    pub renew_before: SignedDuration,
}

/// What lies in the Secret, read as it is. No `Debug`: it holds a private key.
#[derive(Clone, Copy)]
pub struct Stored<'a> {
    /// `tls.crt`.
    pub certificate: Option<&'a [u8]>,
    /// `tls.key`.
    pub private_key: Option<&'a [u8]>,
}

/// Why a leaf must be issued anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The certificate or its key is not there.
    Missing,
    /// The certificate or its key cannot be read.
    Unparsable {
        /// Which of them: `tls.crt` or `tls.key`.
        item: &'static str,
    },
    /// The key is not the certificate's.
    KeyMismatch,
    /// Another authority signed it.
    WrongIssuer,
    /// What is shown beside it is not what should be.
    WrongChain,
    /// Its identity, DNS names or usages are others.
    WrongNames,
    /// It has expired.
    Expired {
        /// When.
        not_after: Timestamp,
    },
    /// It lasts longer than is asked for now.
    LifetimeReduced {
        /// Its end.
        not_after: Timestamp,
    },
    /// It is valid, and the time to replace it has come.
    RenewalDue {
        /// Its end.
        not_after: Timestamp,
    },
}

impl Reason {
    /// One word, for a condition's reason and a metric's label.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Missing => "Missing",
            Self::Unparsable { .. } => "Unparsable",
            Self::KeyMismatch => "KeyMismatch",
            Self::WrongIssuer => "WrongIssuer",
            Self::WrongChain => "WrongChain",
            Self::WrongNames => "WrongNames",
            Self::Expired { .. } => "Expired",
            Self::LifetimeReduced { .. } => "LifetimeReduced",
            Self::RenewalDue { .. } => "RenewalDue",
        }
    }

    /// Whether the stored leaf is unusable, so that its user waits; otherwise it serves until it is replaced.
    pub fn is_outage(&self) -> bool {
        !matches!(self, Self::WrongChain | Self::LifetimeReduced { .. } | Self::RenewalDue { .. })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "there is no certificate"),
            Self::Unparsable { item } => write!(f, "{item} is not readable"),
            Self::KeyMismatch => write!(f, "tls.key is not the key of tls.crt"),
            Self::WrongIssuer => write!(f, "the certificate is of another CA"),
            Self::WrongChain => write!(f, "the certificate is not shown with the chain that a rollover of its CA needs"),
            Self::WrongNames => write!(f, "the certificate's names or usages are not those asked for"),
            Self::Expired { not_after } => write!(f, "the certificate expired at {not_after}"),
            Self::LifetimeReduced { not_after } => {
                write!(f, "the certificate lasts until {not_after}, longer than asked for now")
            }
            Self::RenewalDue { not_after } => write!(f, "the certificate ends at {not_after} and is due"),
        }
    }
}

/// A leaf with nothing to object to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// The certificate.
    pub certificate: Certificate,
    /// When to look again at the latest: it is due then.
    pub due_at: Timestamp,
}

/// The leaf if it may stay, else why it must be issued anew.
pub fn check(wanted: &Wanted<'_>, stored: &Stored<'_>, now: Timestamp) -> Result<Current, Reason> {
    let (certificate, key) = parse(stored)?;
    if !certificate.has_public_key(key.public_key_raw()) {
        return Err(Reason::KeyMismatch);
    }
    let current = check_certificate(wanted, certificate, now)?;
    let shown = Certificate::parse_all(stored.certificate.unwrap_or_default());
    let is_right = shown.is_ok_and(|shown| is_right_chain(wanted, shown.get(1..).unwrap_or_default(), now));
    if is_right { Ok(current) } else { Err(Reason::WrongChain) }
}

/// Whether `beside`, what is shown beside the leaf, is the one cross certificate that `wanted` has, or nothing if it has none.
/// One that has ended serves nobody, and none is signed any more once its signer has ended.
fn is_right_chain(wanted: &Wanted<'_>, beside: &[Certificate], now: Timestamp) -> bool {
    let signer = wanted.cross_signer.filter(|signer| signer.not_after() > now);
    match (signer, beside) {
        (None, []) => true,
        (Some(signer), [cross]) => {
            cross.is_same_entity(wanted.ca) && cross.is_issued_by(signer) && cross.not_after() > now
        }
        _ => false,
    }
}

/// The same of a leaf whose key is known to be its own and whose chain is known to be right.
pub fn check_certificate(
    wanted: &Wanted<'_>,
    certificate: Certificate,
    now: Timestamp,
) -> Result<Current, Reason> {
    let due_at = due_at(wanted, &certificate);
    let leaf = Leaf { wanted, certificate: &certificate, due_at, now };
    if let Some(reason) = CHECKS.iter().find_map(|check| check(&leaf)) {
        return Err(reason);
    }
    Ok(Current { certificate, due_at })
}

/// When a leaf is due. One that ends with its CA is due at that end: another would last no longer.
pub fn due_at(wanted: &Wanted<'_>, certificate: &Certificate) -> Timestamp {
    let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
    if not_after >= wanted.ca.not_after() {
        return not_after;
    }
    renewal::due_at(wanted.spec.identity(), not_before, not_after, wanted.renew_before)
}

struct Leaf<'a> {
    wanted: &'a Wanted<'a>,
    certificate: &'a Certificate,
    due_at: Timestamp,
    now: Timestamp,
}

type Check = fn(&Leaf<'_>) -> Option<Reason>;

const CHECKS: [Check; 5] = [wrong_issuer, wrong_names, expired, lifetime_reduced, renewal_due];

fn parse(stored: &Stored<'_>) -> Result<(Certificate, Zeroizing<KeyPair>), Reason> {
    let present = |bytes: Option<&'_ [u8]>| bytes.is_some_and(|bytes| !bytes.is_empty());
    if !present(stored.certificate) || !present(stored.private_key) {
        return Err(Reason::Missing);
    }
    let certificate = stored
        .certificate
        .and_then(|pem| Certificate::parse(pem).ok())
        .ok_or(Reason::Unparsable { item: "tls.crt" })?;
    let key = stored
        .private_key
        .and_then(|pem| std::str::from_utf8(pem).ok())
        .and_then(|pem| KeyPair::from_pem(pem).ok())
        .ok_or(Reason::Unparsable { item: "tls.key" })?;
    Ok((certificate, Zeroizing::new(key)))
}

fn wrong_issuer(leaf: &Leaf<'_>) -> Option<Reason> {
    (!leaf.certificate.is_issued_by(leaf.wanted.ca)).then_some(Reason::WrongIssuer)
}

fn wrong_names(leaf: &Leaf<'_>) -> Option<Reason> {
    let (spec, certificate) = (leaf.wanted.spec, leaf.certificate);
    let right = certificate.identity() == Some(spec.identity())
        && certificate.dns_names() == spec.dns_names()
        && certificate.usage() == Some(spec.usage());
    (!right).then_some(Reason::WrongNames)
}

fn expired(leaf: &Leaf<'_>) -> Option<Reason> {
    let not_after = leaf.certificate.not_after();
    (not_after <= leaf.now).then_some(Reason::Expired { not_after })
}

fn lifetime_reduced(leaf: &Leaf<'_>) -> Option<Reason> {
    let not_after = leaf.certificate.not_after();
    let left = not_after.duration_since(leaf.now);
    (left > leaf.wanted.spec.lifetime() + LIFETIME_TOLERANCE).then_some(Reason::LifetimeReduced { not_after })
}

fn renewal_due(leaf: &Leaf<'_>) -> Option<Reason> {
    let not_after = leaf.certificate.not_after();
    (leaf.due_at <= leaf.now).then_some(Reason::RenewalDue { not_after })
}
