//! Changes to live objects that must be refused: what is immutable, what only grows, what may not go.

use serde_json::json;

use crate::case::{ABSENT, Case, check_update, network, node};
use crate::fixture::key;

#[tokio::test]
async fn forbidden_changes_are_refused_and_their_twins_admitted() {
    check_update("update", [networks(), storage(), keys()].into_iter().flatten().collect()).await;
}

fn networks() -> Vec<Case> {
    vec![
        network("another trust domain")
            .at("/spec/trustDomain")
            .refuses(json!("org-b.example"))
            .saying(&["spec.trustDomain", "immutable"])
            .admits(json!("org-a.example")),
        network("another prefix in the store")
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
        network("a lifetime below its renewal")
            .at("/spec/pki/leaf/lifetime")
            .refuses(json!("7h"))
            .saying(&["spec.pki.leaf.renewBefore", "must be shorter"])
            .admits(json!("48h")),
    ]
}

fn storage() -> Vec<Case> {
    vec![
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
        node("a size taken back while no volume is known")
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
            .saying(&["spec.keys", "cannot be removed"])
            .admits(key("second")),
        node("a key renamed")
            .at("/spec/keys/0/name")
            .refuses(json!("renamed"))
            .saying(&["spec.keys", "cannot be removed"])
            .admits(json!("main")),
        node("a trigger lowered")
            .at("/spec/keys/0/rotation/trigger")
            .refuses(json!(2))
            .saying(&["spec.keys[0].rotation.trigger", "must not be lowered"])
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
            .saying(&["spec.keys[0].rotation.trigger", "must not be lowered"])
            .admits(json!({ "trigger": 3 })),
        node("the default key unset with no other")
            .given("/spec/keys/1", key("second"))
            .at("/spec/keys/0/default")
            .refuses(json!(false))
            .saying(&["spec.keys", "exactly one key"])
            .admits(json!(true)),
    ]
}
