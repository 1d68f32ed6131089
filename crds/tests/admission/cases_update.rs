//! Changes to live objects that must be refused: what is immutable, what only grows, what may not go.

use serde_json::{Value, json};

use crate::case::{ABSENT, Case, check_admitted, check_update, network, node};
use crate::fixture::{key, postgres};

#[tokio::test]
async fn forbidden_changes_are_refused_and_their_twins_admitted() {
    check_update("update", [networks(), storage(), keys(), imports()].into_iter().flatten().collect()).await;
}

/// The status of a node that the operator has looked at.
fn observed(more: &Value) -> Value {
    let mut status = json!({"conditions": [{"type": "Ready", "status": "False", "reason": "Progressing", "message": "m",
        "lastTransitionTime": "2027-01-01T00:00:00Z"}]});
    status.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    status
}

fn with_volume(class: &str) -> Value {
    let volume = json!({ "claim": "data-tessera-node-a-0", "capacity": "10Gi", "storageClassName": class });
    observed(&json!({ "volumes": [volume] }))
}

fn with_keys(versions: &[(&str, i32)]) -> Value {
    let key = |(name, version): &(&str, i32)| json!({"name": name, "version": version, "publicKey": "AAAA", "state": "Receiving"});
    observed(&json!({ "keys": versions.iter().map(key).collect::<Vec<_>>() }))
}

/// Version 1 of two is archived.
fn with_archived() -> Value {
    let mut status = with_keys(&[("main", 1), ("main", 2)]);
    status["keys"][0]["state"] = json!("Archived");
    status
}

/// What was set by mistake and led to nothing is taken back; the refused twins are above.
#[tokio::test]
async fn what_led_to_nothing_can_be_taken_back() {
    check_admitted("take-back", taken_back()).await;
}

fn taken_back() -> Vec<Case> {
    let no_nodes = || json!({"nodes": {"total": 0, "ready": 0}});
    vec![
        network("a trust domain")
            .given("/status", no_nodes())
            .at("/spec/trustDomain")
            .admits(json!("org-z.example")),
        network("a place for keys")
            .given("/status", no_nodes())
            .at("/spec/secretStore/vault/kv/pathPrefix")
            .admits(json!("prod-eu1/org-b")),
        node("a network")
            .given("/status", observed(&json!({})))
            .at("/spec/networkRef/name")
            .admits(json!("org-b")),
        node("a size")
            .given("/status", observed(&json!({})))
            .at("/spec/storage/embedded/size")
            .admits(json!("1Gi")),
        node("a class")
            .given("/status", observed(&json!({})))
            .at("/spec/storage/embedded/storageClassName")
            .admits(json!("fast")),
        node("a class, removed")
            .given("/status", observed(&json!({})))
            .at("/spec/storage/embedded/storageClassName")
            .admits(ABSENT),
        node("a key")
            .given("/spec/keys/1", key("second"))
            .given("/status", with_keys(&[("main", 1)]))
            .at("/spec/keys/1")
            .admits(ABSENT),
        node("what is imported, until the node has it")
            .given("/spec/keys/0/import", import("java-key"))
            .given("/status", observed(&json!({})))
            .at("/spec/keys/0/import")
            .admits(import("java-keys")),
        node("something to import, before the node has a key")
            .given("/status", observed(&json!({})))
            .at("/spec/keys/0/import")
            .admits(import("java-key")),
        node("what was imported, once the node has it")
            .given("/spec/keys/0/import", import("java-key"))
            .given("/status", with_keys(&[("main", 1), ("main", 4)]))
            .at("/spec/keys/0/import")
            .admits(ABSENT),
        node("a trigger")
            .given("/status", with_keys(&[("main", 1), ("main", 2)]))
            .at("/spec/keys/0/rotation/trigger")
            .admits(json!(1)),
    ]
}

