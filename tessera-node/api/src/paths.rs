//! Where things lie in a node's pod, and the ports it listens on. The operator mounts, the node reads.

/// The static configuration (Tessera's JSON with our extension): ConfigMap `<node>-config`.
pub const STATIC_CONFIG: &str = "/etc/tessera/config/tessera.json";
/// The dynamic configuration: ConfigMap `<node>-dynamic`, reloaded without a restart.
pub const DYNAMIC_CONFIG: &str = "/etc/tessera/dynamic/dynamic.json";
/// The list of peers beside it: ConfigMap `<network>-peers`. It may be absent.
pub const PEERS_FILE: &str = "peers.json";
/// The collector of logs, beside it: ConfigMap `<network>-peers`. It is absent if the network names none.
pub const LOGGING_FILE: &str = "logging.json";
/// What a node must not reach, beside it: ConfigMap `<network>-peers`. It may be absent.
pub const EGRESS_FILE: &str = "egress.json";
/// The partners, beside it: ConfigMap `<network>-peers`. It is absent if the network has none.
pub const PARTNERS_FILE: &str = "partners.json";
/// Secret `<node>-tls`: `tls.crt`, `tls.key`, `ca.crt` (own network CA: P2P, Q2T and metrics).
pub const NODE_TLS: &str = "/etc/tessera/tls/node";
/// Secret `<node>-admin-tls`: `tls.crt`, `tls.key`, `ca.crt` (the network's admin CA, whatever its issuer).
pub const ADMIN_TLS: &str = "/etc/tessera/tls/admin";
/// The Secret that `secretStore.vault.clientCertificate` names: `tls.crt` and `tls.key`. It is mounted only if one is named.
pub const STORE_CLIENT_TLS: &str = "/etc/tessera/tls/store-client";
/// The CA bundle of the secret store, file `ca.crt`.
pub const STORE_CA: &str = "/etc/tessera/store/ca.crt";
/// The projected ServiceAccount token whose audience is the secret store's URL.
pub const STORE_TOKEN: &str = "/var/run/secrets/tessera/store/token";
/// The Secrets of keys to import, a directory for each key with the files [`IMPORT_FILE`] and [`IMPORT_PASSWORD_FILE`]. It is mounted
/// only if a key has an import, and Secrets may be absent.
pub const IMPORTS: &str = "/etc/tessera/import";
/// The private key file of a Java Tessera.
pub const IMPORT_FILE: &str = "key";
/// Its password.
pub const IMPORT_PASSWORD_FILE: &str = "password";
/// The connection string of the database, if payloads are in one.
pub const DATABASE_CONNECTION: &str = "/etc/tessera/database/connection/string";
/// The CA bundle of the database.
pub const DATABASE_CA: &str = "/etc/tessera/database/ca/ca.crt";
/// The Secret that `storage.postgres.clientCertificate` names: `tls.crt` and `tls.key`. It is mounted only if one is named.
pub const DATABASE_CLIENT_TLS: &str = "/etc/tessera/tls/database-client";
/// The payload volume; absent if payloads are in a database.
pub const DATA: &str = "/var/lib/tessera";
/// A memory-backed directory for sockets.
pub const RUN: &str = "/run/tessera";
/// The socket of `tessera-node probe`.
pub const PROBE_SOCKET: &str = "/run/tessera/probe.sock";

/// What `tessera-node connect` shares with the ledger of its pod: an `emptyDir` volume.
pub const CONNECT_RUN: &str = "/run/tessera-connect";
/// The socket in it that speaks plain HTTP (GoQuorum's `--ptm.socket`).
pub const CONNECT_SOCKET: &str = "/run/tessera-connect/tm.sock";
/// The socket of `tessera-node probe` beside it.
pub const CONNECT_PROBE_SOCKET: &str = "/run/tessera-connect/probe.sock";
/// Secret `<node>-client-<client>`, as `tessera-node connect` mounts it: `tls.crt`, `tls.key`, `ca.crt`.
pub const CONNECT_TLS: &str = "/etc/tessera/client";
/// Environment variable of `tessera-node connect`: the pod's addresses (downward API, `status.podIPs`).
pub const CONNECT_POD_IPS: &str = "TESSERA_POD_IPS";
/// Environment variable of `tessera-node connect`: the addresses of the pod's machine (downward API, `status.hostIPs`).
pub const CONNECT_HOST_IPS: &str = "TESSERA_HOST_IPS";

/// The file of a TLS directory that holds the leaf, then its chain, as PEM.
pub const CERTIFICATE_FILE: &str = "tls.crt";
/// The file of a TLS directory that holds the PKCS#8 key as PEM.
pub const KEY_FILE: &str = "tls.key";
/// The file of a TLS directory that holds the trusted roots as PEM.
pub const CA_FILE: &str = "ca.crt";

/// The file of a TLS directory that holds an expired leaf of the same CA and its key as PEM: the node tries its own listeners
/// with it. It may be absent.
pub const EXPIRED_FILE: &str = "expired.pem";

/// Ledger nodes connect here.
pub const Q2T_PORT: u16 = 8080;
/// Other transaction managers connect here.
pub const P2P_PORT: u16 = 9000;
/// The operator connects here.
pub const ADMIN_PORT: u16 = 9443;
/// Scrapers connect here.
pub const METRICS_PORT: u16 = 9464;

/// The name of the Service under which other transaction managers find the node `name` within the cluster.
pub fn p2p_service(name: &str) -> String {
    format!("{name}-p2p")
}
