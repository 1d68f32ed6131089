//! When nothing changes, nothing is written; when something does, it is seen.

use std::io::BufRead as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, LogParams};
use serde_json::{Value, json};
use tessera_e2e::cluster::Kind;
use tessera_e2e::fleet::{Fleet, NAMESPACES, NETWORK};
use tessera_e2e::wait;

/// The operator as the API server's audit log names it.
const OPERATOR: &str = "system:serviceaccount:tessera-system:tessera-operator";

/// Without a write for so long, the fleet has settled: three of its periods.
const SETTLED: SignedDuration = SignedDuration::from_secs(30);

#[tokio::test]
async fn serial_nothing_changes_nothing_is_written() -> Result<()> {
    let beginning = position()?;
    let fleet = Fleet::start("e2e-quiet", &["a", "b", "c"]).await?;
    // What else runs on the machines is evidence: what earlier tests left there must be seen to be gone before the quiet begins. A
    // quarter of an hour, the default, is long to wait for it.
    let mut network = fleet.network_manifest();
    for probe_every in ["10s", "15m"] {
        network["spec"]["checklist"] = json!({"probeEvery": probe_every});
        fleet.cluster.apply(Kind::TesseraNetwork, &fleet.namespace, &network).await?;
        settled(&fleet, beginning).await?;
    }

    let from = position()?;
    let period = std::env::var("TESSERA_QUIET_SECONDS").map_or(Ok(60), |s| s.parse())?;
    wait::holds("no write by the operator", Duration::from_secs(period), || async {
        let writes = writes_since(from, &fleet.namespace)?;
        ensure!(writes.is_empty(), "{writes:?}");
        Ok(())
    })
    .await?;

    let said = said_by_operator(&fleet, i64::try_from(period)?).await?;
    ensure!(said.is_empty(), "nothing to say, and yet: {said}");

    // The positive control: the log sees what the operator writes.
    let label = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "somebody"}}});
    fleet.break_glass.edit(Kind::ConfigMap, &fleet.namespace, "a-config", &label).await?;
    wait::until("the audit log to show the repair", Duration::from_mins(1), || async {
        let writes = writes_since(from, &fleet.namespace)?;
        ensure!(writes.iter().any(|w| w.request.contains("a-config")), "{writes:?}");
        Ok(())
    })
    .await?;
    let said = said_by_operator(&fleet, 60).await?;
    ensure!(said.contains("a-config"), "control: the repair is said: {said}");
    fleet.done().await
}

/// The first contact of peers still changes their status, and what deleted networks of other tests left is removed within a minute
/// or two.
async fn settled(fleet: &Fleet, beginning: u64) -> Result<()> {
    wait::until("the fleet settled", Duration::from_mins(4), || async {
        let network = fleet.cluster.get(Kind::TesseraNetwork, &fleet.namespace, NETWORK).await?;
        let seen = network["status"]["observedGeneration"] == network["metadata"]["generation"];
        ensure!(seen, "the operator has not seen the network as it is now");
        no_leftovers(fleet).await?;
        let since = Timestamp::now() - SETTLED;
        let recent: Vec<_> =
            writes_since(beginning, &fleet.namespace)?.into_iter().filter(|write| write.at > since).collect();
        if recent.is_empty() { Ok(()) } else { bail!("{recent:?}") }
    })
    .await
}

/// Whether nothing of other tests is being deleted, and each CA state is that of a network that exists.
async fn no_leftovers(fleet: &Fleet) -> Result<()> {
    for namespace in NAMESPACES.lines() {
        let pods = fleet.cluster.list(Kind::Pod, namespace, "").await?;
        let ending: Vec<_> =
            pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_string()).collect();
        ensure!(ending.is_empty(), "{} pods of {namespace} are being deleted", ending.len());
    }
    for secret in fleet.cluster.list(Kind::Secret, "tessera-system", "").await? {
        let name = secret["metadata"]["name"].as_str().unwrap_or_default();
        let Some((namespace, network)) =
            name.strip_prefix("tessera-ca-").and_then(|rest| rest.split_once('.'))
        else {
            continue;
        };
        fleet.cluster.get(Kind::TesseraNetwork, namespace, network).await.with_context(|| name.to_owned())?;
    }
    Ok(())
}

/// What the operator's pods logged in the last seconds, but for what it says of other tests' namespaces: a test that failed leaves its
/// fleet there.
async fn said_by_operator(fleet: &Fleet, seconds: i64) -> Result<String> {
    let pods: Api<Pod> = Api::namespaced(fleet.cluster.client().clone(), "tessera-system");
    let ours = ListParams::default().labels("app.kubernetes.io/name=tessera-operator");
    let is_of_another_test = |line: &str| {
        NAMESPACES.lines().any(|namespace| namespace != fleet.namespace && line.contains(namespace))
    };
    let mut said = Vec::new();
    for pod in pods.list(&ours).await? {
        let since = LogParams { since_seconds: Some(seconds), ..LogParams::default() };
        let log = pods.logs(&pod.name_any(), &since).await?;
        said.extend(log.lines().filter(|line| !is_of_another_test(line)).map(str::to_owned));
    }
    Ok(said.join("\n"))
}

fn audit_log() -> Result<std::fs::File> {
    let path = std::env::var("TESSERA_AUDIT_LOG")
        .context("TESSERA_AUDIT_LOG is not set: run the tests with hack/e2e")?;
    std::fs::File::open(&path).with_context(|| format!("opening the audit log {path}"))
}

fn position() -> Result<u64> {
    Ok(audit_log()?.metadata()?.len())
}

/// One write as the audit log has it.
#[derive(Debug)]
struct Write {
    at: Timestamp,
    request: String,
}

/// The operator's completed mutating requests after a position of the log: in the fleet's namespace, in the operator's own
/// (but for the Lease), and in none. (What failed in other tests' namespaces may still be worked at.)
fn writes_since(position: u64, namespace: &str) -> Result<Vec<Write>> {
    use std::io::Seek as _;
    let mut log = audit_log()?;
    log.seek(std::io::SeekFrom::Start(position))?;
    let mut writes = Vec::new();
    for line in std::io::BufReader::new(log).lines() {
        // The last line may be half written: it is whole at the next look.
        let Ok(event) = serde_json::from_str::<Value>(&line?) else { continue };
        let mutating = matches!(
            event["verb"].as_str(),
            Some("create" | "update" | "patch" | "delete" | "deletecollection")
        );
        let object = &event["objectRef"];
        let place = object["namespace"].as_str().unwrap_or_default();
        let ours = event["user"]["username"] == OPERATOR
            && ["", "tessera-system", namespace].contains(&place)
            && object["resource"] != "leases";
        // A token request and an access review create nothing.
        let virtual_object = event["objectRef"]["subresource"] == "token";
        if mutating && ours && !virtual_object && event["stage"] == "ResponseComplete" {
            writes.push(Write {
                at: event["stageTimestamp"].as_str().context("an audit event has a time")?.parse()?,
                request: format!("{} {}", event["verb"], event["requestURI"]),
            });
        }
    }
    Ok(writes)
}
