//! Flux with one source, an artifact in the cluster's registry, and one Kustomization that applies it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tessera_e2e::cluster::{Cluster, Kind, condition};
use tessera_e2e::wait;

/// The source: manifests by their file's name.
pub(crate) type Manifests = BTreeMap<String, Value>;

const NAMESPACE: &str = "flux-system";
const NAME: &str = "fleet";

pub(crate) struct Flux {
    cluster: Cluster,
    mkimage: String,
    registry: String,
}

impl Flux {
    pub(crate) async fn connect() -> Result<Self> {
        let var = |name: &str| {
            std::env::var(name).with_context(|| format!("{name} is not set: run hack/e2e gitops"))
        };
        let cluster = Cluster::connect().await?;
        Ok(Self { cluster, mkimage: var("TESSERA_MKIMAGE")?, registry: var("TESSERA_PUSH_REGISTRY")? })
    }

    /// Pushes the source; returns its digest.
    pub(crate) fn push(&self, manifests: &Manifests) -> Result<String> {
        let directory = tempfile::tempdir()?;
        let mut command = std::process::Command::new(&self.mkimage);
        command.args(["-ref", &format!("{}/{NAME}:latest", self.registry)]);
        for (name, manifest) in manifests {
            // JSON is YAML; kustomize picks files by their suffix.
            let file = directory.path().join(format!("{name}.yaml"));
            std::fs::write(&file, manifest.to_string())?;
            command.arg(format!("{}=/{name}.yaml", file.display()));
        }
        let output = command.output().context("starting mkimage")?;
        ensure!(output.status.success(), "mkimage: {}", String::from_utf8_lossy(&output.stderr));
        let reference = String::from_utf8(output.stdout)?;
        let (_, digest) = reference.trim().split_once('@').context("mkimage prints a digest")?;
        Ok(digest.to_owned())
    }

    /// Creates the source and what applies it: health of all objects awaited, what leaves the source pruned.
    pub(crate) async fn create(&self) -> Result<()> {
        let source = json!({"metadata": {"name": NAME}, "spec": {
            "interval": "5s", "url": format!("oci://{}/{NAME}", self.registry), "insecure": true, "ref": {"tag": "latest"},
        }});
        let kustomization = json!({"metadata": {"name": NAME}, "spec": {
            "interval": "10s", "retryInterval": "5s", "timeout": "5m", "wait": true, "prune": true, "path": "./",
            "sourceRef": {"kind": "OCIRepository", "name": NAME},
        }});
        self.cluster.apply(Kind::OciRepository, NAMESPACE, &source).await?;
        self.cluster.apply(Kind::Kustomization, NAMESPACE, &kustomization).await?;
        Ok(())
    }

    /// Deletes both, and waits until they are gone: with the Kustomization goes what it applied.
    pub(crate) async fn clear(&self) -> Result<()> {
        self.cluster.clear(Kind::Kustomization, NAMESPACE, "").await?;
        self.cluster.clear(Kind::OciRepository, NAMESPACE, "").await
    }

    pub(crate) async fn is_ready_at(&self, digest: &str) -> Result<bool> {
        let live = self.kustomization().await?;
        let applied = live["status"]["lastAppliedRevision"].as_str().unwrap_or_default().ends_with(digest);
        Ok(applied && condition(&live, "Ready").is_some_and(|(status, ..)| status == "True"))
    }

    /// Waits until Flux has applied this source and found every object of it healthy.
    pub(crate) async fn until_ready_at(&self, digest: &str) -> Result<()> {
        wait::until("the Kustomization ready at what was pushed", Duration::from_mins(6), || async {
            if self.is_ready_at(digest).await? {
                return Ok(());
            }
            bail!("its status is {}", self.kustomization().await?["status"])
        })
        .await
    }

    /// Waits until Flux has reconciled the present source so many times more.
    pub(crate) async fn until_reconciled(&self, times: u64) -> Result<()> {
        let before = self.reconciliations().await?;
        wait::until("further reconciliations by Flux", Duration::from_mins(3), || async {
            let now = self.reconciliations().await?;
            ensure!(now >= before + times, "{now} after {before}");
            Ok(())
        })
        .await
    }

    async fn reconciliations(&self) -> Result<u64> {
        let live = self.kustomization().await?;
        live["status"]["history"][0]["totalReconciliations"].as_u64().context("no history yet")
    }

    async fn kustomization(&self) -> Result<Value> {
        self.cluster.get(Kind::Kustomization, NAMESPACE, NAME).await
    }
}
