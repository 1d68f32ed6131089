//! The checklist as OpenReports' `Report`, with the definition that OpenReports publishes: written where the API is served, with the
//! changes of the status alone, and without a word where it is not.
//!
//! The definition is the whole API server's, so one test sees it come, go and come back. All other tests run operators that write no
//! such reports.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::wait::{await_condition, conditions};
use serde_json::{Value, json};

use crate::bring_up::reconcile_more;
use crate::operator::Operator;
use crate::world::{DEADLINE, World, line, node};

const DEFINITION: &str = "reports.openreports.io";
const OF_NETWORK: &str = "tessera-network-net";
const OF_NODE: &str = "tessera-node-a";
/// What the operator logs of reports that it cannot write.
const FAILURE: &str = "a report for dashboards cannot be written";
const CAME_OR_WENT: &str = "the API for reports came or went";

fn definitions(world: &World) -> Api<CustomResourceDefinition> {
    Api::all(world.client.clone())
}

/// From the pinned Go module.
async fn install(world: &World) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate has a parent");
    let found = Command::new("hack/tools").arg("open-reports").current_dir(root).output().unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    let path = String::from_utf8(found.stdout).unwrap();
    let definition: Value = serde_yaml::from_str(&std::fs::read_to_string(path.trim()).unwrap()).unwrap();
    let params = PatchParams::apply("test").force();
    definitions(world).patch(DEFINITION, &params, &Patch::Apply(definition)).await.expect("it is admitted");
    let established = conditions::is_crd_established();
    await_condition(definitions(world), DEFINITION, established).await.expect("it is served");
}

async fn uninstall(world: &World) {
    let _ = definitions(world).delete(DEFINITION, &DeleteParams::default()).await;
    let end = Instant::now() + DEADLINE;
    while definitions(world).get_opt(DEFINITION).await.unwrap().is_some() {
        assert!(Instant::now() < end, "the definition stays");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn reports(world: &World) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("openreports.io", "v1alpha1", "Report");
    let resource = ApiResource::from_gvk_with_plural(&kind, "reports");
    Api::namespaced_with(world.client.clone(), &world.namespace, &resource)
}

async fn report(world: &World, name: &str) -> Option<Value> {
    let found = reports(world).get_opt(name).await.unwrap();
    found.map(|found| serde_json::to_value(found).unwrap())
}

/// Reconciles again and again until `holds` of the report: the operator asks every 20 seconds whether the API is served.
async fn until_report(
    world: &World,
    operator: &Operator,
    name: &str,
    holds: impl Fn(&Value) -> bool,
) -> Value {
    let end = Instant::now() + DEADLINE;
    loop {
        let found = report(world, name).await.unwrap_or(Value::Null);
        if holds(&found) {
            return found;
        }
        assert!(Instant::now() < end, "Report {name} never came to be as expected, it is {found:#}");
        reconcile_more(world, operator, &["a"], 1).await;
    }
}

fn of_line<'v>(report: &'v Value, id: &str) -> &'v Value {
    let results = report["results"].as_array().map(Vec::as_slice).unwrap_or_default();
    results.iter().find(|result| result["rule"] == id).unwrap_or(&Value::Null)
}

fn version(report: &Value) -> &str {
    report["metadata"]["resourceVersion"].as_str().unwrap()
}

async fn versions(world: &World) -> Vec<String> {
    let mut versions = Vec::new();
    for name in [OF_NETWORK, OF_NODE] {
        versions.push(version(&report(world, name).await.unwrap()).to_owned());
    }
    versions
}

