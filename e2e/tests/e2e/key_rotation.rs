//! A node's key gets new versions, on demand and by age, and an old one is archived, while payloads flow to it all the time.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tessera_e2e::checklist_record;
use tessera_e2e::cluster::Kind;
use tessera_e2e::fleet::{Fleet, Ledger};
use tessera_e2e::wait;

/// The kubelet's period to bring a ConfigMap, and what a slow machine adds.
const DEADLINE: Duration = Duration::from_mins(5);

#[tokio::test]
async fn key_rotation_while_payloads_flow() -> Result<()> {
    let fleet = Fleet::start("e2e-key-rotation", &["a", "b"]).await?;
    let (a, b) = (fleet.ledger("a").await?, fleet.ledger("b").await?);
    let old = fleet.public_key("b").await?;
    let pod = pod(&fleet).await?;
    let mut load = Load { sender: &a, recipient: &b, to: old.clone(), sent: Vec::new() };
    load.send().await?;

    // On demand. The sender knows only the old key all the while.
    edit(&fleet, json!({"trigger": 1, "every": "8760h"}), json!([])).await?;
    let rotated = load.until("a second version", &fleet, |node| states(node) == ["Receiving", "Default"]);
    let rotated = rotated.await?;
    let new = public(&rotated, 2)?;
    load.until("status says that the old one is in use", &fleet, |node| {
        node["status"]["keys"][0]["lastPushAt"].is_string()
    })
    .await?;
    load.until("the line KeyRotation is Verified", &fleet, |node| line(node) == "Verified").await?;
    refused(&fleet, json!([2]), "only versions that status.keys has can be archived").await?;

    // Archived: it takes nothing new, and reads all that it has.
    edit(&fleet, json!({"trigger": 1, "every": "8760h"}), json!([1])).await?;
    wait::until("the old version archived", DEADLINE, || async {
        let node = fleet.node("b").await?;
        ensure!(states(&node) == ["Archived", "Default"], "{}", node["status"]["keys"]);
        let late = a.try_send(b"late", std::slice::from_ref(&old)).await?;
        ensure!(late.status == 404, "b is still thought to take it: {late:?}");
        Ok(())
    })
    .await?;
    refused(&fleet, json!([]), "what status.keys says is Archived cannot be taken back").await?;
    load.to.clone_from(&new);
    load.send().await?;
    load.read_back().await?;
    ensure!(self::pod(&fleet).await? == pod, "the pod or its container was restarted");
    let sends = load.sent.len();

    by_age(&fleet, &mut load).await?;
    // Of the time before the node was stopped, to be made old.
    checklist_record::closing(&format!("key_rotation: {sends} sends, 0 failed, 0 restarts"))?;
    fleet.done().await
}

/// The newest version is made to look old, as only the owner of the store can: another follows by itself, once.
async fn by_age(fleet: &Fleet, load: &mut Load<'_>) -> Result<()> {
    let replicas = |count: u8| json!({"spec": {"replicas": count}});
    fleet.cluster.edit(Kind::TesseraNode, &fleet.namespace, "b", &replicas(0)).await?;
    super::lifecycle::pod_gone(fleet, "tessera-b-0").await?;
    let path = format!("{}/{}/tessera-node-b/keys/main/2", fleet.path_prefix, fleet.namespace);
    let (mut record, _) = fleet.vault.secret("secret", &path).await?;
    record["bornAt"] = json!("2020-01-01T00:00:00Z");
    fleet.vault.put("secret", &path, &record).await?;
    fleet.cluster.edit(Kind::TesseraNode, &fleet.namespace, "b", &replicas(1)).await?;

    let rotated = wait::until("a third version, by age", DEADLINE, || async {
        let node = fleet.node("b").await?;
        ensure!(states(&node) == ["Archived", "Receiving", "Default"], "{}", node["status"]["keys"]);
        Ok(node)
    })
    .await?;
    ensure!(rotated["status"]["keys"][2]["trigger"] == 1, "it answers no new trigger: {}", rotated["status"]);
    fleet.node_ready("b").await?;
    // A stand-in's connection may have ended with the pod: the first answers count once the node serves.
    wait::until("the version before is served", DEADLINE, || async {
        let sent = load.sender.try_send(b"after", std::slice::from_ref(&load.to)).await?;
        ensure!(sent.status == 201, "{sent:?}");
        Ok(())
    })
    .await?;
    load.to = public(&rotated, 3)?;
    wait::until("the new version is known", DEADLINE, || async {
        let sent = load.sender.try_send(b"to the third", std::slice::from_ref(&load.to)).await?;
        ensure!(sent.status == 201, "{sent:?}");
        Ok(())
    })
    .await?;
    load.send().await?;
    load.read_back().await?;
    wait::holds("three versions, and no fourth", Duration::from_secs(30), || async {
        let node = fleet.node("b").await?;
        ensure!(states(&node).len() == 3, "{}", node["status"]["keys"]);
        Ok(())
    })
    .await
}

