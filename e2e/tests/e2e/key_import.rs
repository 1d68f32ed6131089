//! A node adopts the locked key of a Java Tessera, and then needs its Secret no more.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tessera_e2e::cluster::{Kind, condition};
use tessera_e2e::fleet::Fleet;
use tessera_e2e::wait;
use tessera_enclave::keyfile::{ArgonOptions, KeyFile};
use tessera_enclave::{KeyPair, PrivateKey};

/// The kubelet's period to bring a Secret, and what a slow machine adds.
const DEADLINE: Duration = Duration::from_mins(5);

const SECRET: &str = "java-key";
const PASSWORD: &str = "of the Java node";

/// What an operator of a Java Tessera has: `tm.key`, and what stands in `tm.pub`.
struct JavaKey {
    file: String,
    public: String,
}

impl JavaKey {
    /// Locked as by `keygen` with an Argon2 file that asks for less memory than the default.
    fn generate() -> Result<Self> {
        let private = PrivateKey::generate()?;
        let argon = ArgonOptions { memory: 8 * 1024, iterations: 3, ..ArgonOptions::default() };
        let file = KeyFile::locked(&private, PASSWORD.as_bytes(), argon)?.to_json().to_string();
        Ok(Self { file, public: KeyPair::from_private(private).public().to_string() })
    }
}

#[tokio::test]
async fn key_import_of_a_java_node() -> Result<()> {
    let java = JavaKey::generate()?;
    let fleet = Fleet::prepare("e2e-key-import").await?;
    // Of a run before this one.
    fleet.cluster.delete(Kind::Secret, &fleet.namespace, SECRET).await?;
    fleet.create_network().await?;
    fleet.set_up_store().await?;
    fleet.create_node("a").await?;
    fleet.cluster.apply(Kind::TesseraNode, &fleet.namespace, &importing(&fleet, &java)).await?;

    // The manifests may come before the Secret.
    keys_ready(&fleet, "False ImportAwaited", "tm.key of Secret java-key").await?;
    refused(&fleet, Value::Null, "removed only once status.keys has the key").await?;
    put(&fleet, &java, "another password").await?;
    let failed = keys_ready(&fleet, "False ImportFailed", "import.passwordSecretRef").await?;
    let shown = failed["status"].to_string();
    ensure!(!shown.contains("another password"), "the password is in the status: {shown}");
    ensure!(failed["status"]["keys"].is_null(), "a key was generated in its place: {shown}");

    put(&fleet, &java, &format!("{PASSWORD}\n")).await?;
    keys_ready(&fleet, "True Ready", "key main is adopted: delete Secret java-key").await?;
    let node = fleet.node_ready("b").await?;
    let key = &node["status"]["keys"][0];
    ensure!(key["publicKey"] == *java.public && key["imported"] == true, "{key}");
    fleet.has_one_version_of_its_key("b").await?;
    let pod = pod(&fleet).await?;
    ensure!(pod.1 == 0, "the container was restarted {} times", pod.1);

    let (a, b) = (fleet.ledger("a").await?, fleet.ledger("b").await?);
    let to = std::slice::from_ref(&java.public);
    let before = a.send(b"to the Java node's key", to).await?;
    ensure!(b.payload(&before).await? == b"to the Java node's key", "the adopted key opens it");

    fleet.cluster.delete(Kind::Secret, &fleet.namespace, SECRET).await?;
    wait::until("the Secret is no longer named", DEADLINE, || async {
        let node = fleet.node("b").await?;
        let (status, _, message) = condition(&node, "KeysReady").context("no condition")?;
        ensure!(status == "True" && !message.contains(SECRET), "{message}");
        Ok(())
    })
    .await?;
    refused(
        &fleet,
        json!({"secretRef": {"name": "another", "key": "tm.key"}}),
        "status.keys has the key already",
    )
    .await?;
    edit(&fleet, Value::Null).await?;
    let ended = |node: &Value| node["status"]["observedGeneration"] == node["metadata"]["generation"];
    wait::until("the end of the import seen", DEADLINE, || async {
        let node = fleet.node("b").await?;
        ensure!(ended(&node), "{}", node["status"]);
        Ok(())
    })
    .await?;
    wait::holds("the pod goes on", Duration::from_secs(20), || async {
        ensure!(self::pod(&fleet).await? == pod, "the pod or its container was restarted");
        Ok(())
    })
    .await?;

    fleet.break_glass.delete(Kind::Pod, &fleet.namespace, "tessera-b-0").await?;
    wait::until("another pod", DEADLINE, || async {
        ensure!(self::pod(&fleet).await?.0 != pod.0, "the old pod is there");
        Ok(())
    })
    .await?;
    let again = fleet.node_ready("b").await?;
    ensure!(again["status"]["keys"][0]["publicKey"] == *java.public, "{}", again["status"]["keys"]);
    ensure!(again["status"]["keys"][0]["bornAt"] == key["bornAt"], "it was adopted a second time");
    wait::until("the payload of before is read", DEADLINE, || async {
        ensure!(b.payload(&before).await? == b"to the Java node's key", "another payload");
        Ok(())
    })
    .await?;
    wait::until("the key is served", DEADLINE, || async {
        let sent = a.try_send(b"after", to).await?;
        ensure!(sent.status == 201, "{sent:?}");
        Ok(())
    })
    .await?;
    fleet.has_one_version_of_its_key("b").await?;
    fleet.done().await
}

