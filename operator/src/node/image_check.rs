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
use crate::node::upgrade::{self, record::same_digest};
use crate::watch::cache::Cached as _;
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

/// Images that nodes which serve want, and that no pod of the network is ready with: those that most nodes want.
pub fn untried(network: &TesseraNetwork, nodes: &[Arc<TesseraNode>], ctx: &Context) -> Vec<Untried> {
    let defaults = network.spec.node_defaults.clone().unwrap_or_default();
    let mut wanted = BTreeMap::new();
    for node in nodes.iter().filter(|node| !node.spec.paused && node.spec.replicas > 0) {
        let Some(image) = image(node, &defaults) else { continue };
        let ready = ready_pods(node, ctx);
        if !ready.is_empty() && !ready.iter().any(|pod| pod.has_image(&image)) {
            let first = || (0, node.spec.pod.clone().or(defaults.pod.clone()));
            wanted.entry(image).or_insert_with(first).0 += 1;
        }
    }
    if !wanted.is_empty() {
        let rejected = upgrade::facts::rejections(network, None, ctx);
        wanted.retain(|image, _| {
            !runs(nodes, image, ctx) && !rejected.iter().any(|(_, it)| same_digest(&it.image, image))
        });
    }
    most_wanted(wanted)
}

/// What is wrong with the images of single nodes keeps the image of all from being tried by no more than its turn.
fn most_wanted(wanted: BTreeMap<String, (usize, PodSettings)>) -> Vec<Untried> {
    let mut wanted: Vec<_> = wanted.into_iter().collect();
    // Stable: of those that as many nodes want, in the order of their names.
    wanted.sort_by_key(|(_, (nodes, _))| std::cmp::Reverse(*nodes));
    wanted.into_iter().take(AT_ONCE).map(|(image, (_, pod))| Untried { image, pod }).collect()
}

/// Whether `image` is known to run; else how far it is.
pub fn was_run(image: &str, network: &TesseraNetwork, ctx: &Context) -> Result<(), String> {
    if runs(&ctx.caches.nodes_of(name_of(network)), image, ctx) {
        return Ok(());
    }
    let mut all = ctx.caches.pods.indexed(uid_of(network));
    all.retain(|pod| network_of(pod).is_some());
    let checks: Vec<_> = all.iter().filter(|pod| pod.has_image(image)).collect();
    if checks.iter().any(|pod| phase(pod) == Some("Succeeded")) {
        return Ok(());
    }
    let Some(check) = checks.first() else {
        let refused = ctx.rollouts.no_image_check(&ctx.namespace, name_of(network));
        return Err(format!(
            "image {image} is to be tried by a pod of its own first{}",
            why_not_yet(refused, &all)
        ));
    };
    let problem =
        start::problem(check.status.as_ref()).map(|(_, problem)| format!(": {problem}")).unwrap_or_default();
    Err(format!("image {image} was not run yet; pod {} tries it{problem}", check.name()))
}

fn why_not_yet(refused: Option<String>, others: &[Arc<KeptPod>]) -> String {
    if let Some(why) = refused {
        return format!(": {why}");
    }
    if others.len() < AT_ONCE {
        return String::new();
    }
    let names: Vec<_> = others.iter().map(|pod| pod.name()).collect();
    format!(", after {}: correct the images that these cannot run", names.join(", "))
}

/// The network whose image this pod tries.
pub fn network_of(pod: &KeptPod) -> Option<&str> {
    let app = pod.metadata.labels.as_ref()?.get(label::NAME)?;
    let owner = controller_of(pod.metadata.owner_references.as_deref())?;
    (app == label::IMAGE_CHECK_APP && owner.kind == "TesseraNetwork").then_some(&owner.name)
}

/// What the kubelet says of the whole pod.
pub fn phase(pod: &KeptPod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

fn runs(nodes: &[Arc<TesseraNode>], image: &str, ctx: &Context) -> bool {
    nodes.iter().any(|node| ready_pods(node, ctx).iter().any(|pod| pod.has_image(image)))
}

/// The pods of `node` that the kubelet finds ready.
pub fn ready_pods(node: &TesseraNode, ctx: &Context) -> Vec<Arc<KeptPod>> {
    let workload = ctx.caches.workload_of(uid_of(node));
    let uid = workload.as_ref().and_then(|workload| workload.metadata.uid.as_deref());
    let mut pods = uid.map(|uid| ctx.caches.pods.indexed(uid)).unwrap_or_default();
    pods.retain(|pod| pod.is_ready());
    pods
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_image_that_most_nodes_want_is_tried_whatever_single_nodes_want() {
        let single = ["a", "b", "c", "d", "e"].map(|image| (image.to_owned(), (1, PodSettings::default())));
        let of_all = ("z".to_owned(), (7, PodSettings::default()));
        let tried = most_wanted(single.into_iter().chain([of_all]).collect());
        let images: Vec<_> = tried.iter().map(|untried| untried.image.as_str()).collect();
        assert_eq!(images, ["z", "a", "b", "c"]);
    }

    #[test]
    fn what_keeps_an_image_from_being_tried_is_said() {
        let pod = |name: &str| {
            let pod = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
            Arc::new(KeptPod::keep(pod))
        };
        let four = ["p1", "p2", "p3", "p4"].map(pod);
        assert_eq!(why_not_yet(None, &four[..3]), "");
        assert!(why_not_yet(None, &four).contains("after p1, p2, p3, p4"));
        assert_eq!(why_not_yet(Some("exceeded quota".to_owned()), &four), ": exceeded quota");
    }
}