/// Payloads that flow meanwhile, each read at its recipient.
struct Load<'a> {
    sender: &'a Ledger,
    recipient: &'a Ledger,
    to: String,
    sent: Vec<(String, String)>,
}

impl Load<'_> {
    async fn send(&mut self) -> Result<()> {
        let payload = format!("payload {}", self.sent.len());
        let hash = self.sender.send(payload.as_bytes(), std::slice::from_ref(&self.to)).await?;
        self.sent.push((hash, payload));
        Ok(())
    }

    /// Every payload so far, at its recipient.
    async fn read_back(&self) -> Result<()> {
        for (hash, payload) in &self.sent {
            ensure!(self.recipient.payload(hash).await? == payload.as_bytes(), "{payload}");
        }
        Ok(())
    }

    /// Sends until node `b` is as asked for. A send that fails ends the test, whatever is awaited.
    async fn until(&mut self, what: &str, fleet: &Fleet, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
        let started = Instant::now();
        loop {
            self.send().await?;
            let node = fleet.node("b").await?;
            if is_so(&node) {
                return Ok(node);
            }
            ensure!(started.elapsed() < DEADLINE, "{what}: {}", node["status"]);
        }
    }
}

fn states(node: &Value) -> Vec<&str> {
    let keys = node["status"]["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    keys.iter().map(|key| key["state"].as_str().unwrap_or_default()).collect()
}

fn public(node: &Value, version: u32) -> Result<String> {
    let mut keys = node["status"]["keys"].as_array().into_iter().flatten();
    let key = keys.find(|key| key["version"] == version).context("no such version")?;
    Ok(key["publicKey"].as_str().context("no public key")?.to_owned())
}

fn line(node: &Value) -> &str {
    let lines = node["status"]["checklist"]["lines"].as_array();
    let line = lines.into_iter().flatten().find(|line| line["id"] == "KeyRotation");
    line.and_then(|line| line["result"].as_str()).unwrap_or_default()
}

fn keys(rotation: &Value, archive: &Value) -> Value {
    let key =
        json!({"name": "main", "default": true, "type": "Vault", "rotation": rotation, "archive": archive});
    json!({"spec": {"keys": [key]}})
}

async fn edit(fleet: &Fleet, rotation: Value, archive: Value) -> Result<()> {
    fleet.cluster.edit(Kind::TesseraNode, &fleet.namespace, "b", &keys(&rotation, &archive)).await
}

/// The API server refuses these versions to be archived.
async fn refused(fleet: &Fleet, archive: Value, says: &str) -> Result<()> {
    let refused = edit(fleet, json!({"trigger": 1, "every": "8760h"}), archive).await;
    let message = format!("{:?}", refused.err().context("it was admitted")?);
    ensure!(message.contains(says), "{message}");
    Ok(())
}

/// What changes when the pod or its container is started again.
async fn pod(fleet: &Fleet) -> Result<(Value, Value)> {
    let pod = fleet.cluster.get(Kind::Pod, &fleet.namespace, "tessera-b-0").await?;
    let restarts = pod["status"]["containerStatuses"][0]["restartCount"].clone();
    Ok((pod["metadata"]["uid"].clone(), restarts))
}
