//! `ImmutableUpgrades`: what runs is exactly the image that the spec names by digest, and it is not too old. Pure.
//!
//! - Enforced by: images by digest alone, and a read-only root.
//! - Observed by: the kubelet, which says what runs; the node, which says when it was built; the operator, which knows how the
//!   last upgrade ended.

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use tessera_crds::checklist::{Line, Observer};
use tessera_node_api::admin;

use super::facts::{NodeFacts, PodFacts};
use super::finding::Finding;
use super::{EVIDENCE_LASTS, NetworkLine, NodeLine, nodes};

pub(super) const OF_NODE: NodeLine =
    NodeLine { id: Line::ImmutableUpgrades, evidence_lasts: EVIDENCE_LASTS, judge: of_node };
pub(super) const OF_NETWORK: NetworkLine = NetworkLine {
    id: Line::ImmutableUpgrades,
    evidence_lasts: EVIDENCE_LASTS,
    judge: |facts, now| nodes::worst(facts, Line::ImmutableUpgrades, now),
};

fn of_node(facts: &NodeFacts, now: Timestamp) -> Finding {
    if let Some(why) = &facts.failed_upgrade {
        let remedy = "name an image that runs, or have this one tried again: kubectl tessera restart, for the node that is named";
        return Finding::violated("UpgradeFailed", Observer::Operator, why.clone(), remedy);
    }
    match facts.is_rolled_out {
        _ if facts.upgrade_waits => Finding::unknown(
            "RolloutWaiting",
            "a change of the pod waits for its turn",
            "kubectl describe the TesseraNode: Reconciling says what the change waits for",
        ),
        Some(true) => facts.worst_pod(|pod| of_pod(facts, pod, now)),
        Some(false) => {
            Finding::unknown("RolloutInProgress", "a change of the pod is going out", "wait for the rollout")
        }
        None => {
            Finding::unknown("NoWorkload", "there is no StatefulSet yet", "kubectl describe the TesseraNode")
        }
    }
}

fn of_pod(facts: &NodeFacts, pod: &PodFacts, now: Timestamp) -> Finding {
    let Some(runs) = pod.image_id.as_deref().and_then(digest) else { return pod.silent() };
    let Some(wanted) = digest(&facts.image) else {
        let remedy = "name the image by digest in spec.image or in nodeDefaults.image of the network";
        return Finding::unknown("NoDigest", "the spec names no digest", remedy);
    };
    if runs != wanted {
        let what = format!("pod {} runs {runs}, and the spec names {wanted}", pod.name);
        let remedy = "find out what changed the pod's image (a mutating webhook, a runtime's mirror), and restart the pod";
        return Finding::violated("OtherImage", Observer::ApiServer, what, remedy);
    }
    let Some(report) = &pod.report else { return pod.silent() };
    let Some(built) = built_on(report) else {
        let remedy = "use an image that hack/image built: it says its day";
        return Finding::enforced(
            "AgeUnknown",
            format!("it runs {wanted}, and says not when it was built"),
            remedy,
        );
    };
    if now.duration_since(built) > facts.max_image_age {
        let what = format!("pod {} runs an image that was built on {}", pod.name, day(built));
        let remedy =
            "upgrade: set the digest of a newer image, or raise checklist.maxImageAge of the network";
        return Finding::violated("ImageTooOld", Observer::Node, what, remedy);
    }
    Finding::verified(Observer::ApiServer, format!("it runs {wanted}, built on {}", day(built)))
}

fn digest(image: &str) -> Option<&str> {
    image.rsplit_once('@').map(|(_, digest)| digest).filter(|digest| digest.starts_with("sha256:"))
}

/// The start of the day on which the node was built; a day that is to come proves nothing.
fn built_on(report: &admin::Status) -> Option<Timestamp> {
    let day: Date = report.built_on.as_deref()?.parse().ok()?;
    let built = day.to_zoned(TimeZone::UTC).ok()?.timestamp();
    let started: Timestamp = report.started_at.parse().ok()?;
    (built.duration_since(started) <= SignedDuration::ZERO).then_some(built)
}

fn day(time: Timestamp) -> Date {
    time.to_zoned(TimeZone::UTC).date()
}
