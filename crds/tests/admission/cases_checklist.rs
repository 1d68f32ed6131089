//! New networks with demands of the checklist that must be refused.

use serde_json::json;

use crate::case::{ABSENT, Case, check_create, network};

#[tokio::test]
async fn invalid_demands_are_refused_and_their_twins_admitted() {
    check_create("network-checklist", cases()).await;
}

fn cases() -> Vec<Case> {
    vec![
        network("a mode that does not exist")
            .at("/spec/checklist")
            .refuses(json!({ "mode": "Off" }))
            .saying(&["spec.checklist.mode", "Unsupported value"])
            .admits(json!({ "mode": "Enforce" })),
        network("a level of hardware that does not exist")
            .at("/spec/checklist")
            .refuses(json!({ "hardware": { "minimum": "Software" } }))
            .saying(&["spec.checklist.hardware.minimum", "Unsupported value"])
            .admits(json!({ "hardware": { "minimum": "NonExtractable" } })),
        network("a demand that is not built")
            .at("/spec/checklist")
            .refuses(json!({ "hardware": { "minimum": "TpmSealed", "acceptedModels": ["x"] } }))
            .saying(&["acceptedModels", "unknown field"])
            .admits(ABSENT),
    ]
}
