//! Is the node ready, and if not, why: an ordered list of small checks, the first that objects wins. The order is from
//! what only a person can repair to what passes by itself.

use jiff::{SignedDuration, Timestamp};
use tessera_crds::condition::Reason;
use tessera_crds::names;
use tessera_node_api::admin;

use super::{Seen, pods, report};
use crate::kube::write_error::most_urgent;
use crate::node::observe::start::is_back_off_alone;
use crate::node::observe::{ANSWER_COUNTS, EventCause, ObservedPod, ObservedVolume};
use crate::report::conditions::{ConditionStatus, ConditionValue};

type NotReady = (Reason, String);
type Check = fn(&Seen<'_>) -> Option<NotReady>;

const CHECKS: [Check; 12] = [
    not_written,
    held_as_new,
    scaled_to_zero,
    volume_lost,
    image_pull_failed,
    pod_not_ready,
    node_not_ready,
    other_store,
    volume_replaced,
    refuses_payloads,
    // After all that ends service, which a person must learn of first.
    held_changes,
    unreachable,
];

pub(super) fn judge(seen: &Seen<'_>, keys_ready: &ConditionValue) -> ConditionValue {
    let not_ready = CHECKS.iter().find_map(|check| check(seen)).or_else(|| key_missing(keys_ready));
    let truth = match &not_ready {
        // The kubelet finds it ready, and the operator cannot confirm that.
        Some((Reason::NodeUnreachable, _)) => ConditionStatus::Unknown,
        not_ready => ConditionStatus::from(not_ready.is_none()),
    };
    if seen.node.paused {
        let state = not_ready.map_or_else(|| "it serves".to_owned(), |(_, message)| message);
        return (truth, Reason::Paused, format!("paused by the spec; {state}"));
    }
    if let Some((reason, message)) = not_ready {
        return (truth, reason, message);
    }
    let short = pods::short(seen).map(|short| format!("; {short}"));
    (truth, Reason::Ready, format!("the node serves{}", short.unwrap_or_default()))
}

/// What somebody keeps changing may be what protects the node: it must not look well meanwhile.
fn not_written(seen: &Seen<'_>) -> Option<NotReady> {
    most_urgent(&seen.applied.failures)
}

fn held_as_new(seen: &Seen<'_>) -> Option<NotReady> {
    seen.holds.new_node()
}

fn held_changes(seen: &Seen<'_>) -> Option<NotReady> {
    seen.holds.changes()
}

fn scaled_to_zero(seen: &Seen<'_>) -> Option<NotReady> {
    (seen.node.replicas == 0).then(|| (Reason::ScaledToZero, "spec.replicas is 0".to_owned()))
}

fn volume_lost(seen: &Seen<'_>) -> Option<NotReady> {
    match &seen.observed.volume {
        ObservedVolume::Lost(message) => Some((Reason::VolumeLost, message.clone())),
        _ => None,
    }
}

fn image_pull_failed(seen: &Seen<'_>) -> Option<NotReady> {
    let mut problems = seen.observed.pods.iter().filter_map(|pod| pod.problem.clone());
    let (reason, message) = problems.find(|(reason, _)| *reason == Reason::ImagePullFailed)?;
    // The cause of before still counts.
    let before = seen.before.filter(|before| before.reason == reason.as_str() && is_back_off_alone(&message));
    Some((reason, before.map_or(message, |before| before.message.clone())))
}

/// The kubelet does not find it ready; the node itself may know why.
fn pod_not_ready(seen: &Seen<'_>) -> Option<NotReady> {
    if seen.observed.pods.iter().any(|pod| pod.ready) {
        return None;
    }
    if let Some(report) = report(seen.observed) {
        return Some(why_not_ready(report, seen.now));
    }
    let reported = match &seen.observed.events {
        EventCause::Read(reported) => reported.clone(),
        EventCause::NotNeeded | EventCause::NotRead => None,
    };
    let Some(pod) = seen.observed.pods.first() else { return Some(reported.unwrap_or_else(|| no_pod(seen))) };
    let (reason, message) = reported.or_else(|| pod.problem.clone()).unwrap_or_else(|| silent(pod));
    Some((reason, format!("pod {}: {message}", pod.name)))
}

/// Nobody has said why yet.
fn no_pod(seen: &Seen<'_>) -> NotReady {
    let name = names::node::stateful_set(&seen.node.name);
    let message = match (seen.applied.failures.first(), &seen.observed.workload) {
        (Some(failure), None) => failure.to_string(),
        (None, None) => format!("StatefulSet {name} is not there yet"),
        (_, Some(_)) => format!("StatefulSet {name} has no pod yet"),
    };
    (Reason::Starting, message)
}

/// The kubelet's view is a probe's period old, and the node's own is newer.
fn node_not_ready(seen: &Seen<'_>) -> Option<NotReady> {
    if seen.observed.pods.iter().any(pods::serves) {
        return None;
    }
    let report = pods::reports(seen.observed).find(|report| !report.ready)?;
    Some(why_not_ready(report, seen.now))
}

fn other_store(seen: &Seen<'_>) -> Option<NotReady> {
    Some((Reason::NotReady, pods::other_store(seen.observed)?))
}

/// The node serves, and does not know what it lost.
fn volume_replaced(seen: &Seen<'_>) -> Option<NotReady> {
    let mut stores = pods::reports(seen.observed).filter_map(|report| report.payload_store.as_ref());
    let store = stores.find(|store| !store.lost.is_empty())?;
    let message = format!(
        "the payload store was replaced: {} is gone, and a payload that is not found is answered with 503; bring that volume or database back, or accept its loss: kubectl tessera accept-loss {} -n {}",
        store.lost.join(" and "),
        seen.node.name,
        seen.node.owner.namespace
    );
    Some((Reason::VolumeReplaced, message))
}

/// It serves what it has, and takes no more.
fn refuses_payloads(seen: &Seen<'_>) -> Option<NotReady> {
    if pods::reports(seen.observed).any(|report| report.database.available) {
        return None;
    }
    let database = &report(seen.observed)?.database;
    (!database.available)
        .then(|| (Reason::NotReady, format!("{} (since {})", database.message, database.since)))
}

/// Its pod is ready, and the node itself says nothing.
fn unreachable(seen: &Seen<'_>) -> Option<NotReady> {
    if report(seen.observed).is_some() {
        return None;
    }
    let silent = seen.observed.pods.iter().find_map(|pod| pod.status.as_ref().err())?;
    let limit = ANSWER_COUNTS.as_secs();
    let message = format!(
        "the kubelet finds the pod ready, but the node has not answered the operator on its admin port for {limit} s: {silent}"
    );
    Some((Reason::NodeUnreachable, message))
}

fn why_not_ready(report: &admin::Status, now: Timestamp) -> NotReady {
    let awaiting = if report.awaiting.is_empty() {
        "the node is not ready".to_owned()
    } else {
        report.awaiting.join("; ")
    };
    if is_young(report, now) {
        return (Reason::Starting, format!("the node is starting: {awaiting}"));
    }
    match &report.secret_store {
        Some(store) if !store.available => {
            (Reason::StoreUnreachable, format!("the node awaits the secret store: {}", store.message))
        }
        _ if report.certificate.is_none() || !report.reload_errors.is_empty() => {
            (Reason::CertificateInvalid, format!("{awaiting}; {}", report.reload_errors.join("; ")))
        }
        _ => (Reason::NotReady, awaiting),
    }
}

/// A process of this age has not had the time to fail at anything.
const YOUNG: SignedDuration = SignedDuration::from_secs(10);

fn is_young(report: &admin::Status, now: Timestamp) -> bool {
    report.started_at.parse::<Timestamp>().is_ok_and(|started| now.duration_since(started) < YOUNG)
}

fn silent(pod: &ObservedPod) -> NotReady {
    let silence = pod.status.as_ref().err().map(ToString::to_string).unwrap_or_default();
    (Reason::Starting, format!("it is starting: {silence}"))
}

fn key_missing((truth, reason, message): &ConditionValue) -> Option<NotReady> {
    (*truth == ConditionStatus::False && *reason == Reason::KeyMissing).then(|| (*reason, message.clone()))
}
