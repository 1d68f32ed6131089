//! New networks that must be refused.

use serde_json::json;

use crate::case::{ABSENT, Case, check_create, network};
use crate::fixture::{IMAGE, many, scraper};

#[tokio::test]
async fn invalid_networks_are_refused_and_their_twins_admitted() {
    check_create(
        "network-create",
        [identity(), pki(), store(), egress(), monitoring(), defaults(), pods(), rollout(), checklist()]
            .into_iter()
            .flatten()
            .collect(),
    )
    .await;
}

fn checklist() -> Vec<Case> {
    let targets = |targets: serde_json::Value, says: &'static [&'static str]| {
        network("something that cannot be a target")
            .at("/spec/checklist")
            .refuses(json!({ "mustNotReach": targets }))
            .saying(says)
            .admits(json!({ "mustNotReach": ["192.0.2.7:5432", "[2001:db8::7]:65535"] }))
    };
    let form: &[&str] = &["spec.checklist.mustNotReach", "must be an address and a port"];
    vec![
        targets(json!(["db.example:5432"]), form),
        targets(json!(["192.0.2.7"]), form),
        targets(json!(["192.0.2.300:5432"]), form),
        targets(json!(["192.0.2.7:0"]), form),
        targets(json!(["192.0.2.7:65536"]), form),
        targets(json!(["2001:db8::7:5432"]), form),
        targets(json!(["[192.0.2.7]:5432x"]), form),
        targets(
            json!(["192.0.2.7:5432", "192.0.2.7:5432"]),
            &["spec.checklist.mustNotReach", "Duplicate value"],
        ),
        targets(
            json!((1..=17).map(|port| format!("192.0.2.7:{port}")).collect::<Vec<_>>()),
            &["spec.checklist.mustNotReach", "at most 16 items"],
        ),
    ]
}

