//! Asks the pods of one namespace how they are, beside all reconciles: a pod that does not answer keeps a worker of its own
//! bound waiting, never a repair, a renewal or the status of another node.
//!
//! ```text
//! pod changed, or due ──► ask (5 s, on one of the probe's workers) ──► last answer ──► the node, if the answer changed
//!                              silent: again after 3 s, doubled up to 30 s
//! ```

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tessera_crds::{TesseraNetwork, TesseraNode, names};
use tessera_node_api::admin;
use tessera_node_api::identity::Identity;

use super::admin::{AdminClient, Target};
use super::answers::PERIOD;
use super::workers;
use crate::controller::context::Context;
use crate::kube::meta::{name_of, namespace_of, uid_of};
use crate::memory::backoff::jittered;
use crate::network::partners::same;
use crate::process::tasks::Tasks;
use crate::report::error::chain;
use crate::watch::cache::Cached;
use crate::watch::kept::KeptPod;

/// Pods that are asked at once in one namespace.
const WORKERS: usize = 16;
/// How often one whose node is not as it should be yet.
const PERIOD_WHILE_CHANGING: Duration = Duration::from_secs(3);

/// Starts the workers of one namespace.
pub fn start(context: &Arc<Context>, tasks: &mut Tasks) {
    workers::start(WORKERS, &context.queues.pods, context, tasks, |pod, ctx| async move {
        probe(&pod, &ctx).await
    });
}

/// Asks the pod called `name`, if it can be asked; returns when to ask again.
async fn probe(name: &str, ctx: &Context) -> Option<Duration> {
    let pod = ctx.caches.pods.get(name)?;
    let address = address(&pod)?;
    let uid = pod.uid();
    let Some(node) = ctx.caches.node_of(&pod) else {
        // Another watch may not have shown its workload yet; or the pod is nobody's.
        return Some(ctx.answers.backoff.after_failure(uid));
    };
    let attempt = ask(&node, address, ctx).await;
    let wait = match &attempt {
        Ok(status) => {
            ctx.answers.backoff.reset(uid);
            if status.ready && !is_rolling(&node, ctx) { PERIOD } else { PERIOD_WHILE_CHANGING }
        }
        Err(_) => ctx.answers.backoff.after_failure(uid),
    };
    // The pod may have gone meanwhile, and its memory with it.
    ctx.caches.pods.get(name).filter(|now| now.uid() == uid)?;
    if ctx.answers.take_in(uid, attempt, Timestamp::now()) {
        ctx.queues.nodes.touch(&name_of(&*node).to_owned());
        ctx.queues.backups.touch(&name_of(&*node).to_owned());
        if is_rolling(&node, ctx) {
            ctx.queues.networks.touch(&node.spec.network_ref.name.to_string());
        }
    }
    Some(jittered(wait))
}

/// What it says of its certificates is awaited.
fn is_rolling(node: &TesseraNode, ctx: &Context) -> bool {
    let network = ctx.caches.networks.get(&node.spec.network_ref.name);
    let network = network.as_ref().and_then(|network| network.readable());
    network.is_some_and(|network| ctx.authorities.began_just_now(network, Timestamp::now()))
}

/// Where a pod that runs can be asked.
pub fn address(pod: &KeptPod) -> Option<IpAddr> {
    let status = pod.status.as_ref()?;
    let runs = status.phase.as_deref() == Some("Running") && pod.metadata.deletion_timestamp.is_none();
    status.pod_ip.as_deref().filter(|_| runs)?.parse().ok()
}

/// Asks `node` in the pod at `address`.
pub(super) async fn ask(node: &TesseraNode, address: IpAddr, ctx: &Context) -> Result<admin::Status, String> {
    let network = network_of(node, ctx).ok_or("its network does not exist")?;
    let (client, target) = reach(node, &network, address, ctx).await?;
    let mut status = client.status(&target).await.map_err(|error| chain(&error))?;
    keep_partners(&mut status.peers_reached, &network);
    Ok(status)
}

/// The network of `node`, if this version can read it.
pub fn network_of(node: &TesseraNode, ctx: &Context) -> Option<Arc<TesseraNetwork>> {
    ctx.caches.networks.get(&node.spec.network_ref.name)?.readable().cloned()
}

/// What it takes to ask `node` in the pod at `address`.
pub async fn reach(
    node: &TesseraNode,
    network: &TesseraNetwork,
    address: IpAddr,
    ctx: &Context,
) -> Result<(AdminClient, Target), String> {
    let (name, namespace) = (name_of(node), namespace_of(node));
    let authorities = ctx.authorities.get(network).await.map_err(|error| chain(&error))?;
    let authorities = authorities.ok_or("its network has no certificate authority yet")?;
    let trust_domain = network.spec.trust_domain.as_str();
    let client = ctx.answers.client(uid_of(network), trust_domain, &authorities, Timestamp::now());
    let client = client.map_err(|error| chain(&error))?;
    let node = Identity::node(trust_domain, name).map_err(|error| error.to_string())?;
    let dns_name = names::node::service_host(&names::node::p2p_service(name), namespace);
    Ok((client, Target { address, dns_name, node }))
}

/// Of the peers that a node reached, only those of partners are read. The others would be the URLs of a thousand nodes, for each of
/// them.
fn keep_partners(reached: &mut Vec<String>, network: &TesseraNetwork) {
    let urls = || network.spec.partners.iter().flat_map(|partner| &partner.urls);
    reached.retain(|reached| urls().any(|url| same(url) == same(reached)));
    reached.shrink_to_fit();
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::{network, network_json};

    #[test]
    fn of_the_peers_that_a_node_reached_those_of_partners_are_kept() {
        let mut json = network_json();
        json["spec"]["partners"] = json!([{
            "name": "org-b", "trustDomain": "org-b.example", "caBundleRef": {"name": "ca"}, "egress": [],
            "dnsNames": ["*.tm.org-b.example"], "urls": ["https://a.tm.org-b.example:9000"],
        }]);
        let mut reached = ["https://a.tm.org-b.example:9000/", "https://node-b-p2p.org-a.svc:9000/"]
            .map(str::to_owned)
            .to_vec();
        keep_partners(&mut reached, &network(json));
        assert_eq!(reached, ["https://a.tm.org-b.example:9000/"]);
    }
}
