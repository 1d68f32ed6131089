//! Reads the Events that say why a node's pod does not come up, beside all reconciles. What refuses a pod says so to its
//! StatefulSet alone, what keeps a volume away to the claim or to the pod.
//!
//! ```text
//! node whose pod does not start ──► list of one object's Events (at most 5/s in a namespace) ──► cause ──► the node, if new
//!                                     again after 5 s, doubled up to 60 s, as long as the pod does not start
//! ```
//!
//! Of a node whose pod runs, nothing is read.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use tessera_crds::names;
use tessera_crds::{TesseraNode, condition::Reason};

use super::event_reports::{Report, Subject, SubjectKind};
use super::workers;
use crate::controller::context::Context;
use crate::kube::meta::{name_of, uid_of};
use crate::kube::refusal::{Refusal, refusal_in};
use crate::node::observe::start::{Problem, problem, stable};
use crate::process::tasks::Tasks;
use crate::report::error::chain;
use crate::watch::cache::Cached;
use crate::watch::kept::KeptPod;

/// Between two lists in one namespace.
const PAUSE: Duration = Duration::from_millis(200);
/// What a node that is brought up without trouble takes: nothing is read before.
pub const FIRST_WAIT: Duration = Duration::from_secs(2);
/// Of how many Events of one object the newest is looked for.
const MAX_EVENTS: u32 = 100;
/// How old an Event may be: the StatefulSet controller tries again within 17 minutes.
const EVENT_COUNTS: SignedDuration = SignedDuration::from_mins(20);
/// How long the cause stays the one that was reported while another is reported as well: the kubelet tells two in turn, every
/// two minutes.
const CAUSE_STAYS: SignedDuration = SignedDuration::from_secs(150);

/// Whose Events to read; `None`: the pod's own status tells, or the node has no workload.
pub fn subject(node: &TesseraNode, ctx: &Context) -> Option<Subject> {
    let workload = ctx.caches.workload_of(uid_of(node)).filter(|_| node.spec.replicas > 0)?;
    let of = |kind, uid: &str| Some(Subject { uid: uid.to_owned(), kind });
    let pods = ctx.caches.pods.indexed(workload.uid());
    let Some(pod) = pods.first() else { return of(SubjectKind::StatefulSet, workload.uid()) };
    let claim = ctx.caches.claims.get(&names::node::volume_claim(name_of(node), 0));
    if let Some(claim) = claim.filter(|claim| is_pending(&claim.read()) && !is_started(pod)) {
        return of(SubjectKind::Claim, claim.uid());
    }
    is_waiting_on_its_machine(pod).then_some(()).and_then(|()| of(SubjectKind::Pod, pod.uid()))
}

fn is_pending(claim: &PersistentVolumeClaim) -> bool {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Pending")
}

fn is_started(pod: &KeptPod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    phase.is_some_and(|phase| phase != "Pending")
}

fn is_waiting_on_its_machine(pod: &KeptPod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let is_scheduled =
        conditions.into_iter().flatten().any(|found| found.type_ == "PodScheduled" && found.status == "True");
    is_scheduled && !is_started(pod) && problem(pod.status.as_ref()).is_none()
}

/// Starts the worker of one namespace.
pub fn start(context: &Arc<Context>, tasks: &mut Tasks) {
    workers::start(1, &context.queues.events, context, tasks, |node, ctx| async move {
        let wait = read(&node, &ctx).await;
        if wait.is_some() {
            tokio::time::sleep(PAUSE).await;
        }
        wait
    });
}

/// Reads the Events about the node called `name`, if its pod does not start; returns when to read again.
async fn read(name: &str, ctx: &Context) -> Option<Duration> {
    let cached = ctx.caches.nodes.get(name)?;
    let node = cached.readable()?;
    let uid = uid_of(&**node);
    let reports = &ctx.event_reports;
    let Some(subject) = subject(node, ctx) else {
        reports.reports.forget(uid);
        reports.backoff.reset(uid);
        return None;
    };
    let before = reports.reports.get(uid).filter(|report| report.subject == subject);
    if before.is_none() {
        reports.backoff.reset(uid);
    }
    let known = before.and_then(|report| report.cause);
    ctx.metrics.event_list();
    match list(&subject, ctx).await {
        Ok(events) => {
            let cause = cause(subject.kind, &events, known.as_ref(), Timestamp::now());
            let is_new = cause != known;
            // The node may have gone meanwhile, and its memory with it.
            ctx.caches.nodes.get(name).filter(|now| now.uid() == uid)?;
            reports.reports.put(uid, Report { subject, cause });
            if is_new {
                ctx.queues.nodes.touch(&name.to_owned());
            }
        }
        Err(error) => tracing::debug!(node = name, error = chain(&error), "Events cannot be listed"),
    }
    Some(reports.backoff.after_failure(uid))
}