fn identity() -> Vec<Case> {
    vec![
        network("a name of 41 characters")
            .at("/metadata/name")
            .refuses(json!("n".repeat(41)))
            .saying(&["metadata.name", "at most 40 characters"])
            .admits(json!("n".repeat(40))),
        network("a name of an object of others")
            .at("/metadata/name")
            .refuses(json!("a-admin"))
            .saying(&["metadata.name", "belong to objects that the operator makes"])
            .admits(json!("admin")),
        network("a name of an object of others")
            .at("/metadata/name")
            .refuses(json!("a-client"))
            .saying(&["metadata.name", "belong to objects that the operator makes"])
            .admits(json!("client-a")),
        network("a name of an object of others")
            .at("/metadata/name")
            .refuses(json!("a-monitoring-b"))
            .saying(&["metadata.name", "belong to objects that the operator makes"])
            .admits(json!("monitoring-b")),
        network("a name of an object of others")
            .at("/metadata/name")
            .refuses(json!("a-nodes-deny"))
            .saying(&["metadata.name", "belong to objects that the operator makes"])
            .admits(json!("a-nodes")),
        network("a name that starts with a digit")
            .at("/metadata/name")
            .refuses(json!("1-org"))
            .saying(&["metadata.name", "starting with a letter"])
            .admits(json!("org-1")),
        network("a name with a dot")
            .at("/metadata/name")
            .refuses(json!("org.a"))
            .saying(&["metadata.name", "DNS label"])
            .admits(json!("org-a")),
        network("no trust domain")
            .at("/spec/trustDomain")
            .refuses(ABSENT)
            .saying(&["spec.trustDomain", "Required value"])
            .admits(json!("org-a.example")),
        network("a trust domain in capitals")
            .at("/spec/trustDomain")
            .refuses(json!("Org-A.example"))
            .saying(&["spec.trustDomain", "DNS name in lower case"])
            .admits(json!("org-z.example")),
        network("a trust domain that is an URI")
            .at("/spec/trustDomain")
            .refuses(json!("spiffe://org-a.example"))
            .saying(&["spec.trustDomain", "DNS name"])
            .admits(json!("org-a")),
        network("an unknown isolation")
            .at("/spec/namespaceIsolation")
            .refuses(json!("None"))
            .saying(&["spec.namespaceIsolation", r#"supported values: "Dedicated", "Shared""#])
            .admits(json!("Shared")),
        network("an unknown field")
            .at("/spec/truzt")
            .refuses(json!(true))
            .saying(&["spec.truzt", "unknown field"])
            .admits(ABSENT),
    ]
}

fn pki() -> Vec<Case> {
    vec![
        network("an issuer that is not built")
            .at("/spec/pki/issuer/type")
            .refuses(json!("CertManager"))
            .saying(&["spec.pki.issuer.type", r#"supported values: "BuiltIn""#])
            .admits(json!("BuiltIn")),
        network("a lifetime without a unit")
            .at("/spec/pki/leaf/lifetime")
            .refuses(json!("24"))
            .saying(&["spec.pki.leaf.lifetime", "duration of hours, minutes and seconds"])
            .admits(json!("24h")),
        network("a lifetime in days")
            .at("/spec/pki/ca/lifetime")
            .refuses(json!("365d"))
            .saying(&["spec.pki.ca.lifetime", "duration of hours, minutes and seconds"])
            .admits(json!("8760h")),
        network("a lifetime of nothing")
            .at("/spec/pki/ca/lifetime")
            .refuses(json!("0h"))
            .saying(&["spec.pki.ca.lifetime", "above zero"])
            .admits(json!("100h")),
        network("a negative duration")
            .at("/spec/pki/leaf/renewBefore")
            .refuses(json!("-1h"))
            .saying(&["spec.pki.leaf.renewBefore", "duration of hours, minutes and seconds"])
            .admits(json!("1h30m")),
        network("renewal before issue")
            .at("/spec/pki/leaf/renewBefore")
            .refuses(json!("24h"))
            .saying(&["spec.pki.leaf.renewBefore", "renewBefore must be shorter than lifetime"])
            .admits(json!("23h59m")),
        network("a renewal that only the default of the lifetime makes too long")
            .given("/spec/pki/leaf", json!({}))
            .at("/spec/pki/leaf/renewBefore")
            .refuses(json!("25h"))
            .saying(&["spec.pki.leaf.renewBefore", "renewBefore must be shorter than lifetime"])
            .admits(json!("10h")),
        network("a leaf that lives for seconds")
            .given("/spec/pki/leaf/renewBefore", json!("5m"))
            .at("/spec/pki/leaf/lifetime")
            .refuses(json!("9m"))
            .saying(&["spec.pki.leaf.lifetime", "at least 10m"])
            .admits(json!("10m")),
        network("a renewal that no kubelet can follow")
            .at("/spec/pki/leaf/renewBefore")
            .refuses(json!("4m59s"))
            .saying(&["spec.pki.leaf.renewBefore", "at least 5m"])
            .admits(json!("5m")),
        network("leaves that outlive their CA")
            .at("/spec/pki/ca/lifetime")
            .refuses(json!("24h"))
            .saying(&["spec.pki.ca.lifetime", "must be longer than pki.leaf.lifetime"])
            .admits(json!("25h")),
    ]
}

fn store() -> Vec<Case> {
    vec![
        network("no store")
            .at("/spec/secretStore/vault")
            .refuses(ABSENT)
            .saying(&["spec.secretStore.vault", "if and only if secretStore.type is Vault"])
            .admits(crate::fixture::network()["spec"]["secretStore"]["vault"].clone()),
        network("a kind of store that is not built")
            .at("/spec/secretStore/type")
            .refuses(json!("Azure"))
            .saying(&["spec.secretStore.type", r#"supported values: "Vault""#])
            .admits(json!("Vault")),
        network("a member of no union")
            .at("/spec/secretStore/azure")
            .refuses(json!({}))
            .saying(&["spec.secretStore.azure", "unknown field"])
            .admits(ABSENT),
        network("a store without TLS")
            .at("/spec/secretStore/vault/address")
            .refuses(json!("http://vault.vault.svc:8200"))
            .saying(&["spec.secretStore.vault.address", "must be https://"])
            .admits(json!("https://vault.vault.svc:8201")),
        network("an address with a path")
            .at("/spec/secretStore/vault/address")
            .refuses(json!("https://vault.vault.svc:8200/"))
            .saying(&["spec.secretStore.vault.address", "without path or trailing slash"])
            .admits(json!("https://[fd00::1]:8200")),
        network("an address with a password")
            .at("/spec/secretStore/vault/address")
            .refuses(json!("https://me:secret@vault.vault.svc:8200"))
            .saying(&["spec.secretStore.vault.address", "https://host"])
            .admits(json!("https://vault.example")),
        network("roots from a name that is none")
            .at("/spec/secretStore/vault/caBundleRef/name")
            .refuses(json!("Vault_CA"))
            .saying(&["spec.secretStore.vault.caBundleRef.name", "must be the name of an object"])
            .admits(json!("vault.ca-1")),
        network("roots from a key that is none")
            .at("/spec/secretStore/vault/caBundleRef/key")
            .refuses(json!("ca/crt"))
            .saying(&["spec.secretStore.vault.caBundleRef.key", "must be a key of a ConfigMap"])
            .admits(json!("ca_1.crt")),
        network("a client certificate in no Secret")
            .at("/spec/secretStore/vault/clientCertificate")
            .refuses(json!({"type": "SecretRef"}))
            .saying(&[
                "spec.secretStore.vault.clientCertificate.secretRef",
                "if and only if clientCertificate.type is SecretRef",
            ])
            .admits(json!({"secretRef": {"name": "vault-client"}})),
        network("a client certificate of the network that lies in a Secret of others")
            .at("/spec/secretStore/vault/clientCertificate")
            .refuses(json!({"type": "Issued", "secretRef": {"name": "vault-client"}}))
            .saying(&[
                "spec.secretStore.vault.clientCertificate",
                "if and only if clientCertificate.type is SecretRef",
            ])
            .admits(json!({"type": "Issued"})),
        network("no role")
            .at("/spec/secretStore/vault/auth/role")
            .refuses(ABSENT)
            .saying(&["spec.secretStore.vault.auth.role", "Required value"])
            .admits(json!("tessera")),
        network("a role that climbs")
            .at("/spec/secretStore/vault/auth/role")
            .refuses(json!("../root"))
            .saying(&["spec.secretStore.vault.auth.role", "must be the name of a role"])
            .admits(json!("tessera_org.a-1")),
        network("a mount that climbs")
            .at("/spec/secretStore/vault/auth/mount")
            .refuses(json!("kubernetes/../sys"))
            .saying(&["spec.secretStore.vault.auth.mount", "joined by single slashes"])
            .admits(json!("kubernetes/eu1")),
        network("a prefix with a slash at its end")
            .at("/spec/secretStore/vault/kv/pathPrefix")
            .refuses(json!("prod-eu1/org-a/"))
            .saying(&["spec.secretStore.vault.kv.pathPrefix", "none at either end"])
            .admits(json!("prod-eu1/org-b")),
        network("no prefix")
            .at("/spec/secretStore/vault/kv/pathPrefix")
            .refuses(ABSENT)
            .saying(&["spec.secretStore.vault.kv.pathPrefix", "Required value"])
            .admits(json!("prod-eu1/org-a")),
    ]
}

fn egress() -> Vec<Case> {
    vec![
        network("no way to the store")
            .at("/spec/secretStore/egress")
            .refuses(json!([]))
            .saying(&["spec.secretStore.egress", "at least 1 items"])
            .admits(json!([{ "cidr": "203.0.113.0/28", "port": 8200 }])),
        network("egress to nothing")
            .at("/spec/secretStore/egress/0")
            .refuses(json!({ "port": 8200 }))
            .saying(&["spec.secretStore.egress[0]", "either cidr, or podSelector and namespaceSelector"])
            .admits(json!({ "port": 8200, "podSelector": {} })),
        network("egress to addresses and pods")
            .at("/spec/secretStore/egress/0/cidr")
            .refuses(json!("203.0.113.0/28"))
            .saying(&["spec.secretStore.egress[0]", "not both"])
            .admits(ABSENT),
        network("an address that is no network")
            .given("/spec/secretStore/egress/0", json!({ "port": 8200 }))
            .at("/spec/secretStore/egress/0/cidr")
            .refuses(json!("203.0.113.7"))
            .saying(&["spec.secretStore.egress[0].cidr", "CIDR notation"])
            .admits(json!("203.0.113.7/32")),
        network("a network with host bits")
            .given("/spec/secretStore/egress/0", json!({ "port": 8200 }))
            .at("/spec/secretStore/egress/0/cidr")
            .refuses(json!("203.0.113.7/28"))
            .saying(&["spec.secretStore.egress[0].cidr", "host bits are zero"])
            .admits(json!("2001:db8::/32")),
        network("a port beyond all ports")
            .at("/spec/secretStore/egress/0/port")
            .refuses(json!(65536))
            .saying(&["spec.secretStore.egress[0].port", "less than or equal to 65535"])
            .admits(json!(65535)),
        network("a selector whose operator is none")
            .given(
                "/spec/secretStore/egress/0/podSelector",
                json!({ "matchExpressions": [{ "key": "app", "operator": "In", "values": ["vault"] }] }),
            )
            .at("/spec/secretStore/egress/0/podSelector/matchExpressions/0/operator")
            .refuses(json!("Is"))
            .saying(&["podSelector.matchExpressions[0].operator", "supported values"])
            .admits(json!("NotIn")),
        network("a selector with In and no values")
            .given(
                "/spec/secretStore/egress/0/podSelector",
                json!({ "matchExpressions": [{ "key": "app", "operator": "In", "values": ["vault"] }] }),
            )
            .at("/spec/secretStore/egress/0/podSelector/matchExpressions/0/values")
            .refuses(ABSENT)
            .saying(&["podSelector.matchExpressions[0]", "In and NotIn need values"])
            .admits(json!(["vault", "bao"])),
        network("a selector with Exists and values")
            .given(
                "/spec/secretStore/egress/0/podSelector",
                json!({ "matchExpressions": [{ "key": "app", "operator": "Exists" }] }),
            )
            .at("/spec/secretStore/egress/0/podSelector/matchExpressions/0/values")
            .refuses(json!(["vault"]))
            .saying(&["podSelector.matchExpressions[0]", "Exists and DoesNotExist allow none"])
            .admits(ABSENT),
        network("a selector for a label value that no object can have")
            .at("/spec/secretStore/egress/0/namespaceSelector/matchLabels/team")
            .refuses(json!("the vault team"))
            .saying(&["namespaceSelector.matchLabels.team", "should match"])
            .admits(json!("the-vault-team")),
    ]
}

fn monitoring() -> Vec<Case> {
    vec![
        network("two scrapers of one name")
            .given("/spec/monitoring/1", scraper("agent"))
            .at("/spec/monitoring/1/name")
            .refuses(json!("prometheus"))
            .saying(&["spec.monitoring[1]", "Duplicate value"])
            .admits(json!("prometheus-2")),
        network("a scraper from nowhere")
            .at("/spec/monitoring/0/from")
            .refuses(json!({}))
            .saying(&["spec.monitoring[0].from", "podSelector, namespaceSelector or both"])
            .admits(json!({ "podSelector": {} })),
        network("17 scrapers")
            .at("/spec/monitoring")
            .refuses(many(17, scraper))
            .saying(&["spec.monitoring", "at most 16 items"])
            .admits(many(16, scraper)),
    ]
}

fn defaults() -> Vec<Case> {
    vec![
        network("a default image by tag")
            .at("/spec/nodeDefaults/image")
            .refuses(json!("localhost:5001/tessera-node:latest"))
            .saying(&["spec.nodeDefaults.image", "must be pinned by digest"])
            .admits(json!(IMAGE)),
        network("a request that is no quantity")
            .at("/spec/nodeDefaults/resources/requests/memory")
            .refuses(json!("64 MB"))
            .saying(&["spec.nodeDefaults.resources.requests.memory", "should match"])
            .admits(json!("64M")),
        network("a negative limit")
            .at("/spec/nodeDefaults/resources/limits/cpu")
            .refuses(json!("-1"))
            .saying(&["spec.nodeDefaults.resources.limits.cpu", "should match"])
            .admits(json!(1)),
        network("a request above its limit")
            .at("/spec/nodeDefaults/resources/requests/memory")
            .refuses(json!("1Gi"))
            .saying(&["spec.nodeDefaults.resources", "requests must not exceed resources.limits"])
            .admits(json!("256Mi")),
        network("a class that is no name")
            .at("/spec/nodeDefaults/storageClassName")
            .refuses(json!("Fast SSD"))
            .saying(&["spec.nodeDefaults.storageClassName", "must be the name of an object"])
            .admits(json!("fast-ssd")),
        network("a toleration of no effect")
            .at("/spec/nodeDefaults/pod/tolerations/0/effect")
            .refuses(json!("NoPods"))
            .saying(&["spec.nodeDefaults.pod.tolerations[0].effect", "supported values"])
            .admits(json!("NoExecute")),
        network("a selector for a machine label that cannot be")
            .at("/spec/nodeDefaults/pod/nodeSelector/disk")
            .refuses(json!("-ssd"))
            .saying(&["spec.nodeDefaults.pod.nodeSelector.disk", "should match"])
            .admits(json!("nvme")),
    ]
}

fn pods() -> Vec<Case> {
    vec![
        network("a label of the operator's own")
            .at("/spec/nodeDefaults/pod/labels")
            .refuses(json!({ "tessera.rs/node": "node-b" }))
            .saying(&["spec.nodeDefaults.pod.labels", "must not have keys of the operator"])
            .admits(json!({ "example.com/node": "node-b" })),
        network("a label that asks for a sidecar")
            .at("/spec/nodeDefaults/pod/labels")
            .refuses(json!({ "sidecar.istio.io/inject": "true" }))
            .saying(&["spec.nodeDefaults.pod.labels", "sidecar injectors"])
            .admits(json!({ "team": "istio" })),
        network("an annotation that asks for a sidecar")
            .at("/spec/nodeDefaults/pod/annotations")
            .refuses(json!({ "vault.hashicorp.com/agent-inject": "true" }))
            .saying(&["spec.nodeDefaults.pod.annotations", "sidecar injectors"])
            .admits(json!({ "prometheus.io/scrape": "false" })),
        network("an annotation that adds a network")
            .at("/spec/nodeDefaults/pod/annotations")
            .refuses(json!({ "k8s.v1.cni.cncf.io/networks": "dmz" }))
            .saying(&["spec.nodeDefaults.pod.annotations", "cluster networks"])
            .admits(json!({ "cluster-autoscaler.kubernetes.io/safe-to-evict": "false" })),
        network("a restart by annotation")
            .at("/spec/nodeDefaults/pod/annotations")
            .refuses(json!({ "tessera.rs/restart-trigger": "1" }))
            .saying(&["spec.nodeDefaults.pod.annotations", "keys of the operator"])
            .admits(json!({ "example.com/restart-trigger": "1" })),
        network("a label value that cannot be")
            .at("/spec/nodeDefaults/pod/labels/cost-centre")
            .refuses(json!("forty two"))
            .saying(&["spec.nodeDefaults.pod.labels.cost-centre", "should match"])
            .admits(json!("forty-two")),
        network("two pull secrets of one name")
            .at("/spec/nodeDefaults/pod/imagePullSecrets/1")
            .refuses(json!({ "name": "registry" }))
            .saying(&["spec.nodeDefaults.pod.imagePullSecrets[1]", "Duplicate value"])
            .admits(json!({ "name": "mirror" })),
        network("a misspelt affinity")
            .at("/spec/nodeDefaults/pod/affinity")
            .refuses(json!({ "podAntiAfinity": {} }))
            .saying(&["spec.nodeDefaults.pod.affinity.podAntiAfinity", "unknown field"])
            .admits(json!({ "podAntiAffinity": {} })),
        network("a spread without a topology")
            .at("/spec/nodeDefaults/pod/topologySpreadConstraints/0")
            .refuses(json!({ "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule" }))
            .saying(&["spec.nodeDefaults.pod.topologySpreadConstraints[0].topologyKey", "Required value"])
            .admits(json!({ "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "topologyKey": "zone" })),
    ]
}

fn rollout() -> Vec<Case> {
    vec![
        network("a rollout that never begins")
            .at("/spec/rollout/maxUnavailable")
            .refuses(json!(0))
            .saying(&["spec.rollout.maxUnavailable", "greater than or equal to 1"])
            .admits(json!(3)),
        network("a rollout by a word")
            .at("/spec/rollout/maxUnavailable")
            .refuses(json!("half"))
            .saying(&["spec.rollout.maxUnavailable", "should match"])
            .admits(json!("50%")),
        network("a rollout of more than all")
            .at("/spec/rollout/maxUnavailable")
            .refuses(json!("101%"))
            .saying(&["spec.rollout.maxUnavailable", "should match"])
            .admits(json!("100%")),
        network("a canary that is observed for days")
            .at("/spec/rollout/observe")
            .refuses(json!("25h"))
            .saying(&["spec.rollout.observe", "observe must be 1s to 24h"])
            .admits(json!("1s")),
        network("no time to become ready")
            .at("/spec/rollout/progressDeadline")
            .refuses(json!("5s"))
            .saying(&["spec.rollout.progressDeadline", "progressDeadline must be 30s to 24h"])
            .admits(json!("30s")),
        network("a rollback by a word")
            .at("/spec/rollout/autoRollback")
            .refuses(json!("yes"))
            .saying(&["spec.rollout.autoRollback", "boolean"])
            .admits(json!(false)),
    ]
}
