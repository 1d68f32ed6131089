//! What the API server does with admitted objects: defaults, columns, sub-resources, fields that can be selected.

use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tessera_crds::api::images::{ImagesStatus, RejectedImage};
use tessera_crds::api::key_backup::{
    CoveredKey, CustodianStatus, KeyBackupStatus, RestoreRecipient, VersionBackup,
};
use tessera_crds::api::network::{
    CaRole, CaStatus, CaUse, NamespaceIsolation, NodeCounts, RolloverPhase, RolloverStatus, SecretStoreStatus,
};
use tessera_crds::api::node::{
    CertificateStatus, Endpoints, KeyState, KeyStatus, PayloadStoreStatus, PodStatus, StoreLocation,
    TesseraNode, TesseraNodeStatus, VolumeStatus,
};
use tessera_crds::api::partner::{PartnerCa, PartnerStatus};
use tessera_crds::checklist::{ChecklistStatus, HeldChange, Line};
use tessera_crds::{
    TesseraAttestation, TesseraBackupProof, TesseraKeyRestore, TesseraNetwork, TesseraNetworkStatus,
};

use crate::api_server::ApiServer;
use crate::fixture;

#[tokio::test]
async fn the_smallest_network_gets_every_default() {
    let server = ApiServer::start("defaults").await;
    let mut object = fixture::network();
    for field in ["pki", "monitoring", "nodeDefaults"] {
        object["spec"].as_object_mut().unwrap().remove(field);
    }
    object["spec"]["secretStore"]["vault"]["auth"] = json!({ "role": "tessera-org-a" });
    object["spec"]["secretStore"]["vault"]["kv"] = json!({ "pathPrefix": "prod-eu1/org-a" });
    object["spec"]["secretStore"]["vault"]["caBundleRef"] = json!({ "name": "vault-ca" });

    let admitted = server.create(&object, true).await.unwrap();
    let network: TesseraNetwork = serde_json::from_value(admitted).unwrap();

    let spec = &network.spec;
    assert_eq!(spec.namespace_isolation, NamespaceIsolation::Dedicated);
    assert!(!spec.paused);
    assert_eq!(spec.pki.leaf.lifetime.as_str(), "24h");
    assert_eq!(spec.pki.leaf.renew_before.as_str(), "8h");
    assert_eq!(spec.pki.ca.lifetime.as_str(), "8760h");
    assert_eq!(spec.pki.ca.renew_before.as_str(), "2160h");
    assert_eq!((spec.pki.ca.rollover_trigger, spec.pki.ca.distrust.len()), (0, 0));
    let vault = spec.secret_store.vault.as_ref().unwrap();
    assert_eq!(vault.auth.mount.as_str(), "kubernetes");
    assert_eq!(vault.kv.mount.as_str(), "secret");
    assert_eq!(vault.ca_bundle_ref.key.as_str(), "ca.crt");
    assert!(!spec.privacy.enhancements);
    assert_eq!(spec.rollout.budget(1000), 1);
}

/// kstatus takes an object without a status as healthy, and waits for one whose status speaks of another generation.
#[tokio::test]
async fn a_new_object_has_not_been_observed() {
    let server = ApiServer::start("unobserved").await;
    for object in [fixture::network(), fixture::node()] {
        let created = server.create(&object, false).await.unwrap();
        assert_eq!(created["metadata"]["generation"], 1);
        let live = server.get(&object).await;
        assert_eq!(live["status"], json!({"observedGeneration": -1}));
    }
}

/// What the Rust types make of an object by themselves is what the API server makes of it: a client that writes one back
/// changes nothing.
#[tokio::test]
async fn rust_and_api_server_agree_on_defaults() {
    let server = ApiServer::start("agree").await;
    let objects = [
        fixture::network(),
        fixture::node(),
        smallest_node(),
        fixture::attestation(),
        fixture::backup_proof(),
        fixture::key_restore(),
    ];
    for object in objects {
        let admitted = server.create(&object, true).await.unwrap();
        let round_trip = match object["kind"].as_str() {
            Some("TesseraNetwork") => through::<TesseraNetwork>(&object),
            Some("TesseraAttestation") => through::<TesseraAttestation>(&object),
            Some("TesseraBackupProof") => through::<TesseraBackupProof>(&object),
            Some("TesseraKeyRestore") => through::<TesseraKeyRestore>(&object),
            _ => through::<TesseraNode>(&object),
        };
        assert_eq!(round_trip, admitted["spec"]);
    }
}

fn through<K: serde::de::DeserializeOwned + serde::Serialize>(object: &Value) -> Value {
    let typed: K = serde_json::from_value(object.clone()).unwrap();
    serde_json::to_value(typed).unwrap()["spec"].take()
}