fn networks() -> Vec<Case> {
    vec![
        network("another trust domain")
            .at("/spec/trustDomain")
            .refuses(json!("org-z.example"))
            .saying(&["spec.trustDomain", "immutable"])
            .admits(json!("org-a.example")),
        network("another prefix in the store")
            .at("/spec/secretStore/vault/kv/pathPrefix")
            .refuses(json!("prod-eu1/org-b"))
            .saying(&["spec.secretStore.vault.kv", "immutable"])
            .admits(json!("prod-eu1/org-a")),
        network("another trust domain, with nodes")
            .given("/status", json!({"nodes": {"total": 1, "ready": 0}}))
            .at("/spec/trustDomain")
            .refuses(json!("org-z.example"))
            .saying(&["spec.trustDomain", "immutable while the network has nodes"])
            .admits(json!("org-a.example")),
        network("another prefix in the store, with nodes")
            .given("/status", json!({"nodes": {"total": 1, "ready": 0}}))
            .at("/spec/secretStore/vault/kv/pathPrefix")
            .refuses(json!("prod-eu1/org-b"))
            .saying(&["spec.secretStore.vault.kv", "immutable"])
            .admits(json!("prod-eu1/org-a")),
        network("another mount in the store")
            .at("/spec/secretStore/vault/kv/mount")
            .refuses(json!("kv"))
            .saying(&["spec.secretStore.vault.kv", "immutable"])
            .admits(ABSENT),
        network("keys lost from sight by dropping the store")
            .at("/spec/secretStore/vault")
            .refuses(ABSENT)
            .saying(&["spec.secretStore.vault", "if and only if"])
            .admits(crate::fixture::network()["spec"]["secretStore"]["vault"].clone()),
        network("a demand for another CA, taken back")
            .given("/spec/pki/ca/rolloverTrigger", json!(2))
            .at("/spec/pki/ca/rolloverTrigger")
            .refuses(json!(1))
            .saying(&["spec.pki.ca.rolloverTrigger", "only grows"])
            .admits(json!(3)),
        network("a demand for another CA, removed")
            .given("/spec/pki/ca/rolloverTrigger", json!(2))
            .at("/spec/pki/ca/rolloverTrigger")
            .refuses(ABSENT)
            .saying(&["spec.pki.ca.rolloverTrigger", "only grows"])
            .admits(json!(2)),
        network("a lifetime below its renewal")
            .at("/spec/pki/leaf/lifetime")
            .refuses(json!("7h"))
            .saying(&["spec.pki.leaf.renewBefore", "must be shorter"])
            .admits(json!("48h")),
    ]
}

fn storage() -> Vec<Case> {
    vec![
        node("another network, with a key")
            .given("/status", with_keys(&[("main", 1)]))
            .at("/spec/networkRef/name")
            .refuses(json!("org-b"))
            .saying(&["spec.networkRef", "immutable"])
            .admits(json!("org-a")),
        node("another network, with a volume")
            .given("/status", with_volume("standard"))
            .at("/spec/networkRef/name")
            .refuses(json!("org-b"))
            .saying(&["spec.networkRef", "immutable"])
            .admits(json!("org-a")),
        node("another network")
            .at("/spec/networkRef/name")
            .refuses(json!("org-b"))
            .saying(&["spec.networkRef", "immutable"])
            .admits(json!("org-a")),
        node("a smaller volume")
            .at("/spec/storage/embedded/size")
            .refuses(json!("9Gi"))
            .saying(&["spec.storage.embedded.size", "must not shrink"])
            .admits(json!("11Gi")),
        node("the class of a volume that there is")
            .given("/status", with_volume("standard"))
            .at("/spec/storage/embedded/storageClassName")
            .refuses(json!("fast"))
            .saying(&["spec.storage.embedded.storageClassName", "immutable", "status.volumes"])
            .admits(json!("standard")),
        node("a class that the volume does not have, taken back")
            .given("/status", with_volume("fast"))
            .at("/spec/storage/embedded/storageClassName")
            .refuses(json!("slow"))
            .saying(&["spec.storage.embedded.storageClassName", "immutable"])
            .admits(json!("fast")),
        node("a smaller volume in another unit")
            .at("/spec/storage/embedded/size")
            .refuses(json!("10G"))
            .saying(&["spec.storage.embedded.size", "must not shrink"])
            .admits(json!("10240Mi")),
        node("a size taken back below what the volume has")
            .given(
                "/status",
                json!({ "volumes": [{ "claim": "data-tessera-node-a-0", "capacity": "256Mi" }] }),
            )
            .at("/spec/storage/embedded/size")
            .refuses(json!("255Mi"))
            .saying(&["spec.storage.embedded.size", "must not shrink below what status.volumes says"])
            .admits(json!("256Mi")),
        node("a size taken back of which nothing was seen yet")
            .given("/status", json!({ "volumes": [] }))
            .at("/spec/storage/embedded/size")
            .refuses(json!("256Mi"))
            .saying(&["spec.storage.embedded.size", "must not shrink"])
            .admits(json!("10Gi")),
        node("another class")
            .at("/spec/storage/embedded/storageClassName")
            .refuses(json!("fast"))
            .saying(&["spec.storage.embedded.storageClassName", "immutable"])
            .admits(json!("standard")),
        node("the class removed, to be added again as another")
            .at("/spec/storage/embedded/storageClassName")
            .refuses(ABSENT)
            .saying(&["spec.storage.embedded.storageClassName", "immutable"])
            .admits(json!("standard")),
        node("a class where there was none")
            .given("/spec/storage/embedded/storageClassName", ABSENT)
            .at("/spec/storage/embedded/storageClassName")
            .refuses(json!("fast"))
            .saying(&["spec.storage.embedded.storageClassName", "immutable"])
            .admits(ABSENT),
        node("another kind of storage")
            .at("/spec/storage")
            .refuses(json!({ "type": "Postgres", "postgres": postgres() }))
            .saying(&["spec.storage.type", "immutable: payloads do not move"])
            .admits(
                json!({ "type": "Embedded", "embedded": { "size": "12Gi", "storageClassName": "standard" } }),
            ),
        node("the volume removed, to be added again as another")
            .at("/spec/storage/embedded")
            .refuses(ABSENT)
            .saying(&["spec.storage.embedded", "if and only if"])
            .admits(json!({ "size": "12Gi", "storageClassName": "standard" })),
    ]
}

