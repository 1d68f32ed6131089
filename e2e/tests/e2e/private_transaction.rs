//! A private payload goes from A to B; C cannot read it.

use anyhow::{Result, ensure};
use tessera_e2e::fleet::Fleet;

#[tokio::test]
async fn private_transaction() -> Result<()> {
    let fleet = Fleet::start("e2e-private-transaction", &["a", "b", "c"]).await?;
    let (a, b, c) = (fleet.ledger("a").await?, fleet.ledger("b").await?, fleet.ledger("c").await?);
    let (key_b, key_c) = (fleet.public_key("b").await?, fleet.public_key("c").await?);
    let payload = b"only A and B may read this";

    let hash = a.send(payload, std::slice::from_ref(&key_b)).await?;
    ensure!(a.payload(&hash).await? == payload, "the sender reads its own payload");
    ensure!(b.payload(&hash).await? == payload, "the recipient reads it");

    let refused = c.receive(&hash).await?;
    ensure!(refused.status == 404, "C is no party: {refused:?}");
    ensure!(refused.body == format!("Message with hash {hash} was not found"), "{refused:?}");

    let shared = a.send(payload, &[key_b, key_c]).await?;
    ensure!(shared != hash, "each send has a master key of its own, so a hash of its own");
    ensure!(c.payload(&shared).await? == payload, "with C among the recipients, C reads it");
    fleet.done().await
}

#[tokio::test]
async fn errors_a_ledger_node_sees() -> Result<()> {
    let fleet = Fleet::start("e2e-errors", &["a"]).await?;
    let a = fleet.ledger("a").await?;

    let nobody = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned();
    let unknown = a.try_send(b"x", std::slice::from_ref(&nobody)).await?;
    ensure!(unknown.status == 404, "{unknown:?}");
    ensure!(unknown.body == format!("Recipient not found for key: {nobody}"), "{unknown:?}");

    let up = a.pod.request("GET", &format!("{}/upcheck", a.url), None).await?;
    ensure!((up.status, up.body.as_str()) == (200, "I'm up!"), "{up:?}");

    let versions = a.pod.request("GET", &format!("{}/version/api", a.url), None).await?;
    ensure!(versions.body == r#"["1.0","2.0","4.0","5.0"]"#, "{versions:?}");
    fleet.done().await
}
