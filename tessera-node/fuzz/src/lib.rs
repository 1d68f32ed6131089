//! What the fuzz targets share.
//!
//! The node's configuration and HTTP decoders are compiled from their files, so that a run needs neither the node's TLS nor
//! its Vault client. The modules that those files name in `crate` and in `tessera_keys` are here.

// `tessera_keys` without its Vault client, `tessera_tls` without TLS, `tessera_backup` without age, `tessera_database` without a
// database.
extern crate self as tessera_backup;
extern crate self as tessera_database;
extern crate self as tessera_keys;
extern crate self as tessera_tls;

mod backup;
mod database;
pub mod disk;
pub mod http;

#[allow(dead_code, missing_docs)]
#[path = "../../src/config/mod.rs"]
pub mod config;
#[allow(dead_code, missing_docs)]
#[path = "../../keys/src/files.rs"]
pub mod files;
pub mod logs;
pub mod peers;
#[allow(dead_code, missing_docs)]
#[path = "../../keys/src/secret.rs"]
mod secret;
mod stand_in;
mod tls;
#[allow(dead_code, missing_docs)]
#[path = "../../keys/src/text.rs"]
pub mod text;

pub use backup::{RecipientError, Recipients};
pub use database::Credentials;
pub use files::KeyConfiguration;
pub use secret::SecretText;
pub use tls::{Partner, Partners, Roots, Scope, ScopeError};
pub(crate) use stand_in::{tasks, telemetry, transaction};
