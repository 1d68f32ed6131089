//! What connects one client of a node. [pure]

use std::num::NonZero;

use k8s_openapi::api::core::v1::PodSpec;
use serde::Serialize;
use tessera_crds::api::client::Client;
use tessera_crds::api::peer::IngressPeer;
use tessera_crds::{TesseraNetwork, TesseraNode, names};
use tessera_node_api::identity::{Identity, IdentityError};
use tessera_node_api::paths;

use crate::connect::{pod, source};

/// What to paste, and what must be so around it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Wiring {
    /// The node.
    pub(crate) node: String,
    /// The node's namespace.
    pub(crate) namespace: String,
    /// The client.
    pub(crate) client: String,
    /// The client's certificate.
    pub(crate) secret: SecretName,
    /// The ledger's pod must be one of these.
    pub(crate) from: Vec<IngressPeer>,
    /// The ledger's own flags.
    pub(crate) flags: Flags,
    /// What a person has to know, a sentence each.
    pub(crate) remarks: Vec<String>,
    /// The parts of the ledger's pod; the container `ledger` is the ledger's own.
    pub(crate) pod_spec: PodSpec,
}

/// A Secret, in the namespace where the ledger's pod must be: a pod mounts no other namespace's.
#[derive(Debug, Serialize)]
pub(crate) struct SecretName {
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
}

/// What a ledger's command line needs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Flags {
    /// Of GoQuorum.
    pub(crate) go_quorum: Vec<String>,
    /// Of Besu, which knows no Unix sockets: only with a loopback port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) besu: Option<Vec<String>>,
}

/// Why there is nothing to paste.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WiringError {
    /// The node declares no such client.
    #[error(
        "TesseraNode {node:?} declares no client {client:?}: it has {}; add it to spec.clients, or name another with --client",
        list(.declared)
    )]
    NoClient {
        /// The node.
        node: String,
        /// The client asked for.
        client: String,
        /// Those that there are.
        declared: Vec<String>,
    },
    /// No image.
    #[error("TesseraNode {0:?} has no image: set spec.image, or spec.nodeDefaults.image of its network")]
    NoImage(String),
    /// The trust domain is none.
    #[error("the names of network and node make no identity")]
    Identity(#[from] IdentityError),
}

impl Wiring {
    /// The wiring of `client`; with `loopback` on that port of 127.0.0.1, too.
    pub(crate) fn new(
        node: &TesseraNode,
        network: &TesseraNetwork,
        namespace: &str,
        client: &str,
        loopback: Option<NonZero<u16>>,
    ) -> Result<Self, WiringError> {
        let name = node.metadata.name.clone().unwrap_or_default();
        let declared = find(node, &name, client)?;
        let image = image(node, network).ok_or_else(|| WiringError::NoImage(name.clone()))?;
        let certificate = declared.certificate.as_ref();
        let ledger_namespace =
            certificate.and_then(|certificate| certificate.secret_namespace.as_deref()).unwrap_or(namespace);
        let secret = SecretName {
            namespace: ledger_namespace.to_owned(),
            name: names::node::client_secret(&name, client),
        };
        let flags = Flags::new(loopback);
        let sidecar = pod::Sidecar {
            image,
            node_url: names::node::q2t_url(&name, namespace),
            identity: Identity::node(&network.spec.trust_domain, &name)?,
            client: client.to_owned(),
            secret: secret.name.clone(),
            loopback,
        };
        let pod_spec = sidecar.pod_spec(flags.besu.as_ref().unwrap_or(&flags.go_quorum));
        let mut remarks = remarks(declared, namespace, ledger_namespace, loopback);
        remarks.extend(pull_secrets(node, network, ledger_namespace));
        let (client, from) = (client.to_owned(), declared.from.clone());
        Ok(Self {
            node: name,
            namespace: namespace.to_owned(),
            client,
            secret,
            from,
            flags,
            remarks,
            pod_spec,
        })
    }
}

impl Flags {
    fn new(loopback: Option<NonZero<u16>>) -> Self {
        Self {
            go_quorum: vec!["--ptm.socket".to_owned(), paths::CONNECT_SOCKET.to_owned()],
            besu: loopback.map(|port| vec![format!("--privacy-url=http://127.0.0.1:{port}")]),
        }
    }
}

fn find<'n>(node: &'n TesseraNode, name: &str, client: &str) -> Result<&'n Client, WiringError> {
    let clients = &node.spec.clients;
    clients.iter().find(|declared| *declared.name == *client).ok_or_else(|| WiringError::NoClient {
        node: name.to_owned(),
        client: client.to_owned(),
        declared: clients.iter().map(|declared| declared.name.to_string()).collect(),
    })
}

/// The image with which the node serves; before it first did, that of the spec.
fn image(node: &TesseraNode, network: &TesseraNetwork) -> Option<String> {
    let served = node.status.as_ref().and_then(|status| status.images.as_ref()?.served.clone());
    let defaults = network.spec.node_defaults.as_ref().and_then(|defaults| defaults.image.as_ref());
    served.or_else(|| node.spec.image.as_ref().or(defaults).map(ToString::to_string))
}

fn remarks(
    client: &Client,
    namespace: &str,
    ledger_namespace: &str,
    loopback: Option<NonZero<u16>>,
) -> Vec<String> {
    let mut remarks = vec![format!(
        "the ledger's pod must be in namespace {ledger_namespace}, where its certificate is, and be one of spec.clients[].from: {}",
        client.from.iter().map(|peer| source::describe(peer, namespace)).collect::<Vec<_>>().join("; or ")
    )];
    if ledger_namespace != namespace && client.from.iter().all(source::is_of_own_namespace) {
        remarks.push(format!(
            "no entry of spec.clients[].from lets pods of namespace {ledger_namespace} in: add one with a namespaceSelector"
        ));
    }
    remarks.push(
        "socket and certificate are shared by group: keep the pod's fsGroup if it has one (OpenShift gives one by itself)".to_owned(),
    );
    if loopback.is_some() {
        remarks.push(
            "every process of the pod, and everybody who may port-forward to it, speaks to the node on the loopback port without a certificate; the sidecar refuses it with hostNetwork".to_owned(),
        );
    } else {
        remarks.push(
            "GoQuorum speaks to the socket; Besu knows no Unix sockets, and needs --loopback PORT".to_owned(),
        );
    }
    remarks
}

/// The image may be one that only nodes can pull.
fn pull_secrets(node: &TesseraNode, network: &TesseraNetwork, ledger_namespace: &str) -> Option<String> {
    let defaults = network.spec.node_defaults.clone().unwrap_or_default();
    let secrets = node.spec.pod.clone().or(defaults.pod).image_pull_secrets.unwrap_or_default();
    let names: Vec<_> = secrets.iter().map(|secret| secret.name.to_string()).collect();
    (!names.is_empty()).then(|| {
        format!(
            "nodes pull this image with Secret {}: name it, or its like in namespace {ledger_namespace}, in the ledger's imagePullSecrets",
            names.join(", ")
        )
    })
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
