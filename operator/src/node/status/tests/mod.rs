//! One test for each reason of each condition of a node.

mod exposure;
mod images;
mod imports;
mod key_backup;
mod keys;
mod pods;
mod replicas;
mod volumes;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::{Value, json};
use tessera_node_api::admin::{self, DependencyStatus};

use super::*;
use crate::fixtures::{ISSUED, inputs, node, node_json, now, report_of_a_ready_node, settings};
use crate::issue::leaf::StoredLeaf;
use crate::kube::object_id::ObjectId;
use crate::kube::writer::Outcome;
use crate::node::events::of_transition;
use crate::node::inputs::Inputs;
use crate::node::observe::{EventCause, Silence, Workload};
use crate::node::resolve::resolve;
use crate::report::conditions::find;

struct World {
    object: Value,
    holds: Holds,
    applied: Applied,
    observed: Observed,
}

/// A node that is ready.
fn ready() -> World {
    let object = node_json("node-a");
    let pod = ObservedPod {
        name: "tessera-node-a-0".into(),
        image: Some("registry/tessera-node@sha256:0".into()),
        image_id: Some("registry/tessera-node@sha256:0".into()),
        ready: true,
        problem: None,
        status: Ok(report_of_a_ready_node()),
        clock_skew: None,
        stranger: None,
    };
    let observed = Observed {
        workload: Some(Workload { replicas: 1, ready_replicas: 1, up_to_date: true }),
        pods: vec![pod],
        volume: ObservedVolume::Bound { reclaim_policy: "Retain".into() },
        volumes: Vec::new(),
        attestations: Vec::new(),
        foreign_policies: Vec::new(),
        load_balancer: None,
        dedicated_machines: None,
        backup: crate::backup::memory::ObservedBackup::default(),
        events: EventCause::NotNeeded,
    };
    let written = vec![(ObjectId::of::<Secret>("org-a", "node-a-tls"), Outcome::Created)];
    World { object, holds: Holds::default(), applied: Applied { written, ..Applied::default() }, observed }
}

impl World {
    fn status(self) -> TesseraNodeStatus {
        self.status_upon(&inputs())
    }

    fn status_upon(mut self, inputs: &Inputs) -> TesseraNodeStatus {
        let object = node(self.object.clone());
        let resolved = resolve(&object, inputs, &settings()).unwrap();
        for pod in &mut self.observed.pods {
            if let Ok(report) = &mut pod.status
                && let Some(served) = &mut report.certificate
                && served.fingerprint == ISSUED
            {
                served.fingerprint = resolved.tls.certificate.fingerprint().to_owned();
            }
        }
        let before = object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        of_seen(
            &object,
            &Seen {
                node: &resolved,
                holds: &self.holds,
                applied: &self.applied,
                observed: &self.observed,
                now: now(),
                before: find(before, ConditionType::Ready),
            },
        )
    }

    fn report(&mut self) -> &mut admin::Status {
        self.observed.pods[0].status.as_mut().unwrap()
    }

    fn silent(mut self) -> Self {
        self.observed.pods[0].status = Err(Silence::NoAnswer("the node does not answer".into()));
        self
    }

    fn not_ready(mut self) -> Self {
        self.observed.pods[0].ready = false;
        self
    }
}

fn reason(status: &TesseraNodeStatus, type_: ConditionType) -> String {
    let condition = find(&status.conditions, type_).expect("the condition is there");
    format!("{} {}", condition.status, condition.reason)
}

#[test]
fn a_node_that_serves_is_ready_in_every_way() {
    let status = ready().status();
    assert_eq!(reason(&status, ConditionType::Ready), "True Ready");
    assert_eq!(reason(&status, ConditionType::KeysReady), "True Ready");
    assert_eq!(reason(&status, ConditionType::CertificatesServed), "True Served");
    assert_eq!(reason(&status, ConditionType::DataProtected), "True Protected");
    assert!(find(&status.conditions, ConditionType::Reconciling).is_none());
    assert!(find(&status.conditions, ConditionType::Stalled).is_none());
    assert_eq!(status.default_key.as_deref(), Some("public-key-of-version-2"));
    assert_eq!(status.keys.len(), 2);
}

#[test]
fn a_status_made_of_itself_is_itself() {
    // One leaf for both: each resolve would issue another.
    let mut inputs = inputs();
    let leaf = resolve(&node(node_json("node-a")), &inputs, &settings()).unwrap().tls;
    let version = kube::api::ObjectMeta { resource_version: Some("7".into()), ..Default::default() };
    inputs.secrets.insert(leaf.secret.clone(), StoredLeaf::Known(leaf.known_in(&version)));
    let status = ready().status_upon(&inputs);
    assert!(status.certificate.is_some() && status.pods[0].served_fingerprint.is_some());
    let mut second = ready();
    second.object["status"] = serde_json::to_value(&status).unwrap();
    let again = second.status_upon(&inputs);
    assert_eq!(again, status);
}

