//! New networks with partners that must be refused.

use serde_json::{Value, json};

use crate::api_server::ApiServer;
use crate::case::{ABSENT, Case, check_create, network};
use crate::fixture::{self, partner};

#[tokio::test]
async fn invalid_partners_are_refused_and_their_twins_admitted() {
    check_create("network-partners", cases()).await;
}

/// As large as the schema allows: no rule costs more than the API server grants.
#[tokio::test]
async fn as_many_partners_as_there_may_be_are_admitted() {
    let server = ApiServer::start("network-partners-many").await;
    let numbered = |number: usize| {
        let mut partner = partner(&format!("org-{number}"));
        let names = (0..16).map(|name| format!("*.tm{name}.org-{number}.example"));
        let urls = (0..64).map(|url| format!("https://a{url}.tm15.org-{number}.example:9000"));
        partner["dnsNames"] = names.collect();
        partner["urls"] = urls.collect();
        partner
    };
    let mut object = fixture::network();
    object["spec"]["partners"] = (0..64).map(numbered).collect();
    server.create(&object, true).await.unwrap();
    object["spec"]["partners"].as_array_mut().unwrap().push(numbered(64));
    let refused = server.create(&object, true).await.unwrap_err();
    assert!(refused.contains("spec.partners") && refused.contains("at most 64 items"), "{refused}");
}

fn field(
    name: &'static str,
    field: &'static str,
    refused: impl Into<Option<Value>>,
    says: &'static [&'static str],
    admitted: impl Into<Option<Value>>,
) -> Case {
    network(name).at(field).refuses(refused).saying(says).admits(admitted)
}

fn cases() -> Vec<Case> {
    let names = |name: &'static str, refused: Value, says: &'static [&'static str]| {
        field(name, "/spec/partners/0/dnsNames", refused, says, json!(["*.tm.org-b.example", "x.example"]))
    };
    let urls = |name: &'static str, refused: Value, says: &'static [&'static str]| {
        let inside = json!(["https://a.tm.org-b.example:9000", "https://b.tm.org-b.example"]);
        field(name, "/spec/partners/0/urls", refused, says, inside)
    };
    let form: &[&str] = &["spec.partners[0].dnsNames[0]", "must be a DNS name in lower case"];
    let scope: &[&str] = &["spec.partners[0].urls", "must have hosts inside of dnsNames"];
    vec![
        names("a partner of all names", json!(["*"]), form),
        names("a partner of a top-level domain", json!(["*.example"]), form),
        names("a wildcard inside of a name", json!(["a.*.example"]), form),
        names("an address for a name", json!(["203.0.113.7"]), form),
        names("a name in upper case", json!(["A.example"]), form),
        names("no name", json!([]), &["spec.partners[0].dnsNames", "at least 1 items"]),
        names(
            "our own trust domain for a name",
            json!(["org-a.example", "*.tm.org-b.example"]),
            &["spec.partners", "must not lie in the trust domain"],
        ),
        names(
            "a name inside of our own trust domain",
            json!(["*.org-a.example", "*.tm.org-b.example"]),
            &["spec.partners", "must not lie in the trust domain"],
        ),
        urls("a URL of another's host", json!(["https://a.tm.org-c.example:9000"]), scope),
        urls("a URL two labels below a wildcard", json!(["https://a.b.tm.org-b.example:9000"]), scope),
        urls("a URL of the wildcard's own name", json!(["https://tm.org-b.example:9000"]), scope),
        urls("a URL of a longer host", json!(["https://a.tm.org-b.example.evil.example"]), scope),
        urls("a URL without a dot", json!(["https://localhost:9000"]), scope),
        urls(
            "a URL without TLS",
            json!(["http://a.tm.org-b.example:9000"]),
            &["urls[0]", "must be https://"],
        ),
        field(
            "a partner in our own trust domain",
            "/spec/partners/0/trustDomain",
            json!("org-a.example"),
            &["spec.partners", "trustDomain of its own"],
            json!("org-d.example"),
        ),
        network("two partners of one trust domain")
            .given("/spec/partners/1", partner("org-c"))
            .at("/spec/partners/1/trustDomain")
            .refuses(json!("org-b.example"))
            .saying(&["spec.partners", "trustDomain of its own"])
            .admits(json!("org-c.example")),
        field(
            "no way to the partner",
            "/spec/partners/0/egress",
            json!([]),
            &["spec.partners[0].egress", "at least 1 items"],
            json!([{ "cidr": "203.0.113.0/28", "port": 9000 }]),
        ),
        field(
            "a partner whose CA is nowhere",
            "/spec/partners/0/caBundleRef",
            ABSENT,
            &["spec.partners[0].caBundleRef", "Required value"],
            json!({ "name": "org-b-ca" }),
        ),
        field(
            "a source that is none",
            "/spec/partners/0/from",
            json!([{}]),
            &["spec.partners[0].from[0]", "a peer needs either"],
            json!([{ "ipBlock": { "cidr": "203.0.113.0/28" } }]),
        ),
        field(
            "an acknowledgement that is no fingerprint",
            "/spec/partners/0/acknowledgedCA",
            json!("AB"),
            &["spec.partners[0].acknowledgedCA", "64"],
            json!("ab".repeat(32)),
        ),
    ]
}
