//! What is wrong is said in status, nothing else breaks, and it heals when the cause goes.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tessera_e2e::cluster::{Kind, condition};
use tessera_e2e::fleet::{Fleet, NETWORK};
use tessera_e2e::{vault, wait};

#[tokio::test]
async fn network_not_there() -> Result<()> {
    let fleet = Fleet::prepare("e2e-no-network").await?;
    fleet.create_node("a").await?;
    let node = fleet.node_condition("a", "Ready", "False", "NetworkNotFound").await?;
    let (_, _, message) = condition(&node, "Ready").context("no condition")?;
    ensure!(message.contains(NETWORK), "the message names the network: {message}");
    fleet.create_network().await?;
    fleet.set_up_store().await?;
    fleet.node_ready("a").await?;
    fleet.done().await
}

#[tokio::test]
async fn store_not_set_up() -> Result<()> {
    let fleet = Fleet::prepare("e2e-no-store").await?;
    fleet.create_network().await?;
    fleet.network_condition("SecretStoreReady", "False", "NotProvisioned").await?;
    fleet.create_node("a").await?;
    fleet.set_up_store().await?;
    fleet.network_condition("SecretStoreReady", "True", "Ready").await?;
    fleet.node_ready("a").await?;
    fleet.done().await
}

#[tokio::test]
async fn image_not_pullable() -> Result<()> {
    let fleet = Fleet::start("e2e-image", &["good"]).await?;
    let mut manifest = fleet.node_manifest("bad");
    let nowhere = format!("localhost:5001/tessera-node@sha256:{}", "0".repeat(64));
    manifest["spec"]["image"] = json!(nowhere);
    fleet.cluster.apply(Kind::TesseraNode, &fleet.namespace, &manifest).await?;
    let node = fleet.node_condition("bad", "Ready", "False", "ImagePullFailed").await?;
    let (_, _, message) = condition(&node, "Ready").context("no condition")?;
    ensure!(message.contains(&nowhere), "the message names the image: {message}");
    fleet.node_ready("good").await?;
    fleet
        .cluster
        .edit(
            Kind::TesseraNode,
            &fleet.namespace,
            "bad",
            &json!({"spec": {"image": fleet.settings.node_image}}),
        )
        .await?;
    fleet.node_ready("bad").await?;
    fleet.done().await
}

/// One wrong letter in the image of all nodes restarts none that serves; an image that runs reaches all.
#[tokio::test]
async fn default_image_not_pullable() -> Result<()> {
    let fleet = Fleet::start("e2e-default-image", &["a", "b"]).await?;
    let (a, key) = (fleet.ledger("a").await?, fleet.public_key("b").await?);
    let before = pods(&fleet).await?;
    let want = async |image: &str| {
        let edit = json!({"spec": {"nodeDefaults": {"image": image}, "rollout": {"observe": "5s"}}});
        fleet.cluster.edit(Kind::TesseraNetwork, &fleet.namespace, NETWORK, &edit).await
    };
    let nowhere = format!("localhost:5001/tessera-node@sha256:{}", "0".repeat(64));
    want(&nowhere).await?;
    for node in ["a", "b"] {
        wait::until("the change waits, and says why", Duration::from_mins(2), || async {
            let found = fleet.node(node).await?;
            let (status, reason, message) = condition(&found, "Reconciling").context("no condition")?;
            ensure!((status, reason) == ("True", "RolloutWaiting"), "{reason}: {message}");
            ensure!(message.contains(&nowhere) && message.contains("cannot be pulled"), "{message}");
            Ok(())
        })
        .await?;
        fleet.node_ready(node).await?;
    }
    a.send(b"while the image cannot be pulled", std::slice::from_ref(&key)).await?;
    ensure!(pods(&fleet).await? == before, "no pod was replaced or restarted");

    want(&fleet.settings.next_image).await?;
    wait::until("both run the next image", Duration::from_mins(4), || async {
        for node in ["a", "b"] {
            let pod = fleet.cluster.get(Kind::Pod, &fleet.namespace, &format!("tessera-{node}-0")).await?;
            ensure!(pod["spec"]["containers"][0]["image"] == fleet.settings.next_image, "{node} does not");
            // Asked of the pod, since the node's status may still be that of the pod before.
            ensure!(
                pod["status"]["containerStatuses"][0]["ready"] == true,
                "the new pod of {node} is not ready"
            );
        }
        let tried = fleet
            .cluster
            .list(Kind::Pod, &fleet.namespace, "app.kubernetes.io/name=tessera-image-check")
            .await?;
        ensure!(tried.is_empty(), "{} pods still try images", tried.len());
        Ok(())
    })
    .await?;
    for node in ["a", "b"] {
        fleet.node_ready(node).await?;
    }
    // While b had no pod its name had no address, and the cluster's DNS remembers that for some seconds.
    let answer = wait::until("a reaching the new pod of b", Duration::from_mins(1), || async {
        let answer = a.try_send(b"with the next image", std::slice::from_ref(&key)).await?;
        ensure!(answer.status != 410, "{answer:?}");
        Ok(answer)
    })
    .await?;
    ensure!(answer.status == 201, "{answer:?}");
    fleet.done().await
}

