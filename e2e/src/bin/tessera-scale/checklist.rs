//! What a node says of itself for the security checklist, and what the operator must make of it.

use serde_json::{Value, json};

/// The trials that every listener passes, as a real node names them.
const WRONG_CLIENTS: [&str; 4] = ["Plain", "NoCertificate", "ForeignCA", "Expired"];

/// Adds what a hardened node reports, tried a moment ago, to the status of one that serves.
pub(crate) fn add_to(status: &mut Value) {
    let now = jiff::Timestamp::now();
    let listeners: Vec<_> = ["admin", "metrics", "P2P", "Q2T"].map(listener).into();
    status["listenerTrials"] = json!({"triedAt": now.to_string(), "listeners": listeners});
    status["hardening"] = json!({
        "coreSoftLimit": 0, "coreHardLimit": 0, "dumpable": false, "lockedKib": 48, "swapKib": 0, "corePattern": "core",
    });
    status["builtOn"] = json!(now.strftime("%Y-%m-%d").to_string());
}

fn listener(name: &str) -> Value {
    let mut trials: Vec<_> =
        WRONG_CLIENTS.iter().map(|shown| json!({"shown": shown, "outcome": "Refused"})).collect();
    if name == "P2P" {
        trials.push(json!({"shown": "Own", "outcome": "Served"}));
    }
    json!({"name": name, "trials": trials})
}

/// Whether the checklist of `node` says that these facts were judged: what a node alone can prove is Verified, and the pod's part of
/// what speaks of machines, too.
pub(crate) fn holds(node: &Value) -> bool {
    let lines = node["status"]["checklist"]["lines"].as_array();
    let line = |id: &str| lines.and_then(|lines| lines.iter().find(|line| line["id"] == id));
    let is_verified = |line: &Value| line["result"] == "Verified";
    let pod = |line: &Value| {
        line["parts"].as_array().is_some_and(|parts| {
            parts.iter().any(|part| part["name"] == "Pod" && part["result"] == "Verified")
        })
    };
    line("MutualTls").is_some_and(is_verified)
        && line("ImmutableUpgrades").is_some_and(is_verified)
        && line("NoCoreDumps").is_some_and(pod)
}
