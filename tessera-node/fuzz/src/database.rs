//! `tessera_database` without a database: what the node's configuration names.

use std::path::PathBuf;

/// As in the real crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// As in the real crate.
    pub connection: PathBuf,
    /// As in the real crate.
    pub ca: PathBuf,
    /// As in the real crate.
    pub client_certificate: Option<PathBuf>,
}
