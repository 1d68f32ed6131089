//! [pure] What a person wants to know of a node, at the moment it becomes so.

use k8s_openapi::api::apps::v1::StatefulSet;
use tessera_crds::TesseraNodeStatus;
use tessera_crds::api::node::{KeyState, KeyStatus};
use tessera_crds::condition::{ConditionType, Reason};
use tessera_pki::policy::Reason as Renewal;

use super::apply::Applied;
use super::resolve::Resolved;
use crate::backup::custodians::listed;
use crate::checklist::{enforce, summary};
use crate::kube::drift::Drift;
use crate::kube::events::EventRecord;
use crate::kube::object_id::ObjectId;
use crate::kube::writer::Outcome;
use crate::report::conditions::find;

/// Of what was written: the first creation, what was put back, a volume that was there before, certificates.
pub(super) fn of_writes(node: &Resolved, applied: &Applied) -> Vec<EventRecord> {
    let mut records = Vec::new();
    for (object, outcome) in &applied.written {
        match outcome {
            Outcome::Created if object.is_a::<StatefulSet>() => {
                records.push(EventRecord::normal("Created", format!("{object} was created")));
            }
            Outcome::Replaced(drift @ (Drift::Changed(_) | Drift::Added(_))) if !is_renewal(node, object) => {
                let text = format!("{object} was put back: {drift}");
                records.push(EventRecord::warning("DriftCorrected", text));
            }
            _ => {}
        }
    }
    if let Some(claim) = &applied.kept_volume {
        let text =
            format!("volume claim {claim} was there before and is used again, with the payloads in it");
        records.push(EventRecord::normal("VolumeKept", text));
    }
    records.extend(certificates(node, applied));
    records
}

fn address_changed(before: &TesseraNodeStatus, after: &TesseraNodeStatus) -> Option<EventRecord> {
    let (before, after) = (&before.endpoints.as_ref()?.p2p, &after.endpoints.as_ref()?.p2p);
    let note = || format!("the node announces {after} to other transaction managers, and no longer {before}");
    (before != after).then(|| EventRecord::normal("AddressChanged", note()))
}

fn is_renewal(node: &Resolved, object: &ObjectId) -> bool {
    node.leaves().any(|leaf| leaf.reissued.is_some() && leaf.secret == *object)
}

fn certificates(node: &Resolved, applied: &Applied) -> Vec<EventRecord> {
    let record = |leaf: &crate::issue::leaf::Leaf| {
        let (secret, end) = (&leaf.secret, leaf.certificate.not_after());
        Some(match leaf.reissued.as_ref()? {
            Renewal::Missing => {
                EventRecord::normal("CertificateIssued", format!("{secret} holds a certificate until {end}"))
            }
            Renewal::RenewalDue { .. } | Renewal::LifetimeReduced { .. } => {
                EventRecord::normal("CertificateRenewed", format!("{secret} holds a certificate until {end}"))
            }
            why => EventRecord::warning("CertificateReplaced", format!("{secret}: {why}")),
        })
    };
    node.leaves().filter(|leaf| applied.wrote(&leaf.secret)).filter_map(record).collect()
}

/// Of a change of status: keys that were generated, readiness gained or lost, lines of the checklist that changed.
pub(super) fn of_transition(before: &TesseraNodeStatus, after: &TesseraNodeStatus) -> Vec<EventRecord> {
    let known =
        |name: &str, version| before.keys.iter().any(|key| key.name == name && key.version == version);
    let generated = after.keys.iter().filter(|key| !known(&key.name, key.version)).map(|key| {
        let note = format!("version {} of key {} is {}", key.version, key.name, key.public_key);
        if key.imported == Some(true) {
            return EventRecord::normal("KeyImported", format!("{note}, imported"));
        }
        EventRecord::normal("KeyReady", note)
    });
    let checklist = summary::events(before.checklist.as_ref(), after.checklist.as_ref());
    generated
        .chain(archived(before, after))
        .chain(rolled_back(before, after))
        .chain(address_changed(before, after))
        .chain(readiness(before, after))
        .chain(loss_accepted(before, after))
        .chain(custodians_changed(before, after))
        .chain(enforce::events(&before.held, &after.held))
        .chain(checklist)
        .collect()
}