fn smallest_node() -> Value {
    let mut object = fixture::node();
    object["spec"] = json!({
        "networkRef": { "name": "org-a" },
        "storage": { "type": "Embedded", "embedded": { "size": "1Gi" } },
        "keys": [{ "name": "main", "default": true, "type": "Vault" }],
    });
    object
}

#[tokio::test]
async fn a_full_status_is_kept_whole_and_shown_in_the_table() {
    let server = ApiServer::start("status").await;
    server.create(&fixture::node(), false).await.unwrap();
    let api: Api<TesseraNode> = Api::namespaced(server.client.clone(), &server.namespace);

    let patch = json!({ "status": node_status() });
    let params =
        PatchParams { field_validation: Some(kube::api::ValidationDirective::Strict), ..Default::default() };
    let patched = api.patch_status("node-a", &params, &Patch::Merge(&patch)).await.unwrap();

    assert_eq!(patched.status.unwrap(), node_status());
    assert_eq!(patched.metadata.generation, Some(1), "status is a sub-resource");
    let row = table(&server, "tesseranodes").await;
    assert_eq!(
        row.iter()
            .map(|(name, cell)| (name.as_str(), cell.as_str()))
            .filter(|(name, _)| *name != "Age")
            .collect::<Vec<_>>(),
        [
            ("Name", "node-a"),
            ("Ready", "True"),
            ("Reason", "Ready"),
            ("Network", "org-a"),
            ("Key", "BULeR8JyUWhiuuCMU/HLA0Q5pzkYT+cHII3ZKBey3Bo="),
            ("Cert-Expires", "2026-11-23T00:00:00Z"),
            ("Checklist", "0/1"),
            ("Image", "localhost:5001/tessera-node@sha256:00"),
            ("Replicas", "1"),
            ("Storage", "Embedded"),
        ]
    );
}

#[tokio::test]
async fn the_status_of_a_network_is_shown_in_the_table() {
    let server = ApiServer::start("network-status").await;
    server.create(&fixture::network(), false).await.unwrap();
    let api: Api<TesseraNetwork> = Api::namespaced(server.client.clone(), &server.namespace);
    let status = TesseraNetworkStatus {
        observed_generation: Some(1),
        cluster_name: Some("prod-eu1".into()),
        nodes: Some(NodeCounts { total: 3, ready: 2 }),
        cas: vec![
            CaStatus {
                fingerprint: "aa".into(),
                role: CaRole::Network,
                state: CaUse::Current,
                not_after: "2027-11-22T00:00:00Z".into(),
            },
            CaStatus {
                fingerprint: "cc".into(),
                role: CaRole::Network,
                state: CaUse::Retiring,
                not_after: "2027-01-22T00:00:00Z".into(),
            },
            CaStatus {
                fingerprint: "bb".into(),
                role: CaRole::Admin,
                state: CaUse::Current,
                not_after: "2028-11-22T00:00:00Z".into(),
            },
        ],
        rollover: Some(RolloverStatus {
            phase: RolloverPhase::Retiring,
            since: "2026-11-22T00:00:00Z".into(),
            trigger: 1,
            waiting_for: vec!["client spiffe://org-a.example/client/a/quorum".into()],
            waiting: 1,
        }),
        partners: vec![PartnerStatus {
            name: "org-b".into(),
            accepted: true,
            message: None,
            cas: vec![PartnerCa { fingerprint: "a".repeat(64), not_after: "2028-11-22T00:00:00Z".into() }],
            reached: vec!["https://a.tm.org-b.example:9000".into()],
            unreached: Vec::new(),
        }],
        secret_store: Some(SecretStoreStatus { ca_bundle_sha256: "00".repeat(32) }),
        bundle_config_map: Some("org-a-ca".into()),
        held: Vec::new(),
        checklist: Some(checklist()),
        conditions: conditions("NodesNotReady", "False"),
    };

    let patch = json!({ "status": status });
    let params =
        PatchParams { field_validation: Some(kube::api::ValidationDirective::Strict), ..Default::default() };
    let patched = api.patch_status("org-a", &params, &Patch::Merge(&patch)).await.unwrap();

    assert_eq!(patched.status.unwrap(), status);
    let row = table(&server, "tesseranetworks").await;
    assert_eq!(
        row.iter()
            .map(|(name, cell)| (name.as_str(), cell.as_str()))
            .filter(|(name, _)| *name != "Age")
            .collect::<Vec<_>>(),
        [
            ("Name", "org-a"),
            ("Ready", "False"),
            ("Reason", "NodesNotReady"),
            ("Nodes", "3"),
            ("Nodes-Ready", "2"),
            ("CA-Expires", "2027-11-22T00:00:00Z"),
            ("Checklist", "0/1"),
            ("Issuer", "BuiltIn"),
            ("Store", "Vault"),
        ]
    );
}

