//! The API server under test, with our definitions installed and a namespace of the test's own.

use http::Request;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Client, Config, ResourceExt};
use serde_json::Value;
use tessera_crds::generate;

/// The environment variable with the path of the API server's kubeconfig. It is ours alone, so that the tests never run
/// against the cluster that a person happens to be logged in to.
const KUBECONFIG: &str = "TESSERA_TEST_KUBECONFIG";

pub(crate) struct ApiServer {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) kubeconfig: String,
}

impl ApiServer {
    /// Connects, installs the definitions and makes a namespace that starts with `test`.
    pub(crate) async fn start(test: &str) -> Self {
        let Ok(kubeconfig) = std::env::var(KUBECONFIG) else {
            panic!("no API server: run `hack/apiserver -- cargo test -p tessera-crds --test admission`")
        };
        // Another test of this process may have been first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = connect(&kubeconfig).await;
        install(&client).await;
        let namespace = make_namespace(&client, test).await;
        Self { client, namespace, kubeconfig }
    }

    /// Creates `object`, or with `dry_run` asks whether it would be admitted.
    pub(crate) async fn create(&self, object: &Value, dry_run: bool) -> Result<Value, String> {
        self.send(Request::post(self.path(object, "", dry_run)), object).await
    }

    /// The live object of `object`'s kind and name.
    pub(crate) async fn get(&self, object: &Value) -> Value {
        let name = object["metadata"]["name"].as_str().expect("fixtures have a name");
        let request = Request::get(self.path(object, &format!("/{name}"), false)).body(Vec::new());
        self.client.request(request.expect("the path is a URI")).await.expect("the object is there")
    }

    /// Asks whether `object` would be admitted in place of the live one.
    pub(crate) async fn would_replace(&self, object: &Value) -> Result<Value, String> {
        let name = object["metadata"]["name"].as_str().expect("fixtures have a name");
        self.send(Request::put(self.path(object, &format!("/{name}"), true)), object).await
    }

    /// Replaces the status of the live object.
    pub(crate) async fn replace_status(&self, object: &Value) -> Result<Value, String> {
        let name = object["metadata"]["name"].as_str().expect("fixtures have a name");
        self.send(Request::put(self.path(object, &format!("/{name}/status"), false)), object).await
    }

    /// Unknown fields are refused, as `kubectl apply` asks the API server to.
    fn path(&self, object: &Value, name: &str, dry_run: bool) -> String {
        let plural = object["kind"].as_str().expect("fixtures have a kind").to_lowercase() + "s";
        let dry_run = if dry_run { "&dryRun=All" } else { "" };
        let namespace = &self.namespace;
        format!(
            "/apis/tessera.rs/v1alpha1/namespaces/{namespace}/{plural}{name}?fieldValidation=Strict{dry_run}"
        )
    }

    /// The admitted object, or the API server's own words for a refusal; any other failure is the test's. Untyped:
    /// invalid objects must get as far as the wire.
    async fn send(&self, request: http::request::Builder, object: &Value) -> Result<Value, String> {
        let request =
            request.header("Content-Type", "application/json").body(object.to_string().into_bytes());
        match self.client.request(request.expect("the path is a URI")).await {
            Ok(object) => Ok(object),
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 422) => Err(status.message.clone()),
            Err(error) => panic!("the API server did not decide: {error}"),
        }
    }
}

async fn connect(kubeconfig: &str) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("the kubeconfig can be read");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("the kubeconfig is complete")).expect("a client can be made")
}

async fn install(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in generate::definitions() {
        let name = definition.name_any();
        let params = PatchParams::apply("tessera-admission-test").force();
        api.patch(&name, &params, &Patch::Apply(&definition)).await.expect("the definition is admitted");
        await_condition(api.clone(), &name, conditions::is_crd_established()).await.expect("it is served");
    }
}

async fn make_namespace(client: &Client, test: &str) -> String {
    let api: Api<Namespace> = Api::all(client.clone());
    let metadata = ObjectMeta { generate_name: Some(format!("{test}-")), ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    api.create(&PostParams::default(), &namespace).await.expect("a namespace can be made").name_any()
}
