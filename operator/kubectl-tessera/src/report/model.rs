//! What a report says, in whatever format: one value, from objects and the time of the report. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use serde::Serialize;
use tessera_crds::checklist::{ChecklistStatus, Line, LineResult, LineStatus};
use tessera_crds::condition::ConditionType;
use tessera_crds::{TesseraAttestation, TesseraNetwork, TesseraNode};

use super::statements::Statement;
use super::titles::title;
use crate::evidence::{RENEW, read_at, summary};

/// The name of the format; it changes when a field is taken away or means something else, not when one is added.
const FORMAT: &str = "tessera.rs/checklist-report/v1";

/// A report about one network.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// `tessera.rs/checklist-report/v1`.
    pub(crate) format: &'static str,
    /// The time for which results are read: evidence that is older than it may be is Unknown.
    pub(crate) made_at: String,
    /// Program and version.
    pub(crate) made_by: &'static str,
    /// What a reader must know before the results.
    pub(crate) notices: Vec<String>,
    /// The network.
    pub(crate) network: NetworkFacts,
    /// How many lines are Verified, Enforced or Attested, of fourteen.
    pub(crate) summary: String,
    /// How many lines have each result.
    pub(crate) counts: Counts,
    /// All fourteen lines, in the checklist's order.
    pub(crate) lines: Vec<ReportLine>,
    /// The nodes, by name.
    pub(crate) nodes: Vec<NodeReport>,
    /// What people state, by name; those that do not count as well.
    pub(crate) statements: Vec<Statement>,
}

/// What the network is and how it does.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NetworkFacts {
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
    /// The UID of the object.
    pub(crate) uid: String,
    /// The generation of the spec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) generation: Option<i64>,
    /// The generation that the results speak of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) observed_generation: Option<i64>,
    /// The cluster, as the operator is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cluster_name: Option<String>,
    /// The trust domain.
    pub(crate) trust_domain: String,
    /// The address of the secret store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret_store: Option<String>,
    /// Whether it does what it is for; apart from the checklist.
    pub(crate) ready: Readiness,
    /// The certificate authorities.
    pub(crate) authorities: Vec<Authority>,
}

/// The condition Ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Readiness {
    /// True, False or Unknown.
    pub(crate) status: String,
    /// Why, in one word.
    pub(crate) reason: String,
}

impl Readiness {
    /// The one of `conditions`; Unknown if there is none.
    pub(crate) fn of(conditions: &[Condition]) -> Self {
        let found = conditions.iter().find(|condition| condition.type_ == ConditionType::Ready.as_str());
        match found {
            Some(ready) => Self { status: ready.status.clone(), reason: ready.reason.clone() },
            None => Self { status: "Unknown".into(), reason: "NotReconciled".into() },
        }
    }
}

/// A certificate authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Authority {
    /// What it is for.
    pub(crate) role: tessera_crds::api::network::CaRole,
    /// SHA-256 of its certificate.
    pub(crate) fingerprint: String,
    /// Its end.
    pub(crate) not_after: String,
}

/// How many lines have each result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counts {
    /// Observed to hold.
    pub(crate) verified: usize,
    /// The objects are in place.
    pub(crate) enforced: usize,
    /// Stated by a person.
    pub(crate) attested: usize,
    /// Observed not to hold.
    pub(crate) violated: usize,
    /// Of those violated: accepted by an exception.
    pub(crate) violated_with_exception: usize,
    /// None of these.
    pub(crate) unknown: usize,
}

impl Counts {
    fn of(lines: &[ReportLine]) -> Self {
        let count = |result| lines.iter().filter(|line| line.status.result == result).count();
        Self {
            verified: count(LineResult::Verified),
            enforced: count(LineResult::Enforced),
            attested: count(LineResult::Attested),
            violated: count(LineResult::Violated),
            violated_with_exception: lines.iter().filter(|line| line.status.exception.is_some()).count(),
            unknown: count(LineResult::Unknown),
        }
    }
}

/// A line with what it demands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReportLine {
    /// What the line demands.
    pub(crate) title: &'static str,
    /// The line as in the object's status.
    #[serde(flatten)]
    pub(crate) status: LineStatus,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NodeReport {
    /// Its name.
    pub(crate) name: String,
    /// The UID of the object.
    pub(crate) uid: String,
    /// Whether it serves; apart from the checklist.
    pub(crate) ready: Readiness,
    /// The default public key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) default_key: Option<String>,
    /// The end of its certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate_not_after: Option<String>,
    /// The images that run.
    pub(crate) images: Vec<String>,
    /// How many of its lines are satisfied; absent if nobody has looked at it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) summary: Option<String>,
    /// The lines that speak of a node.
    pub(crate) lines: Vec<ReportLine>,
}