/// The pods of the nodes: which they are, and how often they were started.
async fn pods(fleet: &Fleet) -> Result<Vec<(Value, Value)>> {
    let pods = fleet.cluster.list(Kind::Pod, &fleet.namespace, "tessera.rs/node").await?;
    let identity = |pod: &Value| {
        (pod["metadata"]["uid"].clone(), pod["status"]["containerStatuses"][0]["restartCount"].clone())
    };
    Ok(pods.iter().map(identity).collect())
}

#[tokio::test]
async fn no_permission() -> Result<()> {
    const ROLE: &str = "tessera-operator";
    let fleet = Fleet::start("e2e-permission", &["good", "other"]).await?;
    let (ledger, key) = (fleet.ledger("good").await?, fleet.public_key("other").await?);
    let rules = fleet.cluster.get(Kind::Role, &fleet.namespace, ROLE).await?["rules"].clone();

    // Children cannot be made: the new node says so, and the others are as before.
    let fewer = without(&rules, "serviceaccounts", "create");
    fleet.cluster.edit(Kind::Role, &fleet.namespace, ROLE, &json!({"rules": fewer})).await?;
    fleet.create_node("late").await?;
    let node = fleet.node_condition("late", "Ready", "False", "PermissionDenied").await?;
    let (_, _, message) = condition(&node, "Ready").context("no condition")?;
    ensure!(message.contains("create") && message.contains("Role"), "the message names the fix: {message}");
    fleet.node_ready("good").await?;

    // A changed Secret cannot be read: its objects are no longer reported as ready.
    let fewer = without(&rules, "secrets", "get");
    fleet.cluster.edit(Kind::Role, &fleet.namespace, ROLE, &json!({"rules": fewer})).await?;
    let garbage = json!({"data": {"tls.crt": "Z2FyYmFnZQ=="}});
    for secret in ["good-tls", "net-monitoring-scraper"] {
        fleet.break_glass.edit(Kind::Secret, &fleet.namespace, secret, &garbage).await?;
    }
    let node = fleet.node_condition("good", "Ready", "False", "PermissionDenied").await?;
    let (_, _, message) = condition(&node, "Ready").context("no condition")?;
    ensure!(message.contains("good-tls"), "the message names the Secret: {message}");
    fleet.network_condition("Ready", "False", "PermissionDenied").await?;
    // It serves with the certificate that it has in memory.
    ledger.send(b"nodes need no operator", &[key]).await?;

    fleet.cluster.edit(Kind::Role, &fleet.namespace, ROLE, &json!({"rules": rules})).await?;
    fleet.node_ready("good").await?;
    fleet.node_ready("late").await?;
    fleet.network_condition("Ready", "True", "Ready").await?;
    reissued(&fleet, "good-tls").await?;
    reissued(&fleet, "net-monitoring-scraper").await?;
    fleet.done().await
}

