//! One test for each reason of each condition of a network.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;
use tessera_crds::api::network::CaRole;
use tessera_pki::CaState;

use super::*;
use crate::fixtures::{network, network_inputs, network_json, node, node_json};
use crate::issue::authorities::AuthoritiesError;
use crate::kube::object_id::ObjectId;
use crate::network::resolve::resolve;
use crate::report::conditions::find;

struct World {
    object: serde_json::Value,
    inputs: Inputs,
    applied: Applied,
    holds: Holds,
}

fn ready() -> World {
    World {
        object: network_json(),
        inputs: network_inputs(),
        applied: Applied::default(),
        holds: Holds::default(),
    }
}

impl World {
    fn status(self) -> TesseraNetworkStatus {
        let object = network(self.object);
        let resolved = resolve(&object, &self.inputs).unwrap();
        let seen = Seen { network: &resolved, holds: &self.holds, applied: &self.applied };
        of_seen(&object, &seen, &self.inputs)
    }

    fn with_store(mut self, store: ObservedStore) -> TesseraNetworkStatus {
        self.inputs.store = Some(store);
        self.status()
    }

    fn with_failure(mut self, failure: WriteError) -> TesseraNetworkStatus {
        self.applied.failures.push(failure);
        self.status()
    }
}

fn reason(status: &TesseraNetworkStatus, type_: ConditionType) -> String {
    let condition = find(&status.conditions, type_).expect("the condition is there");
    format!("{} {}", condition.status, condition.reason)
}

#[test]
fn a_partner_that_is_held_makes_the_network_unready_and_is_one_event() {
    use crate::checklist::enforce::{Gate, Gates, HoldingLine};
    use crate::network::hold::Widening;
    let gate = Gate::Held(HoldingLine {
        id: tessera_crds::checklist::Line::HardwareKeys,
        result: tessera_crds::checklist::LineResult::Violated,
        reason: "SoftwareSeal".into(),
        remedy: "migrate".into(),
        others: 0,
    });
    let gates = Gates::one(gate);
    let held = || World { holds: Holds::of(vec![Widening::Partner("org-b".into())], &gates), ..ready() };
    let status = held().status();
    assert_eq!(reason(&status, ConditionType::Ready), "False ChecklistHeld");
    assert!(find(&status.conditions, ConditionType::Reconciling).is_none(), "nobody works at it");
    assert_eq!((status.held[0].field.as_str(), status.partners[0].accepted), ("spec.partners[org-b]", false));
    let reported = |before: &TesseraNetworkStatus, after: &TesseraNetworkStatus| {
        let events = crate::network::events::of_transition(before, after).into_iter();
        events.map(|event| event.reason).filter(|reason| reason.starts_with("Checklist")).collect::<Vec<_>>()
    };
    let without = ready().status();
    assert_eq!(reported(&without, &status), ["ChecklistHeld"]);
    assert_eq!(reported(&status, &without), ["ChecklistReleased"]);
    // What ends service is said first.
    let mut failing = held();
    failing.inputs.store = Some(ObservedStore::State(StoreState::Sealed("sealed".into())));
    assert_eq!(reason(&failing.status(), ConditionType::Ready), "False StoreUnreachable");
    let gates = Gates::one(Gate::NotJudged);
    let waiting = World { holds: Holds::of(vec![Widening::Partner("org-b".into())], &gates), ..ready() };
    let status = waiting.status();
    assert_eq!(status.observed_generation, None, "what waits was not acted upon");
    assert_eq!(reason(&status, ConditionType::Ready), "True Ready");
    assert_eq!(reason(&status, ConditionType::Reconciling), "True Progressing");
}

#[test]
fn a_network_whose_store_and_nodes_are_well_is_ready() {
    let status = ready().status();
    assert_eq!(reason(&status, ConditionType::Ready), "True Ready");
    assert_eq!(reason(&status, ConditionType::SecretStoreReady), "True Ready");
    assert_eq!(reason(&status, ConditionType::CertificatesCurrent), "True Current");
    assert!(find(&status.conditions, ConditionType::Reconciling).is_none());
    assert!(find(&status.conditions, ConditionType::Stalled).is_none());
    assert_eq!(status.bundle_config_map.as_deref(), Some("org-a-ca"));
    let roles: Vec<_> = status.cas.iter().map(|ca| ca.role).collect();
    assert_eq!(roles, [CaRole::Network, CaRole::Admin]);
}

