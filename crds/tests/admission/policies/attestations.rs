//! Nobody states for another, and nobody for longer than a year.

use http::Request;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::chart::MANAGED;
use super::{User, create, path};
use crate::fixture;

const ATTESTATIONS: &str = "tessera.rs/v1alpha1/tesseraattestations";

/// A statement by `by` that ends in so many days.
fn statement(by: &str, days: i64) -> Value {
    let mut object = fixture::attestation();
    let expires = Timestamp::now() + SignedDuration::from_hours(24 * days);
    object["spec"]["by"] = json!(by);
    object["spec"]["expires"] = json!(expires.to_string());
    object
}

#[tokio::test]
async fn a_statement_is_made_by_the_one_who_creates_it() {
    let as_admin = async |by: &str| create(User::Admin, ATTESTATIONS, MANAGED, &statement(by, 30)).await;
    as_admin("bob@bank").await.is_refused("tessera-operator-attestations", &["bob@bank", "you are alice"]);
    as_admin("alice").await.is_admitted();
    let operator = create(User::Operator, ATTESTATIONS, MANAGED, &statement("alice", 30)).await;
    operator.is_refused("tessera-operator-attestations", &["spec.by"]);
}

#[tokio::test]
async fn a_statement_ends_within_a_year_whatever_creation_time_it_claims() {
    let mut claims = statement("alice", 400);
    claims["metadata"]["creationTimestamp"] = json!("2099-01-01T00:00:00Z");
    for refused in [statement("alice", 400), statement("alice", -1), claims] {
        let message = refusal(&refused).await;
        assert!(message.contains("at most 366 days from now"), "{message}");
    }
    create(User::Admin, ATTESTATIONS, MANAGED, &statement("alice", 365)).await.is_admitted();
}

/// What the API server says of a statement that is no permission's matter.
async fn refusal(object: &Value) -> String {
    let request = Request::post(format!("{}?dryRun=All", path(ATTESTATIONS, MANAGED)))
        .header("Content-Type", "application/json")
        .body(object.to_string().into_bytes());
    match User::Admin.client().await.request_text(request.unwrap()).await {
        Err(kube::Error::Api(status)) if status.code == 422 => status.message.clone(),
        other => panic!("not refused as invalid: {other:?}"),
    }
}
