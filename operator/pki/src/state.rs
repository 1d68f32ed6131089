//! The document that holds a network's authorities: one Secret, changed only by update with its resourceVersion.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::authority::{Authority, Phase, Role, Rollover};
use crate::ca::Ca;
use crate::error::CaError;
use crate::key::PrivateKeyPem;

/// The version of the document. Version 1 held one CA for each authority and nothing else.
pub const STATE_VERSION: u32 = 2;

const JUST_NOW: SignedDuration = SignedDuration::from_mins(10);

/// A network's authorities.
#[derive(Debug, Clone)]
pub struct CaState {
    /// Counts the changes of this document, from 1.
    pub generation: u64,
    /// Signs nodes, ledger nodes and scrapers.
    pub network: Authority,
    /// Signs the two ends of the admin ports.
    pub admin: Authority,
}

/// Why a CA state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Not the JSON document that we write.
    #[error("the CA state is not a document of ours: {0}")]
    Document(Malformed),
    /// Written by a newer operator.
    #[error(
        "the CA state has version {found}, this operator reads version {STATE_VERSION}: upgrade the operator"
    )]
    Version {
        /// The version found.
        found: u32,
    },
    /// One of the authorities is unusable.
    #[error("the {which} CA of the CA state is unusable")]
    Authority {
        /// `network` or `admin`.
        which: &'static str,
        /// Why.
        source: CaError,
    },
}

/// Where a document is malformed. The parser's own message could quote a key, so it is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed at line {line}, column {column}")]
pub struct Malformed {
    line: usize,
    column: usize,
}

impl CaState {
    /// New authorities, both for `lifetime`.
    pub fn generate(network: &str, lifetime: SignedDuration, now: Timestamp) -> Result<Self, CaError> {
        Ok(Self {
            generation: 1,
            network: Authority::generate(Role::Network, network, lifetime, now)?,
            admin: Authority::generate(Role::Admin, network, lifetime, now)?,
        })
    }

    /// Reads the document; all authorities must be whole.
    pub fn from_json(json: &[u8]) -> Result<Self, StateError> {
        // The version is read first: another document need not have this one's members.
        let Versioned { version } = parse(json)?;
        match version {
            1 => {
                let Document1 { generation, network, admin } = parse(json)?;
                let first = |ca: StoredCa, which| Ok(Authority::of_first(ca.load(which)?));
                let (network, admin) = (first(network, "network")?, first(admin, "admin")?);
                Ok(Self { generation, network, admin })
            }
            STATE_VERSION => {
                let Document { generation, network, admin, .. } = parse(json)?;
                Ok(Self { generation, network: network.load("network")?, admin: admin.load("admin")? })
            }
            found => Err(StateError::Version { found }),
        }
    }

    /// Whether a phase of a rollover began a short while ago. Most take less than a minute or two; one that waits for a person
    /// takes days, and need not be looked at often.
    pub fn began_just_now(&self, now: Timestamp) -> bool {
        let both = [&self.network, &self.admin].into_iter();
        let mut since = both.filter_map(|authority| Some(authority.rollover.as_ref()?.since));
        since.any(|since| now.duration_since(since).abs() < JUST_NOW)
    }

    /// The document. It holds the private keys.
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let document = Document {
            version: STATE_VERSION,
            generation: self.generation,
            network: StoredAuthority::store(&self.network),
            admin: StoredAuthority::store(&self.admin),
        };
        // The exact size first: a buffer that grows leaves copies of the keys behind.
        let mut size = CountingWriter(0);
        serde_json::to_writer(&mut size, &document)
            .expect("strings and numbers serialize, and counting cannot fail");
        let mut json = Zeroizing::new(Vec::with_capacity(size.0));
        serde_json::to_writer(&mut *json, &document).expect("strings and numbers serialize into memory");
        json
    }
}

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    generation: u64,
    network: StoredAuthority,
    admin: StoredAuthority,
}

#[derive(Deserialize)]
struct Document1 {
    generation: u64,
    network: StoredCa,
    admin: StoredCa,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredAuthority {
    issuing: StoredCa,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rollover: Option<StoredRollover>,
    ordinal: u32,
    founded: Timestamp,
    trigger: i64,
    longest_leaf_seconds: i64,
}

#[derive(Serialize, Deserialize)]
struct StoredRollover {
    phase: Phase,
    since: Timestamp,
    other: StoredCa,
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct StoredCa {
    certificate: String,
    key: PrivateKeyPem,
}

impl StoredAuthority {
    fn store(authority: &Authority) -> Self {
        Self {
            issuing: StoredCa::store(&authority.issuing),
            rollover: authority.rollover.as_ref().map(|rollover| StoredRollover {
                phase: rollover.phase,
                since: rollover.since,
                other: StoredCa::store(&rollover.other),
            }),
            ordinal: authority.ordinal,
            founded: authority.founded,
            trigger: authority.trigger,
            longest_leaf_seconds: authority.longest_leaf.as_secs(),
        }
    }

    fn load(self, which: &'static str) -> Result<Authority, StateError> {
        let rollover = self.rollover.map(|StoredRollover { phase, since, other }| {
            Ok(Rollover { phase, since, other: Arc::new(other.load(which)?) })
        });
        Ok(Authority {
            issuing: Arc::new(self.issuing.load(which)?),
            rollover: rollover.transpose()?,
            ordinal: self.ordinal,
            founded: self.founded,
            trigger: self.trigger,
            longest_leaf: SignedDuration::from_secs(self.longest_leaf_seconds),
        })
    }
}

impl StoredCa {
    fn store(ca: &Ca) -> Self {
        Self { certificate: ca.certificate_pem().to_owned(), key: ca.private_key_pem() }
    }

    fn load(&self, which: &'static str) -> Result<Ca, StateError> {
        Ca::from_pem(&self.certificate, &self.key).map_err(|source| StateError::Authority { which, source })
    }
}

fn parse<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Result<T, StateError> {
    serde_json::from_slice(json)
        .map_err(|error| StateError::Document(Malformed { line: error.line(), column: error.column() }))
}

struct CountingWriter(usize);

impl std::io::Write for CountingWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
