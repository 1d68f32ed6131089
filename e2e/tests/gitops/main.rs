//! Flux reconciles a fleet from an artifact in a registry, under the chart's policies, and neither fights the other. Run it
//! with `hack/e2e gitops`.

mod flux;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tessera_e2e::cluster::Kind;
use tessera_e2e::fleet::{Fleet, NETWORK, expect_condition};
use tessera_e2e::wait;

use flux::{Flux, Manifests};

#[tokio::test]
async fn flux_and_the_operator_share_a_fleet() -> Result<()> {
    let flux = Flux::connect().await?;
    flux.clear().await?;
    let fleet = Fleet::prepare("e2e-gitops").await?;
    let mut manifests = manifests(&fleet);

    converges(&fleet, &flux, &manifests).await?;
    stays_still(&fleet, &flux).await?;
    an_edit_in_the_source_rolls_out(&fleet, &flux, &mut manifests).await?;
    an_upgraded_chart_changes_no_node(&fleet, &flux).await?;
    what_leaves_the_source_is_pruned(&fleet, &flux, &mut manifests).await?;
    a_deleted_kustomization_takes_the_fleet_along(&fleet, &flux).await?;
    fleet.done().await
}

fn manifests(fleet: &Fleet) -> Manifests {
    let whole = |kind: &str, mut object: Value| {
        object["apiVersion"] = json!("tessera.rs/v1alpha1");
        object["kind"] = json!(kind);
        object["metadata"]["namespace"] = json!(fleet.namespace);
        object
    };
    BTreeMap::from([
        (NETWORK.to_owned(), whole("TesseraNetwork", fleet.network_manifest())),
        ("a".to_owned(), whole("TesseraNode", fleet.node_manifest("a"))),
        ("b".to_owned(), whole("TesseraNode", fleet.node_manifest("b"))),
    ])
}

/// kstatus reads the fleet as unhealthy until it serves.
async fn converges(fleet: &Fleet, flux: &Flux, manifests: &Manifests) -> Result<()> {
    let revision = flux.push(manifests)?;
    flux.create().await?;
    fleet.network_condition("SecretStoreReady", "False", "NotProvisioned").await?;
    ensure!(!flux.is_ready_at(&revision).await?, "Flux reports a fleet without a store as healthy");
    fleet.set_up_store().await?;
    flux.until_ready_at(&revision).await?;
    for node in ["a", "b"] {
        expect_condition(&fleet.node(node).await?, "Ready", "True", "Ready")?;
    }
    Ok(())
}

/// Over several of Flux's intervals neither side writes anything.
async fn stays_still(fleet: &Fleet, flux: &Flux) -> Result<()> {
    let before = wait::until("the fleet settled over an interval", Duration::from_mins(4), || async {
        let before = versions(fleet).await?;
        flux.until_reconciled(1).await?;
        unchanged(&before, &versions(fleet).await?)?;
        Ok(before)
    })
    .await?;
    flux.until_reconciled(3).await?;
    unchanged(&before, &versions(fleet).await?)
}

