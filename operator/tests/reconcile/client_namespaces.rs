//! Certificates of clients in namespaces that are not managed.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use serde_json::{Value, json};

use crate::operator::Operator;
use crate::world::{DEADLINE, World, condition, node};

const SECRET: &str = "a-client-ledger";

/// A namespace of a ledger, and what a node needs to put a certificate there.
struct Ledger {
    name: String,
    secrets: Api<Secret>,
}

impl Ledger {
    async fn new(world: &World, name: &str) -> Self {
        let name = format!("{}-{name}", world.namespace);
        let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        let all: Api<Namespace> = Api::all(world.client.clone());
        all.create(&PostParams::default(), &namespace).await.expect("a namespace of the test's own");
        let secrets = Api::namespaced(world.client.clone(), &name);
        Self { name, secrets }
    }

    /// The operator's argument that gives it to the world's nodes.
    fn given_to(&self, world: &World) -> String {
        format!("{}={}", self.name, world.namespace)
    }

    fn node(&self) -> Value {
        let mut node = node("a");
        node["spec"]["clients"][0]["certificate"] = json!({"secretNamespace": self.name});
        node
    }

    async fn get(&self) -> Option<Secret> {
        self.secrets.get_opt(SECRET).await.expect("the API server answers")
    }

    async fn until(&self, holds: impl Fn(Option<&Secret>) -> bool) -> Option<Secret> {
        let end = Instant::now() + DEADLINE;
        loop {
            let secret = self.get().await;
            if holds(secret.as_ref()) {
                return secret;
            }
            let metadata = secret.map(|secret| secret.metadata);
            assert!(Instant::now() < end, "the Secret never came to be as expected, it is {metadata:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn until_there(&self) -> Secret {
        self.until(|secret| secret.is_some()).await.expect("it is there")
    }

    async fn delete(&self) {
        self.secrets.delete(SECRET, &DeleteParams::default()).await.expect("it is there");
    }
}

fn certificate(secret: &Secret) -> &[u8] {
    &secret.data.as_ref().expect("it has data")["tls.crt"].0
}

async fn create_fleet(world: &World, node: Value) {
    world.create_fleet(&[]).await;
    world.create("TesseraNode", node).await;
    world.until("StatefulSet", "tessera-a", |object| !object.is_null()).await;
}

#[tokio::test]
async fn it_lies_where_the_ledger_is_comes_back_and_goes_with_its_client() {
    let world = World::new("elsewhere").await;
    let (ledger, other) = (Ledger::new(&world, "one").await, Ledger::new(&world, "two").await);
    let given = format!("{},{}", ledger.given_to(&world), other.given_to(&world));
    let operator = Operator::start_with(&world, &["--client-namespaces", &given]);
    create_fleet(&world, ledger.node()).await;

    let first = ledger.until_there().await;
    assert!(first.metadata.owner_references.is_none(), "an owner cannot be in another namespace");
    assert!(world.get("Secret", SECRET).await.is_none(), "who reads Secrets beside the node gets none");
    ledger.delete().await;
    let second = ledger.until_there().await;
    assert_ne!(certificate(&first), certificate(&second));

    // A restarted operator finds it good.
    assert!(operator.terminate().success());
    let operator = Operator::start_with(&world, &["--client-namespaces", &given]);
    operator.until_serves().await;
    world.until_reason("TesseraNode", "a", "Ready", "Starting").await;
    until_quiet(&operator).await;
    assert_eq!(ledger.get().await.expect("it stays").metadata, second.metadata);

    world.edit("TesseraNode", "a", json!({"spec": {"clients": [client_in(&other)]}})).await;
    other.until_there().await;
    ledger.until(|secret| secret.is_none()).await;
    world.edit("TesseraNode", "a", json!({"spec": {"clients": []}})).await;
    other.until(|secret| secret.is_none()).await;
}

/// Waits until several reconciles have asked the API server for nothing, what lies elsewhere included.
async fn until_quiet(operator: &Operator) {
    let end = Instant::now() + DEADLINE;
    let (mut reconciles, mut requests) = (operator.reconciles(), operator.requests());
    while operator.reconciles() < reconciles + 3 {
        assert!(Instant::now() < end, "each reconcile asks the API server for something");
        if operator.requests() != requests {
            (reconciles, requests) = (operator.reconciles(), operator.requests());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn client_in(ledger: &Ledger) -> Value {
    ledger.node()["spec"]["clients"][0].clone()
}

#[tokio::test]
async fn it_goes_with_its_node_also_while_nobody_watched() {
    let world = World::new("elsewhere-gone").await;
    let ledger = Ledger::new(&world, "ledger").await;
    let given = ledger.given_to(&world);
    let operator = Operator::start_with(&world, &["--client-namespaces", &given]);
    create_fleet(&world, ledger.node()).await;
    ledger.until_there().await;
    assert!(operator.terminate().success());
    world.api("TesseraNode").delete("a", &DeleteParams::default()).await.expect("it is there");
    let kept = plant(&ledger, "b-client-ledger", "unmanaged/b").await;

    let _operator = Operator::start_with(&world, &["--client-namespaces", &given]);
    ledger.until(|secret| secret.is_none()).await;
    assert!(ledger.secrets.get_opt(&kept).await.expect("the API server answers").is_some());
}

/// As an operator of other namespaces would have made it.
async fn plant(ledger: &Ledger, name: &str, of_node: &str) -> String {
    let secret = serde_json::from_value(json!({"metadata": {
        "name": name,
        "labels": {"app.kubernetes.io/managed-by": "tessera-operator"},
        "annotations": {"tessera.rs/of-node": of_node},
    }}));
    ledger.secrets.create(&PostParams::default(), &secret.expect("a Secret")).await.expect("it is admitted");
    name.to_owned()
}

#[tokio::test]
async fn a_namespace_that_is_not_given_gets_nothing_and_the_node_goes_on() {
    let world = World::new("elsewhere-not").await;
    let (ledger, other) = (Ledger::new(&world, "one").await, Ledger::new(&world, "two").await);
    let _operator = Operator::start_with(&world, &["--client-namespaces", &other.given_to(&world)]);
    create_fleet(&world, ledger.node()).await;
    let message = world.until_reason("TesseraNode", "a", "Reconciling", "Progressing").await;
    assert!(message.contains("clientNamespaces") && message.contains(&ledger.name), "{message}");
    assert!(world.get("Secret", "a-tls").await.is_some());
    assert!(ledger.get().await.is_none());
}

#[tokio::test]
async fn a_namespace_that_is_gone_keeps_no_node_from_its_own_certificate() {
    let world = World::new("elsewhere-none").await;
    let mut node = node("a");
    node["spec"]["clients"][0]["certificate"] = json!({"secretNamespace": "elsewhere-never-made"});
    let given = format!("elsewhere-never-made={}", world.namespace);
    let _operator = Operator::start_with(&world, &["--client-namespaces", &given]);
    create_fleet(&world, node).await;
    let says = |object: &Value| {
        let message = condition(object, "Reconciling").map(|it| it["message"].to_string());
        message.is_some_and(|message| message.contains("Secret elsewhere-never-made/a-client-ledger"))
    };
    world.until("TesseraNode", "a", says).await;
    assert!(world.get("Secret", "a-tls").await.is_some());
}

#[tokio::test]
async fn a_strangers_secret_and_that_of_another_namespaces_node_are_left_alone() {
    let world = World::new("elsewhere-taken").await;
    let ledger = Ledger::new(&world, "ledger").await;
    plant(&ledger, SECRET, "another/a").await;
    let before = ledger.get().await.expect("it was planted");
    let _operator = Operator::start_with(&world, &["--client-namespaces", &ledger.given_to(&world)]);
    create_fleet(&world, ledger.node()).await;
    let message = world.until_reason("TesseraNode", "a", "Stalled", "NameConflict").await;
    assert!(message.contains("belongs to TesseraNode another/a"), "{message}");
    assert!(message.contains(&format!("kubectl get -n {} secret/{SECRET}", ledger.name)), "{message}");
    assert_eq!(ledger.get().await.expect("it stays").metadata, before.metadata);

    ledger.delete().await;
    let ours = ledger.until_there().await;
    assert!(ours.data.is_some_and(|data| data.contains_key("ca.crt")));
    world.until("TesseraNode", "a", |object| condition(object, "Stalled").is_none()).await;
}
