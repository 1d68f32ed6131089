//! The watches: each fills a cache and touches the queues of what a change concerns.
//!
//! Each watch has its own backoff and its own task. One backoff over all of them would let a single failing watch stop
//! the others, and a watch that ends takes the process with it.

pub mod cache;
pub mod caches;
pub mod clear_text;
pub mod client_namespaces;
pub mod content;
pub mod kept;
pub mod policies;
mod search;
mod triggers;

use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::DynamicObject;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Config, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tessera_crds::names::{FIELD_MANAGER, label};
use tessera_crds::{TesseraAttestation, TesseraBackupProof, TesseraKeyRestore, TesseraNetwork, TesseraNode};

use crate::backup::sent::KeptSent;
use crate::backup::stored::KeptBackup;
use crate::controller::context::Context;
use crate::kube::refusal::{Refusal, is_unauthorized, refusal_of};
use crate::kube::watch_clients::WatchClients;
use crate::process::health::Health;
use crate::process::tasks::Tasks;
use cache::{Cache, Cached, Change};
use kept::{KeptClaim, KeptPod, KeptSecret, Parsed, Text};
use policies::KeptPolicy;
use triggers::{BackupTriggers, ClientTriggers, Triggers};

/// Starts all watches of the context's namespace.
///
/// # Errors
/// If no client can be made.
pub fn start(
    clients: &WatchClients,
    context: &Arc<Context>,
    health: &Arc<Health>,
    tasks: &mut Tasks,
) -> kube::Result<()> {
    let client = &clients.client()?;
    let (all, of_nodes, ours) = (Config::default(), labelled(label::NAME, label::NODE_APP), managed_by_us());
    let with_image_checks = Config::default().labels(&format!(
        "{} in ({},{})",
        label::NAME,
        label::NODE_APP,
        label::IMAGE_CHECK_APP
    ));
    let triggers = Triggers::new(Arc::clone(context));
    let mut starter = Starter { client, namespace: &context.namespace, health, tasks, triggers: &triggers };
    let caches = &context.caches;
    let networks = starter.api::<DeserializeGuard<TesseraNetwork>>();
    starter.watch("networks", networks, &all, &caches.networks, Parsed::keep, Triggers::network);
    let nodes = starter.api::<DeserializeGuard<TesseraNode>>();
    starter.watch("nodes", nodes, &all, &caches.nodes, Parsed::keep, Triggers::node);
    let attestations = starter.api::<DeserializeGuard<TesseraAttestation>>();
    starter.watch(
        "attestations",
        attestations,
        &all,
        &caches.attestations,
        Parsed::keep,
        Triggers::attestation,
    );
    // One proof may speak of 256 versions.
    let large = Config::default().page_size(LARGE_PAGE);
    let proofs = starter.api::<DeserializeGuard<TesseraBackupProof>>();
    starter.watch("backup proofs", proofs, &large, &caches.proofs, KeptSent::keep, Triggers::sent);
    let restores = starter.api::<DeserializeGuard<TesseraKeyRestore>>();
    starter.watch("key restores", restores, &large, &caches.restores, KeptSent::keep, Triggers::sent);
    let pods = starter.api::<Pod>();
    starter.watch("pods", pods, &with_image_checks, &caches.pods, KeptPod::keep, Triggers::pod);
    let claims = starter.api::<PersistentVolumeClaim>();
    starter.watch("claims", claims, &of_nodes, &caches.claims, KeptClaim::keep, Triggers::claim);
    let secrets = starter.api::<PartialObjectMeta<Secret>>();
    starter.watch("secrets", secrets, &ours, &caches.secrets, KeptSecret::keep, Triggers::secret);
    for (resource, cache) in &caches.owned {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &context.namespace, resource);
        starter.watch(&resource.plural, api, &ours, cache, Text::keep, Triggers::owned);
    }
    let policies = starter.api::<NetworkPolicy>();
    starter.watch("all policies", policies, &all, &caches.policies, KeptPolicy::keep, Triggers::policy);
    for resource in caches.clear_text.resources() {
        search::start(client, context, resource, triggers.clone(), tasks);
    }
    Ok(())
}