/// The rules with a verb taken from those for a resource.
fn without(rules: &Value, resource: &str, verb: &str) -> Value {
    let mut rules = rules.as_array().cloned().unwrap_or_default();
    for rule in &mut rules {
        let concerned = rule["resources"].as_array().is_some_and(|all| all.iter().any(|one| one == resource));
        if let (true, Some(verbs)) = (concerned, rule["verbs"].as_array_mut()) {
            verbs.retain(|one| one != verb);
        }
    }
    rules.into()
}

#[tokio::test]
async fn certificate_secret_gone_or_garbage() -> Result<()> {
    let fleet = Fleet::start("e2e-certificate", &["a", "b"]).await?;
    let (a, key_b) = (fleet.ledger("a").await?, fleet.public_key("b").await?);
    a.send(b"before", std::slice::from_ref(&key_b)).await?;
    let uid = fleet.cluster.get(Kind::Pod, &fleet.namespace, "tessera-b-0").await?["metadata"]["uid"].clone();
    let first = fleet.node("b").await?["status"]["certificate"]["issuedFingerprint"].clone();

    fleet
        .break_glass
        .edit(Kind::Secret, &fleet.namespace, "b-tls", &json!({"data": {"tls.crt": "Z2FyYmFnZQ=="}}))
        .await?;
    reissued(&fleet, "b-tls").await?;
    fleet.break_glass.delete(Kind::Secret, &fleet.namespace, "b-tls").await?;
    reissued(&fleet, "b-tls").await?;

    a.send(b"after", &[key_b]).await?;
    let pod = fleet.cluster.get(Kind::Pod, &fleet.namespace, "tessera-b-0").await?;
    ensure!(pod["metadata"]["uid"] == uid, "the pod was not replaced");
    ensure!(pod["status"]["containerStatuses"][0]["restartCount"] == 0, "the container was not restarted");
    // The kubelet brings a Secret within its period.
    wait::until("the node serving what was issued last", Duration::from_mins(3), || async {
        let status = fleet.node("b").await?["status"].clone();
        let (issued, served) =
            (&status["certificate"]["issuedFingerprint"], &status["pods"][0]["servedFingerprint"]);
        ensure!(issued.is_string() && issued == served, "issued {issued}, served {served}");
        ensure!(*issued != first, "that is the certificate from before");
        Ok(())
    })
    .await?;
    fleet.node_condition("b", "CertificatesServed", "True", "Served").await?;
    fleet.done().await
}

