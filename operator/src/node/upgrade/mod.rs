//! Which image a node gets, and whether it goes back to the one before. Pure, but for `facts`.
//!
//! ```text
//! spec names another image ──► a pod has run it? ──► canary: the first node by name that serves ──► the others, when a node
//!                                                     │                                             was ready for `observe`
//!                                                     ▼ not ready within `progressDeadline`
//!          image rejected for the network ◄── the image with which the node served comes back
//! ```
//!
//! What is decided, and why:
//!
//! - **Where the memory is.** Annotation [`record::UPGRADE`] of the StatefulSet holds image, time, the good image and the
//!   rejected ones. The same PUT changes the template and the annotation, so the two never differ, whenever the operator dies.
//!   `status.images` holds what is observed: the image with which the node was ready last. Status also shows the rejected images, so
//!   that they outlive the StatefulSet. Nothing hangs on a UID. Where both are lost there is nothing to go back to.
//! - **An image has served** once the kubelet found the node ready with it. From then on a failure is no longer the upgrade's.
//! - **A rollback is a repair**: the node does not serve, so neither the store nor the budget holds the write.
//! - **Rejected** is an image by digest, for all nodes of the network, until the node that rejected it is restarted
//!   (`spec.restartTrigger` grows) or deleted. Neither a restart of the operator nor a spec that comes and goes has it tried again.
//! - **Whose failure it is.** A pod without a machine, a volume or a container tells nothing of its image. A node that answers
//!   and says that it awaits the secret store fails by the store, and the image before could not start either: nothing is
//!   rejected, and the node has a minute from the store's return. A container that ends, an image that cannot be pulled and a node
//!   that hangs go back also while the store is down; a rejection that the store caused is taken back by a restart.
//! - **Formats on disk.** The pod that tries an image reports the format that it writes (`tessera_node_api::image_report`); a node reports its
//!   own. The record keeps the newest format that programs since the good image may have written. A node goes back only if the
//!   good image reads that; what is not known counts as not readable, unless the image was never started.

pub mod canary;
pub mod facts;
pub mod record;

use jiff::{SignedDuration, Timestamp};

use record::{Record, Rejection, same_digest};

/// How long a node may take to become ready once it has the secret store again. A container that is restarted meets the store anew,
/// so the whole deadline would never end.
const AFTER_STORE: SignedDuration = SignedDuration::from_mins(1);
/// How soon after the change the pod of a new image is made: an older one may have had predecessors that wrote.
const FIRST_POD_WITHIN: SignedDuration = SignedDuration::from_mins(1);

/// What is known of a node's images.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// What the workload carries.
    pub record: Option<Record>,
    /// The image in the workload's template; `None`: there is no workload, or the image is not known.
    pub current: Option<String>,
    /// The image with which the node was ready last.
    pub served: Option<String>,
    /// The format of the program that served.
    pub served_format: Option<u32>,
    /// What other nodes of the network rejected: the node, and why.
    pub rejected_elsewhere: Vec<(String, Rejection)>,
    /// How the pod is.
    pub pod: PodState,
}

/// How a pod is, as far as its image may be the cause.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PodState {
    /// Nothing can be said of its image: no pod, or one that waits for something else.
    #[default]
    Unknown,
    /// The kubelet finds a pod ready that has this image.
    Ready(String),
    /// A pod with this image does not become ready.
    Failing(Failure),
}

/// How a pod fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The image.
    pub image: String,
    /// In the kubelet's or the node's words.
    pub message: String,
    /// When the pod was made, if none of its containers was ever started.
    pub never_started: Option<Timestamp>,
    /// Since when the node has the secret store, if the node says so.
    pub store_back_at: Option<Timestamp>,
}

/// What the network's spec says of rollouts.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a node may take to become ready with another image.
    pub progress_deadline: SignedDuration,
    /// Whether it gets the image before it back.
    pub auto_rollback: bool,
}

/// The image that the node is to have, and what there is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The image that the spec names.
    pub wanted: String,
    /// The image that the node is to have.
    pub image: String,
    /// How the spec's image did.
    pub outcome: Outcome,
}

