//! Our extension of Tessera's configuration file, under its one key `tesseraNode`. What stands here changes only with a
//! new pod; what may change under a running node stands in [`crate::dynamic_config`].

use serde::{Deserialize, Serialize};

use crate::stamp::Stamp;

/// The version of this extension.
pub const VERSION: u32 = 1;

/// The member `tesseraNode` of the configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Extension {
    /// [`VERSION`].
    pub version: u32,
    /// Who this node is. Its certificates must carry this identity.
    pub identity: NodeIdentity,
    /// Path of the dynamic configuration. Required: nothing of Tessera's own names the clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dynamic_config: Option<String>,
    /// Directory with `tls.crt`, `tls.key`, `ca.crt` for P2P, Q2T and metrics.
    pub node_tls: String,
    /// The payload store.
    pub storage: Storage,
    /// The secret store that generated keys are kept in; absent: keys come from Tessera's `keys.keyData`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_store: Option<SecretStore>,
    /// The operator's listener; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<Admin>,
    /// The scrapers' listener; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    /// The Unix socket that `tessera-node probe` asks.
    pub probe_socket: String,
    /// Bytes of memory that the process may take; absent: the limit of its control group, or what the machine has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// What must be unreachable before a key is fetched; absent: not examined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress_guard: Option<EgressGuard>,
}

/// Who a node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeIdentity {
    /// The network's trust domain.
    pub trust_domain: String,
    /// The TesseraNode's name.
    pub name: String,
}

/// The payload store: `directory` or `postgres`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Storage {
    /// The directory of the embedded store, on a volume of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// Bytes that the files of the embedded store may take together; absent: what the volume has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_bytes: Option<u64>,
    /// A database, in Java Tessera's tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<Postgres>,
}

/// A PostgreSQL database, reached over TLS with its certificate verified. The files are read anew for each connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Postgres {
    /// File with the connection string of libpq: `postgresql://USER@HOST:PORT/DATABASE`, with a password if the role has one.
    pub connection_file: String,
    /// PEM file with the CA of the server's certificate.
    pub ca_file: String,
    /// Directory with the `tls.crt` and `tls.key` that the node shows the server; absent: the node shows none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<String>,
}

/// HashiCorp Vault or OpenBao, KV version 2, Kubernetes auth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretStore {
    /// `https://host:port`. Also the audience of the token.
    pub address: String,
    /// PEM file with the CA of the store's certificate.
    pub ca_file: String,
    /// Directory with the `tls.crt` and `tls.key` that the node shows the store, read anew for each connection, since the
    /// kubelet renews them; absent: the node shows none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<String>,
    /// Vault Enterprise or OpenBao namespace; empty: none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Mount of the Kubernetes auth method.
    pub auth_mount: String,
    /// Role to log in with.
    pub role: String,
    /// File with the ServiceAccount token; read anew for each login, since the kubelet renews it.
    pub token_file: String,
    /// Mount of the KV version 2 engine.
    pub kv_mount: String,
    /// This node's own directory under the mount: `<pathPrefix>/<namespace>/<serviceAccount>`. The secret of version `V`
    /// of key `K` lies at `<path>/keys/<K>/<V>`, whose directory it is at `<path>/stamp`.
    pub path: String,
    /// Who may use the directory. A directory with another stamp is refused.
    pub stamp: Stamp,
}

/// The operator's listener. Its roots are the admin CA alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Admin {
    /// `ip:port`.
    pub bind: String,
    /// Directory with `tls.crt`, `tls.key`, `ca.crt` of the admin CA.
    pub tls: String,
}

/// The scrapers' listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metrics {
    /// `ip:port`.
    pub bind: String,
}

/// A new pod is not policed for its first second, so a node waits before it fetches keys until a forbidden connect has
/// failed while an allowed one succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EgressGuard {
    /// `host:port` that listens and that policy must keep from us. The API server: it is always there, and a node has no
    /// business with it.
    pub forbidden: String,
    /// `host:port` that must answer at the same time, as the control: the secret store.
    pub allowed: String,
    /// Seconds to wait at most; past it the node goes on and says that its egress is open.
    pub timeout_seconds: u32,
}
