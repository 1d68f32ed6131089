//! A real Vault on loopback, with the Kubernetes auth plug-in, and an API server that knows one network and reviews tokens.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use axum::Json;
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tessera_crds::TesseraNetwork;
use tessera_crds::names;

const ROOT: &str = "root-token-of-this-test";
const DEADLINE: Duration = Duration::from_mins(1);
const PLUGIN: &str = "vault-plugin-auth-kubernetes";

/// The store, and who reviews tokens for it.
pub(crate) struct Vault {
    server: Child,
    binary: String,
    directory: TempDir,
    kubernetes: String,
    pub(crate) network: TesseraNetwork,
}

impl Vault {
    pub(crate) async fn start() -> Self {
        let (binary, plugin) = (variable("VAULT_BIN"), variable("VAULT_PLUGIN_BIN"));
        let directory = TempDir::new().unwrap();
        let plugins = directory.path().join("plugins");
        std::fs::create_dir(&plugins).unwrap();
        std::fs::copy(&plugin, plugins.join(PLUGIN)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listen = format!("127.0.0.1:{port}");
        let server = Command::new(&binary)
            .args(["server", "-dev", "-dev-tls", "-dev-no-store-token"])
            .arg(format!("-dev-tls-cert-dir={}", directory.path().display()))
            .arg(format!("-dev-plugin-dir={}", plugins.display()))
            .arg(format!("-dev-listen-address={listen}"))
            .env("VAULT_DEV_ROOT_TOKEN_ID", ROOT)
            .env("HOME", directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{binary}: {error}"));
        let network = network(&format!("https://{listen}"));
        let kubernetes = api_server(&network).await;
        let vault = Self { server, binary, directory, kubernetes, network };
        vault.wait();
        vault.cli(&["auth", "enable", "-path=kubernetes", PLUGIN]);
        // As the administrator of a store outside of the cluster.
        let ca = format!("kubernetes_ca_cert=@{}", vault.ca());
        let host = format!("kubernetes_host={}", vault.kubernetes);
        let reviewer = format!("token_reviewer_jwt={}", vault.token());
        vault.cli(&["write", "auth/kubernetes/config", &host, &ca, &reviewer]);
        vault
    }

    fn wait(&self) {
        let began = Instant::now();
        while !self.command(&["kv", "list", "secret"]).1.contains("No value") {
            assert!(began.elapsed() < DEADLINE, "Vault does not come up");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn run(&self, mut command: Command) -> Output {
        let address = self.network.spec.secret_store.vault.as_ref().unwrap().address.to_string();
        let command = command.env("VAULT_ADDR", address).env("VAULT_CACERT", self.ca());
        command.env("VAULT_TOKEN", ROOT).env("HOME", self.directory.path()).output().unwrap()
    }

    /// Vault's own command line as its administrator: whether it succeeded, and what it printed.
    pub(crate) fn command(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(&self.binary);
        command.args(arguments);
        let output = self.run(command);
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    }

    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        let (succeeded, text) = self.command(arguments);
        assert!(succeeded, "vault {arguments:?}: {text}");
        text
    }

    /// Vault's command line with the login of `role`, as the operator has it.
    pub(crate) fn as_role(&self, role: &str, arguments: &[&str]) -> (bool, String) {
        let jwt = format!("jwt={}", self.token());
        let role = format!("role={role}");
        let login = self.cli(&["write", "-format=json", "auth/kubernetes/login", &role, &jwt]);
        let login: Value = serde_json::from_str(&login).unwrap();
        let token = login["auth"]["client_token"].as_str().unwrap().to_owned();
        let address = self.network.spec.secret_store.vault.as_ref().unwrap().address.to_string();
        let mut command = Command::new(&self.binary);
        command.args(arguments).env("VAULT_ADDR", address).env("VAULT_CACERT", self.ca());
        let output = command.env("VAULT_TOKEN", token).env("HOME", self.directory.path()).output().unwrap();
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    }

    /// `kubectl tessera store-setup`, as a person runs it.
    pub(crate) fn store_setup(&self, arguments: &[&str]) -> String {
        let kubeconfig = self.directory.path().join("kubeconfig");
        std::fs::write(&kubeconfig, self.kubeconfig()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-tessera"));
        command.args(["store-setup", "net", "-n", "org-a", "--kubernetes-host", &self.kubernetes]);
        command.args(arguments).env("KUBECONFIG", &kubeconfig);
        let output = self.run(command);
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{text}");
        text
    }

    fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.kubernetes}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "users": [{"name": "test", "user": {}}],
        })
        .to_string()
    }

    /// A token of the operator's ServiceAccount; nobody but the API server of this file would take it.
    pub(crate) fn token(&self) -> String {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let now = jiff::Timestamp::now().as_second();
        let claims = json!({
            "aud": [self.network.spec.secret_store.vault.as_ref().unwrap().address.to_string()],
            "iss": "https://kubernetes.default.svc", "iat": now, "nbf": now - 60, "exp": now + 600,
            "sub": format!("system:serviceaccount:org-a:{}", names::PROVISIONER),
            "kubernetes.io": {
                "namespace": "org-a",
                "serviceaccount": {"name": names::PROVISIONER, "uid": "uid-of-the-provisioner"},
            },
        });
        format!("{}.{}.c2ln", part(json!({"alg": "RS256"})), part(claims))
    }

    pub(crate) fn ca(&self) -> String {
        self.directory.path().join("vault-ca.pem").to_str().unwrap().to_owned()
    }

    /// A file of this name with `text`, for a command that reads one.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn variable(name: &str) -> String {
    let value = std::env::var(name).unwrap_or_default();
    assert!(!value.is_empty(), "{name} must name a binary that `hack/tools` prints: see hack/check");
    value
}

fn network(address: &str) -> TesseraNetwork {
    serde_json::from_value(json!({
        "apiVersion": "tessera.rs/v1alpha1", "kind": "TesseraNetwork",
        "metadata": {"name": "net", "namespace": "org-a"},
        "spec": {
            "trustDomain": "org-a.example",
            "secretStore": {
                "type": "Vault",
                "vault": {
                    "address": address,
                    "caBundleRef": {"name": "vault-ca"},
                    "auth": {"role": "tessera-org-a"},
                    "kv": {"pathPrefix": "prod-eu1/org-a"},
                    "sourceCIDRs": ["127.0.0.0/8"],
                },
                "egress": [{"cidr": "127.0.0.1/32", "port": 443}],
            },
        },
    }))
    .unwrap()
}

async fn api_server(network: &TesseraNetwork) -> String {
    let network = serde_json::to_value(network).unwrap();
    let path = "/apis/tessera.rs/v1alpha1/namespaces/org-a/tesseranetworks/net";
    let routes = axum::Router::new()
        .route(path, get(move || async move { Json(network) }))
        .route("/apis/authentication.k8s.io/v1/tokenreviews", post(review));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

async fn review(Json(review): Json<Value>) -> Json<Value> {
    let username = format!("system:serviceaccount:org-a:{}", names::PROVISIONER);
    Json(json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "status": {
            "authenticated": true, "audiences": review["spec"]["audiences"],
            "user": {"username": username, "uid": "uid-of-the-provisioner", "groups": ["system:serviceaccounts"]},
        },
    }))
}
