//! The top level of Tessera's file.

use serde_json::{Map, Value};
use tessera_enclave::PublicKey;

use super::section::{Problems, Section};
use super::{Config, KeySource, extension, keys, server};
use crate::peers::NodeUrl;
use crate::transaction::Policy;

pub(super) fn check(root: &Map<String, Value>) -> Result<Config, Vec<String>> {
    let problems = Problems::default();
    let config = read(Section::new("", root, &problems));
    match (config, problems.into_list()) {
        (Some(config), list) if list.is_empty() => Ok(config),
        (_, list) => Err(list),
    }
}

/// None only where a problem is noted.
fn read(top: Section<'_>) -> Option<Config> {
    let empty = Map::new();
    let node = Section::new("tesseraNode", top.plain_object("tesseraNode").unwrap_or(&empty), top.problems());
    let extension = extension::read(top);
    refuse_unsupported(top);
    // Asked of the text: a fault elsewhere in the extension must not add complaints about keys and certificates.
    let servers = server::read(top, node.value("nodeTls").and_then(Value::as_str));
    let keys = keys::read(top, node.value("secretStore").is_some());
    let peers = peers(top);
    let features = Section::new("features", top.object("features").unwrap_or(&empty), top.problems());
    let policy = Policy {
        always_send_to: always_send_to(top),
        privacy_enhancements: features.boolean("enablePrivacyEnhancements"),
        remote_key_validation: features.boolean("enableRemoteKeyValidation"),
    };
    let (use_white_list, disable_peer_discovery) =
        (top.boolean("useWhiteList"), top.boolean("disablePeerDiscovery"));

    let (extension, (p2p, q2t)) = (extension?, servers?);
    let keys = match extension.secret_store {
        Some(store) => KeySource::SecretStore(Box::new(store)),
        None => KeySource::Files(keys?),
    };
    Some(Config {
        identity: extension.identity,
        dynamic_config: extension.dynamic_config,
        node_tls: extension.node_tls,
        storage: extension.storage,
        probe_socket: extension.probe_socket,
        memory_bytes: extension.memory_bytes,
        egress_guard: extension.egress_guard,
        admin: extension.admin,
        metrics: extension.metrics,
        p2p,
        q2t,
        peers,
        policy,
        disable_peer_discovery,
        use_white_list,
        keys,
    })
}

/// Members of Tessera whose behaviour this node does not have.
fn refuse_unsupported(top: Section<'_>) {
    let problems = top.problems();
    let section = |member| top.object(member).map(|object| Section::new(member, object, problems));
    if section("jdbc").is_some_and(|jdbc| jdbc.value("url").is_some()) {
        top.problem("jdbc.url", "is not supported: tesseraNode.storage names a directory or a PostgreSQL database, which may be the one of a Java node");
    }
    if let Some(mode) = top.string("mode").filter(|mode| *mode != "tessera") {
        top.problem("mode", format_args!("{mode:?} is not supported: only \"tessera\" is"));
    }
    if let Some(kind) =
        section("encryptor").and_then(|encryptor| encryptor.string("type")).filter(|k| *k != "NACL")
    {
        top.problem("encryptor.type", format_args!("{kind:?} is not supported: only \"NACL\" is"));
    }
    if section("features").is_some_and(|features| features.boolean("enableMultiplePrivateStates")) {
        top.problem("features.enableMultiplePrivateStates", "is not supported: set it to false");
    }
    if !top.array("residentGroups").is_empty() {
        top.problem("residentGroups", "is not supported: it needs multiple private states");
    }
    if top.boolean("bootstrapNode") {
        top.problem("bootstrapNode", "is not supported: set it to false");
    }
}

fn peers(top: Section<'_>) -> Vec<NodeUrl> {
    if top.value("peer").is_none() {
        top.problem("peer", "may not be null: an empty array is enough");
    }
    let mut peers = Vec::new();
    for (index, peer) in top.array("peer").iter().enumerate() {
        let path = format!("peer[{index}].url");
        match peer.get("url").and_then(Value::as_str).map(str::parse::<NodeUrl>) {
            Some(Ok(url)) if !url.is_https() => {
                top.problem(&path, "must start with https://: every port speaks mutual TLS");
            }
            Some(Ok(url)) => peers.push(url),
            Some(Err(error)) => top.problem(&path, error),
            None => top.problem(&path, "may not be null"),
        }
    }
    peers
}

fn always_send_to(top: Section<'_>) -> Vec<PublicKey> {
    let mut keys = Vec::new();
    for (index, key) in top.array("alwaysSendTo").iter().enumerate() {
        match key.as_str().map(str::parse::<PublicKey>) {
            Some(Ok(key)) if key.as_bytes().len() == 32 => keys.push(key),
            _ => top.problem(&format!("alwaysSendTo[{index}]"), "must be a public key of 32 bytes in base64"),
        }
    }
    keys
}