/// Result by result the report says what the status says.
fn agrees(report: &Value, object: &Value) -> bool {
    let lines = object["status"]["checklist"]["lines"].as_array().map(Vec::as_slice).unwrap_or_default();
    let results = report["results"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_same = |(line, result): (&Value, &Value)| {
        let expected = match line["result"].as_str().unwrap() {
            "Verified" => "pass",
            "Enforced" | "Attested" => "warn",
            "Violated" => "fail",
            _ => "error",
        };
        (&line["id"], &line["result"], &line["reason"])
            == (&result["rule"], &result["properties"]["result"], &result["properties"]["reason"])
            && result["result"] == expected
            && result["message"].as_str().unwrap().starts_with(line["observed"].as_str().unwrap())
    };
    !lines.is_empty() && lines.len() == results.len() && lines.iter().zip(results).all(is_same)
}

async fn until_reported(world: &World, operator: &Operator) {
    for (kind, object, name, count) in
        [("TesseraNetwork", "net", OF_NETWORK, 14), ("TesseraNode", "a", OF_NODE, 8)]
    {
        let found = until_report(world, operator, name, |found| !found.is_null()).await;
        assert_eq!(found["results"].as_array().unwrap().len(), count);
        let uid = world.get(kind, object).await.unwrap()["metadata"]["uid"].clone();
        let owner = &found["metadata"]["ownerReferences"][0];
        assert_eq!((&owner["uid"], &owner["controller"]), (&uid, &json!(true)));
        let scope = json!({
            "apiVersion": "tessera.rs/v1alpha1", "kind": kind, "name": object, "namespace": world.namespace, "uid": uid,
        });
        assert_eq!(found["scope"], scope);
        let end = Instant::now() + DEADLINE;
        while !agrees(&report(world, name).await.unwrap(), &world.get(kind, object).await.unwrap()) {
            assert!(Instant::now() < end, "Report {name} differs from the status of {kind} {object}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

async fn leak(world: &World) {
    let leaky = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "leaky"},
        "data": {"url": "postgres://ledger:correct-horse-battery@db.example:5432/ledger"},
    });
    world.create("ConfigMap", leaky).await;
}

#[tokio::test]
async fn reports_follow_the_checklist_where_their_api_is_served() {
    let world = World::new("open-reports").await;
    uninstall(&world).await;
    let operator = Operator::start_with(&world, &["--open-reports"]);
    world.create_fleet(&["a"]).await;
    world.until_brought_up(&["a"]).await;
    // Where the API is not served no reconcile asks for it, and nothing is logged.
    until_idle(&world, &operator, 6).await;
    let logged = operator.log_with("").len();
    until_idle(&world, &operator, 2).await;
    assert_eq!(operator.log_with("").len(), logged);
    assert_eq!(operator.log_with("kube::open_reports").len(), 0, "also before that");

    install(&world).await;
    until_reported(&world, &operator).await;
    assert_eq!(operator.log_with(CAME_OR_WENT).len(), 1);
    stays_as_it_is(&world, &operator).await;
    follows_a_line(&world, &operator).await;
    assert!(operator.terminate().success());

    let operator = Operator::start_with(&world, &["--open-reports"]);
    let before = versions(&world).await;
    until_asked(&operator).await;
    reconcile_more(&world, &operator, &["a"], 4).await;
    assert_eq!(versions(&world).await, before, "a new process writes nothing that is there");
    leaves_what_is_not_its_own(&world, &operator).await;
    survives_the_definition(&world, &operator).await;
}

/// The operator has learned that the API is served.
async fn until_asked(operator: &Operator) {
    let end = Instant::now() + DEADLINE;
    while operator.log_with(CAME_OR_WENT).is_empty() {
        assert!(Instant::now() < end, "the operator does not ask what is served");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn stays_as_it_is(world: &World, operator: &Operator) {
    until_idle(world, operator, 2).await;
    let before = versions(world).await;
    until_idle(world, operator, 4).await;
    assert_eq!(versions(world).await, before);
}

/// So many reconciles ask the API server for nothing. A first probe of the store that times out may still change a status; a
/// reconcile that asks each time never gets here.
async fn until_idle(world: &World, operator: &Operator, reconciles: u64) {
    let end = Instant::now() + DEADLINE;
    loop {
        let requests = operator.requests();
        reconcile_more(world, operator, &["a"], reconciles).await;
        if operator.requests() == requests {
            return;
        }
        assert!(Instant::now() < end, "a reconcile with nothing to do asks for something");
    }
}

async fn follows_a_line(world: &World, operator: &Operator) {
    const CLEAR_TEXT: &str = "NoClearTextCredentials";
    let result = |found: &Value| of_line(found, CLEAR_TEXT)["result"].clone();
    let before = report(world, OF_NETWORK).await.unwrap();
    assert_ne!(result(&before), "fail");
    leak(world).await;
    let leaked = until_report(world, operator, OF_NETWORK, |found| result(found) == "fail").await;
    assert_ne!(version(&leaked), version(&before));
    let failure = of_line(&leaked, CLEAR_TEXT);
    assert_eq!((&failure["severity"], &failure["scored"]), (&json!("high"), &json!(true)));
    assert!(failure["message"].as_str().unwrap().contains("leaky"), "{failure:#}");
    let count = |found: &Value| found["summary"]["fail"].as_u64().unwrap();
    assert_eq!(count(&leaked), count(&before) + 1);

    let expires = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string();
    let accepted = json!({
        "apiVersion": "tessera.rs/v1alpha1", "kind": "TesseraAttestation", "metadata": {"name": "known-leak"},
        "spec": {
            "networkRef": {"name": "net"}, "line": CLEAR_TEXT, "type": "Exception",
            "statement": "It goes tomorrow.", "by": "test-admin", "expires": expires,
        },
    });
    world.create("TesseraAttestation", accepted).await;
    let is_accepted = |found: &Value| of_line(found, CLEAR_TEXT)["properties"]["exception"] == "known-leak";
    let accepted = until_report(world, operator, OF_NETWORK, is_accepted).await;
    let failure = of_line(&accepted, CLEAR_TEXT);
    assert_eq!((&failure["result"], &failure["severity"]), (&json!("fail"), &json!("low")));

    world.api("ConfigMap").delete("leaky", &DeleteParams::default()).await.unwrap();
    until_report(world, operator, OF_NETWORK, |found| result(found) == result(&before)).await;
    until_reported(world, operator).await;
}

/// A report of a name that the operator needs belongs to somebody else, and the API server refuses another.
async fn leaves_what_is_not_its_own(world: &World, operator: &Operator) {
    let theirs = json!({
        "apiVersion": "openreports.io/v1alpha1", "kind": "Report", "metadata": {"name": "tessera-node-b"}, "source": "theirs",
    });
    let theirs = serde_json::from_value(theirs).unwrap();
    let theirs = reports(world).create(&PostParams::default(), &theirs).await.unwrap();
    world.create("TesseraNode", node("b")).await;
    world.until_brought_up(&["a", "b"]).await;
    let end = Instant::now() + DEADLINE;
    while operator.log_with(FAILURE).is_empty() {
        assert!(Instant::now() < end, "the operator says nothing of the other's report");
        reconcile_more(world, operator, &["b"], 1).await;
    }
    reconcile_more(world, operator, &["b"], 3).await;
    let logged = operator.log_with(FAILURE);
    assert_eq!(logged.len(), 1, "{logged:#?}");
    assert!(logged[0].contains("tessera-node-b exists and is not ours"), "{logged:#?}");
    let now = report(world, "tessera-node-b").await.unwrap();
    assert_eq!(Some(version(&now)), theirs.metadata.resource_version.as_deref());
    world.until_reason("TesseraNode", "b", "Ready", "Starting").await;
    world.api("TesseraNode").delete("b", &DeleteParams::default()).await.unwrap();
    world.until("TesseraNetwork", "net", |object| object["status"]["nodes"]["total"] == 1).await;
}

async fn survives_the_definition(world: &World, operator: &Operator) {
    uninstall(world).await;
    leak(world).await;
    let is_violated =
        |object: &Value| line(object, "NoClearTextCredentials").is_some_and(|it| it["result"] == "Violated");
    world.until("TesseraNetwork", "net", is_violated).await;
    let end = Instant::now() + DEADLINE;
    while operator.log_with(CAME_OR_WENT).len() < 2 {
        assert!(Instant::now() < end, "the operator does not notice that the API went");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    reconcile_more(world, operator, &["a"], 2).await;
    assert_eq!(operator.log_with(FAILURE).len(), 1, "only the one of before");
    assert_eq!(operator.log_with("a reconcile failed and will be retried").len(), 0);

    install(world).await;
    let fails = |found: &Value| of_line(found, "NoClearTextCredentials")["result"] == "fail";
    until_report(world, operator, OF_NETWORK, fails).await;
    until_reported(world, operator).await;
    uninstall(world).await;
}
