//! The watches of one namespace: each fills a cache and names the objects that must be looked at.
//!
//! ```text
//! TesseraNode ───────┬──► that node, and the others of its network (peer lists); their network (counts)
//! TesseraNetwork ────┼──► that network and its nodes
//! owned objects ─────┼──► their owner
//! pods, claims ──────┴──► their node
//! ```
//!
//! Each watch has its own backoff and its own task. One backoff over all of them would let a single failing watch stop
//! the others, and a watch that ends takes the process with it.

pub mod caches;
mod triggers;

use std::fmt::Debug;
use std::hash::Hash;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use futures::channel::mpsc::{UnboundedReceiver, unbounded};
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use kube::api::DynamicObject;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, store};
use kube::runtime::watcher::{self, Config, Event, watcher};
use kube::runtime::{WatchStreamExt, reflector};
use kube::{Api, Client, Resource};
use tessera_crds::names::{FIELD_MANAGER, label};
use tessera_crds::{TesseraNetwork, TesseraNode};

use crate::kube::is_forbidden;
use crate::process::health::Health;
use crate::process::tasks::Tasks;
use crate::watch::caches::{Caches, owned_kinds};
use triggers::Triggers;

/// What is to be looked at.
pub struct Queues {
    /// Networks.
    pub networks: UnboundedReceiver<ObjectRef<TesseraNetwork>>,
    /// Nodes.
    pub nodes: UnboundedReceiver<ObjectRef<TesseraNode>>,
}

/// Starts all watches of `namespace`.
pub fn start(client: &Client, namespace: &str, health: &Arc<Health>, tasks: &mut Tasks) -> (Caches, Queues) {
    let (networks_sender, networks) = unbounded();
    let (nodes_sender, nodes) = unbounded();
    let (network_store, network_writer) = store();
    let (node_store, node_writer) = store();
    let triggers = Triggers::new(networks_sender, nodes_sender, node_store.clone());
    let mut starter = Starter { client, namespace, health, tasks };
    let on = triggers.clone();
    let stream = watcher(starter.api::<TesseraNetwork>(), Config::default());
    starter.run("networks", stream, network_writer, move |network| on.network(&network));
    let on = triggers.clone();
    let stream = watcher(starter.api::<TesseraNode>(), Config::default());
    starter.run("nodes", stream, node_writer, move |node| on.node(&node));
    let caches = starter.owned(&triggers, network_store, node_store);
    (caches, Queues { networks, nodes })
}

struct Starter<'a> {
    client: &'a Client,
    namespace: &'a str,
    health: &'a Arc<Health>,
    tasks: &'a mut Tasks,
}

impl Starter<'_> {
    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    /// Whatever follows from a network or a node.
    fn owned(
        &mut self,
        triggers: &Triggers,
        networks: reflector::Store<TesseraNetwork>,
        nodes: reflector::Store<TesseraNode>,
    ) -> Caches {
        let of_nodes = Config::default().labels(&format!("{}={}", label::NAME, label::NODE_APP));
        let ours = Config::default().labels(&format!("{}={FIELD_MANAGER}", label::MANAGED_BY));
        let (pods, writer) = store();
        let on = triggers.clone();
        let stream = watcher(self.api::<Pod>(), of_nodes.clone());
        self.run("pods", stream, writer, move |pod| on.labelled(&pod.metadata));
        let (claims, writer) = store();
        let on = triggers.clone();
        let stream = watcher(self.api::<PersistentVolumeClaim>(), of_nodes);
        self.run("claims", stream, writer, move |claim| on.labelled(&claim.metadata));
        let (secrets, writer) = store();
        let on = triggers.clone();
        let stream = watcher(self.api::<PartialObjectMeta<Secret>>(), ours.clone());
        self.run("secrets", stream, writer, move |secret: PartialObjectMeta<Secret>| {
            on.owned(&secret.metadata);
        });
        let mut owned = Vec::new();
        for resource in owned_kinds() {
            let writer = store::Writer::<DynamicObject>::new(resource.clone());
            let api = Api::namespaced_with(self.client.clone(), self.namespace, &resource);
            owned.push((resource.clone(), writer.as_reader()));
            let on = triggers.clone();
            let stream = watcher(api, ours.clone());
            self.run(&resource.plural, stream, writer, move |object: DynamicObject| {
                on.owned(&object.metadata);
            });
        }
        Caches { networks, nodes, pods, claims, secrets, owned }
    }

    fn run<K>(
        &mut self,
        name: &str,
        stream: impl Stream<Item = Result<Event<K>, watcher::Error>> + Send + 'static,
        writer: store::Writer<K>,
        touched: impl Fn(K) + Send + 'static,
    ) where
        K: Resource + Clone + Debug + Send + Sync + 'static,
        K::DynamicType: Eq + Hash + Clone + Send + Sync,
    {
        let name = format!("{name} in {}", self.namespace);
        let health = Arc::clone(self.health);
        self.tasks.spawn_until_stop(async move {
            let noted = {
                let (name, health) = (name.clone(), Arc::clone(&health));
                stream.inspect(move |event| note(&name, event, &health))
            };
            let mut objects = pin!(noted.default_backoff().reflect(writer).touched_objects());
            while let Some(object) = objects.next().await {
                if let Ok(object) = object {
                    touched(object);
                }
            }
            format!("the watch of {name} ended")
        });
    }
}

fn note<K>(watch: &str, event: &Result<Event<K>, watcher::Error>, health: &Health) {
    match event {
        Ok(_) => health.progressed(watch),
        Err(error) => {
            let refused = is_refused(error);
            if health.failed(watch, refused, Instant::now()) {
                let error = crate::report::error::chain(error);
                if refused {
                    tracing::warn!(
                        watch,
                        error,
                        "a watch is not allowed and will be tried on: was the namespace deleted? The chart's value `namespaces` gives the rights"
                    );
                } else {
                    tracing::warn!(watch, error, "a watch failed and will be tried again");
                }
            }
        }
    }
}

fn is_refused(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => is_forbidden(error),
        watcher::Error::WatchError(status) => status.code == 403,
        watcher::Error::NoResourceVersion => false,
    }
}
