//! The node's configuration in one ConfigMap for what changes only with a new pod and one for
//! what changes under a running node.

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tessera_crds::api::postgres::{PostgresClientCertificate, PostgresClientCertificateType};
use tessera_crds::api::secret_store::{VaultClientCertificate, VaultClientCertificateType};
use tessera_crds::names;
use tessera_node_api::dynamic_config::{self, DynamicConfig};
use tessera_node_api::identity::Identity;
use tessera_node_api::paths;
use tessera_node_api::static_config::{
    self, Admin, EgressGuard, Extension, Metrics, NodeIdentity, SecretStore,
};

use super::imports;
use crate::backup::custodians::Custodians;
use crate::kube::planned::Planned;
use crate::node::resolve::Resolved;
use crate::node::resolve::keys::PlannedKey;
use crate::node::resolve::storage::Storage;

/// How long a new node waits for its egress to be closed before it says that it is open.
const EGRESS_GUARD_SECONDS: u32 = 30;
/// The API server under the name that every pod knows: it is always there, and a node has no business with it.
const API_SERVER: &str = "kubernetes.default.svc:443";

pub(super) fn build(node: &Resolved) -> [Planned; 2] {
    [
        config_map(node, names::node::static_config(&node.name), paths::STATIC_CONFIG, static_config(node)),
        config_map(
            node,
            names::node::dynamic_config(&node.name),
            paths::DYNAMIC_CONFIG,
            dynamic_config(node),
        ),
    ]
}

/// What rolls the pods when it changes.
pub(super) fn static_sha256(node: &Resolved) -> String {
    hex::encode(Sha256::digest(static_config(node)))
}

fn config_map(node: &Resolved, name: String, path: &str, content: String) -> Planned {
    let file = path.rsplit('/').next().unwrap_or(path);
    Planned::new(&ConfigMap {
        metadata: node.owner.metadata(name),
        data: Some([(file.to_owned(), content)].into()),
        ..ConfigMap::default()
    })
}

fn static_config(node: &Resolved) -> String {
    let mut document = json!({
        "mode": "tessera",
        "useWhiteList": false,
        "disablePeerDiscovery": false,
        "serverConfigs": [
            server("P2P", &node.p2p_url(), paths::P2P_PORT),
            server("Q2T", &names::node::q2t_url(&node.name, &node.owner.namespace), paths::Q2T_PORT),
        ],
        "peer": [],
        "tesseraNode": extension(node),
    });
    if node.privacy.enhancements {
        document["features"] = json!({"enablePrivacyEnhancements": true});
    }
    pretty(&document)
}

fn server(app: &str, url: &str, port: u16) -> Value {
    json!({
        "app": app,
        "serverAddress": url.trim_end_matches('/'),
        "bindingAddress": format!("https://{}", everywhere(port)),
        "communicationType": "REST",
        "sslConfig": {"tls": "STRICT", "serverTrustMode": "CA", "clientTrustMode": "CA"},
    })
}

fn extension(node: &Resolved) -> Extension {
    Extension {
        version: static_config::VERSION,
        identity: NodeIdentity { trust_domain: node.trust_domain.clone(), name: node.name.clone() },
        dynamic_config: Some(paths::DYNAMIC_CONFIG.to_owned()),
        node_tls: paths::NODE_TLS.to_owned(),
        storage: storage(node),
        secret_store: Some(secret_store(node)),
        admin: Some(Admin { bind: everywhere(paths::ADMIN_PORT), tls: paths::ADMIN_TLS.to_owned() }),
        metrics: Some(Metrics { bind: everywhere(paths::METRICS_PORT) }),
        probe_socket: paths::PROBE_SOCKET.to_owned(),
        // The limit of the container itself counts.
        memory_bytes: None,
        egress_guard: Some(EgressGuard {
            forbidden: API_SERVER.to_owned(),
            allowed: host_and_port(&node.store.address),
            timeout_seconds: EGRESS_GUARD_SECONDS,
        }),
    }
}

