//! [pure] Several pods of one node, as one: what all say, and which of them fall short.
//!
//! A node serves while one of its pods does. What all of them must have (keys, certificates) is judged by the pod that is behind.

use tessera_node_api::admin;

use super::Seen;
use crate::node::observe::{Observed, ObservedPod};
use crate::report::conditions::{ConditionStatus, ConditionValue};

/// What the pods that answer say.
pub(super) fn reports(observed: &Observed) -> impl Iterator<Item = &admin::Status> {
    observed.pods.iter().filter_map(|pod| pod.status.as_ref().ok())
}

/// A pod that serves: the kubelet finds it ready, and it says so itself, if it says anything.
pub(super) fn serves(pod: &ObservedPod) -> bool {
    pod.ready && pod.status.as_ref().is_ok_and(|report| report.ready)
}

/// What `judge` says of every pod that answers: the first that is not true, with the pod's name if there are several. `None`: no pod
/// answers.
pub(super) fn worst(
    observed: &Observed,
    judge: impl Fn(&admin::Status) -> ConditionValue,
) -> Option<ConditionValue> {
    let answers = observed.pods.iter().filter_map(|pod| Some((pod, judge(pod.status.as_ref().ok()?))));
    let mut all: Vec<_> = answers.collect();
    let position = all.iter().position(|(_, (status, ..))| *status != ConditionStatus::True);
    let (pod, (status, reason, message)) =
        (!all.is_empty()).then(|| all.swap_remove(position.unwrap_or(0)))?;
    let is_named = position.is_some() && observed.pods.len() > 1;
    let message = if is_named { format!("pod {}: {message}", pod.name) } else { message };
    Some((status, reason, message))
}

/// How many of the pods that are asked for serve, and why the others do not. `None`: one pod is asked for, or all serve.
pub(super) fn short(seen: &Seen<'_>) -> Option<String> {
    let wanted = usize::try_from(seen.node.replicas).unwrap_or(0);
    if wanted < 2 {
        return None;
    }
    let serving = seen.observed.pods.iter().filter(|pod| serves(pod)).count();
    let others = seen.observed.pods.iter().filter(|pod| !serves(pod));
    let mut why: Vec<_> = others.map(|pod| format!("pod {}: {}", pod.name, why_not(pod))).collect();
    let absent = wanted.saturating_sub(seen.observed.pods.len());
    if absent > 0 {
        why.push(format!("{absent} not there yet"));
    }
    (!why.is_empty()).then(|| format!("{serving} of {wanted} pods serve: {}", why.join("; ")))
}

fn why_not(pod: &ObservedPod) -> String {
    match (&pod.problem, &pod.status) {
        (Some((_, message)), _) => message.clone(),
        (None, Err(silence)) => silence.to_string(),
        (None, Ok(report)) if !report.awaiting.is_empty() => report.awaiting.join("; "),
        (None, Ok(_)) => "the kubelet does not find it ready".to_owned(),
    }
}

/// Two pods of one node must have one payload store.
pub(super) fn other_store(observed: &Observed) -> Option<String> {
    let stores = observed.pods.iter().filter_map(|pod| {
        let store = pod.status.as_ref().ok()?.payload_store.as_ref()?;
        Some((&pod.name, &store.id))
    });
    let stores: Vec<_> = stores.collect();
    let (first, id) = stores.first()?;
    let (other, other_id) = stores.iter().find(|(_, other)| other != id)?;
    Some(format!(
        "pods {first} and {other} have two payload stores, {id} and {other_id}: the hosts of the connection string must be servers of one cluster"
    ))
}
