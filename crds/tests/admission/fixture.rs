//! One valid object of each kind, with every field set that has something to refuse. Cases are changes to these.

use serde_json::{Value, json};

pub(crate) const IMAGE: &str =
    "localhost:5001/tessera-node@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

pub(crate) fn network() -> Value {
    json!({
        "apiVersion": "tessera.rs/v1alpha1",
        "kind": "TesseraNetwork",
        "metadata": { "name": "org-a" },
        "spec": {
            "trustDomain": "org-a.example",
            "pki": {
                "issuer": { "type": "BuiltIn" },
                "leaf": { "lifetime": "24h", "renewBefore": "8h" },
                "ca": { "lifetime": "8760h" },
            },
            "secretStore": {
                "type": "Vault",
                "vault": {
                    "address": "https://vault.vault.svc:8200",
                    "caBundleRef": { "name": "vault-ca", "key": "ca.crt" },
                    "auth": { "mount": "kubernetes", "role": "tessera-org-a" },
                    "kv": { "mount": "secret", "pathPrefix": "prod-eu1/org-a" },
                },
                "egress": [{
                    "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "vault" } },
                    "port": 8200,
                }],
            },
            "monitoring": [{ "name": "prometheus", "from": { "namespaceSelector": {} } }],
            "partners": [partner("org-b")],
            "nodeDefaults": {
                "image": IMAGE,
                "resources": {
                    "requests": { "cpu": "100m", "memory": "64Mi" },
                    "limits": { "memory": "256Mi" },
                },
                "storageClassName": "standard",
                "pod": pod(),
            },
            "privacy": { "enhancements": false },
            "rollout": { "maxUnavailable": 1, "observe": "2m", "progressDeadline": "10m", "autoRollback": true },
            "keyBackup": {
                "recipients": [{ "name": "alice", "age": ALICE }, { "name": "bob", "age": BOB }],
                "threshold": 2,
                "challengeEvery": "2160h",
            },
            "logging": { "otlp": {
                "endpoint": "https://otel.logs.svc:4318",
                "caBundleRef": { "name": "otel-ca", "key": "ca.crt" },
                "egress": [{
                    "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "logs" } },
                    "port": 4318,
                }],
            } },
        },
    })
}

/// A database of payloads.
pub(crate) fn postgres() -> Value {
    json!({
        "connection": { "type": "SecretRef", "secretRef": { "name": "database", "key": "connection" } },
        "caBundleRef": { "name": "database-ca" },
        "clientCertificate": { "type": "Issued" },
        "egress": [{ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "postgres" } }, "port": 5432 }],
    })
}

pub(crate) fn node() -> Value {
    json!({
        "apiVersion": "tessera.rs/v1alpha1",
        "kind": "TesseraNode",
        "metadata": { "name": "node-a" },
        "spec": {
            "networkRef": { "name": "org-a" },
            "image": IMAGE,
            "replicas": 1,
            "storage": { "type": "Embedded", "embedded": { "size": "10Gi", "storageClassName": "standard" } },
            "keys": [{ "name": "main", "default": true, "type": "Vault", "rotation": { "trigger": 3 } }],
            "clients": [{ "name": "quorum-a", "from": [{ "podSelector": { "matchLabels": { "app": "geth" } } }] }],
            "pod": {},
            "restartTrigger": 0,
        },
    })
}

pub(crate) fn attestation() -> Value {
    json!({
        "apiVersion": "tessera.rs/v1alpha1",
        "kind": "TesseraAttestation",
        "metadata": { "name": "tenancy-2027" },
        "spec": {
            "networkRef": { "name": "org-a" },
            "line": "SecretStoreTenancy",
            "type": "Attestation",
            "statement": "The Vault serves this network alone.",
            "by": "alice@bank",
            "expires": "2027-06-01T00:00:00Z",
        },
    })
}

/// An age recipient, of an identity that nobody kept.
pub(crate) const ALICE: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
/// Another.
pub(crate) const BOB: &str = "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg";

pub(crate) fn backup_proof() -> Value {
    json!({
        "apiVersion": "tessera.rs/v1alpha1",
        "kind": "TesseraBackupProof",
        "metadata": { "name": "node-a-alice" },
        "spec": {
            "nodeRef": { "name": "node-a" },
            "custodian": "alice",
            "challenge": "0f".repeat(32),
            "answers": [{ "key": "main", "version": 1, "mac": "ab".repeat(32) }],
        },
    })
}

pub(crate) fn key_restore() -> Value {
    json!({
        "apiVersion": "tessera.rs/v1alpha1",
        "kind": "TesseraKeyRestore",
        "metadata": { "name": "node-a-1" },
        "spec": {
            "nodeRef": { "name": "node-a" },
            "keys": [{
                "name": "main",
                "version": 1,
                "publicKey": "BULeR8JyUWhiuuCMU/HLA0Q5pzkYT+cHII3ZKBey3Bo=",
                "recipients": [ALICE],
                "ciphertext": "-----BEGIN AGE ENCRYPTED FILE-----\n",
            }],
        },
    })
}

/// What a user may add to a pod, each field set.
fn pod() -> Value {
    json!({
        "imagePullSecrets": [{ "name": "registry" }],
        "nodeSelector": { "disk": "ssd" },
        "tolerations": [{ "key": "dedicated", "operator": "Exists", "effect": "NoSchedule" }],
        "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{ "matchExpressions": [{ "key": "zone", "operator": "In", "values": ["a"] }] }],
        } } },
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
        }],
        "priorityClassName": "ledger",
        "annotations": { "example.com/team": "ledger" },
        "labels": { "cost-centre": "42" },
    })
}

/// Another organisation.
pub(crate) fn partner(name: &str) -> Value {
    json!({
        "name": name,
        "trustDomain": format!("{name}.example"),
        "caBundleRef": { "name": format!("{name}-ca"), "key": "ca.crt" },
        "dnsNames": [format!("*.tm.{name}.example")],
        "urls": [format!("https://a.tm.{name}.example:9000")],
        "egress": [{ "cidr": "203.0.113.0/28", "port": 9000 }],
        "from": [{ "ipBlock": { "cidr": "203.0.113.0/28" } }],
    })
}

/// A key beside the default one.
pub(crate) fn key(name: &str) -> Value {
    json!({ "name": name, "default": false, "type": "Vault" })
}

/// A ledger node.
pub(crate) fn client(name: &str) -> Value {
    json!({ "name": name, "from": [{ "podSelector": {} }] })
}

/// A scraper.
pub(crate) fn scraper(name: &str) -> Value {
    json!({ "name": name, "from": { "podSelector": {} } })
}

/// So many of `item`, named by their number.
pub(crate) fn many(count: usize, item: fn(&str) -> Value) -> Value {
    (0..count).map(|number| item(&format!("x{number}"))).collect()
}
