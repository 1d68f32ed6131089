//! Lines of the secret store, and of all nodes together.

use std::sync::Arc;

use serde_json::json;
use tessera_crds::checklist::{ChecklistStatus, LineStatus};
use tessera_crds::{TesseraNetwork, TesseraNode};

use super::*;
use crate::checklist::facts::StoreFacts;
use crate::checklist::store_facts::AuditorAnswer;
use crate::fixtures::{network, network_json, node, node_json};

fn of_network(
    network: &TesseraNetwork,
    store: Option<&str>,
    nodes: &[Arc<TesseraNode>],
    id: Line,
) -> Finding {
    let store = store.map_or(StoreAnswer::Silent, |seal| {
        let auditor = AuditorAnswer::NotProvisioned;
        StoreAnswer::Shows(StoreFacts { seal_type: seal.into(), auditor })
    });
    let vault = network.spec.secret_store.vault.as_ref();
    let line = NETWORK_LINES.iter().find(|line| line.id == id).unwrap();
    let hardware_minimum = network.spec.checklist.hardware.minimum;
    let facts = NetworkFacts { vault, store, nodes, hardware_minimum, ..network_facts() };
    (line.judge)(&facts, now())
}

/// The types that real stores give in sys/seal-status: Vault 1.20 and OpenBao 2.3, by their own sources.
#[test]
fn keys_are_in_hardware_when_the_store_s_seal_is() {
    let network = network(network_json());
    let sealed = |seal| said(&of_network(&network, seal, &[], Line::HardwareKeys));
    assert_eq!(sealed(Some("shamir")), "Violated SoftwareSeal");
    assert_eq!(sealed(Some("static")), "Violated SoftwareSeal");
    assert_eq!(sealed(Some("transit")), "Unknown SealNotKnown");
    assert_eq!(sealed(Some("something-new")), "Unknown SealNotKnown");
    assert_eq!(sealed(Some("unnamed-auto-seal")), "Unknown SealNotKnown");
    // SoftHSM speaks PKCS#11, too.
    assert_eq!(sealed(Some("pkcs11")), "Enforced ModuleNotSeen");
    for seal in ["awskms", "azurekeyvault", "gcpckms", "ocikms"] {
        assert_eq!(sealed(Some(seal)), "Verified Observed");
    }
    assert_eq!(sealed(None), "Unknown StoreSilent");
}

/// With a demand that no store meets, whatever seals it; the text names what is reached and what is asked for.
#[test]
fn keys_in_a_store_are_below_a_higher_minimum() {
    for minimum in ["TpmSealed", "NonExtractable"] {
        let mut json = network_json();
        json["spec"]["checklist"] = json!({"hardware": {"minimum": minimum}});
        let network = network(json);
        for seal in [Some("awskms"), Some("pkcs11"), Some("transit"), Some("something-new"), None] {
            let finding = of_network(&network, seal, &[], Line::HardwareKeys);
            assert_eq!(said(&finding), "Violated BelowMinimum", "{seal:?}");
            let text = finding.observed;
            assert!(
                text.contains("reaches SealedStore at most")
                    && text.ends_with(&format!("the minimum is {minimum}"))
            );
        }
        let software = of_network(&network, Some("shamir"), &[], Line::HardwareKeys);
        assert_eq!(said(&software), "Violated SoftwareSeal");
        assert!(software.observed.contains(&format!("none (software), the minimum is {minimum}")));
    }
    let sealed = of_network(&network(network_json()), Some("awskms"), &[], Line::HardwareKeys).observed;
    assert!(sealed.contains("the level reached is SealedStore, the minimum is SealedStore"), "{sealed}");
    assert!(
        sealed.contains("protects the store's disk") && sealed.contains("in the node's memory"),
        "{sealed}"
    );
}

#[test]
fn a_higher_minimum_is_never_easier_to_meet() {
    for seal in ["shamir", "static", "transit", "kmip", "pkcs11", "awskms", "azurekeyvault", "unheard-of"] {
        let results = HardwareLevel::ALL.iter().map(|minimum| {
            let mut json = network_json();
            json["spec"]["checklist"] = json!({"hardware": {"minimum": minimum}});
            of_network(&network(json), Some(seal), &[], Line::HardwareKeys).result
        });
        let results: Vec<_> = results.collect();
        assert!(results.is_sorted_by(|weaker, stronger| weaker >= stronger), "{seal}: {results:?}");
        assert!(results[1..].iter().all(|result| *result == LineResult::Violated), "{seal}: {results:?}");
    }
}

#[test]
fn a_store_that_serves_a_stranger_violates_mutual_tls_whatever_the_nodes_do() {
    let network = network(network_json());
    assert_eq!(
        said(&of_network(&network, Some("shamir"), &[], Line::MutualTls)),
        "Violated NoClientCertificate"
    );
    assert_eq!(said(&of_network(&network, None, &[], Line::MutualTls)), "Unknown StoreSilent");
}

#[test]
fn a_store_that_lets_in_any_address_is_violated() {
    let mut json = network_json();
    let of = |json| said(&of_network(&network(json), Some("shamir"), &[], Line::SecretStoreAccess));
    assert_eq!(of(json.clone()), "Violated NoSourceCIDRs");
    json["spec"]["secretStore"]["vault"]["sourceCIDRs"] = json!(["10.244.0.0/16"]);
    assert_eq!(of(json), "Unknown RoleNotRead");
}

fn node_with(name: &str, result: LineResult, valid_until: &str) -> Arc<TesseraNode> {
    let mut node = node(node_json(name));
    let line = LineStatus {
        id: Line::NoCoreDumps,
        result,
        reason: "r".into(),
        observer: None,
        observed: format!("seen on {name}"),
        remedy: None,
        parts: Vec::new(),
        exception: None,
        last_transition_time: now().to_string().into(),
        valid_until: Some(valid_until.into()),
    };
    let status = node.status.get_or_insert_default();
    status.checklist = Some(ChecklistStatus { summary: "1/1".into(), lines: vec![line] });
    Arc::new(node)
}

#[test]
fn a_network_is_as_good_as_its_worst_node_and_names_it() {
    let network = network(network_json());
    let fresh = "2027-01-01T01:00:00Z";
    let of = |nodes: &[_]| of_network(&network, None, nodes, Line::NoCoreDumps);
    let nodes = [
        node_with("a", LineResult::Verified, fresh),
        node_with("b", LineResult::Violated, fresh),
        node_with("c", LineResult::Verified, fresh),
    ];
    let worst = of(&nodes);
    assert_eq!(worst.result, LineResult::Violated);
    assert_eq!(worst.observed, "2 of 3 nodes; b: seen on b");
    let stale = [
        node_with("a", LineResult::Verified, fresh),
        node_with("b", LineResult::Verified, "2026-12-31T23:59:59Z"),
    ];
    assert_eq!(said(&of(&stale)), "Unknown EvidenceExpired");
    let verified = of(&nodes[..1]);
    assert_eq!(said(&verified), "Verified r");
    assert_eq!(verified.rests_on_evidence_until, Some(fresh.parse().unwrap()));
    assert_eq!(said(&of(&[])), "Unknown NoNode");
    assert_eq!(said(&of(&[Arc::new(node(node_json("new")))])), "Unknown NotObserved");
}