#[test]
fn each_state_of_the_store_has_its_reason() {
    let text = || "m".to_owned();
    for (state, expected, ready_reason) in [
        (StoreState::Sealed(text()), "False Sealed", "False StoreUnreachable"),
        (StoreState::Unreachable(text()), "False Unreachable", "False StoreUnreachable"),
        (StoreState::LoginDenied(text()), "False LoginDenied", "False LoginDenied"),
        (StoreState::NotProvisioned(text()), "False NotProvisioned", "False NotProvisioned"),
    ] {
        let status = ready().with_store(ObservedStore::State(state));
        assert_eq!(reason(&status, ConditionType::SecretStoreReady), expected);
        assert_eq!(reason(&status, ConditionType::Ready), ready_reason);
    }
    let status = ready().with_store(ObservedStore::InvalidReference(text()));
    assert_eq!(reason(&status, ConditionType::Ready), "False InvalidReference");
    assert_eq!(reason(&status, ConditionType::Stalled), "True InvalidReference");
    let status = ready().with_store(ObservedStore::PermissionDenied(text()));
    assert_eq!(reason(&status, ConditionType::Ready), "False PermissionDenied");
}

#[test]
fn a_store_that_refuses_the_client_certificate_has_the_reason_that_a_person_can_mend() {
    let reason_with = |certificate: serde_json::Value| {
        let mut world = ready();
        world.object["spec"]["secretStore"]["vault"]["clientCertificate"] = certificate;
        let status = world.with_store(ObservedStore::State(StoreState::ClientRefused("UnknownCA".into())));
        let found = find(&status.conditions, ConditionType::SecretStoreReady).unwrap().clone();
        assert_eq!(reason(&status, ConditionType::Ready), format!("False {}", found.reason));
        assert!(found.message.contains("UnknownCA"), "{}", found.message);
        (found.reason, found.message)
    };
    let (reason, message) = reason_with(serde_json::Value::Null);
    assert_eq!(reason, "ClientCertificateRequired");
    assert!(message.contains("set spec.secretStore.vault.clientCertificate"), "{message}");
    let (reason, message) =
        reason_with(serde_json::json!({"type": "SecretRef", "secretRef": {"name": "vault-client"}}));
    assert_eq!(reason, "ClientCertificateRefused");
    assert!(message.contains("Secret vault-client"), "{message}");
    let (reason, message) = reason_with(serde_json::json!({"type": "Issued"}));
    assert_eq!(reason, "ClientCANotInstalled");
    assert!(message.contains("ConfigMap org-a-ca"), "{message}");
}

#[test]
fn who_must_set_up_the_store_is_told_how() {
    let message = |state| {
        let status = ready().with_store(ObservedStore::State(state));
        find(&status.conditions, ConditionType::Ready).unwrap().message.clone()
    };
    assert_eq!(
        message(StoreState::NotProvisioned("no role".into())),
        "no role: an administrator of the store runs `kubectl tessera store-setup org-a -n org-a`"
    );
    let denied = message(StoreState::LoginDenied("no".into()));
    assert!(denied.starts_with("no; if") && denied.contains("store-setup org-a -n org-a"), "{denied}");
}

#[test]
fn nodes_are_counted() {
    let mut world = ready();
    let mut well = node_json("node-a");
    well["status"] = json!({"conditions": [{"type": "Ready", "status": "True", "reason": "Ready", "message": "",
        "lastTransitionTime": "2027-01-01T00:00:00Z"}]});
    world.inputs.nodes = vec![Arc::new(node(well)), Arc::new(node(node_json("node-b")))];
    let status = world.status();
    assert_eq!(reason(&status, ConditionType::Ready), "False NodesNotReady");
    assert_eq!(status.nodes, Some(NodeCounts { total: 2, ready: 1 }));
}

fn with_key_of(born_at: &str) -> TesseraNetworkStatus {
    let mut world = ready();
    let mut json = node_json("node-a");
    json["status"] = json!({"keys": [
        {"name": "new", "version": 1, "publicKey": "p", "state": "Default", "bornAt": "2027-01-01T00:00:00Z"},
        {"name": "main", "version": 1, "publicKey": "q", "state": "Receiving", "bornAt": born_at},
        {"name": "file", "version": 1, "publicKey": "r", "state": "Receiving"},
    ]});
    world.inputs.nodes = vec![Arc::new(node(json)), Arc::new(node(node_json("node-b")))];
    world.status()
}

