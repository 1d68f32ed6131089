//! The configuration: Tessera's JSON, our extension under `tesseraNode`, and the dynamic file beside it.
//!
//! ```text
//! tessera.json ── section (lenient reading) ──► tessera, server, keys, extension ──► Config     once, at start
//! dynamic.json ── dynamic (strict)          ───────────────────────────────────► Dynamic    reloaded while running
//! ```
//!
//! Java ignores what it does not know, so a drop-in must too; but a member whose *behaviour* we lack is refused by name,
//! since ignoring a setting is a lie. Inside `tesseraNode` nothing unknown is accepted.

pub mod dynamic;
mod extension;
pub mod key_backup;
mod keys;
pub mod partners;
mod section;
mod server;
mod storage;
mod tessera;
pub mod watch;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tessera_keys::KeyConfiguration;
use tessera_node_api::identity::Identity;
use tessera_node_api::static_config::{EgressGuard, SecretStore};
use zeroize::Zeroize;

pub use extension::Admin;
pub use server::{Limits, Server};
pub use storage::Storage;

use crate::peers::NodeUrl;
use crate::transaction::Policy;

/// The whole configuration of a node.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who this node is; its certificates must say so.
    pub identity: Identity,
    /// The file with the peers, the clients, the scrapers and the keys.
    pub dynamic_config: PathBuf,
    /// Directory with `tls.crt`, `tls.key` and `ca.crt` for P2P, Q2T and metrics.
    pub node_tls: PathBuf,
    /// The payload store.
    pub storage: Storage,
    /// The Unix socket of the probes.
    pub probe_socket: PathBuf,
    /// The memory that the process may take; absent: the container's limit, or what the machine has.
    pub memory_bytes: Option<u64>,
    /// What must be unreachable before a key is fetched; absent: not examined.
    pub egress_guard: Option<EgressGuard>,
    /// The operator's listener; absent: none.
    pub admin: Option<Admin>,
    /// Where scrapers connect; absent: nowhere.
    pub metrics: Option<SocketAddr>,
    /// The server for other transaction managers.
    pub p2p: Server,
    /// The servers for ledger nodes.
    pub q2t: Vec<Server>,
    /// Peers named in the file itself.
    pub peers: Vec<NodeUrl>,
    /// What it decides about transactions.
    pub policy: Policy,
    /// Only peers named in the configuration may register.
    pub disable_peer_discovery: bool,
    /// Only hosts of configured peers may call P2P.
    pub use_white_list: bool,
    /// Where the keys come from.
    pub keys: KeySource,
}

/// Where the node's keys come from.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// The node generates them and keeps them there.
    SecretStore(Box<SecretStore>),
    /// They lie in files, or in the configuration itself.
    Files(Arc<KeyConfiguration>),
}

/// Why a configuration is not used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration file {path} cannot be read: check that it is mounted and readable")]
    Read {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not JSON.
    #[error("configuration file {path} is not a JSON object")]
    Json {
        /// Where.
        path: PathBuf,
        /// Where in the file.
        source: serde_json::Error,
    },
    /// It is JSON, and says what cannot be.
    #[error("{} problem(s) in the configuration: {}", .0.len(), .0.join("; "))]
    Invalid(
        /// All of them: `<path> <message>`.
        Vec<String>,
    ),
}

impl ConfigError {
    /// The exit code of Java Tessera for the same fault.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Invalid(_) => 1,
            Self::Read { .. } | Self::Json { .. } => 3,
        }
    }
}

/// Reads and checks the file.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    // It may hold private keys.
    let text = tessera_keys::text::read(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(&text).map_err(|error| match error {
        ConfigError::Json { source, .. } => ConfigError::Json { path: path.to_owned(), source },
        other => other,
    })
}

/// Checks the text of a configuration.
pub fn parse(text: &str) -> Result<Config, ConfigError> {
    let mut root: serde_json::Map<String, Value> =
        serde_json::from_str(text).map_err(|source| ConfigError::Json { path: PathBuf::new(), source })?;
    let checked = tessera::check(&root).map_err(ConfigError::Invalid);
    if let Some(keys) = root.get_mut("keys") {
        wipe(keys);
    }
    checked
}

/// Zeroes every text: what is needed of them was copied to where it is zeroed, too.
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests;