fn storage(node: &Resolved) -> static_config::Storage {
    let shown = |named: &PostgresClientCertificate| match named.r#type {
        PostgresClientCertificateType::Issued => paths::NODE_TLS.to_owned(),
        PostgresClientCertificateType::SecretRef => paths::DATABASE_CLIENT_TLS.to_owned(),
    };
    match &node.storage {
        Storage::Embedded(_) => static_config::Storage {
            directory: Some(paths::DATA.to_owned()),
            ..static_config::Storage::default()
        },
        Storage::Postgres(postgres) => static_config::Storage {
            postgres: Some(static_config::Postgres {
                connection_file: paths::DATABASE_CONNECTION.to_owned(),
                ca_file: paths::DATABASE_CA.to_owned(),
                client_certificate: postgres.client_certificate.as_ref().map(shown),
            }),
            ..static_config::Storage::default()
        },
    }
}

fn secret_store(node: &Resolved) -> SecretStore {
    let store = &node.store;
    let account = names::node::service_account(&node.name);
    SecretStore {
        address: store.address.to_string(),
        ca_file: paths::STORE_CA.to_owned(),
        client_certificate: store.client_certificate.as_ref().map(client_certificate),
        namespace: store.namespace.as_ref().map(ToString::to_string).unwrap_or_default(),
        auth_mount: store.auth.mount.to_string(),
        role: store.auth.role.to_string(),
        token_file: paths::STORE_TOKEN.to_owned(),
        kv_mount: store.kv.mount.to_string(),
        path: format!("{}/{}/{account}", store.kv.path_prefix, node.owner.namespace),
        stamp: node.stamp.clone(),
    }
}

/// Where the certificate lies that the node shows the store.
fn client_certificate(named: &VaultClientCertificate) -> String {
    match named.r#type {
        VaultClientCertificateType::SecretRef => paths::STORE_CLIENT_TLS.to_owned(),
        VaultClientCertificateType::Issued => paths::NODE_TLS.to_owned(),
    }
}

/// Both address families, or the one that the pod has.
fn everywhere(port: u16) -> String {
    format!("[::]:{port}")
}

/// `https://host[:port]`, as admission lets it through.
fn host_and_port(url: &str) -> String {
    let authority = url.trim_start_matches("https://").trim_end_matches('/');
    let has_port =
        authority.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    if has_port { authority.to_owned() } else { format!("{authority}:443") }
}

fn dynamic_config(node: &Resolved) -> String {
    let document = DynamicConfig {
        version: dynamic_config::VERSION,
        peers: Vec::new(),
        clients: identities(
            node.clients.iter().map(|client| Identity::client(&node.trust_domain, &node.name, &client.name)),
        ),
        monitoring: identities(
            node.monitoring.iter().map(|scraper| Identity::monitoring(&node.trust_domain, &scraper.name)),
        ),
        keys: node.keys.iter().map(key).collect(),
        accepted_payload_store: node.accepted_payload_store.clone(),
        // Nodes of an older version know no such member.
        probe_every_seconds: u32::try_from(node.probe_every.as_secs())
            .ok()
            .filter(|seconds| *seconds != dynamic_config::PROBE_EVERY_SECONDS),
        key_backup: node.custodians.as_ref().and_then(Custodians::for_nodes),
    };
    pretty(&document)
}

/// Names were admitted as DNS labels and leaves were issued for them, so none is left out.
fn identities<E>(identities: impl Iterator<Item = Result<Identity, E>>) -> Vec<String> {
    let mut uris: Vec<_> = identities.flatten().map(|identity| identity.to_string()).collect();
    uris.sort();
    uris
}

/// Nodes of an older version know no `archived`, no `trigger`, no `import` and no `restore`; one of before imports or restores refuses a
/// configuration with it, and so generates no key in its place.
fn key(key: &PlannedKey) -> dynamic_config::Key {
    dynamic_config::Key {
        name: key.name.clone(),
        versions: key.versions,
        default: key.default,
        archived: key.archived.clone(),
        trigger: (key.trigger + 1 != key.versions).then_some(key.trigger),
        import: key.import.as_ref().map(|import| imports::files(&key.name, import)),
        restore: key
            .restore
            .clone()
            .map(|restore| dynamic_config::KeyRestore { public_keys: restore.public_keys }),
    }
}

fn pretty(document: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(document).expect("documents with string keys serialise") + "\n"
}

#[cfg(test)]
mod tests {
    use super::host_and_port;

    #[test]
    fn the_control_of_the_egress_guard_has_a_port() {
        assert_eq!(host_and_port("https://vault.vault.svc:8200"), "vault.vault.svc:8200");
        assert_eq!(host_and_port("https://vault.example"), "vault.example:443");
        assert_eq!(host_and_port("https://[fd00::1]"), "[fd00::1]:443");
    }
}