fn held(widening: crate::node::hold::Widening) -> World {
    use crate::checklist::enforce::{Gate, Gates, HoldingLine};
    let line = HoldingLine {
        id: tessera_crds::checklist::Line::HardwareKeys,
        result: tessera_crds::checklist::LineResult::Violated,
        reason: "SoftwareSeal".into(),
        remedy: "migrate".into(),
        others: 0,
    };
    let gate = Gate::Held(line);
    World { holds: Holds::of(vec![widening], &Gates::one(gate.clone()), &Gates::one(gate), true), ..ready() }
}

#[test]
fn a_change_that_is_held_makes_a_node_that_serves_unready_and_is_one_event() {
    let client = || held(crate::node::hold::Widening::Client("b".into()));
    let status = client().status();
    assert_eq!(reason(&status, ConditionType::Ready), "False ChecklistHeld");
    let message = &find(&status.conditions, ConditionType::Ready).unwrap().message;
    assert!(message.contains("HardwareKeys") && message.contains("migrate"), "{message}");
    assert!(find(&status.conditions, ConditionType::Reconciling).is_none(), "nobody works at it");
    assert_eq!(status.held[0].field, "spec.clients[b]");
    let reported = |before: &TesseraNodeStatus, after: &TesseraNodeStatus| {
        let events = of_transition(before, after).into_iter();
        events
            .filter(|event| event.reason.starts_with("Checklist"))
            .map(|event| event.reason)
            .collect::<Vec<_>>()
    };
    let without = ready().status();
    assert_eq!(reported(&without, &status), ["ChecklistHeld"]);
    assert_eq!(reported(&status, &status), [""; 0]);
    assert_eq!(reported(&status, &without), ["ChecklistReleased"]);
    // What ends service is said first.
    let failing = client().not_ready().silent().status();
    assert_eq!(reason(&failing, ConditionType::Ready), "False Starting");
    assert_eq!(failing.held.len(), 1);
}

#[test]
fn a_new_node_that_is_held_has_nothing_and_says_so() {
    let mut world = held(crate::node::hold::Widening::Node);
    (world.applied, world.observed) = (Applied::default(), Observed::default());
    let status = world.status();
    assert_eq!(reason(&status, ConditionType::Ready), "False ChecklistHeld");
    assert!(find(&status.conditions, ConditionType::Reconciling).is_none());
    assert_eq!((status.held[0].field.as_str(), status.certificate), ("spec", None));
    let lines = status.checklist.unwrap().lines;
    assert!(
        lines
            .iter()
            .all(|line| !line.result.is_satisfied() || line.id == tessera_crds::checklist::Line::KeyRotation),
        "{lines:?}"
    );
}

#[test]
fn failures_of_writing_are_told_apart() {
    let with = |failure| {
        let mut world = ready();
        world.applied.failures.push(failure);
        world.status()
    };
    let object = || ObjectId::of::<Service>("org-a", "node-a");
    let conflict = with(WriteError::NameConflict { object: object(), controller: None });
    assert_eq!(reason(&conflict, ConditionType::Ready), "False NameConflict");
    assert_eq!(reason(&conflict, ConditionType::Stalled), "True NameConflict");
    assert!(find(&conflict.conditions, ConditionType::Reconciling).is_none(), "it is stalled");
    let invalid = with(WriteError::Invalid { object: object(), message: "m".into() });
    assert_eq!(reason(&invalid, ConditionType::Ready), "False InvalidConfiguration");
    assert_eq!(reason(&invalid, ConditionType::Stalled), "True InvalidConfiguration");
    let denied = with(WriteError::PermissionDenied { verb: "create", object: object(), message: "m".into() });
    assert_eq!(reason(&denied, ConditionType::Ready), "False PermissionDenied");
    // The API server being away for a moment makes no node unready.
    let api = with(WriteError::Api { verb: "get", object: object(), message: "m".into() });
    assert_eq!(reason(&api, ConditionType::Ready), "True Ready");
    assert_eq!(reason(&api, ConditionType::Reconciling), "True Progressing");
}

