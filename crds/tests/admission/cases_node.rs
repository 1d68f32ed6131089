//! New nodes that must be refused.

use serde_json::json;

use crate::case::{ABSENT, Case, check_create, node};
use crate::fixture::{self, IMAGE, client, key, many, postgres};

#[tokio::test]
async fn invalid_nodes_are_refused_and_their_twins_admitted() {
    check_create("node-create", [identity(), storage(), keys(), clients()].into_iter().flatten().collect())
        .await;
}

fn identity() -> Vec<Case> {
    vec![
        node("a name of 41 characters")
            .at("/metadata/name")
            .refuses(json!("n".repeat(41)))
            .saying(&["metadata.name", "at most 40 characters"])
            .admits(json!("n".repeat(40))),
        node("a name of an object of others")
            .at("/metadata/name")
            .refuses(json!("a-admin"))
            .saying(&["metadata.name", "belong to objects that the operator makes"])
            .admits(json!("admin")),
        node("a name of an object of others")
            .at("/metadata/name")
            .refuses(json!("a-client"))
            .saying(&["metadata.name", "belong to objects that the operator makes"])
            .admits(json!("client-a")),
        node("a name of an object of others")
            .at("/metadata/name")
            .refuses(json!("a-monitoring-b"))
            .saying(&["metadata.name", "belong to objects that the operator makes"])
            .admits(json!("monitoring-b")),
        node("a name of an object of others")
            .at("/metadata/name")
            .refuses(json!("a-nodes-deny"))
            .saying(&["metadata.name", "belong to objects that the operator makes"])
            .admits(json!("a-nodes")),
        node("a name that starts with a digit")
            .at("/metadata/name")
            .refuses(json!("4-node"))
            .saying(&["metadata.name", "starting with a letter"])
            .admits(json!("node-4")),
        node("no network")
            .at("/spec/networkRef")
            .refuses(ABSENT)
            .saying(&["spec.networkRef", "Required value"])
            .admits(json!({ "name": "org-a" })),
        node("a network of no name")
            .at("/spec/networkRef/name")
            .refuses(json!(""))
            .saying(&["spec.networkRef.name", "at least 1 chars"])
            .admits(json!("not-there-yet")),
        node("a network in another namespace")
            .at("/spec/networkRef/name")
            .refuses(json!("org-b/org-b"))
            .saying(&["spec.networkRef.name", "DNS label"])
            .admits(json!("org-b")),
        node("an image by tag")
            .at("/spec/image")
            .refuses(json!("localhost:5001/tessera-node:v1"))
            .saying(&["spec.image", "must be pinned by digest"])
            .admits(json!(IMAGE)),
        node("an image by a short digest")
            .at("/spec/image")
            .refuses(json!("localhost:5001/tessera-node@sha256:0123"))
            .saying(&["spec.image", "must be pinned by digest"])
            .admits(ABSENT),
        node("two replicas of an embedded store")
            .at("/spec/replicas")
            .refuses(json!(2))
            .saying(&["spec.replicas", "only with storage.type Postgres"])
            .admits(json!(0)),
        node("ten replicas")
            .given("/spec/storage", json!({ "type": "Postgres", "postgres": postgres() }))
            .at("/spec/replicas")
            .refuses(json!(10))
            .saying(&["spec.replicas", "less than or equal to 9"])
            .admits(json!(9)),
        node("replicas below zero")
            .at("/spec/replicas")
            .refuses(json!(-1))
            .saying(&["spec.replicas", "greater than or equal to 0"])
            .admits(json!(1)),
        node("a text for a truth")
            .at("/spec/paused")
            .refuses(json!("yes"))
            .saying(&["spec.paused", "must be of type boolean"])
            .admits(json!(true)),
        node("a restart trigger below zero")
            .at("/spec/restartTrigger")
            .refuses(json!(-1))
            .saying(&["spec.restartTrigger", "greater than or equal to 0"])
            .admits(json!(1)),
        node("a request above its limit")
            .at("/spec/resources")
            .refuses(json!({ "requests": { "memory": "2Gi" }, "limits": { "memory": "1Gi" } }))
            .saying(&["spec.resources", "requests must not exceed resources.limits"])
            .admits(json!({ "requests": { "memory": "1Gi" }, "limits": { "memory": "1Gi" } })),
        node("privacy in a word")
            .at("/spec/privacy")
            .refuses(json!({ "enhancements": "yes" }))
            .saying(&["spec.privacy.enhancements", "must be of type boolean"])
            .admits(json!({ "enhancements": true })),
        node("an unknown field")
            .at("/spec/replica")
            .refuses(json!(1))
            .saying(&["spec.replica", "unknown field"])
            .admits(ABSENT),
    ]
}

