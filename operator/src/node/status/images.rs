//! [pure] What the status says of a node's images.

use tessera_crds::TesseraNode;
use tessera_crds::api::images::ImagesStatus;
use tessera_crds::condition::Reason;

use super::Seen;
use crate::node::resolve::Resolved;
use crate::node::upgrade::record::Record;
use crate::node::upgrade::{Choice, Outcome};

/// The image with which the node was ready last, and those that it rejected.
pub(super) fn images(object: &TesseraNode, seen: &Seen<'_>) -> Option<ImagesStatus> {
    let before = object.status.as_ref().and_then(|status| status.images.clone()).unwrap_or_default();
    let ready = seen.observed.pods.iter().find(|pod| pod.ready).and_then(|pod| pod.image.clone());
    let workload = seen.applied.stateful_set.as_ref();
    let trigger = object.spec.restart_trigger;
    let images = ImagesStatus {
        served: ready.or(before.served),
        rejected: match workload {
            Some(workload) => {
                Record::of(&workload.metadata).map(|record| record.shown(trigger)).unwrap_or_default()
            }
            None => before.rejected,
        },
    };
    (images != ImagesStatus::default()).then_some(images)
}

/// An image that only a person can get into use.
pub(super) fn stalled(node: &Resolved) -> Option<(Reason, String)> {
    let wanted = &node.upgrade.wanted;
    let again = format!(
        "name another image, or have this one tried again: kubectl tessera restart {} -n {}",
        node.name, node.owner.namespace
    );
    match &node.upgrade.outcome {
        Outcome::Good | Outcome::RejectedBy { .. } => None,
        Outcome::RolledBack(rejection) => Some((
            Reason::ImageRolledBack,
            format!(
                "the node did not become ready with image {wanted} within rollout.progressDeadline: {}; since {} the node has image {} again, and no node of the network gets the other: {again}",
                rejection.message, rejection.at, node.image
            ),
        )),
        Outcome::CannotRollBack { message, good } => Some((
            Reason::CannotRollBack,
            format!(
                "the node does not become ready with image {wanted} within rollout.progressDeadline: {message}; it does not go back to {good}, which may not read the format on disk that the other writes: name a newer image"
            ),
        )),
        Outcome::Failed { message } => Some((
            Reason::ProgressDeadlineExceeded,
            format!(
                "the node does not become ready with image {wanted} within rollout.progressDeadline: {message}; name another image (the network allows no rollback, or no image has served before)"
            ),
        )),
    }
}

/// Why the node keeps its image: another node of the network rejected the one that the spec names.
pub(in crate::node) fn why_held(choice: &Choice) -> Option<String> {
    let Outcome::RejectedBy { node, rejection } = &choice.outcome else { return None };
    Some(format!(
        "image {} waits: node {node} did not become ready with it: {}; name another image, or have it tried again: kubectl tessera restart {node}",
        choice.wanted, rejection.message
    ))
}

/// How the last upgrade failed, for the checklist.
pub(super) fn failed_upgrade(node: &Resolved) -> Option<String> {
    stalled(node).map(|(_, message)| message).or_else(|| why_held(&node.upgrade))
}
