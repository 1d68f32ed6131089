//! An old CA, a new CA, and what parties hold of them, as files.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tessera_node_api::identity::Identity;
use tessera_pki::{Ca, CaSpec, Certificate, LeafSpec};

/// The name that each server has and each client asks for.
pub(crate) const SERVER_NAME: &str = "node-a.org-a.svc";

const DOMAIN: &str = "org-a.example";
const YEAR: SignedDuration = SignedDuration::from_hours(8760);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The roots that a party has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    Old,
    New,
    /// Both, the old one first.
    OldFirst,
    /// Both, the new one first.
    NewFirst,
}

/// The chain that a party shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// A leaf of the old CA.
    Old,
    /// A leaf of the new CA, alone.
    New,
    /// A leaf of the new CA, then the new CA signed by the old one.
    NewWithCross,
}

/// The side that shows a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    Client,
}

/// Removed when dropped.
pub(crate) struct Files(TempDir);

impl Trust {
    pub(crate) const ALL: [Self; 4] = [Self::Old, Self::New, Self::OldFirst, Self::NewFirst];
}

impl Files {
    pub(crate) fn new() -> Self {
        let now = Timestamp::now();
        let old = Ca::generate(&CaSpec::network("org-a", 1, YEAR), now).unwrap();
        let new = Ca::generate(&CaSpec::network("org-a", 2, YEAR), now).unwrap();
        let cross = old.cross_sign(&new, now + DAY, now).unwrap();
        let files = Self(TempDir::new().unwrap());
        files.write_roots(old.certificate_pem(), new.certificate_pem());
        for side in [Side::Server, Side::Client] {
            files.write_leaf(side, Shown::Old, &old, None, now);
            files.write_leaf(side, Shown::New, &new, None, now);
            files.write_leaf(side, Shown::NewWithCross, &new, Some(&cross), now);
        }
        files
    }

    pub(crate) fn directory(&self) -> &Path {
        self.0.path()
    }

    /// The bundle of roots.
    pub(crate) fn roots(&self, trust: Trust) -> PathBuf {
        self.0.path().join(format!("roots-{trust:?}.crt"))
    }

    /// The chain and its key.
    pub(crate) fn pair(&self, side: Side, shown: Shown) -> (PathBuf, PathBuf) {
        let path = |ending: &str| self.0.path().join(format!("{side:?}-{shown:?}.{ending}"));
        (path("crt"), path("key"))
    }

    fn write_roots(&self, old: &str, new: &str) {
        for trust in Trust::ALL {
            let bundle = match trust {
                Trust::Old => old.to_owned(),
                Trust::New => new.to_owned(),
                Trust::OldFirst => format!("{old}{new}"),
                Trust::NewFirst => format!("{new}{old}"),
            };
            fs::write(self.roots(trust), bundle).unwrap();
        }
    }

    fn write_leaf(&self, side: Side, shown: Shown, ca: &Ca, cross: Option<&Certificate>, now: Timestamp) {
        let spec = match side {
            Side::Server => {
                let identity = Identity::node(DOMAIN, "node-a").unwrap();
                LeafSpec::node(identity, vec![SERVER_NAME.to_owned()], DAY)
            }
            Side::Client => LeafSpec::client(Identity::client(DOMAIN, "node-a", "quorum-a").unwrap(), DAY),
        };
        let leaf = ca.issue(&spec, now).unwrap();
        let chain = leaf.certificate_pem + cross.map_or("", Certificate::pem);
        let (certificate, key) = self.pair(side, shown);
        fs::write(certificate, chain).unwrap();
        fs::write(key, leaf.private_key_pem.expose()).unwrap();
    }
}
