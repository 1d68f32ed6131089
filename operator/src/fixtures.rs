//! Sample specs for unit tests, changed by the test that needs something else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tessera_crds::{TesseraNetwork, TesseraNode};
use tessera_node_api::admin::{self, DependencyStatus};
use tessera_pki::CaState;

use crate::checklist::clear_text::ClearTextFacts;
use crate::checklist::cluster::ClusterFacts;
use crate::checklist::enforce::{Gate, HoldingLine};
use crate::checklist::facts::{StoreAnswer, StoreFacts};
use crate::checklist::store_facts::AuditorAnswer;
use crate::kube::planned::{HASH_ANNOTATION, Planned};
use crate::network::inputs::Inputs as NetworkInputs;
use crate::network::logging::CollectorCa;
use crate::node::inputs::{Inputs, NetworkInput};
use crate::probe::store::StoreState;
use crate::probe::store_reports::ObservedStore;
use crate::settings::ClusterSettings;

/// The time of all fixtures.
pub(crate) fn now() -> Timestamp {
    "2027-01-01T00:00:00Z".parse().unwrap()
}

pub(crate) fn network_json() -> Value {
    json!({
        "apiVersion": "tessera.rs/v1alpha1", "kind": "TesseraNetwork",
        "metadata": {"name": "org-a", "namespace": "org-a", "uid": "uid-of-org-a", "generation": 1},
        "spec": {
            "trustDomain": "org-a.example",
            "secretStore": {
                "type": "Vault",
                "vault": {
                    "address": "https://vault.vault.svc:8200",
                    "caBundleRef": {"name": "vault-ca"},
                    "auth": {"role": "tessera-org-a"},
                    "kv": {"pathPrefix": "prod-eu1/org-a"},
                },
                "egress": [
                    {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "vault"}}, "port": 8200},
                    {"cidr": "192.0.2.0/28", "port": 443},
                ],
            },
            "monitoring": [{"name": "prometheus", "from": {"namespaceSelector": {"matchLabels": {"team": "sre"}}}}],
            "nodeDefaults": {"image": format!("registry/tessera-node@sha256:{}", "0".repeat(64))},
        },
    })
}

pub(crate) fn node_json(name: &str) -> Value {
    json!({
        "apiVersion": "tessera.rs/v1alpha1", "kind": "TesseraNode",
        "metadata": {"name": name, "namespace": "org-a", "uid": format!("uid-of-{name}"), "generation": 1},
        "spec": {
            "networkRef": {"name": "org-a"},
            "storage": {"type": "Embedded", "embedded": {"size": "10Gi", "storageClassName": "standard"}},
            "keys": [{"name": "main", "default": true, "type": "Vault", "rotation": {"trigger": 1}}],
            "clients": [{"name": "quorum-a", "from": [{"podSelector": {"matchLabels": {"app": "geth"}}}]}],
        },
    })
}

pub(crate) fn network(json: Value) -> TesseraNetwork {
    serde_json::from_value(json).unwrap()
}

pub(crate) fn node(json: Value) -> TesseraNode {
    serde_json::from_value(json).unwrap()
}

/// As the command line gives them by default.
pub(crate) fn settings() -> ClusterSettings {
    use clap::Parser as _;
    let args =
        ["--namespaces", "org-a", "--operator-namespace", "tessera-system", "--cluster-name", "prod-eu1"];
    crate::args::Args::parse_from([&["tessera-operator"], &args[..]].concat()).settings()
}

pub(crate) fn authorities() -> Arc<CaState> {
    Arc::new(CaState::generate("org-a", SignedDuration::from_hours(8760), now()).unwrap())
}

/// What is read for `node-a`.
pub(crate) fn inputs() -> Inputs {
    Inputs {
        network: NetworkInput::Found(Arc::new(network(network_json()))),
        load_balancer: None,
        others: Vec::new(),
        authorities: Some(authorities()),
        secrets: BTreeMap::new(),
        unread: Vec::new(),
        stateful_set: None,
        upgrade: crate::node::upgrade::Facts::default(),
        node_time: None,
        now: now(),
    }
}

