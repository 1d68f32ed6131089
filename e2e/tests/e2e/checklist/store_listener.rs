//! `MutualTls` of the secret store: whom its listener for machines serves. Restarts the one Vault of the cluster.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tessera_e2e::checklist_record;
use tessera_e2e::cluster::Kind;
use tessera_e2e::fleet::{Fleet, NETWORK};
use tessera_e2e::{vault, wait};

use super::line;

const LINE: &str = "MutualTls";
const REQUIRED: &str = "tls_require_and_verify_client_cert = true";
const NOT_REQUIRED: &str = "tls_require_and_verify_client_cert = false";

#[tokio::test]
async fn serial_whom_the_store_serves_is_tried() -> Result<()> {
    let fleet = Fleet::start("e2e-store-listener", &["a"]).await?;
    let mut network = fleet.network_manifest();
    network["spec"]["checklist"] = json!({"probeEvery": "10s"});
    fleet.cluster.apply(Kind::TesseraNetwork, &fleet.namespace, &network).await?;
    holds(&fleet).await?;

    // Broken, as the store's owner would: its listener asks for no certificate any more.
    let broken = async {
        listener(&fleet, REQUIRED, NOT_REQUIRED).await?;
        let node = line(&fleet, Kind::TesseraNode, "a", LINE, "Violated", "NoClientCertificate").await?;
        ensure!(node["observer"] == "Node" && node["remedy"].is_string(), "{node}");
        line(&fleet, Kind::TesseraNetwork, NETWORK, LINE, "Violated", "NoClientCertificate").await
    }
    .await;
    listener(&fleet, NOT_REQUIRED, REQUIRED).await?;
    broken?;
    holds(&fleet).await?;
    checklist_record::healed(LINE)?;

    a_network_without_a_certificate_says_so(&fleet, &network).await?;
    fleet.done().await
}

async fn holds(fleet: &Fleet) -> Result<()> {
    let node = line(fleet, Kind::TesseraNode, "a", LINE, "Verified", "Observed").await?;
    ensure!(
        node["observed"].to_string().contains("refused no certificate and one of a foreign CA"),
        "{node}"
    );
    line(fleet, Kind::TesseraNetwork, NETWORK, LINE, "Verified", "Observed").await.map(drop)
}

/// A network that names no certificate for such a store says so, and its nodes go on as they are.
async fn a_network_without_a_certificate_says_so(fleet: &Fleet, network: &Value) -> Result<()> {
    let before =
        fleet.cluster.get(Kind::Pod, &fleet.namespace, "tessera-a-0").await?["metadata"]["uid"].clone();
    let none = json!({"spec": {"secretStore": {"vault": {"clientCertificate": null}}}});
    fleet.cluster.edit(Kind::TesseraNetwork, &fleet.namespace, NETWORK, &none).await?;
    fleet.network_condition("SecretStoreReady", "False", "ClientCertificateRequired").await?;
    let after =
        fleet.cluster.get(Kind::Pod, &fleet.namespace, "tessera-a-0").await?["metadata"]["uid"].clone();
    ensure!(before == after, "the node was restarted with settings that the store refuses");
    fleet.cluster.apply(Kind::TesseraNetwork, &fleet.namespace, network).await?;
    fleet.network_condition("SecretStoreReady", "True", "Ready").await.map(drop)
}

/// Changes the store's listener for machines, and restarts the store.
async fn listener(fleet: &Fleet, from: &str, to: &str) -> Result<()> {
    let config = fleet.cluster.get(Kind::ConfigMap, "vault", "vault-config").await?;
    let text = config["data"]["vault.hcl"].as_str().context("no vault.hcl")?;
    ensure!(text.contains(from) || text.contains(to), "the listener is not as expected: {text}");
    let change = json!({"data": {"vault.hcl": text.replace(from, to)}});
    fleet.cluster.edit(Kind::ConfigMap, "vault", "vault-config", &change).await?;
    let before = fleet.cluster.get(Kind::Pod, "vault", "vault-0").await?["metadata"]["uid"].clone();
    fleet.cluster.delete(Kind::Pod, "vault", "vault-0").await?;
    wait::until("the store restarted", Duration::from_mins(2), || async {
        let pod = fleet.cluster.get(Kind::Pod, "vault", "vault-0").await?;
        ensure!(pod["metadata"]["uid"] != before, "the pod of before");
        let state = &pod["status"]["containerStatuses"][0]["state"];
        ensure!(state["running"].is_object(), "{state}");
        Ok(())
    })
    .await?;
    vault::unseal().await?;
    // The tests' own way to it led to the pod of before, and is opened anew.
    wait::until("the store answers its administrator", Duration::from_mins(1), || async {
        fleet.vault.read("sys/auth").await.map(drop)
    })
    .await
}
