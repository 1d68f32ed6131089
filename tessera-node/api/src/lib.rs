//! What the operator and a node agree on, and nothing else: pure data, no IO.
//!
//! ```text
//! operator ── static.json, dynamic.json, Secrets ──► files ──► tessera-node     (static_config, dynamic_config, paths)
//! operator ◄─────────── GET /v1/status over mTLS ──────────── tessera-node     (admin)
//! everybody ── certificate with a URI SAN ──► everybody                         (identity)
//! operator ◄── termination message of a pod that tries an image ── tessera-node --version   (image_report)
//! operator ── which key file to adopt ──► tessera-node ── what became of it ──► operator   (key_import)
//! custodian ── proofs and keys that come back, through the operator ──► tessera-node              (key_backup)
//! both ── token made for its address ──► secret store                           (secret_store)
//! both ── TLS of a client that trusts given roots ──► store, admin port             (tls_client)
//! operator ── which names a partner may speak for ──► tessera-node                (dns_scope)
//! both ── what failed on a connection ──► conditions                            (plain_words)
//! ```
//!
//! Both sides are released apart: operator N works with node N-1. So every document here carries a version, fields are
//! only ever added, and a reader of the *status* ignores what it does not know. Configuration is the opposite: a node
//! refuses a field that it does not know, by name, since ignoring a setting is a lie.

pub mod admin;
pub mod dns_scope;
pub mod dynamic_config;
pub mod identity;
pub mod image_report;
pub mod key_backup;
pub mod key_import;
pub mod paths;
pub mod plain_words;
pub mod secret_store;
pub mod stamp;
pub mod static_config;
pub mod tls_client;
