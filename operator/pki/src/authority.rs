//! An authority through its generations: the CA that signs now, and the one before or after it while a rollover goes on.
//!
//! ```text
//! phase      signs   servers and clients trust   shown beside a leaf
//! Stable     old     old                         –
//! Trusting   old     old, new                    –
//! Reissuing  new     new, old                    new, signed by old
//! Retiring   new     new                         new, signed by old
//! Stable     new     new                         –
//! ```

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ca::{Ca, CaSpec};
use crate::error::CaError;
use crate::inspect::Certificate;
use crate::leaf::{Leaf, LeafSpec};

/// How long a leaf lasts unless a network says otherwise.
const DEFAULT_LEAF: SignedDuration = SignedDuration::from_hours(24);

/// What an authority signs for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Nodes, ledger nodes and scrapers.
    Network,
    /// The two ends of the admin ports. Both are ours and need no cross certificate; one way for both roles is simpler.
    Admin,
}

/// Where a rollover stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// The next CA is trusted; the present one signs.
    Trusting,
    /// The new CA signs; both are trusted.
    Reissuing,
    /// The new CA alone is trusted; its leaves are still shown with the cross certificate.
    Retiring,
}

impl Phase {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trusting => "Trusting",
            Self::Reissuing => "Reissuing",
            Self::Retiring => "Retiring",
        }
    }
}

/// A change of CA under way.
#[derive(Debug, Clone)]
pub struct Rollover {
    /// Where it stands.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// The CA that does not sign: the next one while [`Phase::Trusting`], the one before afterwards.
    pub other: Arc<Ca>,
}

/// An authority. Every change of it makes another: what is in use is never half changed.
#[derive(Debug, Clone)]
pub struct Authority {
    /// The CA that signs.
    pub issuing: Arc<Ca>,
    /// The change under way.
    pub rollover: Option<Rollover>,
    /// The number of its newest CA, which is part of that one's name.
    pub ordinal: u32,
    /// When its first CA was made.
    pub founded: Timestamp,
    /// The demand for a rollover that was met last.
    pub trigger: i64,
    /// No leaf of it lasts longer, from when it is signed.
    pub longest_leaf: SignedDuration,
}

impl Authority {
    /// The first CA of `network` in this role.
    pub fn generate(
        role: Role,
        network: &str,
        lifetime: SignedDuration,
        now: Timestamp,
    ) -> Result<Self, CaError> {
        Ok(Self::of_first(Ca::generate(&role.spec(network, 1, lifetime), now)?))
    }

    /// An authority that has had no other CA.
    pub fn of_first(ca: Ca) -> Self {
        Self {
            founded: ca.certificate().not_before(),
            issuing: Arc::new(ca),
            rollover: None,
            ordinal: 1,
            trigger: 0,
            longest_leaf: DEFAULT_LEAF,
        }
    }

    /// Where it stands; `None`: no rollover.
    pub fn phase(&self) -> Option<Phase> {
        self.rollover.as_ref().map(|rollover| rollover.phase)
    }

    /// The CAs that everybody is to trust now, the one that signs first.
    pub fn roots(&self) -> Vec<&Certificate> {
        let other = self.rollover.iter().filter(|rollover| rollover.phase != Phase::Retiring);
        [&self.issuing]
            .into_iter()
            .chain(other.map(|rollover| &rollover.other))
            .map(|ca| ca.certificate())
            .collect()
    }

    /// The same in PEM: what goes into `ca.crt`.
    pub fn roots_pem(&self) -> String {
        self.roots().into_iter().map(Certificate::pem).collect()
    }

    /// Changes when what a leaf's Secret holds beside leaf and key does: roots, signer, cross certificate.
    pub fn digest(&self) -> [u8; 32] {
        let cross = self.cross_signer().map(Ca::certificate);
        let mut digest = Sha256::new();
        for certificate in self.roots().into_iter().chain(cross) {
            digest.update(certificate.fingerprint());
        }
        // Roots and signer of one phase are those of another, but for the cross certificate.
        digest.update([u8::from(cross.is_some())]);
        digest.finalize().into()
    }