async fn list(subject: &Subject, ctx: &Context) -> Result<Vec<Event>, kube::Error> {
    let api: Api<Event> = Api::namespaced(ctx.probes.clone(), &ctx.namespace);
    let of_subject =
        ListParams::default().fields(&format!("regarding.uid={}", subject.uid)).limit(MAX_EVENTS);
    Ok(api.list(&of_subject).await?.items)
}

/// The newest Event that tells why; the cause that was `known`, as long as it is reported as well.
fn cause(kind: SubjectKind, events: &[Event], known: Option<&Problem>, now: Timestamp) -> Option<Problem> {
    let is_recent = |at: &Timestamp| now.duration_since(*at) < EVENT_COUNTS;
    let causes = events.iter().filter_map(|event| Some((last_seen(event)?, cause_of(kind, event)?)));
    let causes: Vec<_> = causes.filter(|(at, _)| is_recent(at)).collect();
    let (newest, cause) = causes.iter().max_by_key(|(at, _)| *at)?;
    let still = |(at, cause): &&(Timestamp, Problem)| {
        Some(cause) == known && newest.duration_since(*at) < CAUSE_STAYS
    };
    causes.iter().find(still).map(|(_, cause)| cause).or(Some(cause)).cloned()
}

fn last_seen(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().map(|series| series.last_observed_time.0);
    let deprecated = event.deprecated_last_timestamp.as_ref().map(|time| time.0);
    let first = event.event_time.as_ref().map(|time| time.0);
    let created = event.metadata.creation_timestamp.as_ref().map(|time| time.0);
    series.or(deprecated).or(first).or(created)
}

fn cause_of(kind: SubjectKind, event: &Event) -> Option<Problem> {
    let (reason, note) = (event.reason.as_deref()?, stable(event.note.as_deref()?));
    match (kind, reason) {
        (SubjectKind::StatefulSet, "FailedCreate") => {
            let by = match refusal_in(&note) {
                Some(Refusal::Quota) => Reason::QuotaExceeded,
                Some(_) => Reason::AdmissionDenied,
                None => Reason::Starting,
            };
            Some((by, format!("there is no pod: {note}")))
        }
        (SubjectKind::Claim, "ProvisioningFailed" | "FailedBinding") => {
            Some((Reason::VolumePending, format!("the volume is not bound: {note}")))
        }
        (SubjectKind::Pod, "FailedMount" | "FailedAttachVolume" | "FailedMapVolume") => {
            Some((Reason::VolumePending, format!("the volume is not mounted: {note}")))
        }
        (SubjectKind::Pod, "FailedCreatePodSandBox") => Some((Reason::ContainerFailed, note)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(reason: &str, note: &str, second: i64) -> Event {
        let time = Timestamp::from_second(second).unwrap();
        serde_json::from_value(json!({"metadata": {}, "reason": reason, "note": note, "type": "Warning",
            "eventTime": null, "deprecatedLastTimestamp": time.to_string()}))
        .unwrap()
    }

    fn of(kind: SubjectKind, events: &[Event], known: Option<&Problem>, second: i64) -> Option<Problem> {
        cause(kind, events, known, Timestamp::from_second(second).unwrap())
    }

    #[test]
    fn the_newest_event_that_tells_why_is_the_cause() {
        let quota =
            "create Pod a-0 in StatefulSet a failed error: pods \"a-0\" is forbidden: exceeded quota: q";
        let events = [
            event("FailedCreate", "create Pod a-0 in StatefulSet a failed error: timeout", 10),
            event("FailedCreate", quota, 20),
            event("SuccessfulCreate", "create Claim succeeded", 30),
        ];
        let found = of(SubjectKind::StatefulSet, &events, None, 40).unwrap();
        assert_eq!(found, (Reason::QuotaExceeded, format!("there is no pod: {quota}")));
        assert_eq!(of(SubjectKind::StatefulSet, &events, None, 20 + 20 * 60), None, "an old incident");
        assert_eq!(of(SubjectKind::Pod, &events, None, 40), None);
    }

    #[test]
    fn two_causes_in_turn_do_not_change_the_status_each_time() {
        let events = |first, second| {
            [event("FailedMount", "no such disk", first), event("FailedAttachVolume", "timed out", second)]
        };
        let first = of(SubjectKind::Pod, &events(100, 90), None, 110);
        assert!(first.as_ref().unwrap().1.contains("no such disk"));
        assert_eq!(of(SubjectKind::Pod, &events(100, 220), first.as_ref(), 230), first);
        assert_ne!(
            of(SubjectKind::Pod, &events(100, 400), first.as_ref(), 410),
            first,
            "it is no more reported"
        );
    }
}
