//! One leaf certificate and the Secret that holds it: keep what is good, issue what is not. Pure but for randomness.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DynamicObject, ObjectMeta};
use tessera_crds::api::pki::LeafPolicy;
use tessera_node_api::paths::{CA_FILE, CERTIFICATE_FILE, EXPIRED_FILE, KEY_FILE};
use tessera_pki::policy::{self, Reason, Stored, Wanted};
use tessera_pki::{Authority, Ca, CaError, Certificate, InspectError, LeafSpec, Usage};
use zeroize::Zeroizing;

use crate::kube::object_id::ObjectId;
use crate::kube::planned::Basis;

/// A leaf as it should lie in its Secret.
pub struct Leaf {
    /// The Secret.
    pub secret: ObjectId,
    /// What it says.
    pub certificate: Certificate,
    /// When it must be checked again at the latest.
    pub due_at: Timestamp,
    /// Why it was issued just now; `None`: it lay there and is good.
    pub reissued: Option<Reason>,
    /// What it was checked against.
    criteria: Criteria,
    /// What to write; `None`: the Secret is known to hold it, unread.
    content: Option<Content>,
    /// What was known of the Secret.
    pub basis: Basis,
}

struct Content {
    private_key: Zeroizing<Vec<u8>>,
    roots_pem: String,
    /// Certificate and key of an expired leaf, which a server tries itself with. A Secret that has none gets one with its next
    /// leaf.
    expired: Option<Zeroizing<Vec<u8>>>,
}

/// What a leaf is checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Criteria {
    spec: LeafSpec,
    /// [`Authority::digest`].
    authority: [u8; 32],
    renew_before: SignedDuration,
}

/// A leaf that was found good or was written, in a Secret of one version: as long as neither version nor criteria change,
/// the Secret need not be read before the leaf is due.
#[derive(Debug, Clone)]
pub struct KnownLeaf {
    version: Option<String>,
    criteria: Criteria,
    certificate: Certificate,
    due_at: Timestamp,
}

impl KnownLeaf {
    /// Whether it is the content of the Secret with this metadata.
    pub fn is_of(&self, metadata: &ObjectMeta) -> bool {
        self.version.is_some() && self.version == metadata.resource_version
    }

    /// Whether its Secret holds the roots and the chain of an authority with this digest.
    pub fn is_under(&self, authority: &[u8; 32]) -> bool {
        self.criteria.authority == *authority
    }
}

/// What is known of the Secret of a leaf.
pub enum StoredLeaf {
    /// It was read.
    Read(DynamicObject),
    /// It has not changed since it was checked or written.
    Known(KnownLeaf),
}

impl StoredLeaf {
    fn basis(&self) -> Basis {
        let version = match self {
            Self::Read(live) => live.metadata.resource_version.clone(),
            Self::Known(known) => known.version.clone(),
        };
        version.map_or(Basis::Absent, Basis::Version)
    }
}

/// Why there is no leaf.
#[derive(Debug, thiserror::Error)]
pub enum LeafError {
    /// The authority does not issue.
    #[error("the certificate for {secret} cannot be issued")]
    Issue {
        /// The Secret that it is for.
        secret: String,
        /// Why.
        source: CaError,
    },
    /// The authority issues what we cannot read.
    #[error("the certificate issued for {secret} is unreadable")]
    Inspect {
        /// The Secret that it is for.
        secret: String,
        /// Why.
        source: InspectError,
    },
}

/// How long leaves live, from the spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of a new leaf.
    pub lifetime: SignedDuration,
    /// How long before its end it is replaced.
    pub renew_before: SignedDuration,
}

impl From<&LeafPolicy> for Lifetimes {
    fn from(policy: &LeafPolicy) -> Self {
        Self {
            lifetime: signed(policy.lifetime.as_std()),
            renew_before: signed(policy.renew_before.as_std()),
        }
    }
}

/// A duration of a spec; five digits of hours are far from any limit.
pub fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// The leaf that `secret` should hold: what `stored` holds, if nothing speaks against it, else a new one.
pub fn keep_or_issue(
    authority: &Authority,
    spec: &LeafSpec,
    renew_before: SignedDuration,
    secret: ObjectId,
    stored: Option<&StoredLeaf>,
    now: Timestamp,
) -> Result<Leaf, LeafError> {
    let criteria = Criteria { spec: spec.clone(), authority: authority.digest(), renew_before };
    let basis = stored.map_or(Basis::Absent, StoredLeaf::basis);
    let Decided { certificate, due_at, reissued, content } = match stored {
        Some(StoredLeaf::Known(known)) => keep_or_renew(authority, &criteria, known, now),
        Some(StoredLeaf::Read(live)) => keep_or_replace(authority, &criteria, &data_of(live), now),
        None => issue(authority, &criteria, Reason::Missing, now),
    }
    .map_err(|fault| fault.of(&secret))?;
    Ok(Leaf { secret, certificate, due_at, reissued, criteria, content, basis })
}

/// What a Secret should hold.
struct Decided {
    certificate: Certificate,
    due_at: Timestamp,
    reissued: Option<Reason>,
    content: Option<Content>,
}

/// Why nothing could be decided.
enum Fault {
    Issue(CaError),
    Inspect(InspectError),
}

