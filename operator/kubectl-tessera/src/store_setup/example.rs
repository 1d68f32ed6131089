//! What the tests of this folder set up.

use tessera_store_objects::Wanted;

pub(super) fn example() -> Wanted {
    Wanted {
        address: "https://vault.vault.svc:8200".to_owned(),
        kv_mount: "secret".to_owned(),
        path_prefix: "prod-eu1/org-a".to_owned(),
        auth_mount: "kubernetes".to_owned(),
        kubernetes_host: None,
        role: "tessera-org-a".to_owned(),
        namespace: "org-a".to_owned(),
        provisioner: "tessera-provisioner".to_owned(),
        source_cidrs: vec!["10.244.0.0/16".to_owned()],
    }
}
