//! A pair of namespaces on the API server under test, and what is in them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::ApiResource;
use kube::runtime::wait::{await_condition, conditions};
use kube::{Client, Config, Resource, ResourceExt};
use serde_json::{Value, json};
use tessera_crds::{
    TesseraAttestation, TesseraBackupProof, TesseraKeyRestore, TesseraNetwork, TesseraNode, names,
};
use tessera_operator::report::conditions::find;

/// The path of the API server's kubeconfig. The variable is ours alone, so that no test runs against the cluster that a
/// person happens to be logged in to.
const KUBECONFIG: &str = "TESSERA_TEST_KUBECONFIG";
/// For any one step; generous, since the machine may be busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);

/// Two namespaces of a test's own.
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) kubeconfig: String,
    pub(crate) namespace: String,
    pub(crate) operator_namespace: String,
}

impl World {
    pub(crate) async fn new(test: &str) -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let Ok(kubeconfig) = std::env::var(KUBECONFIG) else {
            panic!("no API server: run `hack/apiserver -- cargo test -p tessera-operator --test reconcile`")
        };
        // Another test of this process may have been first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = connect(&kubeconfig).await;
        install(&client).await;
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("{test}-{number}");
        let operator_namespace = format!("{namespace}-system");
        for name in [&namespace, &operator_namespace] {
            make_namespace(&client, name).await;
        }
        Self { client, kubeconfig, namespace, operator_namespace }
    }

    /// The name of the Secret with the network's CA.
    pub(crate) fn ca_state(&self) -> String {
        names::network::ca_state(&self.namespace, "net")
    }

    pub(crate) fn api(&self, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource(kind))
    }

    pub(crate) async fn create(&self, kind: &str, object: Value) -> DynamicObject {
        let object = serde_json::from_value(object).expect("a fixture is an object");
        self.api(kind).create(&PostParams::default(), &object).await.expect("a fixture is admitted")
    }

    /// The ConfigMap with the store's CA, the network and its nodes.
    pub(crate) async fn create_fleet(&self, nodes: &[&str]) {
        self.create("ConfigMap", store_ca()).await;
        self.create("TesseraNetwork", network()).await;
        for name in nodes {
            self.create("TesseraNode", node(name)).await;
        }
    }

    pub(crate) async fn get(&self, kind: &str, name: &str) -> Option<Value> {
        let object = self.api(kind).get_opt(name).await.expect("the API server answers");
        object.map(|object| serde_json::to_value(object).expect("an object serialises"))
    }

    /// A merge patch by somebody else.
    pub(crate) async fn edit(&self, kind: &str, name: &str, patch: Value) {
        let params = PatchParams { field_manager: Some("somebody".to_owned()), ..PatchParams::default() };
        let edited = self.api(kind).patch(name, &params, &Patch::Merge(patch)).await;
        edited.expect("the edit is admitted");
    }

    /// A server-side apply by another field manager; returns the version of the result.
    pub(crate) async fn apply_as(&self, manager: &str, kind: &str, name: &str, mut object: Value) -> String {
        let resource = resource(kind);
        object["apiVersion"] = resource.api_version.clone().into();
        object["kind"] = resource.kind.clone().into();
        let applied = self.api(kind).patch(name, &PatchParams::apply(manager), &Patch::Apply(object)).await;
        applied.expect("the apply is admitted").resource_version().expect("a stored object has a version")
    }

    /// A JSON patch by somebody else.
    pub(crate) async fn edit_json(&self, kind: &str, name: &str, patch: Value) {
        let url = DynamicObject::url_path(&resource(kind), Some(&self.namespace));
        let request = http::Request::patch(format!("{url}/{name}?fieldManager=somebody"))
            .header("Content-Type", "application/json-patch+json")
            .body(patch.to_string().into_bytes());
        let edited = self.client.request::<Value>(request.expect("the path is a URI")).await;
        edited.expect("the edit is admitted");
    }

    /// Waits until `holds` of the object, or says what it is like at the end.
    pub(crate) async fn until(&self, kind: &str, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + DEADLINE;
        loop {
            let object = self.get(kind, name).await.unwrap_or(Value::Null);
            if holds(&object) {
                return object;
            }
            assert!(Instant::now() < end, "{kind} {name} never came to be as expected, it is {object:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a condition of a network or node has this reason; returns its message.
    pub(crate) async fn until_reason(&self, kind: &str, name: &str, type_: &str, reason: &str) -> String {
        let has =
            |object: &Value| condition(object, type_).is_some_and(|condition| condition["reason"] == reason);
        let object = self.until(kind, name, has).await;
        condition(&object, type_).map(|condition| condition["message"].to_string()).unwrap_or_default()
    }

    /// Waits until network and nodes are as far as they can come without a secret store and a kubelet.
    pub(crate) async fn until_brought_up(&self, nodes: &[&str]) {
        self.until_reason("TesseraNetwork", "net", "SecretStoreReady", "Unreachable").await;
        for name in nodes {
            self.until("StatefulSet", &format!("tessera-{name}"), |object| !object.is_null()).await;
            self.until_reason("TesseraNode", name, "Ready", "Starting").await;
        }
        // Leaves of the network follow in its second round, when its CA is stored.
        self.until("Secret", "net-monitoring-prometheus", |object| !object.is_null()).await;
        let total = nodes.len();
        let counts = |network: &Value| network["status"]["nodes"]["total"] == total;
        self.until("TesseraNetwork", "net", counts).await;
        // What is read of the cluster around the network comes in one round.
        let read =
            |object: &Value| line(object, "NoRemoteRoot").is_some_and(|line| line["reason"] != "NotAskedYet");
        self.until("TesseraNetwork", "net", read).await;
        let all = |object: &Value| {
            object["data"]["peers.json"].as_str().unwrap_or_default().matches("\"url\"").count() == total
        };
        self.until("ConfigMap", "net-peers", all).await;
    }

    /// Everything that the operator owns, by kind and name, with CA state.
    pub(crate) async fn owned(&self) -> BTreeMap<String, DynamicObject> {
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=tessera-operator");
        let mut all = BTreeMap::new();
        for resource in owned_kinds() {
            for namespace in [&self.namespace, &self.operator_namespace] {
                let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
                for object in api.list(&ours).await.expect("the API server lists") {
                    all.insert(format!("{} {}", resource.kind, object.name_any()), object);
                }
            }
        }
        all
    }

    /// The resourceVersion of everything that the operator owns and of Events, and each status of ours.
    pub(crate) async fn contents(&self) -> BTreeMap<String, String> {
        let mut contents = BTreeMap::new();
        for (key, object) in self.owned().await {
            contents.insert(key, object.resource_version().unwrap_or_default());
        }
        for kind in ["TesseraNetwork", "TesseraNode", "Event"] {
            for object in self.api(kind).list(&ListParams::default()).await.expect("the API server lists") {
                let version = object.resource_version().unwrap_or_default();
                let content = if kind == "Event" { version } else { object.data["status"].to_string() };
                contents.insert(format!("{kind} {}", object.name_any()), content);
            }
        }
        contents
    }

    pub(crate) async fn network(&self) -> TesseraNetwork {
        Api::namespaced(self.client.clone(), &self.namespace).get("net").await.expect("the network is there")
    }

    pub(crate) async fn node(&self, name: &str) -> TesseraNode {
        Api::namespaced(self.client.clone(), &self.namespace).get(name).await.expect("the node is there")
    }
}

/// The condition of this type of any object.
pub(crate) fn condition<'v>(object: &'v Value, type_: &str) -> Option<&'v Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == type_)
}

