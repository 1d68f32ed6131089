//! Clients of foreign TLS stacks in pods of their own, for what must not fail while certificates and CAs change.
//!
//! ```text
//! pod: stack-go | stack-java | stack-openssl client ──handshakes without retry, until SIGTERM──▶ a node
//!        └─ log: a line for each failure, at its end {"handshakes":H,"failed":F}
//! ```

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, LogParams};
use serde_json::{Value, json};

use crate::client_pod::{ClientPod, manifest};
use crate::cluster::{Cluster, Kind};
use crate::wait;

/// The container's log has this line when the handshakes that count begin.
const BEGUN: &str = "begun";

/// A TLS library of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stack {
    /// Go's crypto/tls.
    Go,
    /// The JDK's.
    Jdk,
    /// OpenSSL.
    OpenSsl,
}

/// When a client reads the CAs that it trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roots {
    /// At its start, as GoQuorum does.
    Once,
    /// For each handshake.
    Each,
}

/// What a client is to do.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// The pod's name.
    pub name: &'a str,
    /// The pod's label `app`, by which a node lets it in.
    pub app: &'a str,
    /// `localhost:5001/tessera-stacks@sha256:…`
    pub image: &'a str,
    /// The Secret with certificate, key and roots.
    pub secret: &'a str,
    /// The library.
    pub stack: Stack,
    /// The name that the server's certificate must have, and that is connected to.
    pub server: &'a str,
    /// The port.
    pub port: u16,
    /// From the start of one handshake to the start of the next.
    pub every: Duration,
    /// When it reads the CAs.
    pub roots: Roots,
}

/// A client at work.
pub struct StackClient {
    cluster: Cluster,
    namespace: String,
    name: String,
    pod: ClientPod,
}

/// What a client has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Handshakes, each with a request and its answer.
    pub handshakes: u64,
    /// How many of them failed.
    pub failed: u64,
    /// Why they failed, one line each.
    pub complaints: Vec<String>,
}

impl StackClient {
    /// Creates the pod, and waits until the server has served it once: a node's policy takes a moment to know a new pod.
    pub async fn start(cluster: &Cluster, namespace: &str, plan: &Plan<'_>) -> Result<Self> {
        let pod = ClientPod::start_as(cluster, namespace, &pod(plan)).await?;
        let client = Self {
            cluster: cluster.clone(),
            namespace: namespace.to_owned(),
            name: plan.name.to_owned(),
            pod,
        };
        wait::until(&format!("{} served by {}", plan.name, plan.server), Duration::from_mins(2), || async {
            let log = client.log().await?;
            ensure!(log.lines().any(|line| line == BEGUN), "its log: {log}");
            Ok(())
        })
        .await?;
        Ok(client)
    }

    /// Ends the client after the handshake that it is making, and says what it has done. A client that ended by itself, or
    /// began again, is an error. The pod stays, for its log.
    pub async fn finish(self) -> Result<Tally> {
        // The command may end with the container that it ends.
        drop(self.pod.exec(&["/bin/bash", "-c", "kill -TERM 1"].map(str::to_owned)).await);
        wait::until(&format!("{} ended", self.name), Duration::from_mins(1), || async {
            let live = self.cluster.get(Kind::Pod, &self.namespace, &self.name).await?;
            let status = &live["status"]["containerStatuses"][0];
            ensure!(status["state"]["terminated"].is_object(), "its state is {status}");
            Ok(())
        })
        .await?;
        tally(&self.log().await?)
    }

    async fn log(&self) -> Result<String> {
        let pods: Api<Pod> = Api::namespaced(self.cluster.client().clone(), &self.namespace);
        Ok(pods.logs(&self.name, &LogParams::default()).await?)
    }
}

fn pod(plan: &Plan<'_>) -> Value {
    let mut pod = manifest(plan.name, plan.image, Some(plan.secret));
    pod["metadata"]["labels"]["app"] = plan.app.into();
    let spec = &mut pod["spec"];
    spec["restartPolicy"] = "Never".into();
    spec["containers"][0]["command"] = json!(["/bin/bash", "-c", script(plan)]);
    spec["containers"][0]["args"] = json!([]);
    // The root is read-only, and the scripts keep files.
    let volume = json!({"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}});
    push(&mut spec["volumes"], volume);
    push(&mut spec["containers"][0]["volumeMounts"], json!({"name": "tmp", "mountPath": "/tmp"}));
    pod
}

fn push(list: &mut Value, item: Value) {
    if let Some(list) = list.as_array_mut() {
        list.push(item);
    }
}

/// First until the server is reached at all, which does not count; then as process 1, which gets the signal.
fn script(plan: &Plan<'_>) -> String {
    let program = match plan.stack {
        Stack::Go => "stack-go",
        Stack::Jdk => "stack-java",
        Stack::OpenSsl => "stack-openssl",
    };
    let roots = match plan.roots {
        Roots::Once => "once",
        Roots::Each => "each",
    };
    let tls = "/etc/tessera/client";
    let to = format!(
        "client --address {}:{} --name {} --ca {tls}/ca.crt --cert {tls}/tls.crt --key {tls}/tls.key",
        plan.server, plan.port, plan.server
    );
    format!(
        "until /stacks/stack-go {to} --count 1 >/dev/null 2>&1; do sleep 0.5; done; echo {BEGUN}; \
         exec /stacks/{program} {to} --roots {roots} --count 0 --every {}",
        plan.every.as_millis()
    )
}

fn tally(log: &str) -> Result<Tally> {
    let (_, log) = log.split_once(&format!("{BEGUN}\n")).context("the client never began")?;
    // Standard output and standard error are one log, in no certain order.
    let (last, complaints): (Vec<_>, Vec<_>) = log.lines().partition(|line| line.starts_with('{'));
    let [last] = last.as_slice() else { bail!("no line says what was done: {log}") };
    let done: Value = serde_json::from_str(last)?;
    let count = |field: &str| done[field].as_u64().with_context(|| format!("no {field} in {last}"));
    Ok(Tally {
        handshakes: count("handshakes")?,
        failed: count("failed")?,
        complaints: complaints.into_iter().map(str::to_owned).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_tells_what_was_done_since_it_began() {
        let log =
            "begun\n2026-11-30T01:02:03.004Z handshake 2 failed: refused\n{\"handshakes\":3,\"failed\":1}\n";
        let tally = tally(log).unwrap();
        assert_eq!((tally.handshakes, tally.failed), (3, 1));
        assert_eq!(tally.complaints, ["2026-11-30T01:02:03.004Z handshake 2 failed: refused"]);
        assert!(super::tally("begun\n").is_err());
        assert!(super::tally("{\"handshakes\":3,\"failed\":0}\n").is_err());
    }

    #[test]
    fn a_pod_has_what_its_client_needs() {
        let plan = Plan {
            name: "go-1",
            app: "ledger-a",
            image: "localhost:5001/tessera-stacks",
            secret: "a-client-ledger",
            stack: Stack::OpenSsl,
            server: "a.org-a.svc",
            port: 8080,
            every: Duration::from_millis(100),
            roots: Roots::Once,
        };
        let pod = pod(&plan);
        assert_eq!(pod["metadata"]["labels"]["app"], "ledger-a");
        assert_eq!(pod["spec"]["volumes"].as_array().map(Vec::len), Some(2));
        let script = pod["spec"]["containers"][0]["command"][2].as_str().unwrap();
        assert!(script.contains("exec /stacks/stack-openssl client --address a.org-a.svc:8080"), "{script}");
        assert!(script.ends_with("--roots once --count 0 --every 100"), "{script}");
    }
}