/// The fixtures' CA is made at midnight.
#[test]
fn a_ca_that_is_younger_than_a_key_was_made_anew() {
    let status = with_key_of("2026-12-31T23:00:00Z");
    assert_eq!(reason(&status, ConditionType::AuthorityReplaced), "True KeysPredateAuthority");
    let message = &find(&status.conditions, ConditionType::AuthorityReplaced).unwrap().message;
    assert!(message.starts_with("key main of node-a was generated at 2026-12-31T23:00:00Z"), "{message}");
    assert!(message.ends_with("ConfigMap org-a-ca"), "{message}");
    let records = crate::network::events::of_transition(&TesseraNetworkStatus::default(), &status);
    assert_eq!(records.iter().filter(|record| record.reason == "AuthorityReplaced").count(), 1);
    assert!(crate::network::events::of_transition(&status, &status).is_empty());
}

#[test]
fn a_ca_that_is_older_than_all_keys_is_the_first() {
    for born_at in ["2027-01-01T00:00:00Z", "2026-12-31T23:59:30Z", "2027-06-01T00:00:00Z"] {
        let status = with_key_of(born_at);
        assert!(find(&status.conditions, ConditionType::AuthorityReplaced).is_none(), "{born_at}");
    }
}

#[test]
fn failures_of_writing_are_told_apart() {
    let object = || ObjectId::of::<ConfigMap>("org-a", "org-a-ca");
    let conflict = ready().with_failure(WriteError::NameConflict { object: object(), controller: None });
    assert_eq!(reason(&conflict, ConditionType::Ready), "False NameConflict");
    assert_eq!(reason(&conflict, ConditionType::Stalled), "True NameConflict");
    let contested = ready().with_failure(WriteError::Contested { object: object() });
    assert_eq!(reason(&contested, ConditionType::Ready), "False Contested");
    assert_eq!(reason(&contested, ConditionType::CertificatesCurrent), "True Current");
    let secret = ObjectId::of::<Secret>("org-a", "org-a-monitoring-prometheus");
    let contested = ready().with_failure(WriteError::Contested { object: secret });
    assert_eq!(reason(&contested, ConditionType::CertificatesCurrent), "False RenewalFailing");
    let denied = WriteError::PermissionDenied { verb: "create", object: object(), message: "m".into() };
    let denied = ready().with_failure(denied);
    assert_eq!(reason(&denied, ConditionType::Ready), "False PermissionDenied");
    assert_eq!(reason(&denied, ConditionType::CertificatesCurrent), "False RenewalFailing");
}

#[test]
fn authorities_that_could_not_be_stored_are_not_said_to_exist() {
    let mut world = ready();
    world.inputs.authorities = Ok(None);
    let status = world.with_failure(WriteError::Conflict { object: ObjectId::of::<Secret>("o", "s") });
    assert_eq!(status.cas, []);
}

#[test]
fn a_lost_or_unreadable_ca_makes_the_issuer_unavailable() {
    let mut object = network_json();
    object["status"] = serde_json::to_value(ready().status()).unwrap();
    let object = network(object);
    let mut inputs = network_inputs();
    inputs.authorities = Ok(None);
    let why = resolve(&object, &inputs).err().expect("no other CA is made");
    assert!(matches!(why, Unresolved::AuthoritiesLost(_)));
    let status = of_unresolved(&object, &why, &inputs.nodes, inputs.now);
    assert_eq!(reason(&status, ConditionType::Ready), "False IssuerUnavailable");
    assert_eq!(reason(&status, ConditionType::SecretStoreReady), "Unknown Waiting", "nobody looks now");
    assert_eq!(status.cas.len(), 2);

    let source = CaState::from_json(b"garbage").unwrap_err();
    inputs.authorities = Err(AuthoritiesError::State { secret: "s".into(), source });
    let why = resolve(&object, &inputs).err().expect("garbage is no CA");
    assert!(matches!(why, Unresolved::Unreadable(why) if why.reason == Reason::IssuerUnavailable));
}

#[test]
fn an_authority_near_its_end_is_said_in_time() {
    let mut world = ready();
    world.inputs.now = crate::fixtures::now() + SignedDuration::from_hours(8760 - 31 * 24);
    assert_eq!(reason(&world.status(), ConditionType::CertificatesCurrent), "True Current");
    let mut world = ready();
    world.inputs.now = crate::fixtures::now() + SignedDuration::from_hours(8760 - 29 * 24);
    let status = world.status();
    assert_eq!(reason(&status, ConditionType::CertificatesCurrent), "False RenewalFailing");
    assert_eq!(reason(&status, ConditionType::Ready), "True Ready", "it serves until then");
}