impl Fault {
    fn of(self, secret: &ObjectId) -> LeafError {
        let secret = secret.to_string();
        match self {
            Self::Issue(source) => LeafError::Issue { secret, source },
            Self::Inspect(source) => LeafError::Inspect { secret, source },
        }
    }
}

fn keep_or_renew(
    authority: &Authority,
    criteria: &Criteria,
    known: &KnownLeaf,
    now: Timestamp,
) -> Result<Decided, Fault> {
    let kept = |certificate, due_at| Decided { certificate, due_at, reissued: None, content: None };
    if known.criteria == *criteria && now < known.due_at {
        return Ok(kept(known.certificate.clone(), known.due_at));
    }
    // Its Secret holds other roots, and nobody has read it.
    if known.criteria.authority != criteria.authority {
        return issue(authority, criteria, Reason::WrongChain, now);
    }
    match policy::check_certificate(&wanted(authority, criteria), known.certificate.clone(), now) {
        Ok(current) => Ok(kept(current.certificate, current.due_at)),
        Err(reason) => issue(authority, criteria, reason, now),
    }
}

fn wanted<'a>(authority: &'a Authority, criteria: &'a Criteria) -> Wanted<'a> {
    Wanted {
        spec: &criteria.spec,
        ca: authority.issuing.certificate(),
        cross_signer: authority.cross_signer().map(Ca::certificate),
        renew_before: criteria.renew_before,
    }
}

fn keep_or_replace(
    authority: &Authority,
    criteria: &Criteria,
    data: &BTreeMap<String, Zeroizing<Vec<u8>>>,
    now: Timestamp,
) -> Result<Decided, Fault> {
    let item = |key: &str| data.get(key).map(|bytes| bytes.as_slice());
    let stored = Stored { certificate: item(CERTIFICATE_FILE), private_key: item(KEY_FILE) };
    match policy::check(&wanted(authority, criteria), &stored, now) {
        Ok(current) => Ok(Decided {
            certificate: current.certificate,
            due_at: current.due_at,
            reissued: None,
            content: Some(Content {
                private_key: Zeroizing::new(item(KEY_FILE).unwrap_or_default().to_vec()),
                roots_pem: authority.roots_pem(),
                expired: data.get(EXPIRED_FILE).cloned(),
            }),
        }),
        Err(reason) => issue(authority, criteria, reason, now),
    }
}

/// Of whom a server would serve, was it not for its end.
fn expired(ca: &Ca, spec: &LeafSpec, now: Timestamp) -> Result<Option<Zeroizing<Vec<u8>>>, CaError> {
    if spec.usage() == Usage::Client {
        return Ok(None);
    }
    let client = LeafSpec::client(spec.identity().clone(), spec.lifetime());
    let leaf = ca.issue_expired(&client, now)?;
    let both = [leaf.certificate_pem.as_bytes(), leaf.private_key_pem.expose().as_bytes()].concat();
    Ok(Some(Zeroizing::new(both)))
}

fn issue(
    authority: &Authority,
    criteria: &Criteria,
    reason: Reason,
    now: Timestamp,
) -> Result<Decided, Fault> {
    let leaf = authority.issue(&criteria.spec, now).map_err(Fault::Issue)?;
    let expired = expired(&authority.issuing, &criteria.spec, now).map_err(Fault::Issue)?;
    let certificate = Certificate::parse(leaf.certificate_pem.as_bytes()).map_err(Fault::Inspect)?;
    Ok(Decided {
        due_at: policy::due_at(&wanted(authority, criteria), &certificate),
        certificate,
        reissued: Some(reason),
        content: Some(Content {
            private_key: Zeroizing::new(leaf.private_key_pem.expose().as_bytes().to_vec()),
            roots_pem: authority.roots_pem(),
            expired,
        }),
    })
}

impl Leaf {
    /// The Secret to write; `None`: it is known to be as it should.
    pub fn to_secret(&self, metadata: ObjectMeta) -> Option<Secret> {
        let content = self.content.as_ref()?;
        let text = |text: &str| ByteString(text.as_bytes().to_vec());
        let expired = content.expired.as_ref();
        let expired = expired.map(|pem| (EXPIRED_FILE.to_owned(), ByteString(pem.to_vec())));
        Some(Secret {
            metadata,
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(
                [
                    (CERTIFICATE_FILE.to_owned(), text(self.certificate.pem())),
                    (KEY_FILE.to_owned(), ByteString(content.private_key.to_vec())),
                    (CA_FILE.to_owned(), text(&content.roots_pem)),
                ]
                .into_iter()
                .chain(expired)
                .collect(),
            ),
            ..Secret::default()
        })
    }

    /// What to remember of it once a Secret of this version holds it.
    pub fn known_in(&self, secret: &ObjectMeta) -> KnownLeaf {
        KnownLeaf {
            version: secret.resource_version.clone(),
            criteria: self.criteria.clone(),
            // Its PEM is needed only by who writes it.
            certificate: self.certificate.without_pem(),
            due_at: self.due_at,
        }
    }
}

/// The data of a Secret that was read without its type. What is not base64 cannot come from the API server.
pub fn data_of(secret: &DynamicObject) -> BTreeMap<String, Zeroizing<Vec<u8>>> {
    let members = secret.data.get("data").and_then(serde_json::Value::as_object);
    members
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| {
            Some((key.clone(), Zeroizing::new(STANDARD.decode(value.as_str()?).ok()?)))
        })
        .collect()
}