#[tokio::test]
async fn nodes_scale_to_zero_and_beyond_one_only_with_a_database() {
    let server = ApiServer::start("scale").await;
    server.create(&fixture::node(), false).await.unwrap();
    let api: Api<TesseraNode> = Api::namespaced(server.client.clone(), &server.namespace);

    let to = |replicas: i32| Patch::Merge(json!({ "spec": { "replicas": replicas } }));
    let scaled = api.patch_scale("node-a", &PatchParams::default(), &to(0)).await.unwrap();
    assert_eq!(scaled.spec.unwrap().replicas.unwrap_or_default(), 0);
    let refusal = api.patch_scale("node-a", &PatchParams::default(), &to(2)).await.unwrap_err();

    assert!(refusal.to_string().contains("only with storage.type Postgres"), "{refusal}");

    let mut with_database = fixture::node();
    with_database["metadata"]["name"] = json!("node-b");
    with_database["spec"]["storage"] = json!({"type": "Postgres", "postgres": fixture::postgres()});
    server.create(&with_database, false).await.unwrap();
    let scaled = api.patch_scale("node-b", &PatchParams::default(), &to(9)).await.unwrap();
    assert_eq!(scaled.spec.unwrap().replicas, Some(9));
    let refusal = api.patch_scale("node-b", &PatchParams::default(), &to(10)).await.unwrap_err();
    assert!(refusal.to_string().contains("less than or equal to 9"), "{refusal}");
}

#[tokio::test]
async fn nodes_are_selected_by_their_network() {
    let server = ApiServer::start("select").await;
    for (name, network) in [("node-a", "org-a"), ("node-b", "org-b")] {
        let mut object = fixture::node();
        object["metadata"]["name"] = json!(name);
        object["spec"]["networkRef"]["name"] = json!(network);
        server.create(&object, false).await.unwrap();
    }
    let api: Api<TesseraNode> = Api::namespaced(server.client.clone(), &server.namespace);

    let found = api.list(&ListParams::default().fields("spec.networkRef.name=org-b")).await.unwrap();

    let names: Vec<_> = found.items.iter().filter_map(|node| node.metadata.name.as_deref()).collect();
    assert_eq!(names, ["node-b"]);
}

/// A null is what a template writes for "nothing": it must mean nothing, to rules and to the operator alike.
#[tokio::test]
async fn a_null_is_an_absent_field() {
    let server = ApiServer::start("null").await;
    let mut object = fixture::node();
    object["spec"]["image"] = Value::Null;
    object["spec"]["replicas"] = Value::Null;
    object["spec"]["storage"]["embedded"]["storageClassName"] = Value::Null;

    let admitted = server.create(&object, true).await.unwrap();

    assert_eq!(admitted["spec"].get("image"), None);
    assert_eq!(admitted["spec"]["replicas"], json!(1));
    assert_eq!(admitted["spec"]["storage"]["embedded"].get("storageClassName"), None);
}

/// The types alone make objects that the API server admits.
#[tokio::test]
async fn a_typed_object_is_admitted() {
    let server = ApiServer::start("typed").await;
    let node: TesseraNode = serde_json::from_value(smallest_node()).unwrap();
    let api: Api<TesseraNode> = Api::namespaced(server.client.clone(), &server.namespace);

    let created = api.create(&PostParams::default(), &node).await.unwrap();

    assert_eq!(created.spec, node.spec);
}

