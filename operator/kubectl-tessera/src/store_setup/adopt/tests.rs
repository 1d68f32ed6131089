//! Adoption against a key-value engine in memory that checks versions as the real one does.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{Value, json};
use tessera_node_api::stamp::Stamp;

use tessera_store_objects::Wanted;

use super::super::example::example;
use super::{AdoptError, Adoption};
use crate::vault::{LIST, Store, VaultError};

const DIRECTORY: &str = "prod-eu1/org-a/org-a";

/// Secrets by path with their versions.
#[derive(Default)]
struct Engine {
    secrets: RefCell<BTreeMap<String, (Value, u64)>>,
    /// Somebody writes this secret between our read and our write.
    raced: Option<&'static str>,
}

impl Engine {
    fn with(stamps: &[(&str, &str)]) -> Self {
        let engine = Self::default();
        for (account, stamp) in stamps {
            let stamp: Stamp = stamp.parse().unwrap();
            engine.put(&path(account), json!(stamp), 1);
        }
        engine
    }

    fn put(&self, path: &str, data: Value, version: u64) {
        self.secrets.borrow_mut().insert(path.to_owned(), (data, version));
    }

    fn stamp(&self, account: &str) -> (String, u64) {
        let (data, version) = self.secrets.borrow()[&path(account)].clone();
        (serde_json::from_value::<Stamp>(data).unwrap().to_string(), version)
    }
}

fn path(account: &str) -> String {
    format!("secret/data/{DIRECTORY}/{account}/stamp")
}

impl Store for Engine {
    async fn read(&self, path: &str) -> Result<Option<Value>, VaultError> {
        if path == format!("secret/metadata/{DIRECTORY}{LIST}") {
            let secrets = self.secrets.borrow();
            let names = secrets.keys().map(|path| format!("{}/", path.split('/').rev().nth(1).unwrap()));
            let names: Vec<_> = names.collect();
            return Ok((!names.is_empty()).then(|| json!({"keys": names})));
        }
        let found = self.secrets.borrow().get(path).cloned();
        if self.raced.is_some_and(|account| path == self::path(account)) {
            self.put(path, json!({"cluster": "faster", "network": "org-a/main"}), 2);
        }
        Ok(found.map(|(data, version)| json!({"data": data, "metadata": {"version": version}})))
    }

    async fn write(&self, path: &str, body: &Value) -> Result<(), VaultError> {
        let version = self.secrets.borrow().get(path).map_or(0, |(_, version)| *version);
        if body["options"]["cas"] != version {
            let errors = "check-and-set parameter did not match the current version".to_owned();
            return Err(VaultError::Refused { verb: "write", path: path.to_owned(), status: 400, errors });
        }
        self.put(path, body["data"].clone(), version + 1);
        Ok(())
    }
}

async fn adopt(engine: &Engine, from: &str, dry_run: bool) -> (Result<(), AdoptError>, Vec<String>) {
    let (from, to) = (from.parse().unwrap(), "new/org-a/main".parse().unwrap());
    let wanted: Wanted = example();
    let adoption = Adoption { store: engine, wanted: &wanted, from: &from, to: &to, dry_run };
    let mut shown = Vec::new();
    let result = adoption.run(|step| shown.push(step.to_string())).await;
    (result, shown)
}

#[tokio::test]
async fn the_named_stamps_move_and_no_others() {
    let engine = Engine::with(&[
        ("tessera-node-a", "old/org-a/main"),
        ("tessera-node-b", "old/org-a/other"),
        ("tessera-node-c", "new/org-a/main"),
    ]);
    engine.put(&path("tessera-node-d"), json!({"cluster": "\u{1b}"}), 1);
    let (result, shown) = adopt(&engine, "old/org-a/main", false).await;
    result.unwrap();
    assert_eq!(
        shown,
        [
            "done        tessera-node-a: from old/org-a/main to new/org-a/main",
            "kept        tessera-node-b belongs to old/org-a/other",
            "already so  tessera-node-c belongs to new/org-a/main",
            "kept        tessera-node-d has no readable stamp: network must be <namespace>/<name>, as Kubernetes writes them",
        ]
    );
    assert_eq!(engine.stamp("tessera-node-a"), ("new/org-a/main".to_owned(), 2));
    assert_eq!(engine.stamp("tessera-node-b"), ("old/org-a/other".to_owned(), 1));

    let (again, shown) = adopt(&engine, "old/org-a/main", false).await;
    again.expect("running it again is safe");
    assert!(shown[0].starts_with("already so"), "{shown:?}");
    assert_eq!(engine.stamp("tessera-node-a").1, 2);
}

#[tokio::test]
async fn a_dry_run_moves_nothing() {
    let engine = Engine::with(&[("tessera-node-a", "old/org-a/main")]);
    let (result, shown) = adopt(&engine, "old/org-a/main", true).await;
    result.unwrap();
    assert_eq!(shown, ["would do    tessera-node-a: from old/org-a/main to new/org-a/main"]);
    assert_eq!(engine.stamp("tessera-node-a"), ("old/org-a/main".to_owned(), 1));
}

#[tokio::test]
async fn a_stamp_that_changed_meanwhile_is_left_alone() {
    let engine =
        Engine { raced: Some("tessera-node-a"), ..Engine::with(&[("tessera-node-a", "old/org-a/main")]) };
    let (result, _) = adopt(&engine, "old/org-a/main", false).await;
    assert!(matches!(result, Err(AdoptError::Raced { .. })), "{result:?}");
    assert_eq!(engine.stamp("tessera-node-a"), ("faster/org-a/main".to_owned(), 2));
}

#[tokio::test]
async fn a_stamp_that_nobody_has_is_an_error() {
    for engine in [Engine::default(), Engine::with(&[("tessera-node-a", "old/org-a/main")])] {
        let (result, _) = adopt(&engine, "older/org-a/main", false).await;
        assert!(matches!(result, Err(AdoptError::NoneOf { .. })), "{result:?}");
    }
    let (own, shown) = adopt(&Engine::default(), "new/org-a/main", false).await;
    assert!(matches!(own, Err(AdoptError::Own(_))) && shown.is_empty());
}