/// What is read for `org-a`, which has no nodes.
pub(crate) fn network_inputs() -> NetworkInputs {
    NetworkInputs {
        cluster_name: settings().cluster_name,
        rollover: crate::rollover::next::AllFacts::default(),
        authorities: Ok(Some(authorities())),
        authorities_read: None,
        store: Some(ObservedStore::State(StoreState::Ready)),
        store_ca_sha256: Some("00".repeat(32)),
        store_facts: StoreAnswer::Shows(StoreFacts {
            seal_type: "shamir".into(),
            auditor: AuditorAnswer::NotProvisioned,
        }),
        secrets: BTreeMap::new(),
        clear_text: clear_text_facts(),
        cluster: Arc::new(ClusterFacts::default()),
        collector_ca: CollectorCa::NoCollector,
        partner_bundles: BTreeMap::new(),
        reached: Vec::new(),
        operator_log: None,
        attestations: Vec::new(),
        untried: Vec::new(),
        nodes: Vec::new(),
        now: now(),
    }
}

/// A namespace that was searched and holds no credential.
pub(crate) fn clear_text_facts() -> ClearTextFacts {
    ClearTextFacts {
        rules: Some(47),
        searched: vec!["ConfigMap".into(), "Pod".into()],
        not_searched: Vec::new(),
        pending: Vec::new(),
        objects: 12,
        found: BTreeSet::new(),
        operator_log: searched_log(),
    }
}

/// A log that was searched and holds no credential.
pub(crate) fn searched_log() -> admin::LogSearchStatus {
    admin::LogSearchStatus { rules: Some(47), found: Vec::new() }
}

/// Compares with a golden file; certificates are other ones each time, and that they are there is what matters.
pub(crate) fn assert_golden(kind: &str, planned: &Planned) {
    let mut body = planned.body.clone();
    if body["kind"] == "Secret" || planned.id.name == "org-a-ca" {
        let data = body["data"].as_object_mut().unwrap();
        data.values_mut().for_each(|value| *value = json!("<PEM>"));
        if planned.id.name == "org-a-ca" {
            body["metadata"]["annotations"][HASH_ANNOTATION] = json!("<hash>");
        }
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../tests/golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let name = format!("{kind}-{}-{}", planned.id.kind.to_lowercase(), planned.id.name);
    settings.bind(|| insta::assert_yaml_snapshot!(name, body));
}

/// What a node says of itself that is ready.
pub(crate) fn report_of_a_ready_node() -> admin::Status {
    let dependency = DependencyStatus { available: true, message: String::new(), since: String::new() };
    let key = |version, state| admin::KeyStatus {
        name: "main".into(),
        version,
        public_key: format!("public-key-of-version-{version}"),
        state,
        imported: false,
        born_at: Some("2027-01-01T00:00:00Z".into()),
        store_path: Some(format!("secret/p/main/{version}")),
        trigger: Some(version - 1),
        last_pushed_at: None,
        sample: Some(admin::SampleStatus {
            outcome: admin::SampleOutcome::Read,
            read_at: "2026-12-31T23:59:00Z".into(),
        }),
        backup: None,
        waits_for: Vec::new(),
    };
    admin::Status {
        protocol: admin::PROTOCOL,
        node_version: "0.1.0".into(),
        identity: String::new(),
        started_at: String::new(),
        ready: true,
        awaiting: Vec::new(),
        keys: vec![key(1, admin::KeyState::Receiving), key(2, admin::KeyState::Default)],
        key_failures: Vec::new(),
        imports: Vec::new(),
        restores: Vec::new(),
        secret_store: Some(dependency.clone()),
        database: dependency,
        payload_store: None,
        certificate: Some(admin::CertificateStatus {
            serial: String::new(),
            not_after: "2027-01-02T00:00:00Z".into(),
            fingerprint: ISSUED.into(),
            issuer: None,
            chained: false,
        }),
        trust_fingerprints: Vec::new(),
        admin_certificate: None,
        admin_trust_fingerprints: Vec::new(),
        callers: Vec::new(),
        reload_errors: Vec::new(),
        dynamic_config_sha256: None,
        egress_closed_since: None,
        peers_reached: Vec::new(),
        hardening: Some(admin::Hardening {
            core_soft_limit: Some(0),
            core_hard_limit: Some(0),
            dumpable: false,
            locked_kib: 48,
            swap_kib: 0,
            core_pattern: "core".into(),
        }),
        built_on: Some("2026-12-24".into()),
        listener_trials: None,
        logging: None,
        log_search: Some(searched_log()),
        egress_trials: None,
        server_trials: Vec::new(),
        now: None,
    }
}

/// Stands for the fingerprint of whatever leaf the resolved node has.
pub(crate) const ISSUED: &str = "<issued>";

/// A gate that a violation of the line holds.
pub(crate) fn held_by(id: tessera_crds::checklist::Line) -> Gate {
    Gate::Held(HoldingLine {
        id,
        result: tessera_crds::checklist::LineResult::Violated,
        reason: "Reason".into(),
        remedy: "do this".into(),
        others: 0,
    })
}
