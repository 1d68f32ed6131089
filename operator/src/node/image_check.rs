//! Whether an image can be pulled and run, before a node that serves is restarted with it.
//!
//! ```text
//! node serves, wants another image ──► a pod of the network is ready with it? ──► yes: it may have it
//!                                                  no: the network's reconcile makes a pod that tries it
//!                                                      └──► the pod ended well: it may have it;  else: the node keeps its own
//! ```
//!
//! One wrong letter in an image would else take down as many nodes as the rollout's budget allows.

use std::collections::BTreeMap;
use std::sync::Arc;

use tessera_crds::api::pod::PodSettings;
use tessera_crds::names::label;
use tessera_crds::{TesseraNetwork, TesseraNode};

use crate::controller::context::Context;
use crate::kube::meta::{name_of, uid_of};
use crate::kube::planned::controller_of;
use crate::node::observe::start;
use crate::node::resolve::image;
use crate::watch::kept::KeptPod;

/// How many images of one network are tried at once.
const AT_ONCE: usize = 4;

/// An image to try.
#[derive(Debug, Clone, PartialEq)]
pub struct Untried {
    /// The image, by digest.
    pub image: String,
    /// Where the first node that wants it would run.
    pub pod: PodSettings,
}

/// Images that nodes which serve want, and that no pod of the network was ever ready with, in the order of their names.
pub fn untried(network: &TesseraNetwork, nodes: &[Arc<TesseraNode>], ctx: &Context) -> Vec<Untried> {
    let defaults = network.spec.node_defaults.clone().unwrap_or_default();
    let mut wanted = BTreeMap::new();
    for node in nodes.iter().filter(|node| !node.spec.paused && node.spec.replicas > 0) {
        let Some(image) = image(node, &defaults) else { continue };
        let ready = ready_pods(node, ctx);
        if !ready.is_empty() && !ready.iter().any(|pod| pod.has_image(&image)) {
            wanted.entry(image).or_insert_with(|| node.spec.pod.clone().or(defaults.pod.clone()));
        }
    }
    wanted.retain(|image, _| !runs(nodes, image, ctx));
    wanted.into_iter().take(AT_ONCE).map(|(image, pod)| Untried { image, pod }).collect()
}

/// Whether `image` is known to run; else how far it is.
pub fn was_run(image: &str, network: &TesseraNetwork, ctx: &Context) -> Result<(), String> {
    if runs(&ctx.caches.nodes_of(name_of(network)), image, ctx) {
        return Ok(());
    }
    let checks = ctx.caches.pods.indexed(uid_of(network));
    let checks: Vec<_> =
        checks.iter().filter(|pod| network_of(pod).is_some() && pod.has_image(image)).collect();
    if checks.iter().any(|pod| phase(pod) == Some("Succeeded")) {
        return Ok(());
    }
    let Some(check) = checks.first() else {
        let why = ctx.rollouts.no_image_check(&ctx.namespace, name_of(network)).map(|why| format!(": {why}"));
        let why = why.unwrap_or_default();
        return Err(format!("image {image} is to be tried by a pod of its own first{why}"));
    };
    let problem = start::problem(&check.0).map(|(_, problem)| format!(": {problem}")).unwrap_or_default();
    Err(format!("image {image} was not run yet; pod {} tries it{problem}", name_of(&check.0)))
}

/// The network whose image this pod tries.
pub fn network_of(pod: &KeptPod) -> Option<&str> {
    let app = pod.0.metadata.labels.as_ref()?.get(label::NAME)?;
    let owner = controller_of(pod.0.metadata.owner_references.as_deref())?;
    (app == label::IMAGE_CHECK_APP && owner.kind == "TesseraNetwork").then_some(&owner.name)
}

/// What the kubelet says of the whole pod.
pub fn phase(pod: &KeptPod) -> Option<&str> {
    pod.0.status.as_ref()?.phase.as_deref()
}

fn runs(nodes: &[Arc<TesseraNode>], image: &str, ctx: &Context) -> bool {
    nodes.iter().any(|node| ready_pods(node, ctx).iter().any(|pod| pod.has_image(image)))
}

fn ready_pods(node: &TesseraNode, ctx: &Context) -> Vec<Arc<KeptPod>> {
    let workload = ctx.caches.workload_of(uid_of(node));
    let uid = workload.as_ref().and_then(|workload| workload.metadata.uid.as_deref());
    let mut pods = uid.map(|uid| ctx.caches.pods.indexed(uid)).unwrap_or_default();
    pods.retain(|pod| pod.is_ready());
    pods
}