impl Report {
    /// The report about `network` for a reader at `now`.
    pub(crate) fn new(
        network: &TesseraNetwork,
        nodes: &[TesseraNode],
        attestations: &[TesseraAttestation],
        now: Timestamp,
    ) -> Self {
        let statements: Vec<_> =
            attestations.iter().map(|attestation| Statement::new(attestation, now)).collect();
        let status = network.status.as_ref();
        let mut shown = lines_at(status.and_then(|status| status.checklist.clone()), &statements, now);
        let absent = Line::ALL.iter().filter(|id| shown.iter().all(|line| line.id != **id));
        let absent: Vec<_> = absent.map(|id| unreported(*id, network, now)).collect();
        shown.extend(absent);
        shown.sort_by_key(|line| line.id);
        let summary = summary(&shown);
        let lines = titled(shown);
        Self {
            format: FORMAT,
            made_at: whole_second(now).to_string(),
            made_by: concat!("kubectl-tessera ", env!("CARGO_PKG_VERSION")),
            notices: notices(network, nodes),
            network: network_facts(network),
            summary,
            counts: Counts::of(&lines),
            lines,
            nodes: nodes.iter().map(|node| node_report(node, &statements, now)).collect(),
            statements,
        }
    }
}

/// The lines for a reader at `now`. An exception whose statement is gone or does not count accepts nothing, even if the
/// operator has not written that yet.
fn lines_at(checklist: Option<ChecklistStatus>, statements: &[Statement], now: Timestamp) -> Vec<LineStatus> {
    let mut lines = checklist.map(|checklist| read_at(checklist, now).lines).unwrap_or_default();
    let counts = |name: &str| statements.iter().any(|statement| statement.name == name && statement.counts);
    for line in &mut lines {
        line.exception.take_if(|exception| line.result != LineResult::Violated || !counts(&exception.name));
        line.remedy.take_if(|_| line.result == LineResult::Verified);
    }
    lines
}

fn unreported(id: Line, network: &TesseraNetwork, now: Timestamp) -> LineStatus {
    let created = network.metadata.creation_timestamp.as_ref().map_or(now, |created| created.0);
    LineStatus {
        id,
        result: LineResult::Unknown,
        reason: "NotReported".into(),
        observer: None,
        observed: "the network's status has no such line".into(),
        remedy: Some(RENEW.into()),
        parts: Vec::new(),
        exception: None,
        last_transition_time: whole_second(created).to_string().into(),
        valid_until: None,
    }
}

fn titled(lines: Vec<LineStatus>) -> Vec<ReportLine> {
    lines.into_iter().map(|status| ReportLine { title: title(status.id), status }).collect()
}

fn notices(network: &TesseraNetwork, nodes: &[TesseraNode]) -> Vec<String> {
    let mut notices = Vec::new();
    let status = network.status.as_ref();
    if status.and_then(|status| status.checklist.as_ref()).is_none() {
        notices.push("The operator has not judged this network yet: every line is Unknown.".to_owned());
    } else if status.and_then(|status| status.observed_generation) != network.metadata.generation {
        notices.push(
            "The network's spec has changed since the operator last judged it: the results speak of the spec before."
                .to_owned(),
        );
    }
    let behind: Vec<_> = nodes.iter().filter(|node| is_behind(node)).map(ResourceExt::name_any).collect();
    if !behind.is_empty() {
        notices.push(format!(
            "The operator has not judged these nodes, or not since their spec changed: {}.",
            behind.join(", ")
        ));
    }
    notices
}

fn is_behind(node: &TesseraNode) -> bool {
    node.status.as_ref().is_none_or(|status| {
        status.checklist.is_none() || status.observed_generation != node.metadata.generation
    })
}

fn network_facts(network: &TesseraNetwork) -> NetworkFacts {
    let status = network.status.clone().unwrap_or_default();
    NetworkFacts {
        namespace: network.namespace().unwrap_or_default(),
        name: network.name_any(),
        uid: network.uid().unwrap_or_default(),
        generation: network.metadata.generation,
        observed_generation: status.observed_generation,
        cluster_name: status.cluster_name,
        trust_domain: network.spec.trust_domain.to_string(),
        secret_store: network.spec.secret_store.vault.as_ref().map(|vault| vault.address.to_string()),
        ready: Readiness::of(&status.conditions),
        authorities: status
            .cas
            .into_iter()
            .map(|ca| Authority {
                role: ca.role,
                fingerprint: ca.fingerprint,
                not_after: ca.not_after.to_string(),
            })
            .collect(),
    }
}

fn node_report(node: &TesseraNode, statements: &[Statement], now: Timestamp) -> NodeReport {
    let status = node.status.clone().unwrap_or_default();
    let mut images: Vec<_> = status.pods.into_iter().filter_map(|pod| pod.image_id).collect();
    images.sort();
    images.dedup();
    let is_judged = status.checklist.is_some();
    let lines = lines_at(status.checklist, statements, now);
    NodeReport {
        name: node.name_any(),
        uid: node.uid().unwrap_or_default(),
        ready: Readiness::of(&status.conditions),
        default_key: status.default_key,
        certificate_not_after: status.certificate.map(|certificate| certificate.not_after.to_string()),
        images,
        summary: is_judged.then(|| summary(&lines)),
        lines: titled(lines),
    }
}

fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
