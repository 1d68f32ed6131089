//! What a StatefulSet carries of its node's images. Pure.

use jiff::Timestamp;
use kube::api::ObjectMeta;
use serde::{Deserialize, Serialize};
use tessera_crds::api::images::{ImagesStatus, RejectedImage};
use tessera_node_api::image_report::FIRST_FORMAT;

use super::{Choice, Facts, Outcome, PodState};
use crate::report::error::one_line;

/// Annotation of a StatefulSet: a [`Record`] as JSON.
pub const UPGRADE: &str = "tessera.rs/image-upgrade";
/// How many rejected images are remembered: the newest.
const MAX_REJECTED: usize = 8;
/// How much is kept of how an image failed.
const MESSAGE_LIMIT: usize = 500;

/// The image of a workload, and the one before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The image in the template.
    pub image: String,
    /// Since when.
    pub since: Timestamp,
    /// Whether the node served when it got the image: then the others of the network wait for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub canary: bool,
    /// The image with which the node served before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good: Option<String>,
    /// The newest format that the good image reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good_format: Option<u32>,
    /// The newest format that programs since the good one may have written; absent: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrote: Option<u32>,
    /// Whether no other image came between the good one and this.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_first: bool,
    /// Images with which the node did not become ready; the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Rejection>,
}

/// An image with which a node did not become ready in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// The image.
    pub image: String,
    /// When the node got the image before it back.
    pub at: Timestamp,
    /// How it failed.
    pub message: String,
    /// The restart trigger of the node then.
    pub restart_trigger: i64,
}

impl Rejection {
    /// One of now.
    pub fn new(image: &str, message: &str, restart_trigger: i64, now: Timestamp) -> Self {
        // Whole seconds, as the API has them.
        let at = Timestamp::from_second(now.as_second()).unwrap_or(now);
        Self { image: image.to_owned(), at, message: one_line(message, MESSAGE_LIMIT), restart_trigger }
    }

    /// Whether it counts for a node with this trigger: a person who restarts the node has the image tried again.
    pub fn counts(&self, trigger: i64) -> bool {
        trigger <= self.restart_trigger
    }
}

impl Record {
    /// The record in the annotation; what cannot be read was written by nobody of ours.
    pub fn of(metadata: &ObjectMeta) -> Option<Self> {
        serde_json::from_str(metadata.annotations.as_ref()?.get(UPGRADE)?).ok()
    }

    /// What outlived the workload in the node's status.
    pub fn of_status(images: &ImagesStatus) -> Option<Self> {
        let rejected: Vec<_> = images.rejected.iter().filter_map(rejection).collect();
        let newest = rejected.last()?.at;
        let image = images.served.clone().unwrap_or_default();
        Some(Self { rejected, ..Self::plain(image, newest) })
    }

    fn plain(image: String, since: Timestamp) -> Self {
        Self {
            image,
            since,
            canary: false,
            good: None,
            good_format: None,
            wrote: None,
            is_first: false,
            rejected: Vec::new(),
        }
    }

    /// As the annotation holds it.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers serialise")
    }

    /// Why `image` is rejected.
    pub fn rejection(&self, image: &str, trigger: i64) -> Option<&Rejection> {
        self.rejected.iter().find(|it| same_digest(&it.image, image) && it.counts(trigger))
    }

    /// Whether the good image reads whatever was written since.
    pub fn good_reads_all(&self) -> bool {
        // Every program reads the first format.
        self.wrote.is_some_and(|wrote| wrote <= self.good_format.unwrap_or(FIRST_FORMAT))
    }

    /// As the status shows it.
    pub fn shown(&self, trigger: i64) -> Vec<RejectedImage> {
        let counts = self.rejected.iter().filter(|it| it.counts(trigger));
        counts
            .map(|it| RejectedImage {
                image: it.image.clone(),
                at: it.at.to_string().into(),
                message: it.message.clone(),
                restart_trigger: it.restart_trigger,
            })
            .collect()
    }
}

fn rejection(shown: &RejectedImage) -> Option<Rejection> {
    Some(Rejection {
        image: shown.image.clone(),
        at: shown.at.parse().ok()?,
        message: shown.message.clone(),
        restart_trigger: shown.restart_trigger,
    })
}

/// The record that a write of `choice` carries. `format`: what its image writes, if that is known.
pub fn next(
    choice: &Choice,
    facts: &Facts,
    trigger: i64,
    format: Option<u32>,
    now: Timestamp,
) -> Option<Record> {
    let before = facts.record.as_ref();
    let rejected = rejected(before, &choice.outcome, trigger);
    if facts.current.as_ref() == Some(&choice.image) {
        let kept = before.cloned().map(|record| Record { rejected: rejected.clone(), ..record });
        return kept.filter(|record| record.image == choice.image);
    }
    let whole_second = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let mut record = Record { rejected, ..Record::plain(choice.image.clone(), whole_second) };
    if matches!(choice.outcome, Outcome::RolledBack(_)) {
        return Some(record);
    }
    let serving = match &facts.pod {
        PodState::Ready(image) => Some(image),
        _ => None,
    };
    record.canary = serving.is_some();
    let unproven = before.filter(|before| {
        serving.is_none() && before.good.is_some() && facts.served.as_ref() != Some(&before.image)
    });
    if let Some(before) = unproven {
        record.good.clone_from(&before.good);
        record.good_format = before.good_format;
        record.wrote = before.wrote.zip(format).map(|(before, now)| before.max(now));
    } else if let Some(good) = serving.or(facts.served.as_ref()) {
        record.good = Some(good.clone());
        record.good_format = facts.served_format;
        record.wrote = format;
        record.is_first = true;
    }
    if record.good.as_deref().is_some_and(|good| same_digest(good, &choice.image)) {
        (record.good, record.good_format, record.wrote, record.is_first) = (None, None, None, false);
    }
    (facts.current.is_some() || record.good.is_some() || !record.rejected.is_empty()).then_some(record)
}

fn rejected(before: Option<&Record>, outcome: &Outcome, trigger: i64) -> Vec<Rejection> {
    let before = before.map(|record| record.rejected.clone()).unwrap_or_default();
    let mut all: Vec<_> = before.into_iter().filter(|it| it.counts(trigger)).collect();
    if let Outcome::RolledBack(new) = outcome
        && !all.iter().any(|it| same_digest(&it.image, &new.image))
    {
        all.push(new.clone());
    }
    all.drain(..all.len().saturating_sub(MAX_REJECTED));
    all
}

/// Whether two images are the same by digest, from whatever registry.
pub fn same_digest(a: &str, b: &str) -> bool {
    let digest =
        |image: &str| image.rsplit_once('@').map_or(image.to_owned(), |(_, digest)| digest.to_owned());
    digest(a) == digest(b)
}
