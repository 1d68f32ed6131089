//! New networks with a collector of logs that must be refused.

use serde_json::json;

use crate::case::{ABSENT, Case, check_create, network};

#[tokio::test]
async fn invalid_collectors_are_refused_and_their_twins_admitted() {
    check_create("network-logging", cases()).await;
}

fn cases() -> Vec<Case> {
    vec![
        network("a collector without TLS")
            .at("/spec/logging/otlp/endpoint")
            .refuses(json!("http://otel.logs.svc:4318"))
            .saying(&["spec.logging.otlp.endpoint", "must be https://host"])
            .admits(json!("https://otel.logs.svc:4318")),
        network("a collector with a path")
            .at("/spec/logging/otlp/endpoint")
            .refuses(json!("https://otel.logs.svc:4318/v1/logs"))
            .saying(&["spec.logging.otlp.endpoint", "without path"])
            .admits(json!("https://192.0.2.1:4318")),
        network("no way to the collector")
            .at("/spec/logging/otlp/egress")
            .refuses(json!([]))
            .saying(&["spec.logging.otlp.egress", "at least 1 items"])
            .admits(json!([{ "cidr": "203.0.113.0/28", "port": 4318 }])),
        network("a collector that nothing verifies")
            .at("/spec/logging/otlp/caBundleRef")
            .refuses(ABSENT)
            .saying(&["spec.logging.otlp.caBundleRef", "Required value"])
            .admits(json!({ "name": "otel-ca" })),
        network("another certificate for the collector")
            .at("/spec/logging/otlp/clientCertificate")
            .refuses(json!({ "type": "SecretRef" }))
            .saying(&["spec.logging.otlp.clientCertificate", "unknown field"])
            .admits(ABSENT),
    ]
}
