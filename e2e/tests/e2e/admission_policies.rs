//! What even an administrator of the namespace cannot do by accident: the chart's admission policies.

use anyhow::{Result, ensure};
use serde_json::json;
use tessera_e2e::cluster::{Cluster, Kind};
use tessera_e2e::fleet::{Fleet, NETWORK};

#[tokio::test]
async fn service_accounts_of_nodes_are_guarded() -> Result<()> {
    let fleet = Fleet::start("e2e-guard", &["a"]).await?;
    let ns = &fleet.namespace;

    for account in ["tessera-node-a", "tessera-provisioner"] {
        let refused = request_token(&fleet.cluster, ns, account).await;
        ensure!(forbidden(&refused), "a token of {account}: {refused:?}");
    }
    let control = request_token(&fleet.cluster, ns, "default").await;
    ensure!(control.is_ok(), "control: a token of another account is given: {control:?}");

    // Of Pod Security's liking: what is refused below is refused for its account.
    let pod = |account: &str| {
        json!({"metadata": {"name": "thief"}, "spec": {
            "serviceAccountName": account,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "thief", "image": fleet.settings.client_image, "args": ["wait"],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        }})
    };
    let refused = fleet.cluster.create(Kind::Pod, ns, &pod("tessera-node-a")).await;
    ensure!(forbidden(&refused), "a pod: {refused:?}");
    let mut labelled = pod("default");
    labelled["metadata"]["labels"] = json!({"tessera.rs/node": "a"});
    let refused = fleet.cluster.create(Kind::Pod, ns, &labelled).await;
    ensure!(forbidden(&refused), "a pod with a node's label: {refused:?}");
    fleet.cluster.create(Kind::Pod, ns, &pod("default")).await?;
    let labels = json!({"metadata": {"labels": {"tessera.rs/node": "a"}}});
    let refused = fleet.cluster.edit(Kind::Pod, ns, "thief", &labels).await;
    ensure!(forbidden(&refused), "a pod that gets a node's label: {refused:?}");
    fleet.cluster.delete(Kind::Pod, ns, "thief").await?;

    let set = |account: &str| {
        json!({"metadata": {"name": "thief"}, "spec": {
            "serviceName": "thief", "replicas": 0, "selector": {"matchLabels": {"app": "thief"}},
            "template": {"metadata": {"labels": {"app": "thief"}}, "spec": pod(account)["spec"]},
        }})
    };
    let refused = fleet.cluster.create(Kind::StatefulSet, ns, &set("tessera-node-a")).await;
    ensure!(forbidden(&refused), "a StatefulSet: {refused:?}");
    let mut labelled = set("default");
    labelled["spec"]["template"]["metadata"]["labels"]["tessera.rs/node"] = json!("a");
    let refused = fleet.cluster.create(Kind::StatefulSet, ns, &labelled).await;
    ensure!(forbidden(&refused), "a StatefulSet of pods with a node's label: {refused:?}");
    fleet.cluster.create(Kind::StatefulSet, ns, &set("default")).await?;
    fleet.cluster.delete(Kind::StatefulSet, ns, "thief").await?;

    let revision = |labels: serde_json::Value| json!({"metadata": {"name": "thief", "labels": labels}, "revision": 9, "data": {}});
    let refused =
        fleet.cluster.create(Kind::ControllerRevision, ns, &revision(json!({"tessera.rs/node": "a"}))).await;
    ensure!(forbidden(&refused), "a revision: {refused:?}");
    fleet.cluster.create(Kind::ControllerRevision, ns, &revision(json!({"app": "thief"}))).await?;
    fleet.cluster.delete(Kind::ControllerRevision, ns, "thief").await?;
    fleet.done().await
}

#[tokio::test]
async fn a_network_goes_after_its_nodes() -> Result<()> {
    let fleet = Fleet::start("e2e-order", &["a"]).await?;
    let refused = fleet.cluster.delete(Kind::TesseraNetwork, &fleet.namespace, NETWORK).await;
    ensure!(forbidden(&refused), "{refused:?}");
    ensure!(format!("{refused:?}").contains("has nodes (1)"), "{refused:?}");
    fleet.node_ready("a").await?;
    let labelled = |value: &str| json!({"metadata": {"labels": {"tessera.rs/protect": value}}});
    for (protect, goes) in [("true", false), ("false", true)] {
        fleet.cluster.edit(Kind::TesseraNetwork, &fleet.namespace, NETWORK, &labelled(protect)).await?;
        let deletion = delete_dry(&fleet).await;
        ensure!(if goes { deletion.is_ok() } else { forbidden(&deletion) }, "{protect}: {deletion:?}");
    }
    fleet.cluster.edit(Kind::TesseraNetwork, &fleet.namespace, NETWORK, &labelled("true")).await?;
    // It deletes the node, and the network once that is gone.
    fleet.done().await?;
    ensure!(
        fleet.cluster.get(Kind::TesseraNetwork, &fleet.namespace, NETWORK).await.is_err(),
        "it is still there"
    );
    Ok(())
}

/// Asks whether the network could be deleted, which the policies answer and nothing carries out.
async fn delete_dry(fleet: &Fleet) -> Result<()> {
    let params = kube::api::DeleteParams { dry_run: true, ..kube::api::DeleteParams::default() };
    fleet.cluster.api(Kind::TesseraNetwork, &fleet.namespace).delete(NETWORK, &params).await?;
    Ok(())
}

#[tokio::test]
async fn protected_namespaces_are_not_deleted() -> Result<()> {
    let cluster = Cluster::connect().await?;
    let name = "e2e-protected";
    cluster
        .apply(
            Kind::Namespace,
            "",
            &json!({"metadata": {"name": name, "labels": {"tessera.rs/protect": "true"}}}),
        )
        .await?;
    let refused = cluster.delete(Kind::Namespace, "", name).await;
    ensure!(forbidden(&refused), "{refused:?}");
    cluster
        .edit(Kind::Namespace, "", name, &json!({"metadata": {"labels": {"tessera.rs/protect": null}}}))
        .await?;
    cluster.delete(Kind::Namespace, "", name).await
}

async fn request_token(cluster: &Cluster, namespace: &str, account: &str) -> Result<()> {
    use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
    use k8s_openapi::api::core::v1::ServiceAccount;
    let spec =
        TokenRequestSpec { audiences: vec!["https://anywhere".to_owned()], ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let accounts = kube::Api::<ServiceAccount>::namespaced(cluster.client().clone(), namespace);
    accounts.create_token_request(account, &kube::api::PostParams::default(), &request).await?;
    Ok(())
}

/// Refused by a policy of ours, as 403.
fn forbidden<T>(result: &Result<T>) -> bool {
    let Err(error) = result else { return false };
    let text = format!("{error:#}");
    text.contains("ValidatingAdmissionPolicy") && text.contains("tessera")
}