/// Starts the watches that all contexts share: Secrets in the namespaces of clients, and the ConfigMaps with backups in the operator's
/// namespace. `managed` has every context.
///
/// # Errors
/// If no client can be made.
pub fn start_shared(
    clients: &WatchClients,
    managed: &[Arc<Context>],
    health: &Arc<Health>,
    tasks: &mut Tasks,
) -> kube::Result<()> {
    let Some(first) = managed.first() else { return Ok(()) };
    let triggers = ClientTriggers::new(managed);
    for (namespace, secrets) in first.client_namespaces.all() {
        let client = &clients.client()?;
        let mut starter = Starter { client, namespace, health, tasks, triggers: &triggers };
        let api = starter.api::<PartialObjectMeta<Secret>>();
        starter.watch("secrets", api, &managed_by_us(), secrets, KeptSecret::keep, ClientTriggers::secret);
    }
    let client = &clients.client()?;
    let triggers = BackupTriggers::new(managed);
    let namespace = &first.backups.operator_namespace;
    let mut starter = Starter { client, namespace, health, tasks, triggers: &triggers };
    let config = labelled(label::NAME, label::KEY_BACKUP_APP).page_size(LARGE_PAGE);
    let api = starter.api::<ConfigMap>();
    let stored = &first.backups.stored;
    starter.watch("backups", api, &config, stored, KeptBackup::keep, BackupTriggers::stored);
    Ok(())
}

/// Objects that may be large, in one answer of the API server.
const LARGE_PAGE: u32 = 20;

fn labelled(key: &str, value: &str) -> Config {
    Config::default().labels(&format!("{key}={value}"))
}

fn managed_by_us() -> Config {
    labelled(label::MANAGED_BY, FIELD_MANAGER)
}

struct Starter<'a, T> {
    client: &'a Client,
    namespace: &'a str,
    health: &'a Arc<Health>,
    tasks: &'a mut Tasks,
    triggers: &'a T,
}

impl<R: Clone + Send + 'static> Starter<'_, R> {
    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    fn watch<K, T>(
        &mut self,
        kind: &str,
        api: Api<K>,
        config: &Config,
        cache: &Cache<T>,
        keep: fn(K) -> T,
        on: fn(&R, &Change<T>),
    ) where
        K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
        T: Cached,
    {
        let (health, namespace) = (Arc::clone(self.health), self.namespace.to_owned());
        let name = format!("{kind} in {namespace}");
        health.expect_watch(&name, &namespace);
        let (cache, triggers) = (cache.clone(), self.triggers.clone());
        let stream = watcher(api, config.clone());
        self.tasks.spawn_until_stop(async move {
            let noted = stream.inspect(|event| note(&name, event, &health));
            let mut events = pin!(noted.default_backoff());
            while let Some(event) = events.next().await {
                let Ok(event) = event else { continue };
                for change in cache.take_in(event, keep) {
                    on(&triggers, &change);
                }
            }
            format!("the watch of {name} ended")
        });
    }
}

fn note<K>(watch: &str, event: &Result<Event<K>, watcher::Error>, health: &Health) {
    let now = Instant::now();
    let error = match event {
        Ok(event) => return health.progressed(watch, matches!(event, Event::InitDone), now),
        Err(error) => error,
    };
    let refused = is_refused(error);
    let message = crate::report::error::chain(error);
    if !health.failed(watch, refused, &message, now) {
        return;
    }
    if refused {
        tracing::warn!(
            watch,
            error = message,
            "a watch is not allowed and will be retried: was the namespace deleted? The chart's value `namespaces` gives the rights"
        );
    } else {
        tracing::warn!(watch, error = message, "a watch failed and will be retried");
    }
}

fn is_refused(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => is_unauthorized(error),
        watcher::Error::WatchError(status) => refusal_of(status) == Some(Refusal::Authorization),
        watcher::Error::NoResourceVersion => false,
    }
}
