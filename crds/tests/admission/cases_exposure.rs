//! How a node is exposed: what is refused of new nodes, and of nodes that are exposed.

use serde_json::{Value, json};

use crate::case::{ABSENT, Case, check_create, check_update, node};

fn exposure() -> Value {
    json!({"type": "LoadBalancer", "loadBalancer": {
        "advertisedURL": "https://a.world.example:9000", "sourceCIDRs": ["203.0.113.0/28"],
    }})
}

fn exposed(name: &'static str) -> Case {
    node(name).given("/spec/exposure", exposure())
}

#[tokio::test]
async fn invalid_exposures_are_refused_and_their_twins_admitted() {
    check_create("exposure", [addresses(), sources(), members()].into_iter().flatten().collect()).await;
}

#[tokio::test]
async fn a_class_is_changed_in_two_steps_and_all_else_at_once() {
    const CLASS: &str = "/spec/exposure/loadBalancer/class";
    let says: &[&str] = &["spec.exposure.loadBalancer.class", "set exposure.type to ClusterOnly first"];
    let cases = vec![
        exposed("another class")
            .given(CLASS, json!("example.com/a"))
            .at(CLASS)
            .refuses(json!("example.com/b"))
            .saying(says)
            .admits(json!("example.com/a")),
        exposed("a first class").at(CLASS).refuses(json!("example.com/b")).saying(says).admits(ABSENT),
        exposed("a class beside the end of the exposure")
            .given(CLASS, json!("example.com/a"))
            .at("/spec/exposure")
            .refuses(json!({"type": "ClusterOnly", "loadBalancer": exposure()["loadBalancer"]}))
            .saying(&["spec.exposure.loadBalancer", "if and only if"])
            .admits(json!({"type": "ClusterOnly"})),
    ];
    check_update("exposure-update", cases).await;
}

fn addresses() -> Vec<Case> {
    let field = |name: &'static str, refused: &str, rule: &'static str| {
        let says: &'static [&'static str] = match rule {
            "form" => &["spec.exposure.loadBalancer.advertisedURL", "must be https://host"],
            "port" => &["spec.exposure.loadBalancer.advertisedURL", "a port of 1 to 65535"],
            _ => &["spec.exposure.loadBalancer.advertisedURL", "none of the cluster's own"],
        };
        exposed(name)
            .at("/spec/exposure/loadBalancer/advertisedURL")
            .refuses(json!(refused))
            .saying(says)
            .admits(json!("https://b.world.example"))
    };
    vec![
        field("an address without TLS", "http://a.world.example:9000", "form"),
        field("an address with a slash at its end", "https://a.world.example:9000/", "form"),
        field("an address of one label", "https://localhost:9000", "form"),
        field("an IP address", "https://203.0.113.7:9000", "form"),
        field("an address in upper case", "https://A.world.example", "form"),
        field("an address with a user", "https://u@a.world.example", "form"),
        field("port 0", "https://a.world.example:0", "form"),
        field("a port that is none", "https://a.world.example:65536", "port"),
        field("a name of a Service", "https://node-b-p2p.org-a.svc:9000", "own"),
        field("a Service of another domain", "https://vault.vault.svc.corp.example", "own"),
        field("the long name of a Service", "https://vault.vault.svc.cluster.local", "own"),
    ]
}

fn sources() -> Vec<Case> {
    let field = |name: &'static str, refused: Value, says: &'static [&'static str]| {
        exposed(name)
            .at("/spec/exposure/loadBalancer/sourceCIDRs")
            .refuses(refused)
            .saying(says)
            .admits(json!(["203.0.113.0/28", "2001:db8::/32"]))
    };
    let all: &[&str] = &["spec.exposure.loadBalancer.sourceCIDRs", "must be ranges of /8 or smaller"];
    let many: Vec<_> = (0..17).map(|number| format!("203.0.113.{number}/32")).collect();
    vec![
        field("all addresses", json!(["203.0.113.0/28", "0.0.0.0/0"]), all),
        field("all addresses of IPv6", json!(["::/0"]), all),
        field("half of all addresses", json!(["128.0.0.0/1"]), all),
        field("no source", json!([]), &["spec.exposure.loadBalancer.sourceCIDRs", "at least 1 items"]),
        field(
            "too many sources",
            json!(many),
            &["spec.exposure.loadBalancer.sourceCIDRs", "at most 16 items"],
        ),
        field("an address for a range", json!(["203.0.113.7"]), &["sourceCIDRs[0]", "canonical CIDR"]),
    ]
}

fn members() -> Vec<Case> {
    vec![
        exposed("a type without its member")
            .at("/spec/exposure/loadBalancer")
            .refuses(ABSENT)
            .saying(&["spec.exposure.loadBalancer", "if and only if exposure.type is LoadBalancer"])
            .admits(exposure()["loadBalancer"].clone()),
        exposed("a member without its type")
            .at("/spec/exposure/type")
            .refuses(ABSENT)
            .saying(&["spec.exposure.loadBalancer", "if and only if exposure.type is LoadBalancer"])
            .admits(json!("LoadBalancer")),
        exposed("a class that is none")
            .at("/spec/exposure/loadBalancer/class")
            .refuses(json!("nlb/"))
            .saying(&["spec.exposure.loadBalancer.class", "must be a class as the controller documents it"])
            .admits(json!("service.k8s.aws/nlb")),
        exposed("an annotation of the operator's")
            .at("/spec/exposure/loadBalancer/annotations")
            .refuses(json!({"tessera.rs/planned": "x"}))
            .saying(&["spec.exposure.loadBalancer.annotations", "are written by the operator"])
            .admits(json!({"service.beta.kubernetes.io/aws-load-balancer-type": "external"})),
        exposed("an annotation that is none")
            .at("/spec/exposure/loadBalancer/annotations")
            .refuses(json!({"a b": "x"}))
            .saying(&["spec.exposure.loadBalancer.annotations", "must have keys as Kubernetes takes them"])
            .admits(json!({"external-dns.alpha.kubernetes.io/hostname": "b.world.example"})),
        node("a name of an object of others")
            .at("/metadata/name")
            .refuses(json!("a-exposed"))
            .saying(&["metadata.name", "belong to objects that the operator makes"])
            .admits(json!("exposed")),
    ]
}