fn node_status() -> TesseraNodeStatus {
    let fingerprint = "ab".repeat(32);
    TesseraNodeStatus {
        observed_generation: Some(1),
        replicas: Some(1),
        ready_replicas: Some(1),
        selector: Some("tessera.rs/node=node-a".into()),
        template_revision: Some("1".into()),
        endpoints: Some(Endpoints {
            q2t: "https://q".into(),
            p2p: "https://p".into(),
            load_balancer: vec!["203.0.113.77".into()],
        }),
        default_key: Some("BULeR8JyUWhiuuCMU/HLA0Q5pzkYT+cHII3ZKBey3Bo=".into()),
        keys: vec![KeyStatus {
            name: "main".into(),
            version: 1,
            public_key: "BULeR8JyUWhiuuCMU/HLA0Q5pzkYT+cHII3ZKBey3Bo=".into(),
            state: KeyState::Default,
            imported: Some(true),
            born_at: Some("2026-11-22T17:00:00.123456Z".into()),
            store: Some(StoreLocation { path: "secret/prod-eu1/org-a".into(), version: 1 }),
            trigger: Some(0),
            last_push_at: Some("2026-11-22T17:00:00Z".into()),
            backup: Some(VersionBackup {
                fingerprint: fingerprint.clone(),
                recipients: vec!["alice".into()],
            }),
        }],
        volumes: vec![VolumeStatus {
            claim: "data-tessera-node-a-0".into(),
            capacity: "10Gi".into(),
            storage_class_name: Some("standard".into()),
        }],
        certificate: Some(CertificateStatus {
            serial: "01".into(),
            not_after: "2026-11-23T00:00:00Z".into(),
            issued_fingerprint: fingerprint.clone(),
        }),
        payload_store: Some(PayloadStoreStatus {
            id: "0123456789abcdef".into(),
            lost: vec!["fedcba".into()],
            format: Some(1),
        }),
        images: Some(ImagesStatus {
            served: Some("localhost:5001/tessera-node@sha256:00".into()),
            rejected: vec![RejectedImage {
                image: "localhost:5001/tessera-node@sha256:01".into(),
                at: "2026-11-22T17:00:00Z".into(),
                message: "the container ended with exit code 1".into(),
                restart_trigger: 0,
            }],
        }),
        pods: vec![PodStatus {
            name: "tessera-node-a-0".into(),
            image_id: Some("localhost:5001/tessera-node@sha256:00".into()),
            node_version: Some("0.1.0".into()),
            served_fingerprint: Some(fingerprint.clone()),
            trust_fingerprints: vec![fingerprint.clone()],
            egress_closed_since: Some("2026-11-22T17:00:00Z".into()),
        }],
        held: vec![HeldChange {
            field: "spec.clients[quorum-b]".into(),
            line: Line::HardwareKeys,
            since: "2026-11-22T17:00:00Z".into(),
        }],
        key_backup: Some(key_backup(&fingerprint)),
        checklist: Some(checklist()),
        conditions: conditions("Ready", "True"),
    }
}

/// The backup of a node's keys, each field set.
fn key_backup(fingerprint: &str) -> KeyBackupStatus {
    KeyBackupStatus {
        config_map: Some("tessera-backup-org-a.node-a".into()),
        challenge: Some(fingerprint.into()),
        since: Some("2026-11-22T17:00:00Z".into()),
        subject: Some(fingerprint.into()),
        custodians: vec![CustodianStatus {
            name: "alice".into(),
            age: fixture::ALICE.into(),
            confirmed_at: Some("2026-11-22T17:00:00Z".into()),
            answered: Some(fingerprint.into()),
            covers: vec![CoveredKey { key: "main".into(), version: 1 }],
        }],
        restore_recipients: vec![RestoreRecipient {
            key: "main".into(),
            version: 1,
            public_key: "BULeR8JyUWhiuuCMU/HLA0Q5pzkYT+cHII3ZKBey3Bo=".into(),
            recipient: fixture::ALICE.into(),
        }],
    }
}

/// A checklist of one line, each field set.
fn checklist() -> ChecklistStatus {
    let line = json!({
        "id": "NoCoreDumps",
        "result": "Violated",
        "reason": "Dumpable",
        "observer": "Node",
        "observed": "the kernel may dump it",
        "remedy": "restart the pod",
        "parts": [{"name": "Pod", "result": "Violated", "observed": "the kernel may dump it"}],
        "exception": {"name": "accepted", "by": "alice@bank", "expires": "2027-06-01T00:00:00Z"},
        "lastTransitionTime": "2026-11-22T17:00:00Z",
        "validUntil": "2026-11-22T18:00:00Z",
    });
    ChecklistStatus { summary: "0/1".into(), lines: vec![serde_json::from_value(line).unwrap()] }
}

fn conditions(reason: &str, status: &str) -> Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    let condition = json!([{
        "type": "Ready",
        "status": status,
        "reason": reason,
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-11-22T17:00:00Z",
    }]);
    serde_json::from_value(condition).unwrap()
}

/// The only row of the table that `kubectl get -o wide` prints, as pairs of column and cell.
async fn table(server: &ApiServer, plural: &str) -> Vec<(String, String)> {
    let path = format!("/apis/tessera.rs/v1alpha1/namespaces/{}/{plural}", server.namespace);
    let request = http::Request::get(path).header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let table: Value = server.client.request(request.body(Vec::new()).unwrap()).await.unwrap();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let names = table["columnDefinitions"].as_array().unwrap().iter().map(|column| text(&column["name"]));
    names.zip(table["rows"][0]["cells"].as_array().unwrap().iter().map(text)).collect()
}