/// A node whose payloads are in a database.
fn database(name: &'static str) -> Case {
    node(name).given("/spec/storage", json!({ "type": "Postgres", "postgres": postgres() }))
}

fn storage() -> Vec<Case> {
    vec![
        node("a kind of storage that is not built")
            .at("/spec/storage/type")
            .refuses(json!("Oracle"))
            .saying(&["spec.storage.type", r#"supported values: "Embedded", "Postgres""#])
            .admits(json!("Embedded")),
        node("no member of the union")
            .at("/spec/storage/embedded")
            .refuses(ABSENT)
            .saying(&["spec.storage.embedded", "if and only if storage.type is Embedded"])
            .admits(json!({ "size": "1Gi" })),
        node("the wrong member of the union")
            .at("/spec/storage/postgres")
            .refuses(postgres())
            .saying(&["spec.storage.postgres", "if and only if storage.type is Postgres"])
            .admits(ABSENT),
        node("a database without its member")
            .at("/spec/storage")
            .refuses(json!({ "type": "Postgres" }))
            .saying(&["spec.storage.postgres", "if and only if storage.type is Postgres"])
            .admits(json!({ "type": "Postgres", "postgres": postgres() })),
        database("a connection string in the manifest")
            .at("/spec/storage/postgres/connection/string")
            .refuses(json!("postgresql://node-a@db/payloads"))
            .saying(&["spec.storage.postgres.connection.string", "unknown field"])
            .admits(ABSENT),
        database("a connection string nowhere")
            .at("/spec/storage/postgres/connection/secretRef")
            .refuses(ABSENT)
            .saying(&[
                "spec.storage.postgres.connection.secretRef",
                "if and only if connection.type is SecretRef",
            ])
            .admits(json!({ "name": "database", "key": "other" })),
        database("a certificate of our own that lies in a Secret")
            .at("/spec/storage/postgres/clientCertificate")
            .refuses(json!({ "type": "Issued", "secretRef": { "name": "database-client" } }))
            .saying(&["spec.storage.postgres.clientCertificate.secretRef", "if and only if"])
            .admits(json!({ "type": "SecretRef", "secretRef": { "name": "database-client" } })),
        database("a database that the node cannot reach")
            .at("/spec/storage/postgres/egress")
            .refuses(json!([]))
            .saying(&["spec.storage.postgres.egress", "at least 1 items"])
            .admits(json!([{ "cidr": "10.1.2.3/32", "port": 5432 }])),
        node("a size in words")
            .at("/spec/storage/embedded/size")
            .refuses(json!("ten gigabytes"))
            .saying(&["spec.storage.embedded.size", "must be a positive quantity"])
            .admits(json!("10G")),
        node("a size in a unit that is none")
            .at("/spec/storage/embedded/size")
            .refuses(json!("10GB"))
            .saying(&["spec.storage.embedded.size", "must be a positive quantity"])
            .admits(json!("10Gi")),
        node("a size of nothing")
            .at("/spec/storage/embedded/size")
            .refuses(json!("0"))
            .saying(&["spec.storage.embedded.size", "must be a positive quantity"])
            .admits(json!("1500Mi")),
        node("no size")
            .at("/spec/storage/embedded/size")
            .refuses(ABSENT)
            .saying(&["spec.storage.embedded.size", "Required value"])
            .admits(json!("2Ti")),
        node("a class that is no name")
            .at("/spec/storage/embedded/storageClassName")
            .refuses(json!(""))
            .saying(&["spec.storage.embedded.storageClassName", "at least 1 chars"])
            .admits(ABSENT),
    ]
}

fn keys() -> Vec<Case> {
    vec![
        node("no keys")
            .at("/spec/keys")
            .refuses(json!([]))
            .saying(&["spec.keys", "at least 1 items"])
            .admits(fixture::node()["spec"]["keys"].clone()),
        node("two keys of one name")
            .given("/spec/keys/1", key("second"))
            .at("/spec/keys/1/name")
            .refuses(json!("main"))
            .saying(&["spec.keys[1]", "Duplicate value"])
            .admits(json!("other")),
        node("no default key")
            .at("/spec/keys/0/default")
            .refuses(json!(false))
            .saying(&["spec.keys", "exactly one key with default: true"])
            .admits(json!(true)),
        node("two default keys")
            .given("/spec/keys/1", key("second"))
            .at("/spec/keys/1/default")
            .refuses(json!(true))
            .saying(&["spec.keys", "exactly one key with default: true"])
            .admits(ABSENT),
        node("a kind of key that is not built")
            .at("/spec/keys/0/type")
            .refuses(json!("Pkcs11"))
            .saying(&["spec.keys[0].type", r#"supported values: "Vault""#])
            .admits(json!("Vault")),
        node("a key of no name")
            .at("/spec/keys/0/name")
            .refuses(ABSENT)
            .saying(&["spec.keys[0].name", "Required value"])
            .admits(json!("main-1")),
        node("a key whose name climbs")
            .at("/spec/keys/0/name")
            .refuses(json!("../main"))
            .saying(&["spec.keys[0].name", "DNS label"])
            .admits(json!("main2")),
        node("a key whose name is too long")
            .at("/spec/keys/0/name")
            .refuses(json!("k".repeat(41)))
            .saying(&["spec.keys[0].name", "Too long", "40"])
            .admits(json!("k".repeat(40))),
        node("nine keys")
            .given("/spec/keys/1", key("second"))
            .at("/spec/keys")
            .refuses(with_default(many(9, key)))
            .saying(&["spec.keys", "at most 8 items"])
            .admits(with_default(many(8, key))),
        node("a trigger below zero")
            .at("/spec/keys/0/rotation/trigger")
            .refuses(json!(-1))
            .saying(&["spec.keys[0].rotation.trigger", "greater than or equal to 0"])
            .admits(json!(0)),
        node("a version each minute")
            .at("/spec/keys/0/rotation/every")
            .refuses(json!("1m"))
            .saying(&["spec.keys[0].rotation.every", "at least 1h"])
            .admits(json!("2160h")),
        node("an import from nowhere")
            .at("/spec/keys/0/import")
            .refuses(json!({ "passwordSecretRef": { "name": "java-key", "key": "tm.password" } }))
            .saying(&["spec.keys[0].import.secretRef", "Required value"])
            .admits(json!({ "secretRef": { "name": "java-key", "key": "tm.key" } })),
        node("an import from no part of a Secret")
            .at("/spec/keys/0/import")
            .refuses(json!({ "secretRef": { "name": "java-key" } }))
            .saying(&["spec.keys[0].import.secretRef.key", "Required value"])
            .admits(json!({ "secretRef": { "name": "java-key", "key": "tm.key" } })),
        node("an import from a part of a Secret that climbs")
            .given("/spec/keys/0/import", json!({ "secretRef": { "name": "java-key", "key": "tm.key" } }))
            .at("/spec/keys/0/import/secretRef/key")
            .refuses(json!("../tm.key"))
            .saying(&["spec.keys[0].import.secretRef.key", "letters, digits"])
            .admits(json!("tm.key")),
        node("an import of what is no public key")
            .given("/spec/keys/0/import", json!({ "secretRef": { "name": "java-key", "key": "tm.key" } }))
            .at("/spec/keys/0/import/publicKey")
            .refuses(json!("BULeR8JyUWhiuuCMU/HLA0Q5pzkYT+cHII3ZKBey3Bq="))
            .saying(&["spec.keys[0].import.publicKey", "base64 of 32 bytes"])
            .admits(json!("BULeR8JyUWhiuuCMU/HLA0Q5pzkYT+cHII3ZKBey3Bo=")),
        node("version zero archived")
            .at("/spec/keys/0/archive")
            .refuses(json!([0]))
            .saying(&["spec.keys[0].archive[0]", "greater than or equal to 1"])
            .admits(json!([1, 2])),
        node("more archived than a list takes")
            .at("/spec/keys/0/archive")
            .refuses(json!((1..=65).collect::<Vec<_>>()))
            .saying(&["spec.keys[0].archive", "at most 64 items"])
            .admits(json!((1..=64).collect::<Vec<_>>())),
    ]
}

fn clients() -> Vec<Case> {
    vec![
        node("two clients of one name")
            .given("/spec/clients/1", client("besu-a"))
            .at("/spec/clients/1/name")
            .refuses(json!("quorum-a"))
            .saying(&["spec.clients[1]", "Duplicate value"])
            .admits(json!("quorum-b")),
        node("33 clients")
            .at("/spec/clients")
            .refuses(many(33, client))
            .saying(&["spec.clients", "at most 32 items"])
            .admits(many(32, client)),
        node("a client from nowhere")
            .at("/spec/clients/0/from")
            .refuses(json!([]))
            .saying(&["spec.clients[0].from", "at least 1 items"])
            .admits(json!([{ "namespaceSelector": {} }])),
        node("a peer that selects nothing")
            .at("/spec/clients/0/from/0")
            .refuses(json!({}))
            .saying(&["spec.clients[0].from[0]", "podSelector, namespaceSelector or both"])
            .admits(json!({ "podSelector": {} })),
        node("a client from pods and addresses at once")
            .at("/spec/clients/0/from/0")
            .refuses(json!({ "podSelector": {}, "ipBlock": { "cidr": "192.0.2.0/28" } }))
            .saying(&["spec.clients[0].from[0]", "either ipBlock, or podSelector"])
            .admits(json!({ "ipBlock": { "cidr": "192.0.2.0/28" } })),
        node("addresses with host bits")
            .at("/spec/clients/0/from/0")
            .refuses(json!({ "ipBlock": { "cidr": "192.0.2.1/28" } }))
            .saying(&["spec.clients[0].from[0].ipBlock.cidr", "host bits are zero"])
            .admits(json!({ "ipBlock": { "cidr": "2001:db8::/64" } })),
        node("a client's certificate that is renewed before its issue")
            .at("/spec/clients/0/certificate")
            .refuses(json!({ "lifetime": "8h", "renewBefore": "8h" }))
            .saying(&["spec.clients[0].certificate.renewBefore", "shorter than lifetime"])
            .admits(json!({ "lifetime": "2160h", "renewBefore": "720h" })),
        node("a client's certificate that lives for minutes")
            .at("/spec/clients/0/certificate")
            .refuses(json!({ "lifetime": "9m", "renewBefore": "5m" }))
            .saying(&["spec.clients[0].certificate.lifetime", "at least 10m"])
            .admits(json!({ "lifetime": "10m", "renewBefore": "5m" })),
        node("a client's certificate with one of two durations")
            .at("/spec/clients/0/certificate")
            .refuses(json!({ "lifetime": "2160h" }))
            .saying(&["spec.clients[0].certificate", "set together"])
            .admits(json!({ "secretNamespace": "ledger-a" })),
        node("a client's Secret in no namespace")
            .at("/spec/clients/0/certificate")
            .refuses(json!({ "secretNamespace": "ledger.a" }))
            .saying(&["spec.clients[0].certificate.secretNamespace", "name of a namespace"])
            .admits(json!({ "secretNamespace": "0-ledger" })),
        node("a client whose name is in capitals")
            .at("/spec/clients/0/name")
            .refuses(json!("Quorum"))
            .saying(&["spec.clients[0].name", "DNS label"])
            .admits(json!("quorum")),
        node("a selector with a label key that is none")
            .given(
                "/spec/clients/0/from/0/podSelector",
                json!({ "matchExpressions": [{ "key": "app", "operator": "Exists" }] }),
            )
            .at("/spec/clients/0/from/0/podSelector/matchExpressions/0/key")
            .refuses(json!("the app"))
            .saying(&["matchExpressions[0].key", "should match"])
            .admits(json!("example.com/app")),
    ]
}

/// The first of `keys` is the default.
fn with_default(mut keys: serde_json::Value) -> serde_json::Value {
    keys[0]["default"] = json!(true);
    keys
}
