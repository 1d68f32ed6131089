//! A ledger without mutual TLS: `kubectl tessera connect` prints its sidecar, which takes a new certificate without a restart.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, LogParams};
use serde_json::{Value, json};
use tessera_e2e::client_pod::{self, Answer, ClientPod};
use tessera_e2e::cluster::Kind;
use tessera_e2e::fleet::Fleet;
use tessera_e2e::wait;

const POD: &str = "ledger-a";
const SIDECAR: &str = "tessera-connect";
const SECRET: &str = "a-client-ledger";
/// The operator issues at once; a kubelet takes up to two minutes to bring the files.
const RENEWAL: Duration = Duration::from_mins(5);

#[tokio::test]
async fn a_ledger_without_tls_is_connected_by_its_sidecar() -> Result<()> {
    let fleet = Fleet::start("e2e-connect", &["a", "b"]).await?;
    let wiring = fleet
        .plugin(&["connect", "a", "--client", "ledger", "--loopback", "9101", "-o", "json"], &[])
        .await?;
    let wiring: Value = serde_json::from_str(&wiring)?;
    ensure!(wiring["secret"] == json!({"namespace": fleet.namespace, "name": SECRET}), "{wiring}");
    let manifest = manifest(&fleet, &wiring)?;
    let ledger = ClientPod::start_as(&fleet.cluster, &fleet.namespace, &manifest).await?;
    let socket =
        wiring["flags"]["goQuorum"][1].as_str().context("GoQuorum's flag names the socket")?.to_owned();
    // The node's policy takes a moment to know a new pod; until then the sidecar says that the node cannot be reached.
    wait::until("a answering over the socket", Duration::from_mins(1), || async {
        let answer = over_socket(&ledger, &socket, "GET", "/upcheck", None).await?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    })
    .await?;
    let on_loopback = ledger.request("GET", "http://127.0.0.1:9101/upcheck", None).await?;
    ensure!(on_loopback.status == 200, "{on_loopback:?}");

    let (b, key) = (fleet.ledger("b").await?, fleet.public_key("b").await?);
    let hash = send(&ledger, &socket, b"without tls", &key).await?;
    ensure!(b.payload(&hash).await? == b"without tls");
    let received = over_socket(&ledger, &socket, "GET", &path_of(&hash), None).await?;
    let received: Value = serde_json::from_str(&received.body)?;
    ensure!(received["payload"] == STANDARD.encode(b"without tls"), "{received}");

    let (before, loaded) = (certificate(&fleet).await?, loads(&fleet).await?);
    fleet.break_glass.delete(Kind::Secret, &fleet.namespace, SECRET).await?;
    wait::until("another certificate used by the sidecar", RENEWAL, || async {
        ensure!(certificate(&fleet).await? != before, "the Secret has the old one");
        ensure!(loads(&fleet).await? > loaded, "the sidecar has not loaded it");
        Ok(())
    })
    .await?;
    let hash = send(&ledger, &socket, b"with another certificate", &key).await?;
    ensure!(b.payload(&hash).await? == b"with another certificate");
    let pod = fleet.cluster.get(Kind::Pod, &fleet.namespace, POD).await?;
    for status in ["initContainerStatuses", "containerStatuses"] {
        ensure!(pod["status"][status][0]["restartCount"] == 0, "{}", pod["status"]);
    }
    fleet.done().await
}

/// A ledger's pod with what the plug-in printed pasted into it.
fn manifest(fleet: &Fleet, wiring: &Value) -> Result<Value> {
    let printed = &wiring["podSpec"];
    let mut pod = client_pod::manifest(POD, &fleet.settings.client_image, None);
    let spec = &mut pod["spec"];
    spec["initContainers"] = printed["initContainers"].clone();
    spec["volumes"] = printed["volumes"].clone();
    spec["securityContext"]["fsGroup"] = printed["securityContext"]["fsGroup"].clone();
    let of_ledger = printed["containers"].as_array().context("the ledger's container is printed")?;
    ensure!(of_ledger[0]["name"] == "ledger", "{printed}");
    spec["containers"][0]["volumeMounts"] = of_ledger[0]["volumeMounts"].clone();
    Ok(pod)
}

async fn over_socket(
    ledger: &ClientPod,
    socket: &str,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<Answer> {
    let url = format!("http://ledger{path}");
    let mut command =
        ["/tessera-client", "request", method, &url, "--unix-socket", socket].map(str::to_owned).to_vec();
    if let Some(body) = body {
        command.extend(["--json".to_owned(), body.to_string()]);
    }
    ledger.request_with(&command).await
}

/// Sends once, but waits for the recipient, which becomes known with its party info.
async fn send(ledger: &ClientPod, socket: &str, payload: &[u8], to: &str) -> Result<String> {
    let body = json!({"payload": STANDARD.encode(payload), "to": [to]});
    let answer = wait::until("the recipient known to a", Duration::from_secs(90), || async {
        let answer = over_socket(ledger, socket, "POST", "/send", Some(&body)).await?;
        ensure!(answer.status != 404, "{answer:?}");
        Ok(answer)
    })
    .await?;
    ensure!(answer.status == 201, "{answer:?}");
    let body: Value = serde_json::from_str(&answer.body)?;
    body["key"].as_str().map(str::to_owned).context("no key in the answer")
}

fn path_of(hash: &str) -> String {
    format!("/transaction/{}", hash.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D"))
}

async fn certificate(fleet: &Fleet) -> Result<Value> {
    Ok(fleet.cluster.get(Kind::Secret, &fleet.namespace, SECRET).await?["data"]["tls.crt"].clone())
}

/// How often the sidecar has loaded a certificate.
async fn loads(fleet: &Fleet) -> Result<usize> {
    let pods: Api<Pod> = Api::namespaced(fleet.cluster.client().clone(), &fleet.namespace);
    let params = LogParams { container: Some(SIDECAR.to_owned()), ..LogParams::default() };
    Ok(pods.logs(POD, &params).await?.matches("credentials loaded").count())
}
