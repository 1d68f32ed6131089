//! Lines of the checklist that the API server answers, broken as a person would break them. Alone, since they concern all namespaces.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tessera_e2e::checklist_record;
use tessera_e2e::cluster::Kind;
use tessera_e2e::fleet::{Fleet, NETWORK};
use tessera_e2e::wait;

use super::{line, part};

const POLICY: &str = "tessera-operator-connect";
const OURS: &str = "e2e-cluster-lines";
/// Where the store is.
const STORE: &str = "vault";
/// What a probe shows: in one period of 10 s, and what the machine takes.
const PERIODS: Duration = Duration::from_mins(2);

#[tokio::test]
async fn serial_what_the_api_server_shows_of_the_cluster() -> Result<()> {
    let fleet = Fleet::prepare("e2e-cluster-lines").await?;
    fleet.cluster.clear(Kind::TesseraAttestation, &fleet.namespace, "").await?;
    clean(&fleet).await?;
    let mut network = fleet.network_manifest();
    network["spec"]["checklist"] = json!({"probeEvery": "10s"});
    fleet.cluster.apply(Kind::TesseraNetwork, &fleet.namespace, &network).await?;
    fleet.set_up_store().await?;
    until_pods_are_verified(&fleet).await?;

    let binding = take_binding_away(&fleet).await?;
    let open = network_line(&fleet, "NoRemoteRoot", "Violated", "ExecNotGuarded").await;
    // First of all, whatever was seen: all other tests need it.
    fleet.cluster.create(Kind::ValidatingAdmissionPolicyBinding, "", &binding).await?;
    let open = open?;
    ensure!(
        open["observer"] == "ApiServer" && open["remedy"].as_str().is_some_and(|text| text.contains(POLICY)),
        "{open}"
    );
    until_pods_are_verified(&fleet).await?;

    a_scraper_holds_nodes_proxy(&fleet).await?;
    a_service_leads_to_the_store(&fleet).await?;
    a_pod_shares_the_store_s_machine(&fleet).await?;
    for id in ["NoRemoteRoot", "SecretStoreIsolation", "SecretStoreTenancy"] {
        checklist_record::healed(id)?;
    }
    fleet.done().await
}

/// Deletes what the steps make, also what an earlier run left.
async fn clean(fleet: &Fleet) -> Result<()> {
    for kind in [Kind::ClusterRoleBinding, Kind::ClusterRole] {
        fleet.cluster.delete(kind, "", OURS).await?;
    }
    fleet.cluster.delete(Kind::Service, STORE, OURS).await
}

async fn network_line(fleet: &Fleet, id: &str, result: &str, reason: &str) -> Result<Value> {
    line(fleet, Kind::TesseraNetwork, NETWORK, id, result, reason).await
}

async fn until_pods_are_verified(fleet: &Fleet) -> Result<()> {
    wait::until("NoRemoteRoot: Pod Verified", PERIODS, || async {
        let network = fleet.cluster.get(Kind::TesseraNetwork, &fleet.namespace, NETWORK).await?;
        let lines = network["status"]["checklist"]["lines"].as_array().context("no lines yet")?;
        let line = lines.iter().find(|line| line["id"] == "NoRemoteRoot").context("no line yet")?;
        ensure!(part(line, "Pod") == "Verified", "{line}");
        Ok(())
    })
    .await
}

/// Deletes the binding of the policy that denies exec; gives back what to make it from.
async fn take_binding_away(fleet: &Fleet) -> Result<Value> {
    let kind = Kind::ValidatingAdmissionPolicyBinding;
    let live = fleet.cluster.get(kind, "", POLICY).await?;
    let metadata = &live["metadata"];
    fleet.cluster.delete(kind, "", POLICY).await?;
    Ok(json!({
        "metadata": {"name": POLICY, "labels": metadata["labels"], "annotations": metadata["annotations"]},
        "spec": live["spec"],
    }))
}

async fn a_scraper_holds_nodes_proxy(fleet: &Fleet) -> Result<()> {
    let role = json!({
        "metadata": {"name": OURS},
        "rules": [{"apiGroups": [""], "resources": ["nodes/proxy"], "verbs": ["get"]}],
    });
    fleet.cluster.apply(Kind::ClusterRole, "", &role).await?;
    let binding = json!({
        "metadata": {"name": OURS},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": OURS},
        "subjects": [{"kind": "ServiceAccount", "namespace": fleet.namespace, "name": "scraper"}],
    });
    fleet.cluster.apply(Kind::ClusterRoleBinding, "", &binding).await?;
    let held = network_line(fleet, "NoRemoteRoot", "Violated", "NodesProxyHeld").await;
    clean(fleet).await?;
    let held = held?;
    let named = format!("ServiceAccount {}/scraper (ClusterRoleBinding {OURS})", fleet.namespace);
    ensure!(held["observed"].as_str().is_some_and(|text| text.contains(&named)), "{held}");
    until_pods_are_verified(fleet).await
}

async fn a_service_leads_to_the_store(fleet: &Fleet) -> Result<()> {
    let id = "SecretStoreIsolation";
    network_line(fleet, id, "Enforced", "NoStranger").await?;
    let store = fleet.cluster.get(Kind::Service, STORE, "vault").await?;
    for kind in ["NodePort", "LoadBalancer"] {
        let service = json!({
            "metadata": {"name": OURS},
            "spec": {"type": kind, "selector": store["spec"]["selector"], "ports": [{"name": "https", "port": 8200}]},
        });
        fleet.cluster.apply(Kind::Service, STORE, &service).await?;
        let found = network_line(fleet, id, "Violated", "ExposedByService").await;
        clean(fleet).await?;
        let found = found?;
        let named = format!("Service {OURS} of type {kind}");
        ensure!(found["observed"].as_str().is_some_and(|text| text.contains(&named)), "{found}");
        network_line(fleet, id, "Enforced", "NoStranger").await?;
    }
    Ok(())
}

/// On a machine that the store has to itself, a pod is put beside it; elsewhere one of those that are there is named.
async fn a_pod_shares_the_store_s_machine(fleet: &Fleet) -> Result<()> {
    let id = "SecretStoreTenancy";
    let pods = fleet.cluster.list(Kind::Pod, STORE, "app.kubernetes.io/name=vault").await?;
    let machine = pods.first().context("the store has no pod")?["spec"]["nodeName"].clone();
    let lodger = json!({"metadata": {"name": "lodger"}, "spec": {
        "nodeName": machine, "tolerations": [{"operator": "Exists"}],
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": "lodger", "image": fleet.settings.client_image, "args": ["wait"],
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        }],
    }});
    fleet.cluster.create(Kind::Pod, &fleet.namespace, &lodger).await?;
    let shared = network_line(fleet, id, "Violated", "SharedMachine").await;
    fleet.cluster.delete(Kind::Pod, &fleet.namespace, "lodger").await?;
    let shared = shared?;
    let observed = shared["observed"].as_str().context("nothing observed")?;
    ensure!(machine.as_str().is_some_and(|machine| observed.contains(machine)), "{shared}");
    Ok(())
}