/// The line of the checklist of this id, of any object.
pub(crate) fn line<'v>(object: &'v Value, id: &str) -> Option<&'v Value> {
    object["status"]["checklist"]["lines"].as_array()?.iter().find(|line| line["id"] == id)
}

/// The status of a typed condition.
pub(crate) fn is_stalled(node: &TesseraNode) -> bool {
    let conditions = node.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    find(conditions, tessera_crds::condition::ConditionType::Stalled).is_some()
}

pub(crate) fn owned_kinds() -> Vec<ApiResource> {
    vec![
        ApiResource::erase::<ServiceAccount>(&()),
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<Secret>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
        ApiResource::erase::<StatefulSet>(&()),
    ]
}

fn resource(kind: &str) -> ApiResource {
    match kind {
        "TesseraNetwork" => ApiResource::erase::<TesseraNetwork>(&()),
        "TesseraNode" => ApiResource::erase::<TesseraNode>(&()),
        "TesseraAttestation" => ApiResource::erase::<TesseraAttestation>(&()),
        "TesseraBackupProof" => ApiResource::erase::<TesseraBackupProof>(&()),
        "TesseraKeyRestore" => ApiResource::erase::<TesseraKeyRestore>(&()),
        "Event" => ApiResource::erase::<k8s_openapi::api::events::v1::Event>(&()),
        _ => owned_kinds().into_iter().find(|resource| resource.kind == kind).expect("a kind of ours"),
    }
}

