//! Which networks and nodes must be looked at when an object changed.

use futures::channel::mpsc::UnboundedSender;
use kube::api::ObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use tessera_crds::names::label;
use tessera_crds::{TesseraNetwork, TesseraNode};

use crate::kube::meta::{name_of, namespace_of};
use crate::kube::planned::controller_of;

/// Sends references to the queues. A queue that is gone belongs to a process that ends.
#[derive(Clone)]
pub(super) struct Triggers {
    networks: UnboundedSender<ObjectRef<TesseraNetwork>>,
    nodes: UnboundedSender<ObjectRef<TesseraNode>>,
    known_nodes: Store<TesseraNode>,
}

impl Triggers {
    pub(super) fn new(
        networks: UnboundedSender<ObjectRef<TesseraNetwork>>,
        nodes: UnboundedSender<ObjectRef<TesseraNode>>,
        known_nodes: Store<TesseraNode>,
    ) -> Self {
        Self { networks, nodes, known_nodes }
    }

    /// A network changed: itself, and its nodes, which take trust domain, image, store and CA from it.
    pub(super) fn network(&self, network: &TesseraNetwork) {
        let (name, namespace) = (name_of(network), namespace_of(network));
        self.enqueue_network(name, namespace);
        self.enqueue_nodes_of(name);
    }

    /// A node changed, came or went: itself, the others, whose peer it is, and its network, which counts it.
    pub(super) fn node(&self, node: &TesseraNode) {
        let namespace = namespace_of(node);
        self.enqueue_node(name_of(node), namespace);
        self.enqueue_network(&node.spec.network_ref.name, namespace);
        self.enqueue_nodes_of(&node.spec.network_ref.name);
    }

    /// An owned object changed.
    pub(super) fn owned(&self, metadata: &ObjectMeta) {
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        let Some(owner) = controller_of(metadata.owner_references.as_deref()) else {
            // Without an owner it is not ours, but it may have been in our way.
            self.labelled(metadata);
            return;
        };
        match owner.kind.as_str() {
            "TesseraNode" => self.enqueue_node(&owner.name, namespace),
            "TesseraNetwork" => self.enqueue_network(&owner.name, namespace),
            _ => {}
        }
    }

    /// A pod or a claim changed: it is controlled by others, but labelled with its node.
    pub(super) fn labelled(&self, metadata: &ObjectMeta) {
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        if let Some(node) = metadata.labels.as_ref().and_then(|labels| labels.get(label::NODE)) {
            self.enqueue_node(node, namespace);
        }
    }

    fn enqueue_nodes_of(&self, network: &str) {
        let all = self.known_nodes.state();
        for node in all.iter().filter(|node| *node.spec.network_ref.name == *network) {
            self.enqueue_node(name_of(&**node), namespace_of(&**node));
        }
    }

    fn enqueue_network(&self, name: &str, namespace: &str) {
        let _ = self.networks.unbounded_send(ObjectRef::new(name).within(namespace));
    }

    fn enqueue_node(&self, name: &str, namespace: &str) {
        let _ = self.nodes.unbounded_send(ObjectRef::new(name).within(namespace));
    }
}