#[test]
fn a_paused_network_says_so_and_how_it_is() {
    let mut world = ready();
    world.object["spec"]["paused"] = json!(true);
    assert_eq!(reason(&world.status(), ConditionType::Ready), "True Paused");
}

#[test]
fn a_write_that_may_succeed_by_itself_changes_nothing_but_reconciling() {
    let object = || ObjectId::of::<ConfigMap>("org-a", "org-a-ca");
    for failure in [
        WriteError::Conflict { object: object() },
        WriteError::Api { verb: "replace", object: object(), message: "m".into() },
        WriteError::Terminating { object: object() },
    ] {
        let status = ready().with_failure(failure);
        assert_eq!(reason(&status, ConditionType::Ready), "True Ready");
        assert_eq!(reason(&status, ConditionType::CertificatesCurrent), "True Current");
        assert_eq!(reason(&status, ConditionType::Reconciling), "True Progressing");
    }
}

#[test]
fn a_store_that_was_not_probed_yet_keeps_what_was_found_with_its_generation() {
    let mut world = ready();
    world.object["status"] = serde_json::to_value(ready().status()).unwrap();
    world.object["metadata"]["generation"] = json!(2);
    world.inputs.store = None;
    let status = world.status();
    let store = find(&status.conditions, ConditionType::SecretStoreReady).unwrap();
    assert_eq!((store.status.as_str(), store.observed_generation), ("True", Some(1)));
    assert_eq!(status.observed_generation, Some(2));
    let mut world = ready();
    world.inputs.store = None;
    assert_eq!(reason(&world.status(), ConditionType::SecretStoreReady), "Unknown Waiting");
}

/// The result that the checklist shows for the store's seal.
fn seal(status: &TesseraNetworkStatus) -> String {
    let lines = &status.checklist.as_ref().unwrap().lines;
    let line = lines.iter().find(|line| line.id == tessera_crds::checklist::Line::HardwareKeys).unwrap();
    format!("{} {}", line.result, line.reason)
}

#[test]
fn what_one_store_showed_says_nothing_of_another() {
    let first = ready().status();
    assert_eq!(seal(&first), "Violated SoftwareSeal");
    let restarted = |generation: i64| {
        let mut world = ready();
        world.object["status"] = serde_json::to_value(&first).unwrap();
        world.object["metadata"]["generation"] = json!(generation);
        world.inputs.store_facts = crate::checklist::facts::StoreAnswer::NotAskedYet;
        seal(&world.status())
    };
    assert_eq!(
        restarted(1),
        "Violated SoftwareSeal",
        "the same store, which a new process has not asked yet"
    );
    assert_eq!(restarted(2), "Unknown NotAskedYet", "the spec may name another store");
}

/// What another store cannot repair stands, also before that store was asked.
#[test]
fn a_violation_of_the_operator_s_own_log_outlives_a_restart_and_a_changed_spec() {
    let restarted_with = |reason: &str| {
        let mut first = serde_json::to_value(ready().status()).unwrap();
        let lines = first["checklist"]["lines"].as_array_mut().unwrap();
        let line = lines.iter_mut().find(|line| line["id"] == "CentralLogging").unwrap();
        (line["result"], line["reason"]) = (json!("Violated"), json!(reason));
        let mut world = ready();
        world.object["status"] = first;
        world.object["metadata"]["generation"] = json!(2);
        world.inputs.store_facts = crate::checklist::facts::StoreAnswer::NotAskedYet;
        world.inputs.collector_ca = crate::network::logging::CollectorCa::Found("PEM".into());
        let lines = world.status().checklist.unwrap().lines;
        let line =
            lines.iter().find(|line| line.id == tessera_crds::checklist::Line::CentralLogging).unwrap();
        format!("{} {}", line.result, line.reason)
    };
    assert_eq!(restarted_with("OperatorLogNotAccepted"), "Violated OperatorLogNotAccepted");
    assert_eq!(restarted_with("OperatorRecordsLost"), "Violated OperatorRecordsLost");
    assert_eq!(
        restarted_with("NoAuditDevice"),
        "Unknown NotAskedYet",
        "the control: that was the other store's"
    );
}

/// The network has a scraper, for whom a CA that has ended can issue nothing.
#[test]
fn a_ca_that_has_ended_is_replaced_before_anything_is_issued() {
    let mut inputs = network_inputs();
    inputs.now += SignedDuration::from_hours(24 * 400);
    let resolved = resolve(&network(network_json()), &inputs).map_err(|why| why.to_string()).unwrap();
    assert!(resolved.authorities_next.is_some() && resolved.client_leaves.is_empty());
}