fn unchanged(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Result<()> {
    let written: Vec<_> =
        after.iter().filter(|(object, version)| before.get(*object) != Some(*version)).collect();
    ensure!(written.is_empty() && before.len() == after.len(), "written meanwhile: {written:?}");
    Ok(())
}

/// The version of every object in the fleet's namespace, status included; Events are not the fleet.
async fn versions(fleet: &Fleet) -> Result<BTreeMap<String, String>> {
    let kinds = [
        Kind::TesseraNetwork,
        Kind::TesseraNode,
        Kind::ConfigMap,
        Kind::Secret,
        Kind::Service,
        Kind::ServiceAccount,
        Kind::StatefulSet,
        Kind::ControllerRevision,
        Kind::Pod,
        Kind::PersistentVolumeClaim,
        Kind::NetworkPolicy,
        Kind::PodDisruptionBudget,
    ];
    let mut versions = BTreeMap::new();
    for kind in kinds {
        let found = fleet.cluster.list(kind, &fleet.namespace, "").await?;
        ensure!(!found.is_empty(), "no {kind:?} in {}", fleet.namespace);
        for object in found {
            let metadata = &object["metadata"];
            let version = metadata["resourceVersion"].as_str().context("an object has a version")?;
            versions.insert(format!("{kind:?} {}", metadata["name"]), version.to_owned());
        }
    }
    Ok(versions)
}

/// A change of the network reaches every node, and Flux reports the revision as healthy only then.
async fn an_edit_in_the_source_rolls_out(
    fleet: &Fleet,
    flux: &Flux,
    manifests: &mut Manifests,
) -> Result<()> {
    let before = versions(fleet).await?;
    let network = manifests.get_mut(NETWORK).context("the source has the network")?;
    network["spec"]["nodeDefaults"]["resources"]["limits"]["memory"] = json!("288Mi");
    flux.until_ready_at(&flux.push(manifests)?).await?;
    for pod in ["tessera-a-0", "tessera-b-0"] {
        let live = fleet.cluster.get(Kind::Pod, &fleet.namespace, pod).await?;
        let memory = &live["spec"]["containers"][0]["resources"]["limits"]["memory"];
        ensure!(memory == "288Mi", "Flux reports the revision as healthy, and {pod} has {memory}");
    }
    ensure!(unchanged(&before, &versions(fleet).await?).is_err(), "control: a change is seen");
    stays_still(fleet, flux).await
}

/// A new operator takes over while Flux goes on.
async fn an_upgraded_chart_changes_no_node(fleet: &Fleet, flux: &Flux) -> Result<()> {
    let before = versions(fleet).await?;
    let run = &fleet.role;
    let output = tokio::process::Command::new("helm")
        .args(["upgrade", "tessera", "charts/tessera-operator", "--namespace=tessera-system"])
        .args(["--reuse-values", &format!("--set=podAnnotations.run={run}"), "--wait", "--timeout=3m"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .await
        .context("starting helm")?;
    ensure!(output.status.success(), "helm upgrade: {}", String::from_utf8_lossy(&output.stderr));
    let operator = "app.kubernetes.io/name=tessera-operator";
    wait::until("the new operator alone", Duration::from_mins(2), || async {
        let pods = fleet.cluster.list(Kind::Pod, "tessera-system", operator).await?;
        ensure!(pods.iter().all(|pod| pod["metadata"]["annotations"]["run"] == *run), "the old one is there");
        Ok(())
    })
    .await?;
    stays_still(fleet, flux).await?;
    let after = versions(fleet).await?;
    for kept in ["Pod ", "StatefulSet ", "Secret "] {
        let of_kind = |all: &BTreeMap<String, String>| -> BTreeMap<_, _> {
            all.iter()
                .filter(|(object, _)| object.starts_with(kept))
                .map(|(o, v)| (o.clone(), v.clone()))
                .collect()
        };
        unchanged(&of_kind(&before), &of_kind(&after)).context("by the upgrade")?;
    }
    Ok(())
}

/// The node and its pod go, its volume stays.
async fn what_leaves_the_source_is_pruned(
    fleet: &Fleet,
    flux: &Flux,
    manifests: &mut Manifests,
) -> Result<()> {
    manifests.remove("b").context("the source has node b")?;
    flux.until_ready_at(&flux.push(manifests)?).await?;
    wait::until("node b gone", Duration::from_mins(2), || async {
        for kind in [Kind::TesseraNode, Kind::StatefulSet, Kind::Pod] {
            let left = fleet.cluster.list(kind, &fleet.namespace, "").await?;
            ensure!(left.len() == 1, "{} objects of {kind:?}", left.len());
        }
        Ok(())
    })
    .await?;
    fleet.cluster.get(Kind::PersistentVolumeClaim, &fleet.namespace, "data-tessera-b-0").await?;
    fleet.node_ready("a").await?;
    stays_still(fleet, flux).await
}

/// Flux deletes network and nodes in any order. The policy lets the network go after its nodes, and Flux repeats what was
/// refused.
async fn a_deleted_kustomization_takes_the_fleet_along(fleet: &Fleet, flux: &Flux) -> Result<()> {
    flux.clear().await?;
    wait::until("the fleet gone", Duration::from_mins(3), || async {
        for kind in [Kind::TesseraNode, Kind::TesseraNetwork, Kind::StatefulSet, Kind::Pod] {
            let left = fleet.cluster.list(kind, &fleet.namespace, "").await?;
            ensure!(left.is_empty(), "{} objects of {kind:?}", left.len());
        }
        Ok(())
    })
    .await
}
