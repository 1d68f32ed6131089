//! Who may speak on Q2T: exactly the clients that the node declares, each with the certificate issued for it.

use std::time::Duration;

use anyhow::{Result, ensure};
use tessera_e2e::client_pod::ClientPod;
use tessera_e2e::fleet::Fleet;
use tessera_e2e::wait;

#[tokio::test]
async fn only_declared_clients_are_served() -> Result<()> {
    let fleet = Fleet::start("e2e-access", &["a", "b"]).await?;
    let a = fleet.ledger("a").await?;
    let upcheck = format!("{}/upcheck", a.url);
    ensure!(a.pod.request("GET", &upcheck, None).await?.status == 200, "control: A's own client is served");

    let none = ["/tessera-client", "request", "GET", upcheck.as_str(), "--no-client-cert"].map(str::to_owned);
    ensure!(a.pod.request_with(&none).await.is_err(), "served without a certificate");

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
    ensure!(wrong.request("GET", &upcheck, None).await.is_err(), "B's client was served at A");
    fleet.done().await
}
