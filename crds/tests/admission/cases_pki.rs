//! New networks whose authorities must be refused.

use serde_json::json;

use crate::case::{Case, check_create, network};

#[tokio::test]
async fn invalid_authorities_are_refused_and_their_twins_admitted() {
    check_create("network-pki", cases()).await;
}

fn cases() -> Vec<Case> {
    let fingerprint = "0f".repeat(32);
    let acknowledged = |identity: &str| json!([{"identity": identity, "caFingerprint": fingerprint}]);
    vec![
        network("a CA that lives for minutes")
            .given("/spec/pki/leaf", json!({"lifetime": "10m", "renewBefore": "5m"}))
            .at("/spec/pki/ca/lifetime")
            .refuses(json!("59m"))
            .saying(&["spec.pki.ca.lifetime", "at least 1h"])
            .admits(json!("1h")),
        network("a CA that is renewed in days")
            .at("/spec/pki/ca/renewBefore")
            .refuses(json!("30d"))
            .saying(&["spec.pki.ca.renewBefore", "duration of hours, minutes and seconds"])
            .admits(json!("720h")),
        network("a negative demand")
            .at("/spec/pki/ca/rolloverTrigger")
            .refuses(json!(-1))
            .saying(&["spec.pki.ca.rolloverTrigger", "greater than or equal to 0"])
            .admits(json!(7)),
        network("distrust of a name")
            .at("/spec/pki/ca/distrust")
            .refuses(json!(["org-a network CA"]))
            .saying(&["spec.pki.ca.distrust[0]", "at least 64 chars long"])
            .admits(json!([fingerprint])),
        network("distrust of a fingerprint in another spelling")
            .at("/spec/pki/ca/distrust")
            .refuses(json!([fingerprint.to_uppercase()]))
            .saying(&["spec.pki.ca.distrust[0]", "64 hexadecimal digits in lower case"])
            .admits(json!([])),
        network("an acknowledgement of nobody")
            .at("/spec/pki/acknowledge")
            .refuses(acknowledged("quorum-a"))
            .saying(&["spec.pki.acknowledge[0].identity", "must be a client's identity"])
            .admits(acknowledged("spiffe://org-a.example/client/node-a/quorum-a")),
        network("a scraper that reads its CAs at will")
            .at("/spec/monitoring/0/readsTrust")
            .refuses(json!("Sometimes"))
            .saying(&["spec.monitoring[0].readsTrust", "supported values"])
            .admits(json!("EachTime")),
    ]
}
