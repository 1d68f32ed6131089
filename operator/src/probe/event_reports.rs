//! What Events say of nodes whose pod does not come up.

use std::sync::Arc;
use std::time::Duration;

use crate::memory::backoff::Backoff;
use crate::memory::per_object::{PerObject, Registry};
use crate::node::observe::start::Problem;

const FIRST_BACKOFF: Duration = Duration::from_secs(5);
const LONGEST_BACKOFF: Duration = Duration::from_mins(1);

/// The object whose Events tell why a node's pod does not come up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub(super) uid: String,
    pub(super) kind: SubjectKind,
}

/// What kind of object it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SubjectKind {
    /// There is no pod.
    StatefulSet,
    /// The pod waits for its volume.
    Claim,
    /// The pod is scheduled, and no container starts.
    Pod,
}

/// What was read of each node, by the node's UID. Shared by all namespaces.
pub struct EventReports {
    pub(super) reports: Arc<PerObject<Report>>,
    pub(super) backoff: Backoff,
}

/// What was read last.
#[derive(Clone)]
pub(super) struct Report {
    pub(super) subject: Subject,
    pub(super) cause: Option<Problem>,
}

impl EventReports {
    /// Nothing was read yet.
    pub fn new(registry: &Registry) -> Self {
        let backoff = Backoff::new(registry, FIRST_BACKOFF, LONGEST_BACKOFF);
        Self { reports: registry.per_object(), backoff }
    }

    /// The cause that the Events of `subject` tell; `None`: they were not read yet.
    pub fn of(&self, node_uid: &str, subject: &Subject) -> Option<Option<Problem>> {
        let report = self.reports.get(node_uid).filter(|report| report.subject == *subject);
        report.map(|report| report.cause)
    }
}