pub(crate) fn store_ca() -> Value {
    let now = jiff::Timestamp::now();
    let state = tessera_pki::CaState::generate("store", jiff::SignedDuration::from_hours(1), now);
    let pem = state.expect("a CA can be made").network.roots_pem();
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "store-ca"}, "data": {"ca.crt": pem}})
}

pub(crate) fn network() -> Value {
    json!({
        "apiVersion": "tessera.rs/v1alpha1", "kind": "TesseraNetwork", "metadata": {"name": "net"},
        "spec": {
            "trustDomain": "net.example",
            "secretStore": {
                "type": "Vault",
                "vault": {
                    // Nothing listens there: the store is unreachable.
                    "address": "https://127.0.0.1:1",
                    "caBundleRef": {"name": "store-ca"},
                    "auth": {"role": "tessera-net"},
                    "kv": {"pathPrefix": "test/net"},
                },
                "egress": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "vault"}}, "port": 8200}],
            },
            "monitoring": [{"name": "prometheus", "from": {"podSelector": {"matchLabels": {"app": "prometheus"}}}}],
            "nodeDefaults": {
                "image": format!("registry.example/tessera-node@sha256:{}", "0".repeat(64)),
                // Not in the API server's own spelling.
                "resources": {"requests": {"cpu": "0.05", "memory": "1024Mi"}},
            },
        },
    })
}

pub(crate) fn node(name: &str) -> Value {
    json!({
        "apiVersion": "tessera.rs/v1alpha1", "kind": "TesseraNode", "metadata": {"name": name},
        "spec": {
            "networkRef": {"name": "net"},
            "storage": {"type": "Embedded", "embedded": {"size": "1Gi"}},
            "keys": [{"name": "main", "default": true, "type": "Vault"}],
            "clients": [{"name": "ledger", "from": [{"podSelector": {"matchLabels": {"app": "ledger"}}}]}],
        },
    })
}

async fn connect(kubeconfig: &str) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("the kubeconfig can be read");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("the kubeconfig is complete")).expect("a client can be made")
}

async fn install(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in tessera_crds::generate::definitions() {
        let name = definition.name_any();
        let params = PatchParams::apply("tessera-reconcile-test").force();
        api.patch(&name, &params, &Patch::Apply(&definition)).await.expect("the definition is admitted");
        let established = await_condition(api.clone(), &name, conditions::is_crd_established());
        established.await.expect("the definition is served");
    }
}

async fn make_namespace(client: &Client, name: &str) {
    let namespace = Namespace {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        ..Namespace::default()
    };
    let api: Api<Namespace> = Api::all(client.clone());
    api.create(&PostParams::default(), &namespace).await.expect("a namespace of the test's own");
}
