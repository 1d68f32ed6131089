//! The top level of Tessera's file.

use serde_json::{Map, Value};
use tessera_enclave::PublicKey;
use tessera_node_api::identity::Identity;
use tessera_node_api::static_config::{self, Extension};

use super::Config;
use super::keys;
use super::section::{Problems, Section};
use super::server;
use crate::peers::NodeUrl;
use crate::transaction::Policy;

pub(super) fn check(root: &Map<String, Value>) -> Result<Config, Vec<String>> {
    let problems = Problems::default();
    let top = Section::new("", root, &problems);

    let extension = extension(top);
    refuse_unsupported(top);
    let node_tls = extension.as_ref().map(|extension| extension.node_tls.as_str());
    let servers = server::read(top, node_tls);
    // Asked of the text: an extension with a fault elsewhere must not raise a complaint about keys too.
    let vaulted = root
        .get("tesseraNode")
        .and_then(|node| node.get("secretStore"))
        .is_some_and(|store| !store.is_null());
    let key_files = keys::read(top, vaulted);
    let identity = extension.as_ref().and_then(|extension| identity(top, extension));
    let peers = peers(top);
    let none = Map::new();
    let features = Section::new("features", top.object("features").unwrap_or(&none), &problems);
    let policy = Policy {
        always_send_to: always_send_to(top),
        privacy_enhancements: features.boolean("enablePrivacyEnhancements"),
        remote_key_validation: features.boolean("enableRemoteKeyValidation"),
    };
    let (use_white_list, disable_peer_discovery) =
        (top.boolean("useWhiteList"), top.boolean("disablePeerDiscovery"));

    let (Some(extension), Some(identity), Some((p2p, q2t))) = (extension, identity, servers) else {
        return Err(problems.into_list());
    };
    let config = Config {
        extension,
        identity,
        p2p,
        q2t,
        peers,
        policy,
        disable_peer_discovery,
        use_white_list,
        key_files,
    };
    match problems.into_list() {
        list if list.is_empty() => Ok(config),
        list => Err(list),
    }
}

fn extension(top: Section<'_>) -> Option<Extension> {
    let Some(value) = top.value("tesseraNode") else {
        top.problem("tesseraNode", "may not be null: it names the node's identity, certificates and storage");
        return None;
    };
    let extension = match serde_json::from_value::<Extension>(value.clone()) {
        Ok(extension) => extension,
        Err(error) => {
            top.problem("tesseraNode", error);
            return None;
        }
    };
    if extension.version != static_config::VERSION {
        let (found, known) = (extension.version, static_config::VERSION);
        top.problem("tesseraNode.version", format_args!("is {found}, and this node knows only {known}"));
    }
    let binds = [
        ("tesseraNode.admin.bind", extension.admin.as_ref().map(|admin| &admin.bind)),
        ("tesseraNode.metrics.bind", extension.metrics.as_ref().map(|metrics| &metrics.bind)),
    ];
    for (member, bind) in binds {
        if bind.is_some_and(|bind| bind.parse::<std::net::SocketAddr>().is_err()) {
            top.problem(member, "must be ip:port");
        }
    }
    if extension.dynamic_config.is_none() {
        top.problem(
            "tesseraNode.dynamicConfig",
            "may not be null: it names the clients and, with secretStore, the keys",
        );
    }
    if extension.secret_store.as_ref().is_some_and(|store| !store.address.starts_with("https://")) {
        top.problem("tesseraNode.secretStore.address", "must start with https://");
    }
    Some(extension)
}

fn identity(top: Section<'_>, extension: &Extension) -> Option<Identity> {
    let node = &extension.identity;
    Identity::node(&node.trust_domain, &node.name)
        .map_err(|error| top.problem("tesseraNode.identity", error))
        .ok()
}

/// Members of Tessera whose behaviour this node does not have.
fn refuse_unsupported(top: Section<'_>) {
    let problems = top.problems();
    let section = |member| top.object(member).map(|object| Section::new(member, object, problems));
    if section("jdbc").is_some_and(|jdbc| jdbc.value("url").is_some()) {
        top.problem("jdbc.url", "is not supported: payloads are kept under tesseraNode.storage");
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
