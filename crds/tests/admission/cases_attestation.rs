//! Statements that must be refused, new and changed.

use serde_json::json;

use crate::case::{ABSENT, Case, attestation, check_create, check_update};

#[tokio::test]
async fn invalid_statements_are_refused_and_their_twins_admitted() {
    check_create("attestation-create", vec![what_a_cluster_sees(), line(), text(), time(), person()]).await;
}

#[tokio::test]
async fn a_statement_stands_as_it_was_made() {
    let changes = [
        ("/spec/statement", json!("The Vault serves two networks.")),
        ("/spec/expires", json!("2028-01-01T00:00:00Z")),
        ("/spec/line", json!("NoRemoteRoot")),
        ("/spec/type", json!("Exception")),
        ("/spec/by", json!("bob@bank")),
    ];
    let changes = changes.map(|(field, value)| {
        let same = crate::fixture::attestation().pointer(field).cloned();
        let case = attestation("a statement that changes").at(field).refuses(value);
        case.saying(&["spec is immutable", "delete this TesseraAttestation"]).admits(same)
    });
    check_update("attestation-update", changes.into()).await;
}

fn what_a_cluster_sees() -> Case {
    attestation("what a cluster can see")
        .given("/spec/line", json!("HardwareKeys"))
        .at("/spec/type")
        .refuses(json!("Attestation"))
        .saying(&["for what a cluster cannot see: SecretStoreTenancy", "type Exception"])
        .admits(json!("Exception"))
}

fn line() -> Case {
    attestation("a line that there is not")
        .at("/spec/line")
        .refuses(json!("Everything"))
        .saying(&["spec.line", "Unsupported value"])
        .admits(json!("NoCoreDumps"))
}

fn text() -> Case {
    attestation("a statement that says nothing")
        .at("/spec/statement")
        .refuses(json!("yes"))
        .saying(&["spec.statement", "at least 8"])
        .admits(json!("It does so."))
}

fn time() -> Case {
    attestation("a time that is none")
        .at("/spec/expires")
        .refuses(json!("next year"))
        .saying(&["spec.expires", "date-time"])
        .admits(json!("2027-06-01T00:00:00Z"))
}

fn person() -> Case {
    attestation("nobody's statement")
        .at("/spec/by")
        .refuses(ABSENT)
        .saying(&["spec.by", "Required value"])
        .admits(json!("alice@bank"))
}
