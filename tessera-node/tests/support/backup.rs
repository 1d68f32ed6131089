//! Custodians: what they do offline with a node's backups.

use serde_json::{Value, json};
use tessera_backup::custody::Challenge;
use tessera_backup::{Identity, Recipients, answer, open, seal};
use tessera_node_api::key_backup::{CheckResult, CustodyProof, RestoredKeys, SealedKey, SealedKeys};

use super::{Spec, eventually};

/// A person who can open backups.
pub struct Custodian {
    pub name: &'static str,
    pub identity: Identity,
}

impl Custodian {
    pub fn new(name: &'static str) -> Self {
        Self { name, identity: Identity::generate() }
    }

    /// Opens all of `backups` and answers for each.
    pub fn prove(&self, challenge: &str, backups: &[SealedKey]) -> CustodyProof {
        let asked = Challenge { challenge, custodian: self.name };
        let one = |key: &SealedKey| {
            let pair = open(key, &self.identity).unwrap();
            answer(asked, &key.name, key.version, &pair)
        };
        CustodyProof {
            challenge: challenge.to_owned(),
            custodian: self.name.to_owned(),
            answers: backups.iter().map(one).collect(),
        }
    }

    /// Opens all of `backups` and seals them to `recipient` alone.
    pub fn bring(&self, recipient: &str, backups: &[SealedKey]) -> RestoredKeys {
        let to = Recipients::parse([recipient]).unwrap();
        let one = |key: &SealedKey| {
            let pair = open(key, &self.identity).unwrap();
            seal(&key.name, key.version, &pair, &to).unwrap()
        };
        RestoredKeys { keys: backups.iter().map(one).collect() }
    }

    /// The private key of a backup, in base64.
    pub fn private_key(&self, backup: &SealedKey) -> String {
        tessera_enclave::base64::encode(open(backup, &self.identity).unwrap().private().expose())
    }
}

/// Seals the node's keys to these from now on.
pub fn seal_to(node: &Spec, custodians: &[&Custodian]) {
    let file = node.dir.join("dynamic.json");
    let mut dynamic: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let recipients: Vec<_> = custodians
        .iter()
        .map(|custodian| json!({"name": custodian.name, "age": custodian.identity.recipient()}))
        .collect();
    dynamic.as_object_mut().unwrap().remove("keyBackup");
    if !custodians.is_empty() {
        dynamic["keyBackup"] = json!({"recipients": recipients});
    }
    std::fs::write(file, dynamic.to_string()).unwrap();
}

/// The one key, of which custodians bring back these versions.
pub fn awaited(versions: usize, public_keys: &[String]) -> Value {
    json!({"name": "main", "versions": versions, "default": true, "restore": {"publicKeys": public_keys}})
}

pub fn public_keys(backups: &[SealedKey]) -> Vec<String> {
    backups.iter().map(|key| key.public_key.clone()).collect()
}

/// The backups, once there are so many and all are for `custodians`.
pub async fn backups(node: &Spec, count: usize, custodians: &[&Custodian]) -> Vec<SealedKey> {
    let recipients: Vec<_> = custodians.iter().map(|custodian| custodian.identity.recipient()).collect();
    let to = Recipients::parse(recipients.iter().map(String::as_str)).unwrap().texts();
    eventually(&format!("{count} backups for {to:?}"), async || {
        let answer = node.operator_client().try_get("/v1/key-backups").await?;
        let keys = serde_json::from_slice::<SealedKeys>(&answer.body).ok()?.keys;
        (keys.len() == count && keys.iter().all(|key| key.recipients == to)).then_some(keys)
    })
    .await
}

pub async fn prove(node: &Spec, proof: &CustodyProof) -> CheckResult {
    check_result(node, "/v1/key-backups/proofs", serde_json::to_string(proof).unwrap()).await
}

pub async fn bring(node: &Spec, keys: &RestoredKeys) -> CheckResult {
    check_result(node, "/v1/key-restores", serde_json::to_string(keys).unwrap()).await
}

async fn check_result(node: &Spec, path: &str, body: String) -> CheckResult {
    let answer = node.operator_client().post_json(path, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

/// The status, once that holds.
pub async fn status_when(node: &Spec, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    eventually(what, async || {
        let status = node.operator_client().try_get("/v1/status").await?.json();
        holds(&status).then_some(status)
    })
    .await
}

pub fn is_ready(status: &Value) -> bool {
    status["ready"] == json!(true)
}

/// The one-time recipient of a node that awaits the first version.
pub async fn one_time_recipient(node: &Spec) -> String {
    let status =
        status_when(node, "it awaits a key", |status| status["restores"][0]["recipient"].is_string()).await;
    status["restores"][0]["recipient"].as_str().unwrap().to_owned()
}
