//! What was applied is what is there: `GitOps` tools find nothing to do, whichever way they apply.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tessera_e2e::cluster::Kind;
use tessera_e2e::fleet::Fleet;
use tessera_e2e::wait;
use tokio::io::AsyncWriteExt as _;

/// Client-side, as `kubectl apply` does by default.
const CLIENT: &[&str] = &[];
/// As Argo CD and Flux can.
const SERVER: &[&str] = &["--server-side"];

/// Restarts the operator, so `hack/e2e` runs it alone.
#[tokio::test]
async fn serial_kubectl_diff_is_empty() -> Result<()> {
    let fleet = Fleet::prepare("e2e-diff").await?;
    let manifest = |kind: &str, mut object: Value| {
        object["apiVersion"] = json!("tessera.rs/v1alpha1");
        object["kind"] = json!(kind);
        object
    };
    let applied = [
        (CLIENT, manifest("TesseraNetwork", fleet.network_manifest())),
        (CLIENT, manifest("TesseraNode", fleet.node_manifest("a"))),
        (SERVER, manifest("TesseraNode", fleet.node_manifest("b"))),
    ];
    for (how, object) in &applied {
        let output = kubectl(&fleet, "apply", how, object).await?;
        ensure!(output.status.success(), "{output:?}");
    }
    fleet.set_up_store().await?;
    for node in ["a", "b"] {
        fleet.node_ready(node).await?;
    }
    nothing_differs(&fleet, &applied).await?;

    // The control: something to find is found.
    let mut other = applied[1].1.clone();
    other["spec"]["paused"] = json!(true);
    let found = kubectl(&fleet, "diff", CLIENT, &other).await?;
    ensure!(found.status.code() == Some(1), "a difference is exit code 1: {found:?}");

    restart_operator(&fleet).await?;
    // A new one that only stands by has looked at nothing: what it repairs, it has seen.
    for node in ["a", "b"] {
        fleet.break_glass.delete(Kind::ConfigMap, &fleet.namespace, &format!("{node}-dynamic")).await?;
    }
    for node in ["a", "b"] {
        wait::until("the new operator at work", Duration::from_mins(2), || async {
            fleet.cluster.get(Kind::ConfigMap, &fleet.namespace, &format!("{node}-dynamic")).await
        })
        .await?;
        fleet.node_ready(node).await?;
    }
    nothing_differs(&fleet, &applied).await?;
    fleet.done().await
}

async fn nothing_differs(fleet: &Fleet, applied: &[(&[&str], Value)]) -> Result<()> {
    fleet.network_condition("Ready", "True", "Ready").await?;
    for (how, object) in applied {
        // kubectl reads the object twice: a status that is written in between differs.
        wait::until("kubectl diff to find nothing", Duration::from_secs(30), || async {
            let output = kubectl(fleet, "diff", how, object).await?;
            ensure!(output.status.success() && output.stdout.is_empty(), "{how:?}: {output:?}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

async fn kubectl(fleet: &Fleet, verb: &str, how: &[&str], object: &Value) -> Result<std::process::Output> {
    let mut child = tokio::process::Command::new("kubectl")
        .args([verb, "-n", &fleet.namespace, "-f", "-"])
        .args(how)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting kubectl")?;
    let mut stdin = child.stdin.take().context("kubectl has a standard input")?;
    stdin.write_all(object.to_string().as_bytes()).await?;
    drop(stdin);
    Ok(child.wait_with_output().await?)
}

/// Deletes its pods and waits until others are ready.
async fn restart_operator(fleet: &Fleet) -> Result<()> {
    const NAMESPACE: &str = "tessera-system";
    const SELECTOR: &str = "app.kubernetes.io/name=tessera-operator";
    let before = fleet.cluster.list(Kind::Pod, NAMESPACE, SELECTOR).await?;
    ensure!(!before.is_empty(), "the operator runs");
    for pod in &before {
        let name = pod["metadata"]["name"].as_str().context("a pod has a name")?;
        fleet.cluster.delete(Kind::Pod, NAMESPACE, name).await?;
    }
    wait::until("another operator ready", Duration::from_mins(2), || async {
        for pod in fleet.cluster.list(Kind::Pod, NAMESPACE, SELECTOR).await? {
            if before.iter().any(|old| old["metadata"]["uid"] == pod["metadata"]["uid"]) {
                bail!("the old pod is still there");
            }
            ensure!(pod["status"]["containerStatuses"][0]["ready"] == true, "the new one is not ready");
        }
        let ready = fleet.cluster.get(Kind::Deployment, NAMESPACE, "tessera-operator").await?;
        ensure!(ready["status"]["readyReplicas"].as_u64() >= Some(1), "none is ready");
        Ok(())
    })
    .await
}