#[test]
fn a_starting_node_says_what_it_awaits() {
    let status = ready().silent().not_ready().status();
    assert_eq!(reason(&status, ConditionType::Ready), "False Starting");
    let mut world = ready().not_ready();
    world.report().ready = false;
    world.report().awaiting = vec!["the payload store is being opened".into()];
    let status = world.status();
    assert_eq!(reason(&status, ConditionType::Ready), "False NotReady");
    assert!(find(&status.conditions, ConditionType::Ready).unwrap().message.contains("payload store"));
}

#[test]
fn a_process_that_was_started_a_moment_ago_is_starting_whatever_it_lacks() {
    let mut world = ready().not_ready();
    world.report().ready = false;
    world.report().secret_store.as_mut().unwrap().available = false;
    world.report().started_at = "2026-12-31T23:59:55Z".into();
    assert_eq!(reason(&world.status(), ConditionType::Ready), "False Starting");
}

#[test]
fn the_store_matters_to_readiness_at_the_start_only() {
    let mut starting = ready().not_ready();
    starting.report().ready = false;
    starting.report().secret_store.as_mut().unwrap().available = false;
    assert_eq!(reason(&starting.status(), ConditionType::Ready), "False StoreUnreachable");
    let mut running = ready();
    running.report().secret_store.as_mut().unwrap().available = false;
    assert_eq!(reason(&running.status(), ConditionType::Ready), "True Ready");
}

#[test]
fn a_node_whose_volume_is_full_is_not_ready_although_it_reads() {
    let mut world = ready();
    world.report().database =
        DependencyStatus { available: false, message: "the volume is full".into(), since: "then".into() };
    let status = world.status();
    assert_eq!(reason(&status, ConditionType::Ready), "False NotReady");
    assert!(find(&status.conditions, ConditionType::Ready).unwrap().message.contains("full (since then)"));
}

#[test]
fn keys_that_are_not_there_yet_are_awaited() {
    let mut world = ready();
    world.report().keys.pop();
    let status = world.status();
    assert_eq!(reason(&status, ConditionType::KeysReady), "False Waiting");
    assert!(
        find(&status.conditions, ConditionType::KeysReady).unwrap().message.contains("version 2 of key main")
    );
}

#[test]
fn another_public_key_under_a_known_version_is_a_lost_key() {
    let mut world = ready();
    let mut status = ready().status();
    status.keys[0].public_key = "what it was".into();
    world.object["status"] = serde_json::to_value(&status).unwrap();
    let status = world.status();
    assert_eq!(reason(&status, ConditionType::Ready), "False KeyMissing");
    assert_eq!(reason(&status, ConditionType::KeysReady), "False KeyMissing");
    assert_eq!(status.keys[0].public_key, "what it was");
}

#[test]
fn a_node_that_does_not_answer_is_not_said_to_serve() {
    let status = ready().silent().status();
    assert_eq!(reason(&status, ConditionType::Ready), "Unknown NodeUnreachable");
    let message = &find(&status.conditions, ConditionType::Ready).unwrap().message;
    assert!(message.contains("does not answer") && message.contains("90 s"), "{message}");
}

#[test]
fn a_node_that_does_not_answer_keeps_its_keys_in_the_status() {
    let mut world = ready().silent();
    world.object["status"] = serde_json::to_value(ready().status()).unwrap();
    let status = world.status();
    assert_eq!(status.keys.len(), 2);
    assert_eq!(reason(&status, ConditionType::KeysReady), "Unknown Waiting");
    assert_eq!(reason(&status, ConditionType::CertificatesServed), "Unknown Waiting");
}

#[test]
fn served_certificates_are_compared_with_the_issued_one() {
    let other = |not_after: &str, errors: Vec<String>| {
        let mut world = ready();
        let report = world.report();
        report.reload_errors = errors;
        let served = report.certificate.as_mut().unwrap();
        served.fingerprint = "another".into();
        served.not_after = not_after.into();
        reason(&world.status(), ConditionType::CertificatesServed)
    };
    assert_eq!(other("2027-01-02T00:00:00Z", Vec::new()), "False IssuedNotServed");
    assert_eq!(other("2027-01-02T00:00:00Z", vec!["tls.crt is not PEM".into()]), "False Garbage");
    assert_eq!(other("2026-12-31T00:00:00Z", Vec::new()), "False Expired");
}

#[test]
fn a_certificate_that_was_not_stored_changes_no_status() {
    let first = ready().status();
    let again = |paused: bool| {
        let mut world = ready();
        world.object["status"] = serde_json::to_value(&first).unwrap();
        world.object["spec"]["paused"] = json!(paused);
        world.applied.written.clear();
        if !paused {
            let object = ObjectId::of::<Secret>("org-a", "node-a-tls");
            world.applied.failures.push(WriteError::NameConflict { object, controller: None });
        }
        world.status()
    };
    // Each reconcile issues another one, which nobody has.
    assert_eq!(again(true).certificate, first.certificate);
    assert_eq!(again(false).certificate, first.certificate);
    let mut unborn = ready();
    unborn.applied.written.clear();
    assert_eq!(unborn.status().certificate, None);
}