    /// The CA that was there before a rollover, or that a rollover would replace.
    pub fn old(&self) -> &Ca {
        let after = self.rollover.as_ref().filter(|rollover| rollover.phase != Phase::Trusting);
        after.map_or(&self.issuing, |rollover| &rollover.other)
    }

    /// The CA before, if who trusts only that one is to accept the leaves that are signed now.
    pub fn cross_signer(&self) -> Option<&Ca> {
        let rollover = self.rollover.as_ref().filter(|rollover| rollover.phase != Phase::Trusting)?;
        rollover.other.certificate().may_sign_authorities().then_some(&*rollover.other)
    }

    /// Issues a leaf with a new key, and its chain. It lasts no longer than [`Self::longest_leaf`].
    pub fn issue(&self, spec: &LeafSpec, now: Timestamp) -> Result<Leaf, CaError> {
        let mut leaf = self.issuing.issue(&spec.at_most(self.longest_leaf), now)?;
        if let Some(before) = self.cross_signer().filter(|before| before.certificate().not_after() > now) {
            let end = Certificate::parse(leaf.certificate_pem.as_bytes()).map_err(CaError::Certificate)?;
            let cross = before.cross_sign(&self.issuing, end.not_after(), now)?;
            leaf.certificate_pem.push_str(cross.pem());
        }
        Ok(leaf)
    }
}

/// Its changes.
impl Authority {
    /// Begins a rollover to a new CA, on the demand `trigger`.
    pub fn begin(&self, spec: &CaSpec, trigger: i64, now: Timestamp) -> Result<Self, CaError> {
        let other = Arc::new(Ca::generate(spec, now)?);
        let rollover = Rollover { phase: Phase::Trusting, since: now, other };
        Ok(Self { rollover: Some(rollover), ordinal: self.ordinal + 1, trigger, ..self.clone() })
    }

    /// The next phase of the rollover under way.
    #[must_use]
    pub fn advance(&self, now: Timestamp) -> Self {
        let Some(Rollover { phase, other, .. }) = self.rollover.clone() else { return self.clone() };
        let (issuing, rollover) = match phase {
            Phase::Trusting => {
                let before = Arc::clone(&self.issuing);
                (other, Some(Rollover { phase: Phase::Reissuing, since: now, other: before }))
            }
            Phase::Reissuing => {
                let rollover = Rollover { phase: Phase::Retiring, since: now, other };
                (Arc::clone(&self.issuing), Some(rollover))
            }
            Phase::Retiring => (Arc::clone(&self.issuing), None),
        };
        Self { issuing, rollover, ..self.clone() }
    }

    /// Without the CAs of which `distrusted` says that nobody may trust them, at once: what they signed is worthless. If none is
    /// left, a new one signs. `None`: it has none of them.
    pub fn without(
        &self,
        distrusted: impl Fn(&Certificate) -> bool,
        replacement: &CaSpec,
        now: Timestamp,
    ) -> Result<Option<Self>, CaError> {
        let is_bad = |ca: &Arc<Ca>| distrusted(ca.certificate());
        let other = self.rollover.as_ref().map(|rollover| &rollover.other);
        let (bad, other_is_bad) = (is_bad(&self.issuing), other.is_some_and(is_bad));
        let left = match other {
            _ if !bad && !other_is_bad => return Ok(None),
            _ if !bad => Arc::clone(&self.issuing),
            Some(other) if !other_is_bad => Arc::clone(other),
            _ => {
                let issuing = Arc::new(Ca::generate(replacement, now)?);
                return Ok(Some(Self { issuing, rollover: None, ordinal: self.ordinal + 1, ..self.clone() }));
            }
        };
        Ok(Some(Self { issuing: left, rollover: None, ..self.clone() }))
    }
}

impl Role {
    /// What the `ordinal`-th CA of `network` in this role is to be.
    pub fn spec(self, network: &str, ordinal: u32, lifetime: SignedDuration) -> CaSpec {
        match self {
            Self::Network => CaSpec::network(network, ordinal, lifetime),
            Self::Admin => CaSpec::admin(network, ordinal, lifetime),
        }
    }
}
