//! A network with its nodes and ledger stand-ins in one namespace.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::client_pod::{Answer, ClientPod};
use crate::cluster::{Cluster, Kind, condition};
use crate::settings::Settings;
use crate::vault::Vault;
use crate::wait;

/// How long a slow machine may take to bring a node up.
pub const READY_DEADLINE: Duration = Duration::from_mins(4);

/// The name of the network in every test's namespace.
pub const NETWORK: &str = "net";

/// The namespaces that `hack/e2e` makes and the operator manages, one a line: each test has its own.
pub const NAMESPACES: &str = include_str!("../namespaces.txt");

/// One test's fleet.
pub struct Fleet {
    /// The API server.
    pub cluster: Cluster,
    /// The API server, for somebody whom the admission policies let past: who changes what the operator made, so that the
    /// tests see it put back.
    pub break_glass: Cluster,
    /// What `hack/e2e` said.
    pub settings: Settings,
    /// Vault's administrator.
    pub vault: Vault,
    /// The test's namespace.
    pub namespace: String,
    /// Where the nodes' keys lie in the store, new for each run.
    pub path_prefix: String,
    /// The store's role for the namespace, new for each run: the store may be older than the run.
    pub role: String,
}

/// The Secret with the certificate that nodes and operator show the store.
pub const STORE_CLIENT: &str = "vault-client";

impl Fleet {
    /// Clears the namespace, then creates a network whose store is set up, and `nodes`; waits until all are ready.
    pub async fn start(namespace: &str, nodes: &[&str]) -> Result<Self> {
        let fleet = Self::prepare(namespace).await?;
        fleet.create_network().await?;
        fleet.set_up_store().await?;
        for node in nodes {
            fleet.create_node(node).await?;
        }
        for node in nodes {
            fleet.node_ready(node).await?;
        }
        Ok(fleet)
    }

    /// A cleared namespace with the store's CA in it, and nothing else yet.
    pub async fn prepare(namespace: &str) -> Result<Self> {
        if !NAMESPACES.lines().any(|line| line == namespace) {
            bail!(
                "namespace {namespace} is not listed in e2e/namespaces.txt, so the operator does not manage it"
            );
        }
        let settings = Settings::from_env()?;
        let cluster = Cluster::connect().await?;
        cluster.clear(Kind::TesseraNode, namespace, "").await?;
        delete_network(&cluster, namespace).await?;
        let break_glass =
            Cluster::connect_as("system:serviceaccount:tessera-system:tessera-break-glass").await?;
        for kind in [Kind::StatefulSet, Kind::Pod, Kind::PersistentVolumeClaim] {
            break_glass.clear(kind, namespace, "").await?;
        }
        let ca = std::fs::read_to_string(&settings.vault_ca_file)?;
        cluster
            .apply(
                Kind::ConfigMap,
                namespace,
                &json!({"metadata": {"name": "vault-ca"}, "data": {"ca.crt": ca}}),
            )
            .await?;
        if let Some(directory) = &settings.vault_client_tls {
            let file = |name: &str| std::fs::read_to_string(format!("{directory}/{name}"));
            let secret = json!({
                "metadata": {"name": STORE_CLIENT}, "type": "kubernetes.io/tls",
                "stringData": {"tls.crt": file("tls.crt")?, "tls.key": file("tls.key")?},
            });
            cluster.apply(Kind::Secret, namespace, &secret).await?;
        }
        let run = run_id()?;
        Ok(Self {
            vault: Vault::connect(&settings)?,
            cluster,
            break_glass,
            settings,
            namespace: namespace.to_owned(),
            path_prefix: format!("e2e/{namespace}/{run}"),
            role: format!("tessera-{namespace}-{run}"),
        })
    }

    /// The network's manifest; tests change what they are about.
    pub fn network_manifest(&self) -> Value {
        let mut manifest = self.network_without_client_certificate();
        if self.settings.vault_client_tls.is_some() {
            manifest["spec"]["secretStore"]["vault"]["clientCertificate"] =
                json!({"type": "SecretRef", "secretRef": {"name": STORE_CLIENT}});
        }
        manifest
    }

