//! A pod that stands for a ledger node or for a stranger. Requests are made *inside* it, so that NetworkPolicy and mutual
//! TLS see what they would see in production; a port-forward would go around both.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, AttachParams};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use crate::cluster::{Cluster, Kind};
use crate::wait;

/// The client's container.
const CONTAINER: &str = "client";

/// A running client pod.
pub struct ClientPod {
    cluster: Cluster,
    namespace: String,
    name: String,
}

/// What a request came back with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body as text.
    pub body: String,
}

/// What a command in the pod printed.
#[derive(Debug, Clone)]
pub struct Output {
    /// Whether it exited with 0.
    pub success: bool,
    /// Standard output, then standard error.
    pub text: String,
}

impl ClientPod {
    /// Creates a pod named `name` with label `app: <name>`, and waits until it runs. `secret` is the client Secret that it
    /// mounts, none for a stranger.
    pub async fn start(
        cluster: &Cluster,
        namespace: &str,
        name: &str,
        image: &str,
        secret: Option<&str>,
    ) -> Result<Self> {
        Self::start_as(cluster, namespace, &manifest(name, image, secret)).await
    }

    /// Creates a pod of a manifest of one's own, whose first container is the client, and waits until it runs.
    pub async fn start_as(cluster: &Cluster, namespace: &str, manifest: &Value) -> Result<Self> {
        let name = manifest["metadata"]["name"].as_str().context("a pod has a name")?;
        cluster.create(Kind::Pod, namespace, manifest).await?;
        let pod = Self { cluster: cluster.clone(), namespace: namespace.to_owned(), name: name.to_owned() };
        wait::until(&format!("client pod {namespace}/{name} running"), Duration::from_mins(2), || async {
            let live = cluster.get(Kind::Pod, namespace, name).await?;
            match live["status"]["containerStatuses"][0]["state"].get("running") {
                Some(_) => Ok(()),
                None => bail!("its state is {}", live["status"]),
            }
        })
        .await?;
        Ok(pod)
    }

    /// `GET`, `POST` … with an optional JSON body; an error when no response came.
    pub async fn request(&self, method: &str, url: &str, body: Option<&Value>) -> Result<Answer> {
        let mut command =
            vec!["/tessera-client".to_owned(), "request".to_owned(), method.to_owned(), url.to_owned()];
        if let Some(body) = body {
            command.extend(["--json".to_owned(), body.to_string()]);
        }
        self.request_with(&command).await
    }

    /// A request given as the whole command line of `tessera-client`.
    pub async fn request_with(&self, command: &[String]) -> Result<Answer> {
        let output = self.exec(command).await?;
        if !output.success {
            bail!("no response: {}", output.text.trim());
        }
        let (first, body) = output.text.split_once('\n').unwrap_or((&output.text, ""));
        let status = first
            .split_whitespace()
            .find_map(|word| word.parse().ok())
            .with_context(|| format!("no status in {first:?}"))?;
        Ok(Answer { status, body: body.trim_end_matches('\n').to_owned() })
    }

    /// Whether a TCP connection to `host:port` opens. A name that is not known is an error: it says nothing of who may
    /// connect.
    pub async fn connects(&self, host_port: &str) -> Result<bool> {
        let command = ["/tessera-client", "connect", host_port].map(str::to_owned);
        let output = self.exec(&command).await?;
        if output.text.contains("unresolved") {
            bail!("{host_port}: {}", output.text.trim());
        }
        Ok(output.success)
    }

    /// Runs a command in the pod.
    pub async fn exec(&self, command: &[String]) -> Result<Output> {
        exec(&self.cluster, &self.namespace, &self.name, CONTAINER, command).await
    }
}

/// Runs a command in a container.
pub(crate) async fn exec(
    cluster: &Cluster,
    namespace: &str,
    pod: &str,
    container: &str,
    command: &[String],
) -> Result<Output> {
    let pods: Api<Pod> = Api::namespaced(cluster.client().clone(), namespace);
    let params = AttachParams::default().container(container).stdout(true).stderr(true);
    let process = pods.exec(pod, command, &params).await;
    let mut process = process.with_context(|| format!("exec into {namespace}/{pod}"))?;
    let (mut out, mut err) = (String::new(), String::new());
    let mut stdout = process.stdout().context("exec gave no standard output")?;
    let mut stderr = process.stderr().context("exec gave no standard error")?;
    tokio::try_join!(stdout.read_to_string(&mut out), stderr.read_to_string(&mut err))?;
    let status = process.take_status().context("exec gave no status")?.await;
    process.join().await?;
    let success = status.and_then(|s| s.status).is_some_and(|s| s == "Success");
    Ok(Output { success, text: if success { out } else { out + &err } })
}

/// The pod that [`ClientPod::start`] creates.
pub fn manifest(name: &str, image: &str, secret: Option<&str>) -> Value {
    let mut pod = json!({
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": CONTAINER, "image": image, "args": ["wait"],
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
                },
            }],
        },
    });
    if let Some(secret) = secret {
        pod["spec"]["containers"][0]["volumeMounts"] =
            json!([{"name": "tls", "mountPath": "/etc/tessera/client", "readOnly": true}]);
        pod["spec"]["volumes"] =
            json!([{"name": "tls", "secret": {"secretName": secret, "defaultMode": 0o440}}]);
    }
    pod
}
