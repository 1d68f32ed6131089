//! `tesseraNode`: our extension of Tessera's file, read strictly and parsed into the types that the node uses.

use std::net::SocketAddr;
use std::path::PathBuf;

use tessera_node_api::identity::Identity;
use tessera_node_api::static_config::{self, EgressGuard, Extension, SecretStore};

use super::section::Section;
use super::storage::{self, Storage};

/// What the extension says, parsed.
pub(super) struct Parsed {
    pub(super) identity: Identity,
    pub(super) dynamic_config: PathBuf,
    pub(super) node_tls: PathBuf,
    pub(super) storage: Storage,
    pub(super) secret_store: Option<SecretStore>,
    pub(super) admin: Option<Admin>,
    pub(super) metrics: Option<SocketAddr>,
    pub(super) probe_socket: PathBuf,
    pub(super) memory_bytes: Option<u64>,
    pub(super) egress_guard: Option<EgressGuard>,
}

/// The operator's listener.
#[derive(Debug, Clone)]
pub struct Admin {
    /// The address it binds.
    pub bind: SocketAddr,
    /// Directory with `tls.crt`, `tls.key` and `ca.crt` of the admin CA.
    pub tls: PathBuf,
    /// The one identity that is served.
    pub operator: Identity,
}

/// Reads the extension. None: it has a problem, which is noted.
pub(super) fn read(top: Section<'_>) -> Option<Parsed> {
    let Some(value) = top.value("tesseraNode") else {
        top.problem("tesseraNode", "may not be null: it names the node's identity, certificates and storage");
        return None;
    };
    match serde_json::from_value::<Extension>(value.clone()) {
        Ok(extension) => parse(top, extension),
        Err(error) => {
            top.problem("tesseraNode", error);
            None
        }
    }
}

fn parse(top: Section<'_>, extension: Extension) -> Option<Parsed> {
    if extension.version != static_config::VERSION {
        let (found, known) = (extension.version, static_config::VERSION);
        top.problem("tesseraNode.version", format_args!("is {found}, and this node knows only {known}"));
    }
    if extension.secret_store.as_ref().is_some_and(|store| !store.address.starts_with("https://")) {
        top.problem("tesseraNode.secretStore.address", "must start with https://");
    }
    let storage = storage::parse(top, extension.storage);
    let dynamic_config = extension.dynamic_config.map(PathBuf::from).or_else(|| {
        let why = "may not be null: it names the clients and, with secretStore, the keys";
        top.problem("tesseraNode.dynamicConfig", why);
        None
    });
    // All are looked at before the first that is missing ends the reading.
    let node = extension.identity;
    let identity = identity(top, Identity::node(&node.trust_domain, &node.name));
    let admin = extension.admin.map(|admin| {
        let bind = address(top, "tesseraNode.admin.bind", &admin.bind);
        let operator = identity.is_some().then(|| Identity::operator(&node.trust_domain))?.ok()?;
        Some(Admin { bind: bind?, tls: admin.tls.into(), operator })
    });
    let metrics = extension.metrics.map(|metrics| address(top, "tesseraNode.metrics.bind", &metrics.bind));
    Some(Parsed {
        identity: identity?,
        dynamic_config: dynamic_config?,
        node_tls: extension.node_tls.into(),
        storage: storage?,
        secret_store: extension.secret_store,
        admin: required(admin)?,
        metrics: required(metrics)?,
        probe_socket: extension.probe_socket.into(),
        memory_bytes: extension.memory_bytes,
        egress_guard: extension.egress_guard,
    })
}

fn identity<E: std::fmt::Display>(top: Section<'_>, parsed: Result<Identity, E>) -> Option<Identity> {
    parsed.map_err(|error| top.problem("tesseraNode.identity", error)).ok()
}

fn address(top: Section<'_>, member: &str, text: &str) -> Option<SocketAddr> {
    let parsed = text.parse().ok();
    if parsed.is_none() {
        top.problem(member, "must be ip:port");
    }
    parsed
}

/// None: a member that is there could not be read. Some(None): it is not there.
#[expect(clippy::option_option, reason = "absent and unreadable differ")]
fn required<T>(member: Option<Option<T>>) -> Option<Option<T>> {
    match member {
        Some(None) => None,
        Some(read) => Some(read),
        None => Some(None),
    }
}