/// How the image that the spec names did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing speaks against it.
    Good,
    /// This node did not become ready with it, and has the image before.
    RolledBack(Rejection),
    /// Another node did not become ready with it: this one keeps what it has.
    RejectedBy {
        /// Which.
        node: String,
        /// How.
        rejection: Rejection,
    },
    /// The node does not become ready with it, and the image before it may not read what it wrote.
    CannotRollBack {
        /// How it fails.
        message: String,
        /// The image before.
        good: String,
    },
    /// The node does not become ready with it, and no image comes back.
    Failed {
        /// How it fails.
        message: String,
    },
}

/// Chooses the image of a node whose spec names `wanted` and has this restart trigger.
pub fn choose(wanted: &str, trigger: i64, facts: &Facts, limits: Limits, now: Timestamp) -> Choice {
    let choice =
        |image: &str, outcome| Choice { wanted: wanted.to_owned(), image: image.to_owned(), outcome };
    let record = facts.record.as_ref();
    if let Some(rejection) = record.and_then(|record| record.rejection(wanted, trigger)) {
        let kept = facts.other_than(wanted).unwrap_or(wanted);
        return choice(kept, Outcome::RolledBack(rejection.clone()));
    }
    let runs_it = facts.current.as_deref().is_some_and(|current| same_digest(current, wanted));
    let elsewhere = facts.rejected_elsewhere.iter().find(|(_, it)| same_digest(&it.image, wanted));
    if let Some((node, rejection)) = elsewhere.filter(|_| !runs_it) {
        let outcome = Outcome::RejectedBy { node: node.clone(), rejection: rejection.clone() };
        return choice(facts.other_than(wanted).unwrap_or(wanted), outcome);
    }
    match record.and_then(|record| failed(record, wanted, facts, limits, now)) {
        Some((record, failure)) => judge(record, failure, trigger, limits, now, choice),
        None => choice(wanted, Outcome::Good),
    }
}

/// The record and the failure of an image that had its time.
fn failed<'f>(
    record: &'f Record,
    wanted: &str,
    facts: &'f Facts,
    limits: Limits,
    now: Timestamp,
) -> Option<(&'f Record, &'f Failure)> {
    let PodState::Failing(failure) = &facts.pod else { return None };
    let on_trial = record.image == wanted
        && failure.image == wanted
        && facts.served.as_deref().is_none_or(|served| !same_digest(served, wanted));
    let had_its_time = now.duration_since(record.since) >= limits.progress_deadline;
    let after_store = AFTER_STORE.min(limits.progress_deadline);
    let had_the_store = failure.store_back_at.is_none_or(|back| now.duration_since(back) >= after_store);
    (on_trial && had_its_time && had_the_store).then_some((record, failure))
}

fn judge(
    record: &Record,
    failure: &Failure,
    trigger: i64,
    limits: Limits,
    now: Timestamp,
    choice: impl Fn(&str, Outcome) -> Choice,
) -> Choice {
    let message = failure.message.clone();
    let Some(good) = record.good.as_deref().filter(|_| limits.auto_rollback) else {
        return choice(&record.image, Outcome::Failed { message });
    };
    let never_started = failure
        .never_started
        .is_some_and(|made| made.duration_since(record.since) <= FIRST_POD_WITHIN && record.is_first);
    if !never_started && !record.good_reads_all() {
        return choice(&record.image, Outcome::CannotRollBack { message, good: good.to_owned() });
    }
    choice(good, Outcome::RolledBack(Rejection::new(&record.image, &message, trigger, now)))
}

impl Facts {
    /// The image of a node whose spec names one that is rejected: the one that it has, if the node served with it; else the good
    /// one before that, if it reads what was written since.
    fn other_than(&self, wanted: &str) -> Option<&str> {
        let other = |image: &&str| !same_digest(image, wanted);
        let served = self.served.as_deref().filter(other);
        let current = self.current.as_deref().filter(other);
        let is_proven = |image: &&str| {
            served == Some(*image) || matches!(&self.pod, PodState::Ready(ready) if ready == *image)
        };
        let readable = self.record.as_ref().filter(|record| record.good_reads_all());
        let good = readable.and_then(|record| record.good.as_deref()).filter(other);
        current.filter(is_proven).or(good).or(current).or(served)
    }
}

impl Choice {
    /// The image is rejected, and no other is known that the node could have: nothing is made of it.
    pub fn is_held(&self) -> bool {
        let is_rejected = matches!(self.outcome, Outcome::RejectedBy { .. } | Outcome::RolledBack(_));
        is_rejected && same_digest(&self.image, &self.wanted)
    }
}

#[cfg(test)]
mod tests;
