//! Custodians for unit tests.

use serde_json::json;
use tessera_crds::api::node::KeyStatus;

use super::custodians::Custodians;
use crate::fixtures::{network, network_json};

/// A custodian whose identity nobody kept.
pub(crate) const ALICE: (&str, &str) =
    ("alice", "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p");
/// Another.
pub(crate) const BOB: (&str, &str) =
    ("bob", "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg");

/// Those of a network whose threshold is 1.
pub(crate) fn custodians(all: &[(&str, &str)]) -> Custodians {
    custodians_of(all, 1)
}

/// Those of a network with this threshold.
pub(crate) fn custodians_of(all: &[(&str, &str)], threshold: usize) -> Custodians {
    let mut object = network_json();
    object["spec"]["keyBackup"] = key_backup(all, threshold);
    Custodians::of(&network(object)).unwrap()
}

/// The spec.
pub(crate) fn key_backup(all: &[(&str, &str)], threshold: usize) -> serde_json::Value {
    let recipients: Vec<_> = all.iter().map(|(name, age)| json!({"name": name, "age": age})).collect();
    json!({"recipients": recipients, "threshold": threshold, "challengeEvery": "2160h"})
}

/// A version of the key main, as a node's status has it.
pub(crate) fn key(version: i32) -> KeyStatus {
    let key = json!({"name": "main", "version": version, "publicKey": format!("key-{version}"), "state": "Receiving"});
    serde_json::from_value(key).unwrap()
}