async fn reissued(fleet: &Fleet, secret: &str) -> Result<()> {
    use base64::Engine as _;
    wait::until(&format!("Secret {secret} issued again"), Duration::from_mins(1), || async {
        let live = fleet.cluster.get(Kind::Secret, &fleet.namespace, secret).await?;
        let pem = base64::engine::general_purpose::STANDARD
            .decode(live["data"]["tls.crt"].as_str().unwrap_or_default())?;
        ensure!(pem.starts_with(b"-----BEGIN CERTIFICATE-----"), "not a certificate");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_object_of_our_name_is_not_ours() -> Result<()> {
    let fleet = Fleet::start("e2e-conflict", &["good"]).await?;
    let squatter = json!({"metadata": {"name": "bad"}, "spec": {"ports": [{"name": "mine", "port": 1234}]}});
    fleet.cluster.create(Kind::Service, &fleet.namespace, &squatter).await?;
    fleet.create_node("bad").await?;
    let node = fleet.node_condition("bad", "Stalled", "True", "NameConflict").await?;
    let (_, _, message) = condition(&node, "Stalled").context("no condition")?;
    ensure!(
        message.contains("Service") && message.contains("bad"),
        "the message names the object: {message}"
    );
    let kept = fleet.cluster.get(Kind::Service, &fleet.namespace, "bad").await?;
    ensure!(kept["spec"]["ports"][0]["name"] == "mine", "the stranger's object is untouched");
    fleet.node_ready("good").await?;
    fleet.cluster.delete(Kind::Service, &fleet.namespace, "bad").await?;
    fleet.node_ready("bad").await?;
    fleet.cluster.delete(Kind::TesseraNode, &fleet.namespace, "bad").await?;
    fleet.done().await
}

#[tokio::test]
async fn volume_gone() -> Result<()> {
    let fleet = Fleet::start("e2e-volume", &["a"]).await?;
    let ns = &fleet.namespace;
    let claim = fleet.cluster.get(Kind::PersistentVolumeClaim, ns, "data-tessera-a-0").await?;
    let volume = claim["spec"]["volumeName"].as_str().context("the claim is bound")?.to_owned();
    fleet.cluster.delete(Kind::PersistentVolume, "", &volume).await?;
    fleet
        .cluster
        .edit(Kind::PersistentVolume, "", &volume, &json!({"metadata": {"finalizers": null}}))
        .await?;
    fleet.node_condition("a", "Ready", "False", "VolumeLost").await?;
    // The person's part: give up the claim and the pod that holds it, which are made anew, and then what was stored there.
    fleet.cluster.delete(Kind::PersistentVolumeClaim, ns, "data-tessera-a-0").await?;
    fleet.cluster.delete(Kind::Pod, ns, "tessera-a-0").await?;
    fleet.node_condition("a", "Ready", "False", "VolumeReplaced").await?;
    fleet.accept_loss("a").await?;
    fleet.node_ready("a").await?;
    fleet.done().await
}

/// Seals the one Vault of the cluster: `hack/e2e` runs tests of this prefix alone and last.
#[tokio::test]
async fn serial_store_sealed() -> Result<()> {
    let fleet = Fleet::start("e2e-sealed", &["a", "b"]).await?;
    let (a, key_b) = (fleet.ledger("a").await?, fleet.public_key("b").await?);
    let hash = a.send(b"before the seal", std::slice::from_ref(&key_b)).await?;

    fleet.vault.seal().await?;
    let outcome = while_sealed(&fleet, &a, &key_b, &hash).await;
    vault::unseal().await?;
    outcome?;
    fleet.network_condition("SecretStoreReady", "True", "Ready").await?;
    fleet.node_ready("late").await?;
    fleet.done().await
}

async fn while_sealed(fleet: &Fleet, a: &tessera_e2e::fleet::Ledger, key_b: &str, hash: &str) -> Result<()> {
    fleet.network_condition("SecretStoreReady", "False", "Sealed").await?;
    a.send(b"under seal", &[key_b.to_owned()]).await.context("running nodes need no store")?;
    ensure!(a.payload(hash).await? == b"before the seal");
    fleet.create_node("late").await?;
    fleet.node_condition("late", "Ready", "False", "StoreUnreachable").await?;
    let node = fleet.node("a").await?;
    ensure!(
        condition(&node, "Ready").is_some_and(|(status, ..)| status == "True"),
        "a running node stays ready"
    );

    // Deletion needs neither store nor operator.
    fleet
        .cluster
        .edit(Kind::Deployment, "tessera-system", "tessera-operator", &json!({"spec": {"replicas": 0}}))
        .await?;
    let gone = async {
        wait::until("the operator gone", Duration::from_mins(2), || async {
            let pods = fleet
                .cluster
                .list(Kind::Pod, "tessera-system", "app.kubernetes.io/name=tessera-operator")
                .await?;
            ensure!(pods.is_empty(), "{} of its pods are left", pods.len());
            Ok(())
        })
        .await?;
        fleet.cluster.delete(Kind::TesseraNode, &fleet.namespace, "b").await?;
        wait::until("the node and its pod gone", Duration::from_secs(90), || async {
            if fleet.node("b").await.is_ok() {
                bail!("TesseraNode b is still there");
            }
            let pods = fleet.cluster.list(Kind::Pod, &fleet.namespace, "tessera.rs/node=b").await?;
            ensure!(pods.is_empty(), "its pod is still there");
            Ok(())
        })
        .await
    }
    .await;
    fleet
        .cluster
        .edit(Kind::Deployment, "tessera-system", "tessera-operator", &json!({"spec": {"replicas": 1}}))
        .await?;
    gone
}