/// Versions that were archived just now.
fn archived(before: &TesseraNodeStatus, after: &TesseraNodeStatus) -> Vec<EventRecord> {
    let was = |key: &KeyStatus| {
        let before = before.keys.iter().find(|old| old.name == key.name && old.version == key.version);
        before.is_none_or(|old| old.state == KeyState::Archived)
    };
    let new = after.keys.iter().filter(|key| key.state == KeyState::Archived && !was(key));
    new.map(|key| {
        let note = format!(
            "version {} of key {}, {}, takes part in nothing new: it reads what it has received",
            key.version, key.name, key.public_key
        );
        EventRecord::normal("KeyArchived", note)
    })
    .collect()
}

/// Those who can open the backups of its keys are others than before.
fn custodians_changed(before: &TesseraNodeStatus, after: &TesseraNodeStatus) -> Option<EventRecord> {
    let of = |status: &TesseraNodeStatus| {
        let all = status.key_backup.iter().flat_map(|backup| &backup.custodians);
        all.map(|one| (one.name.clone(), one.age.clone())).collect::<Vec<_>>()
    };
    let (before, after) = (of(before), of(after));
    let names: Vec<_> = after.iter().map(|(name, _)| name.as_str()).collect();
    (before != after).then(|| {
        let note = format!("backups of the node's keys are sealed to {}", listed(&names));
        EventRecord::warning("CustodiansChanged", note)
    })
}

/// An image that was rejected just now.
fn rolled_back(before: &TesseraNodeStatus, after: &TesseraNodeStatus) -> Vec<EventRecord> {
    let known = before.images.as_ref().map(|images| images.rejected.as_slice()).unwrap_or_default();
    let now = after.images.iter().flat_map(|images| &images.rejected);
    let new = now.filter(|it| !known.iter().any(|known| known.image == it.image && known.at == it.at));
    new.map(|it| {
        let note = format!("image {} was taken back: {}", it.image, it.message);
        EventRecord::warning(Reason::ImageRolledBack.as_str(), note)
    })
    .collect()
}

/// The same store has lost others, and no longer waits for them.
fn loss_accepted(before: &TesseraNodeStatus, after: &TesseraNodeStatus) -> Option<EventRecord> {
    let (before, after) = (before.payload_store.as_ref()?, after.payload_store.as_ref()?);
    let accepted = before.id == after.id && !before.lost.is_empty() && after.lost.is_empty();
    accepted.then(|| {
        let note = format!(
            "payload store {} goes on without the payloads of {}: those are not found from now on",
            after.id,
            before.lost.join(" and ")
        );
        EventRecord::warning("LossAccepted", note)
    })
}

fn readiness(before: &TesseraNodeStatus, after: &TesseraNodeStatus) -> Option<EventRecord> {
    let now = find(&after.conditions, ConditionType::Ready)?;
    let then = find(&before.conditions, ConditionType::Ready);
    if then.is_some_and(|then| then.status == now.status && then.reason == now.reason) {
        return None;
    }
    if now.status == "True" {
        return Some(EventRecord::normal("Ready", now.message.clone()));
    }
    // Of what is held back each change is an Event of its own.
    let expected = [
        Reason::Starting,
        Reason::NetworkNotReady,
        Reason::Paused,
        Reason::ScaledToZero,
        Reason::ChecklistHeld,
    ];
    let reason: Reason = now.reason.parse().ok()?;
    if expected.contains(&reason) {
        return None;
    }
    Some(EventRecord::warning(reason.as_str(), now.message.clone()))
}
