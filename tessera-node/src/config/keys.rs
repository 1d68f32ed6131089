//! `keys`: keys that lie in files, for nodes without a secret store.

use std::sync::Arc;

use serde_json::Value;
use tessera_keys::KeyConfiguration;

use super::section::Section;

/// The key files; absent when keys live in the secret store.
pub(super) fn read(top: Section<'_>, vaulted: bool) -> Option<Arc<KeyConfiguration>> {
    if vaulted {
        if top.value("keys").is_some() {
            top.problem("keys", "must be absent: the node generates its keys into tesseraNode.secretStore");
        }
        return None;
    }
    let Some(object) = top.object("keys") else {
        top.problem("keys", "may not be null without tesseraNode.secretStore");
        return None;
    };
    let keys = Section::new("keys", object, top.problems());
    for member in ["keyVaultConfigs", "azureKeyVaultConfig", "hashicorpKeyVaultConfig"] {
        if keys.value(member).is_some_and(|value| !matches!(value, Value::Array(list) if list.is_empty())) {
            keys.problem(member, "is not supported: use tesseraNode.secretStore");
        }
    }
    if keys.array("keyData").is_empty() {
        keys.problem("keyData", "At least 1 public/private key pair must be provided");
    }
    let configuration = serde_json::from_value(Value::Object(object.clone())).ok();
    if configuration.is_none() {
        // What serde says would repeat the value, which may be a key.
        top.problem("keys", "has a member of the wrong type");
    }
    configuration.map(Arc::new)
}