    fn network_without_client_certificate(&self) -> Value {
        json!({
            "metadata": {"name": NETWORK},
            "spec": {
                "trustDomain": format!("{}.example", self.namespace),
                "secretStore": {
                    "type": "Vault",
                    "vault": {
                        "address": "https://vault.vault.svc:8200",
                        "caBundleRef": {"name": "vault-ca", "key": "ca.crt"},
                        "auth": {"mount": "kubernetes", "role": self.role},
                        "kv": {"mount": "secret", "pathPrefix": self.path_prefix},
                    },
                    "egress": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "vault"}}, "port": 8200}],
                },
                "monitoring": [{"name": "scraper", "from": {"podSelector": {"matchLabels": {"app": "scraper"}}}}],
                "nodeDefaults": {
                    "image": self.settings.node_image,
                    "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}},
                },
            },
        })
    }

    /// A node's manifest: one key, one client named `ledger` from pods with label `app: ledger-<node>`.
    pub fn node_manifest(&self, node: &str) -> Value {
        json!({
            "metadata": {"name": node},
            "spec": {
                "networkRef": {"name": NETWORK},
                "storage": {"type": "Embedded", "embedded": {"size": "256Mi", "storageClassName": "standard"}},
                "keys": [{"name": "main", "default": true, "type": "Vault"}],
                "clients": [{
                    "name": "ledger",
                    "from": [{"podSelector": {"matchLabels": {"app": format!("ledger-{node}")}}}],
                }],
            },
        })
    }

    /// Applies [`Self::network_manifest`].
    pub async fn create_network(&self) -> Result<()> {
        self.cluster.apply(Kind::TesseraNetwork, &self.namespace, &self.network_manifest()).await.map(drop)
    }

    /// Applies [`Self::node_manifest`].
    pub async fn create_node(&self, node: &str) -> Result<()> {
        self.cluster.apply(Kind::TesseraNode, &self.namespace, &self.node_manifest(node)).await.map(drop)
    }

    /// What a person does once for a network: `kubectl tessera store-setup`.
    pub async fn set_up_store(&self) -> Result<()> {
        self.store_setup(&[]).await
    }

    /// What a person does when a cluster is gone: gives this network the keys that have its stamp.
    pub async fn adopt(&self, stamp: &str) -> Result<()> {
        self.store_setup(&["--adopt", stamp]).await
    }

    async fn store_setup(&self, arguments: &[&str]) -> Result<()> {
        let token = std::fs::read_to_string(&self.settings.vault_token_file)?;
        let store = ["--vault-addr", &self.settings.vault_address, "--ca-file", &self.settings.vault_ca_file];
        let all = [&["store-setup", NETWORK], &store[..], arguments].concat();
        self.plugin(&all, &[("VAULT_TOKEN", token.trim())]).await.map(drop)
    }

    /// What a person does when a node's volume is lost for good: `kubectl tessera accept-loss`.
    pub async fn accept_loss(&self, node: &str) -> Result<()> {
        self.plugin(&["accept-loss", node], &[]).await.map(drop)
    }

    /// `kubectl tessera …` in the test's namespace; gives what it prints.
    pub async fn plugin(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Result<String> {
        let output = tokio::process::Command::new(&self.settings.kubectl_tessera)
            .args(arguments)
            .args(["-n", &self.namespace])
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .await
            .context("starting kubectl-tessera")?;
        if !output.status.success() {
            bail!("kubectl tessera {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The TesseraNode as it is.
    pub async fn node(&self, node: &str) -> Result<Value> {
        self.cluster.get(Kind::TesseraNode, &self.namespace, node).await
    }

    /// Waits until the node is ready; gives it back.
    pub async fn node_ready(&self, node: &str) -> Result<Value> {
        self.node_condition(node, "Ready", "True", "Ready").await
    }

    /// Waits until a condition of the node has this status and reason; gives the node back.
    pub async fn node_condition(&self, node: &str, type_: &str, status: &str, reason: &str) -> Result<Value> {
        let what = format!("TesseraNode {}/{node} {type_}={status} {reason}", self.namespace);
        wait::until(&what, READY_DEADLINE, || async {
            let live = self.node(node).await?;
            expect_condition(&live, type_, status, reason)?;
            Ok(live)
        })
        .await
    }

    /// Waits until a condition of the network has this status and reason; gives the network back.
    pub async fn network_condition(&self, type_: &str, status: &str, reason: &str) -> Result<Value> {
        let what = format!("TesseraNetwork {}/{NETWORK} {type_}={status} {reason}", self.namespace);
        wait::until(&what, READY_DEADLINE, || async {
            let live = self.cluster.get(Kind::TesseraNetwork, &self.namespace, NETWORK).await?;
            expect_condition(&live, type_, status, reason)?;
            Ok(live)
        })
        .await
    }

    /// A node's default public key, whole, from its status.
    pub async fn public_key(&self, node: &str) -> Result<String> {
        let live = self.node(node).await?;
        let keys = live["status"]["keys"].as_array().cloned().unwrap_or_default();
        let default = keys.iter().find(|key| key["state"] == "Default");
        default
            .and_then(|key| key["publicKey"].as_str())
            .map(str::to_owned)
            .with_context(|| format!("{node} reports no default key"))
    }

    /// The store holds exactly one secret of the node's key, in exactly one version: the reported one.
    pub async fn has_one_version_of_its_key(&self, node: &str) -> Result<()> {
        let directory = format!("{}/{}/tessera-node-{node}/keys/main", self.path_prefix, self.namespace);
        let names = self.vault.names("secret", &directory).await?;
        ensure!(names == ["1"], "secrets under {directory}: {names:?}");
        let (data, version) = self.vault.secret("secret", &format!("{directory}/1")).await?;
        ensure!(version == 1, "version {version} of {directory}/1");
        let reported = self.public_key(node).await?;
        ensure!(data["publicKey"] == *reported, "the stored key is the reported one");
        Ok(())
    }

    /// Starts the ledger stand-in of a node.
    pub async fn ledger(&self, node: &str) -> Result<Ledger> {
        self.ledger_in(&self.namespace, node).await
    }

    /// The same in another namespace, with the certificate that the node's client has there.
    pub async fn ledger_in(&self, namespace: &str, node: &str) -> Result<Ledger> {
        let secret = format!("{node}-client-ledger");
        let pod = ClientPod::start(
            &self.cluster,
            namespace,
            &format!("ledger-{node}"),
            &self.settings.client_image,
            Some(&secret),
        )
        .await?;
        let ledger = Ledger { pod, url: format!("https://{node}.{}.svc:8080", self.namespace) };
        // The node's policy takes a moment to know a new pod.
        wait::until(&format!("{node} serving its ledger"), Duration::from_mins(1), || async {
            let answer = ledger.pod.request("GET", &format!("{}/upcheck", ledger.url), None).await?;
            if answer.status == 200 { Ok(()) } else { bail!("{answer:?}") }
        })
        .await?;
        Ok(ledger)
    }

    /// Gives the fleet up, without waiting for its pods to end: a test that has passed should not cost those that run. What
    /// failed is kept, to be looked at.
    pub async fn done(&self) -> Result<()> {
        for kind in [Kind::TesseraNode, Kind::Pod] {
            for object in self.cluster.list(kind, &self.namespace, "").await? {
                let name = object["metadata"]["name"].as_str().context("an object has a name")?;
                self.cluster.delete(kind, &self.namespace, name).await?;
            }
        }
        delete_network(&self.cluster, &self.namespace).await
    }

    /// Deletes the network, whose nodes must be gone.
    pub async fn delete_network(&self) -> Result<()> {
        delete_network(&self.cluster, &self.namespace).await
    }

    /// Starts a pod without any certificate and without any label that a policy names.
    pub async fn stranger(&self) -> Result<ClientPod> {
        ClientPod::start(&self.cluster, &self.namespace, "stranger", &self.settings.client_image, None).await
    }
}

/// The ledger stand-in of one node.
pub struct Ledger {
    /// Its pod.
    pub pod: ClientPod,
    /// The node's Q2T URL.
    pub url: String,
}

impl Ledger {
    /// `POST /send`; the answer as it comes.
    pub async fn try_send(&self, payload: &[u8], to: &[String]) -> Result<Answer> {
        let body = json!({"payload": STANDARD.encode(payload), "to": to});
        self.pod.request("POST", &format!("{}/send", self.url), Some(&body)).await
    }

    /// Sends once, but waits for a recipient that is not known yet, since recipients become known with their party info;
    /// gives the hash back. Whatever else is answered is an error: a failure must not be retried away.
    pub async fn send(&self, payload: &[u8], to: &[String]) -> Result<String> {
        let answer = wait::until("the recipient known to the sender", Duration::from_secs(90), || async {
            let answer = self.try_send(payload, to).await?;
            ensure!(answer.status != 404, "{answer:?}");
            Ok(answer)
        })
        .await?;
        if answer.status != 201 {
            bail!("a send was answered with {answer:?}");
        }
        let body: Value = serde_json::from_str(&answer.body)?;
        body["key"].as_str().map(str::to_owned).context("no key in the answer")
    }

    /// `GET /transaction/{hash}`; the answer as it comes.
    pub async fn receive(&self, hash: &str) -> Result<Answer> {
        let escaped = hash.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D");
        self.pod.request("GET", &format!("{}/transaction/{escaped}", self.url), None).await
    }

    /// The payload of a hash; an error when the node does not give it.
    pub async fn payload(&self, hash: &str) -> Result<Vec<u8>> {
        let answer = self.receive(hash).await?;
        if answer.status != 200 {
            bail!("{answer:?}");
        }
        let body: Value = serde_json::from_str(&answer.body)?;
        Ok(STANDARD.decode(body["payload"].as_str().context("no payload in the answer")?)?)
    }
}

/// Deletes the network, which goes once the operator has seen that its nodes are gone.
async fn delete_network(cluster: &Cluster, namespace: &str) -> Result<()> {
    wait::until(&format!("TesseraNetwork of {namespace} deleted"), Duration::from_mins(1), || {
        cluster.delete(Kind::TesseraNetwork, namespace, NETWORK)
    })
    .await
}

/// Whether a condition of an object has this status and reason; the error says what it has.
pub fn expect_condition(object: &Value, type_: &str, status: &str, reason: &str) -> Result<()> {
    match condition(object, type_) {
        Some((s, r, _)) if s == status && r == reason => Ok(()),
        Some((s, r, message)) => bail!("{type_}={s} {r}: {message}"),
        None => bail!("no condition {type_} yet"),
    }
}

/// Tells this run's store paths from those of runs before it.
fn run_id() -> Result<String> {
    let mut bytes = [0_u8; 6];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(hex::encode(bytes))
}
