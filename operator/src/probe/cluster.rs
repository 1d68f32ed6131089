//! Reads the cluster around one namespace's networks, beside all reconciles.
//!
//! ```text
//! network changed, or due ──► exec, labels, RBAC, address, machines (every checklist.probeEvery) ──► facts ──► the network,
//!                        └──► the namespace of its secret store (every 10 s) ───────────────────────┘      if they changed
//! ```
//!
//! The namespace of a store holds few objects: its Services and Ingresses are one small page each. A watch for each kind, of
//! which up to five are served or not, would take more connections and more code. What the networks share is read once for
//! all of them, one read at a time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tessera_crds::TesseraNetwork;
use tessera_crds::names::label;

use super::cluster_reads as reads;
use super::cluster_reports::{Report, Shared, unread};
use super::workers;
use crate::checklist::cluster::{ClusterFacts, Unread};
use crate::checklist::store_paths::{ServiceName, host};
use crate::controller::context::Context;
use crate::kube::meta::{name_of, uid_of};
use crate::memory::backoff::jittered;
use crate::process::tasks::Tasks;

/// Networks of one namespace that are read for at once.
const WORKERS: usize = 1;
/// How often what leads to a store is read: what an object shows should stand in the checklist within ten seconds.
const WAYS_IN: Duration = Duration::from_secs(8);
/// How often a network is looked at whose store is elsewhere.
const ELSEWHERE: Duration = Duration::from_secs(30);

/// Starts the workers of one namespace.
pub fn start(context: &Arc<Context>, tasks: &mut Tasks) {
    workers::start(WORKERS, &context.queues.cluster, context, tasks, |network, ctx| async move {
        probe(&network, &ctx).await
    });
}

async fn probe(name: &str, ctx: &Context) -> Option<Duration> {
    let cached = ctx.caches.networks.get(name)?;
    let network = cached.readable().filter(|network| network.metadata.deletion_timestamp.is_none())?;
    let uid = uid_of(&**network);
    let store = &network.spec.secret_store.vault;
    let before = ctx.cluster.reports.get(uid);
    let mut report = before.clone().filter(|report| report.store == *store).unwrap_or_default();
    report.store.clone_from(store);
    let address = store.as_ref().map(|store| store.address.to_string());
    let in_cluster = address.as_deref().and_then(ServiceName::of);
    let mut facts = unread(network);
    own(&mut report, &mut facts, address.as_deref(), network, ctx).await;
    facts.node_machines = of_nodes(name_of(&**network), ctx);
    shared(&mut facts, in_cluster.as_ref(), network, ctx).await;
    facts.ssh = ctx.cluster.ssh.of(&facts.machines);
    let changed = before.is_none_or(|before| before.facts.differs_from(&facts));
    report.facts = Arc::new(facts);
    // The network may have gone meanwhile, and its memory with it.
    ctx.caches.networks.get(name)?;
    ctx.cluster.reports.put(uid, report);
    if changed {
        ctx.queues.networks.touch(&name.to_owned());
        ctx.queues.machines.touch(&name.to_owned());
    }
    Some(jittered(if in_cluster.is_some() { WAYS_IN } else { ELSEWHERE.min(every(network)) }))
}

fn every(network: &TesseraNetwork) -> Duration {
    network.spec.checklist.probe_every.as_std()
}

async fn own(
    report: &mut Report,
    facts: &mut ClusterFacts,
    address: Option<&str>,
    network: &TesseraNetwork,
    ctx: &Context,
) {
    let (own, every) = (&mut report.own, every(network));
    let operators = &ctx.settings.operator_namespace;
    let exec = own.exec.refresh(every, reads::exec(&ctx.probes, &ctx.namespace, operators));
    facts.exec.clone_from(exec.await);
    let labels = own.pod_security.refresh(every, reads::pod_security(&ctx.probes, &ctx.namespace));
    facts.pod_security.clone_from(labels.await);
    let addresses = own.addresses.refresh(every, async {
        match address.and_then(host) {
            Some(host) => reads::addresses(&host).await,
            None => Err(Unread::Failed("the address of the secret store has no host".to_owned())),
        }
    });
    facts.addresses.clone_from(addresses.await);
}

async fn shared(
    facts: &mut ClusterFacts,
    store: Option<&ServiceName>,
    network: &TesseraNetwork,
    ctx: &Context,
) {
    let every = every(network);
    let mut shared = ctx.cluster.shared.lock().await;
    facts.holders.clone_from(shared.holders.refresh(every, reads::holders(&ctx.probes)).await);
    if let Some(name) = store {
        ways_in(facts, &mut shared, name, every, ctx).await;
    }
    let mut machines = facts.node_machines.clone();
    let of_store = facts.store_pods.last.iter().flat_map(|(pods, _)| pods).map(|pod| pod.machine.clone());
    machines.extend(of_store.filter(|machine| !machine.is_empty()));
    for name in machines {
        let read = reads::machine(&ctx.probes, &name, &ctx.cluster.managed, &ctx.settings.operator_namespace);
        let kept = shared.machines.entry(name.clone()).or_default();
        let reading = kept.refresh(every, read).await.clone();
        facts.machines.insert(name, reading);
    }
    shared.forget_unused();
}

async fn ways_in(
    facts: &mut ClusterFacts,
    shared: &mut Shared,
    name: &ServiceName,
    every: Duration,
    ctx: &Context,
) {
    let routes = shared.routes.refresh(every, reads::served_routes(&ctx.probes)).await;
    let served = routes.last.as_ref().map(|(served, _)| served.as_slice()).unwrap_or_default();
    let failure = routes.failure.clone();
    let kept = shared.namespaces.entry(name.namespace.clone()).or_default();
    let read = async {
        match failure {
            Some(why) => Err(why),
            None => reads::store_namespace(&ctx.probes, &name.namespace, served).await,
        }
    };
    // A little less, so that the next round of this network finds it due.
    facts.store_namespace.clone_from(kept.refresh(WAYS_IN * 3 / 4, read).await);
    let service = facts.store_namespace.last.as_ref().and_then(|(seen, _)| seen.service(&name.service));
    let selector = service.map(|service| service.selector.clone()).unwrap_or_default();
    let failure = facts.store_namespace.failure.clone();
    let kept = shared.store_pods.entry(name.clone()).or_default();
    let read = async {
        match failure {
            Some(why) => Err(why),
            None => reads::store_pods(&ctx.probes, &name.namespace, &selector).await,
        }
    };
    facts.store_pods.clone_from(kept.refresh(every, read).await);
}

/// The machines of the network's nodes, as the watch of pods has them.
fn of_nodes(network: &str, ctx: &Context) -> BTreeSet<String> {
    let pods = ctx.caches.pods.objects();
    let of_network = pods.iter().filter(|pod| {
        pod.metadata.labels.as_ref().and_then(|labels| labels.get(label::NETWORK)).map(String::as_str)
            == Some(network)
    });
    of_network.filter_map(|pod| Some(pod.machine()?.to_owned())).collect()
}
