//! The configuration: Tessera's JSON, our extension under `tesseraNode`, and the dynamic file beside it.
//!
//! ```text
//! tessera.json ── section (lenient reading) ──► tessera, servers, keys ──► Config     once, at start
//! dynamic.json ── dynamic (strict)          ──────────────────────────► Dynamic    reloaded while running
//! ```
//!
//! Java ignores what it does not know, so a drop-in must too; but a member whose *behaviour* we lack is refused by name,
//! since ignoring a setting is a lie. Inside `tesseraNode` nothing unknown is accepted.

pub mod dynamic;
mod keys;
mod section;
mod server;
mod tessera;
pub mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tessera_keys::KeyConfiguration;
use tessera_node_api::identity::Identity;
use tessera_node_api::static_config::Extension;
use zeroize::{Zeroize, Zeroizing};

pub use server::{Limits, Server};

use crate::peers::NodeUrl;
use crate::transaction::Policy;

/// Everything that a node is told at start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our extension.
    pub extension: Extension,
    /// Who this node is.
    pub identity: Identity,
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
    /// Keys that lie in files; absent when they live in the secret store.
    pub key_files: Option<Arc<KeyConfiguration>>,
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
    let text = std::fs::read_to_string(path)
        .map(Zeroizing::new)
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
