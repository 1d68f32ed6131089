//! Who may speak on Q2T: exactly the clients that the node declares, each with the certificate issued for it.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tessera_e2e::client_pod::ClientPod;
use tessera_e2e::fleet::Fleet;
use tessera_e2e::wait;

#[tokio::test]
async fn only_declared_clients_are_served() -> Result<()> {
    let fleet = Fleet::start("e2e-access", &["a", "b"]).await?;
    let a = fleet.ledger("a").await?;
    let upcheck = format!("{}/upcheck", a.url);
    ensure!(a.pod.request("GET", &upcheck, None).await?.status == 200, "control: A's own client is served");

    let request = ["/tessera-client", "request", "GET", upcheck.as_str()];
    let none = [&request[..], &["--no-client-cert"]].concat();
    refused(&a.pod, &none).await.context("without a certificate")?;

    // The label opens the network policy; the certificate is that of B's client of the same name.
    fleet.cluster.delete(tessera_e2e::cluster::Kind::Pod, &fleet.namespace, "ledger-a").await?;
    fleet.cluster.clear(tessera_e2e::cluster::Kind::Pod, &fleet.namespace, "app=ledger-a").await?;
    let wrong = ClientPod::start(
        &fleet.cluster,
        &fleet.namespace,
        "ledger-a",
        &fleet.settings.client_image,
        Some("b-client-ledger"),
    )
    .await?;
    wait::until("control: the port is reachable", Duration::from_mins(1), || async {
        ensure!(
            wrong.connects(&format!("a.{}.svc:8080", fleet.namespace)).await?,
            "the connection is refused"
        );
        Ok(())
    })
    .await?;
    refused(&wrong, &request).await.context("B's client at A")?;
    fleet.done().await
}

/// The node itself refuses it, which its alert tells from a failure on the way. Now and then the end of the connection
/// outruns the alert.
async fn refused(pod: &ClientPod, request: &[&str]) -> Result<()> {
    let request: Vec<_> = request.iter().copied().map(str::to_owned).collect();
    let mut refusal = String::new();
    for _ in 0..10 {
        match pod.request_with(&request).await {
            Ok(answer) => bail!("served: {answer:?}"),
            Err(error) => refusal = format!("{error:#}"),
        }
        if refusal.contains("received fatal alert") {
            return Ok(());
        }
    }
    bail!("never refused by the node: {refusal}")
}
