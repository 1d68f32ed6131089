//! [IO] Copies ciphertext from nodes to ConfigMaps in the operator's namespace, and starts all work on backups.
//!
//! ```text
//! node, its answer, its ConfigMap or what custodians sent changed ──► one round of work on the node
//!                               a node or an API server that does not answer: again after 2 s, doubled up to a minute
//! ```

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use tessera_crds::{TesseraNetwork, TesseraNode};
use tessera_node_api::admin;

use super::custodians::Custodians;
use super::sent;
use super::stored::{Subject, is_behind};
use crate::controller::context::Context;
use crate::controller::with_own_status;
use crate::kube::meta::{name_of, namespace_of, uid_of};
use crate::probe::{nodes, workers};
use crate::process::tasks::Tasks;
use crate::report::error::chain;
use crate::watch::cache::Cached as _;

/// Nodes of one namespace that are worked on at once. Each waits for a node or for the API server most of the time.
const WORKERS: usize = 4;

/// Starts the workers of one namespace.
pub fn start(context: &Arc<Context>, tasks: &mut Tasks) {
    workers::start(WORKERS, &context.queues.backups, context, tasks, |node, ctx| async move {
        work(&node, &ctx).await
    });
}

/// One round of work on the node called `name`; returns when the next is due.
async fn work(name: &str, ctx: &Context) -> Option<Duration> {
    let cached = ctx.caches.nodes.get(name)?;
    let node = with_own_status(TesseraNode::clone(cached.readable()?), ctx);
    let network = nodes::network_of(&node, ctx)?;
    if node.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let uid = uid_of(&node);
    let stored = store(&node, &network, ctx).await;
    let sent = sent::work(&node, &network, ctx).await;
    if ctx.backups.note(uid, stored.clone().err()) {
        ctx.queues.nodes.touch(&name.to_owned());
    }
    match (stored, sent) {
        (Ok(()), Ok(next)) => {
            ctx.backups.backoff.reset(uid);
            next
        }
        (stored, sent) => {
            let why = stored.err().or(sent.err()).unwrap_or_default();
            tracing::debug!(node = name, error = why, "work on a backup failed and will be retried");
            Some(ctx.backups.backoff.after_failure(uid))
        }
    }
}

/// The pod that speaks for `node`: where it is, and what it last said.
pub(super) fn speaker(node: &TesseraNode, ctx: &Context) -> Option<(IpAddr, admin::Status)> {
    speakers(node, ctx).into_iter().next()
}

/// The pod that awaits what is sealed to one of `recipients`: each pod has a recipient of its own, which it alone can open. Without such a
/// pod, the one that speaks for the node says why.
pub(super) fn recipient(node: &TesseraNode, recipients: &[String], ctx: &Context) -> Option<IpAddr> {
    let all = speakers(node, ctx);
    let awaits = |status: &admin::Status| {
        let mut awaited = status.restores.iter().filter_map(|restore| restore.recipient.as_ref());
        awaited.any(|recipient| recipients.contains(recipient))
    };
    let found = all.iter().find(|(_, status)| awaits(status)).or(all.first());
    found.map(|(address, _)| *address)
}

fn speakers(node: &TesseraNode, ctx: &Context) -> Vec<(IpAddr, admin::Status)> {
    let Some(workload) = ctx.caches.workload_of(uid_of(node)) else { return Vec::new() };
    let pods = ctx.caches.pods.indexed(workload.uid());
    let answers = pods.iter().filter_map(|pod| {
        let (status, _) = ctx.answers.of(pod.uid())?.last?;
        Some((nodes::address(pod)?, status))
    });
    answers.collect()
}

/// Stores what the node has sealed and the ConfigMap lacks.
async fn store(node: &TesseraNode, network: &TesseraNetwork, ctx: &Context) -> Result<(), String> {
    let Some(custodians) = Custodians::of(network) else { return Ok(()) };
    let Some(recipients) = custodians.sha256() else { return Ok(()) };
    let Some((address, report)) = speaker(node, ctx) else { return Ok(()) };
    let subject = Subject {
        operator_namespace: &ctx.backups.operator_namespace,
        cluster: &ctx.settings.cluster_name,
        namespace: namespace_of(node),
        network: name_of(network),
        node: name_of(node),
    };
    let is_sealed = report.keys.iter().any(|key| key.backup.is_some());
    if is_sealed && !ctx.backups.stored.is_filled() {
        return Err(format!(
            "ConfigMaps in namespace {} were not listed yet: the operator's log says why",
            subject.operator_namespace
        ));
    }
    let kept = ctx.backups.stored.get(&subject.name());
    if !is_behind(&report.keys, kept.as_deref(), &recipients) {
        return Ok(());
    }
    let _permit = ctx.backups.transfers.acquire().await.map_err(|error| error.to_string())?;
    let (client, target) = nodes::reach(node, network, address, ctx).await?;
    let sealed = client.key_backups(&target).await.map_err(|error| chain(&error))?;
    write(&subject, &sealed, &custodians, ctx).await
}

async fn write(
    subject: &Subject<'_>,
    sealed: &tessera_node_api::key_backup::SealedKeys,
    custodians: &Custodians,
    ctx: &Context,
) -> Result<(), String> {
    let api: Api<ConfigMap> = Api::namespaced(ctx.probes.clone(), subject.operator_namespace);
    let name = subject.name();
    let live = api.get_opt(&name).await;
    let live = live.map_err(|error| format!("ConfigMap {name} cannot be read: {}", chain(&error)))?;
    let planned = subject.merged(live.as_ref(), sealed, custodians).map_err(|error| error.to_string())?;
    let Some(planned) = planned else { return Ok(()) };
    let written = match &live {
        // Only upon what was read: a leader that was replaced meanwhile takes nothing out.
        Some(live) => ctx.writer.replace_as_read(&planned, &live.metadata).await.map(drop),
        None => ctx.writer.create_new(&planned).await,
    };
    written.map_err(|error| chain(&error))?;
    tracing::info!(object = %planned, "the backup of a node's keys was stored");
    Ok(())
}