fn keys() -> Vec<Case> {
    vec![
        node("a key removed")
            .given("/spec/keys/1", key("second"))
            .at("/spec/keys/1")
            .refuses(ABSENT)
            .saying(&["spec.keys", "must not be removed"])
            .admits(key("second")),
        node("a key that the node has removed")
            .given("/spec/keys/1", key("second"))
            .given("/status", with_keys(&[("main", 1), ("second", 1)]))
            .at("/spec/keys/1")
            .refuses(ABSENT)
            .saying(&["spec.keys", "must not be removed"])
            .admits(key("second")),
        node("a version that the node has taken back")
            .given("/status", with_keys(&[("main", 1), ("main", 3)]))
            .at("/spec/keys/0/rotation/trigger")
            .refuses(json!(1))
            .saying(&["spec.keys", "status.keys"])
            .admits(json!(2)),
        node("a key renamed")
            .at("/spec/keys/0/name")
            .refuses(json!("renamed"))
            .saying(&["spec.keys", "must not be removed"])
            .admits(json!("main")),
        node("a trigger lowered")
            .at("/spec/keys/0/rotation/trigger")
            .refuses(json!(2))
            .saying(&["spec.keys", "not be lowered"])
            .admits(json!(4)),
        node("a timestamp for a trigger")
            .at("/spec/keys/0/rotation/trigger")
            .refuses(json!(2027))
            .saying(&["spec.keys[0].rotation.trigger", "less than or equal to 255"])
            .admits(json!(255)),
        node("more versions than a status can hold")
            .given("/spec/keys/1", key("second"))
            .at("/spec/keys/0/rotation/trigger")
            .refuses(json!(255))
            .saying(&["spec.keys", "256 versions together"])
            .admits(json!(254)),
        node("a trigger removed, to be added again from zero")
            .at("/spec/keys/0/rotation")
            .refuses(ABSENT)
            .saying(&["spec.keys", "not be lowered"])
            .admits(json!({ "trigger": 3 })),
        node("the newest version of the default key archived")
            .given("/status", with_keys(&[("main", 1), ("main", 2)]))
            .at("/spec/keys/0/archive")
            .refuses(json!([1, 2]))
            .saying(&["spec.keys", "of the default key only those that have a newer one"])
            .admits(json!([1])),
        node("a version archived that the node does not have")
            .given("/spec/keys/1", key("second"))
            .given("/status", with_keys(&[("main", 1), ("second", 1)]))
            .at("/spec/keys/1/archive")
            .refuses(json!([2]))
            .saying(&["spec.keys", "only versions that status.keys has"])
            .admits(json!([1])),
        node("a version archived before any was seen")
            .at("/spec/keys/0/archive")
            .refuses(json!([1]))
            .saying(&["spec.keys", "only versions that status.keys has"])
            .admits(json!([])),
        node("an archived version taken back")
            .given("/spec/keys/0/archive", json!([1]))
            .given("/status", with_archived())
            .at("/spec/keys/0/archive")
            .refuses(json!([]))
            .saying(&["spec.keys", "what status.keys says is Archived cannot be taken back"])
            .admits(json!([1])),
        node("the default key unset with no other")
            .given("/spec/keys/1", key("second"))
            .at("/spec/keys/0/default")
            .refuses(json!(false))
            .saying(&["spec.keys", "exactly one key"])
            .admits(json!(true)),
    ]
}

fn import(secret: &str) -> Value {
    json!({ "secretRef": { "name": secret, "key": "tm.key" }, "passwordSecretRef": { "name": secret, "key": "tm.password" } })
}

fn imports() -> Vec<Case> {
    vec![
        node("another import for a key that is there")
            .given("/spec/keys/0/import", import("java-key"))
            .given("/status", with_keys(&[("main", 1), ("main", 4)]))
            .at("/spec/keys/0/import")
            .refuses(import("another"))
            .saying(&["spec.keys", "status.keys has the key already", "a name of its own"])
            .admits(import("java-key")),
        node("an import into a key that is there")
            .given("/status", with_keys(&[("main", 1), ("main", 4)]))
            .at("/spec/keys/0/import")
            .refuses(import("java-key"))
            .saying(&["spec.keys", "status.keys has the key already"])
            .admits(ABSENT),
        node("an import removed before the node has the key")
            .given("/spec/keys/0/import", import("java-key"))
            .given("/status", observed(&json!({})))
            .at("/spec/keys/0/import")
            .refuses(ABSENT)
            .saying(&["spec.keys", "removed only once status.keys has the key"])
            .admits(import("java-key")),
        node("an import removed from a node that nobody has looked at")
            .given("/spec/keys/0/import", import("java-key"))
            .at("/spec/keys/0/import")
            .refuses(ABSENT)
            .saying(&["spec.keys", "removed only once status.keys has the key"])
            .admits(import("java-keys")),
    ]
}