fn importing(fleet: &Fleet, java: &JavaKey) -> Value {
    let mut manifest = fleet.node_manifest("b");
    manifest["spec"]["keys"][0]["import"] = json!({
        "secretRef": {"name": SECRET, "key": "tm.key"},
        "passwordSecretRef": {"name": SECRET, "key": "tm.password"},
        "publicKey": java.public,
    });
    manifest
}

async fn put(fleet: &Fleet, java: &JavaKey, password: &str) -> Result<()> {
    let secret = json!({
        "metadata": {"name": SECRET},
        "stringData": {"tm.key": java.file, "tm.password": password},
    });
    fleet.cluster.apply(Kind::Secret, &fleet.namespace, &secret).await.map(drop)
}

/// Waits until `KeysReady` of `b` is so, with these words in its message.
async fn keys_ready(fleet: &Fleet, is: &str, says: &str) -> Result<Value> {
    wait::until(&format!("KeysReady={is}: {says}"), DEADLINE, || async {
        let node = fleet.node("b").await?;
        let (status, reason, message) =
            condition(&node, "KeysReady").context("no condition KeysReady yet")?;
        ensure!(format!("{status} {reason}") == is && message.contains(says), "{status} {reason}: {message}");
        Ok(node)
    })
    .await
}

/// Replaces what is imported; null: nothing is.
async fn edit(fleet: &Fleet, import: Value) -> Result<()> {
    let mut key = json!({"name": "main", "default": true, "type": "Vault"});
    if !import.is_null() {
        key["import"] = import;
    }
    fleet.cluster.edit(Kind::TesseraNode, &fleet.namespace, "b", &json!({"spec": {"keys": [key]}})).await
}

async fn refused(fleet: &Fleet, import: Value, says: &str) -> Result<()> {
    let message = format!("{:?}", edit(fleet, import).await.err().context("it was admitted")?);
    ensure!(message.contains(says), "{message}");
    Ok(())
}

/// The pod's UID, and how often its container was started again.
async fn pod(fleet: &Fleet) -> Result<(String, u64)> {
    let pod = fleet.cluster.get(Kind::Pod, &fleet.namespace, "tessera-b-0").await?;
    let restarts = pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or(0);
    Ok((pod["metadata"]["uid"].as_str().context("a pod has a UID")?.to_owned(), restarts))
}
