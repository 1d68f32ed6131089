//! What the probes of secret stores found.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tessera_crds::TesseraNetwork;
use tessera_crds::api::secret_store::VaultStore;

use super::store::StoreState;
use super::store_audit::Audited;
use crate::checklist::facts::{StoreAnswer, StoreFacts};
use crate::checklist::store_facts::AuditorAnswer;
use crate::kube::meta::uid_of;
use crate::kube::requests::Token;
use crate::memory::backoff::Backoff;
use crate::memory::per_object::{PerObject, Registry};

/// How often a store that is well is asked for its health, and the longest wait for one that is not.
pub(super) const PERIOD: Duration = Duration::from_secs(30);
const FIRST_BACKOFF: Duration = Duration::from_secs(5);
/// How long a login that worked counts.
const LOGIN_COUNTS: Duration = Duration::from_mins(10);

/// What was found out about each network's store, by the network's UID.
pub struct StoreReports {
    pub(super) reports: Arc<PerObject<Report>>,
    /// The token that a network's store is probed with, and what it is for.
    pub(super) tokens: Arc<PerObject<(String, Token)>>,
    pub(super) backoff: Backoff,
}

/// One probe.
#[derive(Clone)]
pub(super) struct Report {
    pub(super) subject: Subject,
    pub(super) observed: ObservedStore,
    /// What unseals it, if it said so.
    pub(super) seal_type: Option<String>,
    /// What it showed to its auditor, if it was asked.
    pub(super) audited: Option<Audited>,
    pub(super) logged_in: Option<Instant>,
}

/// What was probed.
#[derive(Clone, PartialEq)]
pub(super) struct Subject {
    pub(super) store: Option<VaultStore>,
    pub(super) ca_pem: String,
}

/// What can be said of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObservedStore {
    /// The probe's result.
    State(StoreState),
    /// The spec leads to nothing that could be probed.
    InvalidReference(String),
    /// We may not probe.
    PermissionDenied(String),
}

impl StoreReports {
    /// No reports yet.
    pub fn new(registry: &Registry) -> Self {
        Self {
            reports: registry.per_object(),
            tokens: registry.per_object(),
            backoff: Backoff::new(registry, FIRST_BACKOFF, PERIOD),
        }
    }

    /// What was found of the store that the spec of `network` says now; `None`: that one was not probed yet.
    pub fn of(&self, network: &TesseraNetwork) -> Option<ObservedStore> {
        let is_current = |report: &Report| report.subject.store == network.spec.secret_store.vault;
        self.reports.get(uid_of(network)).filter(is_current).map(|report| report.observed)
    }

    /// What the store that the spec of `network` says now showed of itself when it was asked last.
    pub fn facts(&self, network: &TesseraNetwork) -> StoreAnswer {
        let is_current = |report: &Report| report.subject.store == network.spec.secret_store.vault;
        match self.reports.get(uid_of(network)).filter(is_current) {
            None => StoreAnswer::NotAskedYet,
            Some(Report { seal_type: None, .. }) => StoreAnswer::Silent,
            Some(Report { seal_type: Some(seal_type), audited, .. }) => {
                let auditor = audited.map_or(AuditorAnswer::NotAskedYet, |audited| audited.answer(network));
                StoreAnswer::Shows(StoreFacts { seal_type, auditor })
            }
        }
    }

    /// SHA-256 of the CA bundle that the spec of `network` leads to now, in hexadecimal; `None`: it was not read yet.
    pub fn ca_bundle_sha256(&self, network: &TesseraNetwork) -> Option<String> {
        let report = self.reports.get(uid_of(network))?;
        let is_read =
            report.subject.store == network.spec.secret_store.vault && !report.subject.ca_pem.is_empty();
        is_read.then(|| hex::encode(Sha256::digest(&report.subject.ca_pem)))
    }
}

impl Report {
    /// When the login was made, if it still counts.
    pub(super) fn fresh_login(&self) -> Option<Instant> {
        self.logged_in.filter(|at| at.elapsed() < LOGIN_COUNTS)
    }

    /// Whether there is something to tell.
    pub(super) fn differs_from(&self, other: &Self) -> bool {
        let answer = |report: &Self| report.audited.as_ref().map(|audited| audited.answer.clone());
        self.observed != other.observed
            || self.seal_type != other.seal_type
            || answer(self) != answer(other)
            || self.subject != other.subject
    }
}
