//! A node of three pods on one database: it is scaled, gets a new key, is rolled and scaled back, while payloads flow both ways.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tessera_e2e::checklist_record;
use tessera_e2e::cluster::{Kind, condition};
use tessera_e2e::fleet::{Fleet, Ledger};

/// Three pods come and go one by one, and a key's version reaches each by its ConfigMap.
const DEADLINE: Duration = Duration::from_mins(10);

/// Scales, rotates and rolls `node`, which has a database and one pod, and leaves it with one pod.
pub(super) async fn scale_rotate_and_roll(
    fleet: &Fleet,
    node: &str,
    (own, other): &(Ledger, Ledger),
) -> Result<()> {
    let mut load = Load {
        fleet,
        node: node.to_owned(),
        ways: vec![
            Way { sender: own, to: fleet.public_key("b").await? },
            Way { sender: other, to: fleet.public_key(node).await? },
        ],
        reader: own,
        sent: Vec::new(),
    };
    load.edit(json!({"spec": {"replicas": 3}})).await?;
    load.until("three pods serve", |node| {
        node["status"]["readyReplicas"] == 3 && ready(node, "the node serves") && is_true(node, "KeysReady")
    })
    .await?;

    let key = json!({"name": "main", "default": true, "type": "Vault", "rotation": {"trigger": 1}});
    load.edit(json!({"spec": {"keys": [key]}})).await?;
    let rotated = load
        .until("all pods use the new key", |node| {
            let keys = node["status"]["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
            keys.len() == 2 && keys[1]["state"] == "Default" && is_true(node, "KeysReady")
        })
        .await?;
    let newer = rotated["status"]["keys"][1]["publicKey"].as_str().context("no key")?.to_owned();
    load.until_known(&newer).await?;

    let before = load.pods().await?;
    ensure!(before.len() == 3, "{before:?}");
    load.edit(json!({"spec": {"restartTrigger": 1}})).await?;
    let rolled = Instant::now();
    while !(load.pods().await?.is_disjoint(&before) && load.all_serve().await?) {
        ensure!(rolled.elapsed() < DEADLINE, "the pods were not all replaced: {:?}", load.pods().await?);
        load.send().await?;
    }
    load.edit(json!({"spec": {"replicas": 1}})).await?;
    load.until("one pod is left", |node| node["status"]["replicas"] == 1 && is_true(node, "Ready")).await?;
    load.read_back().await?;
    checklist_record::closing(&format!("replicas: {} sends, 3 pods rolled, 0 failed", load.sent.len()))
}

fn is_true(node: &Value, type_: &str) -> bool {
    condition(node, type_).is_some_and(|(status, ..)| status == "True")
}

fn ready(node: &Value, says: &str) -> bool {
    condition(node, "Ready").is_some_and(|(status, _, message)| status == "True" && message == says)
}

/// A ledger that sends to one key.
struct Way<'a> {
    sender: &'a Ledger,
    to: String,
}

/// Payloads that flow meanwhile. A send that is not acknowledged ends the test.
struct Load<'a> {
    fleet: &'a Fleet,
    node: String,
    ways: Vec<Way<'a>>,
    reader: &'a Ledger,
    sent: Vec<String>,
}

impl Load<'_> {
    async fn send(&mut self) -> Result<()> {
        for way in &self.ways {
            let payload = format!("payload {}", self.sent.len());
            let answer = way.sender.try_send(payload.as_bytes(), std::slice::from_ref(&way.to)).await?;
            ensure!(answer.status == 201, "send {} was answered with {answer:?}", self.sent.len());
            let body: Value = serde_json::from_str(&answer.body)?;
            self.sent.push(body["key"].as_str().context("no hash")?.to_owned());
        }
        Ok(())
    }

    async fn until(&mut self, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
        let started = Instant::now();
        loop {
            self.send().await?;
            let node = self.fleet.node(&self.node).await?;
            if is_so(&node) {
                return Ok(node);
            }
            ensure!(started.elapsed() < DEADLINE, "{what}: {}", node["status"]);
        }
    }

    /// Every payload so far, at the node of several pods.
    async fn read_back(&self) -> Result<()> {
        for (number, hash) in self.sent.iter().enumerate() {
            ensure!(self.reader.payload(hash).await? == format!("payload {number}").as_bytes(), "{hash}");
        }
        Ok(())
    }

    /// Sends to the new key once the other node knows it; from then on each send must be taken.
    async fn until_known(&mut self, key: &str) -> Result<()> {
        let started = Instant::now();
        let sender = self.ways[1].sender;
        while sender.try_send(b"to the new key", &[key.to_owned()]).await?.status != 201 {
            ensure!(started.elapsed() < DEADLINE, "the new key is not known");
            self.send().await?;
        }
        key.clone_into(&mut self.ways[1].to);
        self.send().await
    }

    async fn edit(&self, patch: Value) -> Result<()> {
        self.fleet.cluster.edit(Kind::TesseraNode, &self.fleet.namespace, &self.node, &patch).await
    }

    /// The UIDs of its pods.
    async fn pods(&self) -> Result<BTreeSet<String>> {
        let selector = format!("tessera.rs/node={}", self.node);
        let pods = self.fleet.cluster.list(Kind::Pod, &self.fleet.namespace, &selector).await?;
        Ok(pods.iter().filter_map(|pod| pod["metadata"]["uid"].as_str().map(str::to_owned)).collect())
    }

    async fn all_serve(&self) -> Result<bool> {
        let node = self.fleet.node(&self.node).await?;
        Ok(node["status"]["readyReplicas"] == 3 && ready(&node, "the node serves"))
    }
}
