//! A token sent to another address is worthless at the real store: its audience is the address that it was made for.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{Api, LogParams, PostParams};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;
use tessera_e2e::cluster::{Cluster, Kind};
use tessera_e2e::fleet::{Fleet, NETWORK};
use tessera_e2e::wait;

/// Where the fake store stands: outside the network's namespace, whose default-deny would keep callers from it.
const ELSEWHERE: &str = "e2e-outsiders";
const FAKE: &str = "fake-store";

#[tokio::test]
async fn a_captured_token_is_worthless() -> Result<()> {
    let fleet = Fleet::start("e2e-audience", &["a"]).await?;
    let ca = start_fake_store(&fleet).await?;

    // The control: the same login accepts a token that the operator asks for, made for the real store's address.
    let own = token_for(&fleet, "https://vault.vault.svc:8200").await?;
    ensure!(
        fleet.vault.login_accepts("kubernetes", &fleet.role, &own).await?,
        "control: a token for the store"
    );
    let address = format!("https://{FAKE}.{ELSEWHERE}.svc:8200");
    let fake = json!({"metadata": {"name": "fake-ca"}, "data": {"ca.crt": ca}});
    fleet.cluster.apply(Kind::ConfigMap, &fleet.namespace, &fake).await?;
    let change = json!({"spec": {"secretStore": {
        "vault": {"address": address, "caBundleRef": {"name": "fake-ca"}},
        "egress": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ELSEWHERE}}, "port": 8200}],
    }}});
    fleet.cluster.edit(Kind::TesseraNetwork, &fleet.namespace, NETWORK, &change).await?;
    // A node that starts now logs in at the fake store.
    fleet.create_node("late").await?;

    let tokens = captured_tokens(&fleet).await?;
    for token in &tokens {
        let accepted = fleet.vault.login_accepts("kubernetes", &fleet.role, token).await?;
        ensure!(!accepted, "the real store accepted a token made for {address}");
    }
    fleet.cluster.delete(Kind::Pod, ELSEWHERE, FAKE).await?;
    fleet.done().await
}

/// A token as the operator asks for it.
async fn token_for(fleet: &Fleet, audience: &str) -> Result<String> {
    let operator = Cluster::connect_as("system:serviceaccount:tessera-system:tessera-operator").await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(operator.client().clone(), &fleet.namespace);
    let request = TokenRequest {
        spec: TokenRequestSpec { audiences: vec![audience.to_owned()], ..TokenRequestSpec::default() },
        ..TokenRequest::default()
    };
    let answer =
        accounts.create_token_request("tessera-provisioner", &PostParams::default(), &request).await?;
    Ok(answer.status.context("a token was issued")?.token)
}

/// The tokens that the fake store was sent: at least one by a node.
async fn captured_tokens(fleet: &Fleet) -> Result<Vec<String>> {
    let pods = Api::<Pod>::namespaced(fleet.cluster.client().clone(), ELSEWHERE);
    wait::until("a token sent to the fake store", Duration::from_mins(3), || async {
        let log = pods.logs(FAKE, &LogParams::default()).await?;
        let tokens: Vec<String> = log
            .lines()
            .filter(|line| line.contains("/login "))
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(&line[line.find('{')?..]).ok())
            .filter_map(|body| body["jwt"].as_str().map(str::to_owned))
            .collect();
        let by_node = |token: &String| subject(token).is_some_and(|who| who.ends_with(":tessera-node-late"));
        ensure!(tokens.iter().any(by_node), "it was asked: {} tokens, none by the node", tokens.len());
        Ok(tokens)
    })
    .await
}

/// Whose token it is.
fn subject(token: &str) -> Option<String> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<serde_json::Value>(&claims).ok()?["sub"].as_str().map(str::to_owned)
}

/// Starts the fake store with a certificate of a CA of its own; gives that CA back.
async fn start_fake_store(fleet: &Fleet) -> Result<String> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new([format!("{FAKE}.{ELSEWHERE}.svc")])?.signed_by(&key, &ca)?;

    let cluster = &fleet.cluster;
    cluster.clear(Kind::Pod, ELSEWHERE, "app=fake-store").await?;
    let secret = json!({
        "metadata": {"name": FAKE}, "stringData": {"tls.crt": leaf.pem(), "tls.key": key.serialize_pem()},
    });
    cluster.apply(Kind::Secret, ELSEWHERE, &secret).await?;
    let service = json!({
        "metadata": {"name": FAKE}, "spec": {"selector": {"app": FAKE}, "ports": [{"port": 8200}]},
    });
    cluster.apply(Kind::Service, ELSEWHERE, &service).await?;
    let pod = json!({
        "metadata": {"name": FAKE, "labels": {"app": FAKE}},
        "spec": {
            "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "capture", "image": fleet.settings.client_image,
                "args": ["capture", "--listen", "0.0.0.0:8200", "--tls-dir", "/tls"],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "tls", "mountPath": "/tls", "readOnly": true}],
            }],
            "volumes": [{"name": "tls", "secret": {"secretName": FAKE, "defaultMode": 0o440}}],
        },
    });
    cluster.create(Kind::Pod, ELSEWHERE, &pod).await?;
    wait::until("the fake store running", Duration::from_mins(1), || async {
        let live = cluster.get(Kind::Pod, ELSEWHERE, FAKE).await?;
        live["status"]["containerStatuses"][0]["state"].get("running").map(drop).context("not running")
    })
    .await?;
    Ok(ca.pem())
}