#[test]
fn a_paused_node_says_so_and_how_it_is() {
    let mut world = ready();
    world.object["spec"]["paused"] = json!(true);
    assert_eq!(reason(&world.status(), ConditionType::Ready), "True Paused");
}

#[test]
fn a_node_without_pods_is_scaled_to_zero() {
    let mut world = ready();
    world.object["spec"]["replicas"] = json!(0);
    world.observed.pods.clear();
    assert_eq!(reason(&world.status(), ConditionType::Ready), "False ScaledToZero");
}

#[test]
fn a_change_that_waits_is_said_with_its_cause_and_the_running_template_stays_in_the_status() {
    let mut world = ready();
    world.applied.waiting = Some("node b is not back yet".into());
    let live = json!({"metadata": {"name": "a", "annotations": {TEMPLATE_REVISION: "0"}}});
    world.applied.stateful_set = Some(serde_json::from_value(live).unwrap());
    let status = world.status();
    assert_eq!(status.template_revision.as_deref(), Some("0"));
    assert_eq!(reason(&status, ConditionType::Reconciling), "True RolloutWaiting");
    let message = &find(&status.conditions, ConditionType::Reconciling).unwrap().message;
    assert!(message.contains("node b is not back yet"), "{message}");
    assert_eq!(reason(&status, ConditionType::Ready), "True Ready", "it serves meanwhile");
}

#[test]
fn a_node_of_which_somebody_keeps_changing_an_object_is_not_ready() {
    let mut world = ready();
    world
        .applied
        .failures
        .push(WriteError::Contested { object: ObjectId::of::<NetworkPolicy>("org-a", "node-a") });
    let status = world.status();
    assert_eq!(reason(&status, ConditionType::Ready), "False Contested");
    assert!(find(&status.conditions, ConditionType::Stalled).is_none(), "it is tried again");
}

#[test]
fn a_volume_that_cannot_grow_stalls_a_node_that_serves() {
    let mut world = ready();
    let object = ObjectId::of::<PersistentVolumeClaim>("org-a", "data-node-a-0");
    world.applied.cannot_grow = Some(WriteError::Invalid { object, message: "no resize".into() });
    let status = world.status();
    assert_eq!(reason(&status, ConditionType::Ready), "True Ready");
    assert_eq!(reason(&status, ConditionType::Stalled), "True InvalidConfiguration");
}

const RBAC: &str = r#"secrets "node-a-tls" is forbidden: User "o" cannot get resource "secrets""#;

#[test]
fn a_node_whose_secret_may_not_be_read_is_not_ready() {
    let refusal = |code, message: &str| {
        let status = kube::core::Status { code, message: message.into(), ..kube::core::Status::default() };
        let source = Box::new(kube::Error::Api(Box::new(status)));
        crate::controller::error::Error::ReadSecret { name: "node-a-tls".into(), source }
    };
    let mut object = node_json("node-a");
    object["status"] = serde_json::to_value(ready().status()).unwrap();
    let why = refusal(403, RBAC).unreadable().expect("a person must repair it");
    assert!(why.message.contains("node-a-tls") && why.message.contains("Role"), "{why:?}");
    let status = of_unresolved(&node(object), &Unresolved::Unreadable(why), now());
    assert_eq!(reason(&status, ConditionType::Ready), "False PermissionDenied");
    assert!(refusal(500, "no").unreadable().is_none(), "that may pass by itself");
    assert!(refusal(403, "a proxy says no").unreadable().is_none(), "that is not the operator's Role");
}

#[test]
fn a_node_without_network_keeps_its_keys_and_claims_nothing_that_nobody_looks_at() {
    let mut object = node_json("node-a");
    object["status"] = serde_json::to_value(ready().status()).unwrap();
    let why = Unresolved::NetworkNotFound("org-a".into());
    let status = of_unresolved(&node(object), &why, now());
    assert_eq!(reason(&status, ConditionType::Ready), "False NetworkNotFound");
    assert_eq!(reason(&status, ConditionType::KeysReady), "Unknown Waiting");
    assert_eq!(reason(&status, ConditionType::CertificatesServed), "Unknown Waiting");
    assert_eq!(status.keys.len(), 2);
}
