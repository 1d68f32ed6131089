//! A node whose payload store has used its quota up.

use serde_json::json;

use crate::repair::repair;
use crate::support::Net;
use crate::support::client::send_body;
use crate::support::damage::flip_a_bit_of;

/// The smallest: segments of 64 MiB for records, one that is kept for compaction, and an index.
const QUOTA: u64 = 320 << 20;
const MESSAGE: usize = 7 << 20;
/// More than fit.
const SENDS: usize = 45;

#[tokio::test(flavor = "multi_thread")]
async fn at_its_quota_a_node_refuses_payloads_and_reads_on_and_resumes_with_a_larger_one() {
    let mut net = Net::with(&["a", "b"], |config| {
        if config["tesseraNode"]["identity"]["name"] == "b" {
            config["tesseraNode"]["storage"]["quotaBytes"] = json!(QUOTA);
        }
    });
    let mut nodes = net.start().await;
    let (a, b) = (net.node("a").clone(), net.node("b").clone());
    assert_eq!(b.metric("tessera_store_quota_bytes").await, QUOTA);
    let message = vec![7; MESSAGE];
    let body = send_body(&message, &[&b.public_key]);
    let mut kept = Vec::new();
    let refused = loop {
        let answer = a.client().post_json("/send", body.clone()).await;
        if answer.status != 201 {
            break answer;
        }
        kept.push(answer.json()["key"].as_str().unwrap().to_owned());
        assert!(kept.len() < SENDS, "nothing is refused");
    };
    // A's ledger learns that the recipient did not take it; B's own, that it is to try again.
    assert_eq!(refused.status, 500, "{}", refused.text());
    assert!(kept.len() > 10, "{} payloads fit", kept.len());
    let own = b.client().post_json("/send", send_body(&message, &[])).await;
    assert_eq!((own.status, own.header("retry-after")), (503, "1"), "{}", own.text());
    assert!(own.text().contains("quota"), "{}", own.text());
    let quota_free = b.metric("tessera_store_quota_free_bytes").await;
    assert!(quota_free < 64 << 20, "{quota_free}");
    assert!(b.metric("tessera_store_volume_free_bytes").await > quota_free, "the volume's own");
    for hash in [&kept[0], kept.last().unwrap()] {
        assert_eq!(b.client().receive(hash).await, (200, message.clone()));
    }
    let status = b.operator_client().get("/v1/status").await.json();
    assert_eq!(status["database"]["available"], json!(false), "{status}");
    assert_eq!(status["ready"], json!(true), "reads go on");

    // Nor is there space to repair a payload.
    nodes.pop().unwrap().stop().await;
    flip_a_bit_of(&b, &kept[0]);
    let again = b.start();
    net.wait_until_met().await;
    assert_eq!(b.client().receive(&kept[0]).await.0, 500);
    let answer = repair(&b, &kept[0], None).await;
    assert_eq!(answer.code, 2, "{answer:?}");
    assert!(answer.sentence.contains("its quota is used up: add space"), "{answer:?}");
    again.stop().await;

    net.nodes[1].config["tesseraNode"]["storage"]["quotaBytes"] = json!(2 * QUOTA);
    net.nodes[1].write_config();
    let _again = net.nodes[1].start();
    net.wait_until_met().await;
    let answer = a.client().post_json("/send", body).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(repair(&b, &kept[0], None).await.code, 0);
    assert_eq!(b.client().receive(&kept[0]).await, (200, message));
}
