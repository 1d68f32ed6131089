//! [IO, read] What is known of the images of a node and of its network, from caches and the node's own answers.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ContainerStatus;
use kube::api::DynamicObject;
use tessera_crds::api::node::StorageType;
use tessera_crds::condition::Reason;
use tessera_crds::{TesseraNetwork, TesseraNode};
use tessera_node_api::admin;
use tessera_node_api::image_report::{FIRST_FORMAT, ImageReport};

use super::canary::{self, Holds, Peer};
use super::record::{Record, Rejection};
use super::{Facts, Failure, PodState};
use crate::controller::context::Context;
use crate::kube::meta::{name_of, uid_of};
use crate::node::image_check;
use crate::node::observe::{ANSWER_COUNTS, start};
use crate::node::resolve::image;
use crate::watch::cache::Cached as _;
use crate::watch::kept::KeptPod;

/// What is known of the images of `node`.
pub fn gather(
    node: &TesseraNode,
    network: Option<&TesseraNetwork>,
    live: Option<&DynamicObject>,
    ctx: &Context,
    now: Timestamp,
) -> Facts {
    let images = node.status.as_ref().and_then(|status| status.images.clone()).unwrap_or_default();
    let record = match live {
        Some(live) => Record::of(&live.metadata),
        None => Record::of_status(&images),
    };
    let uid = live.and_then(|live| live.metadata.uid.as_deref());
    let pods = uid.map(|uid| ctx.caches.pods.indexed(uid)).unwrap_or_default();
    let of_record = record.as_ref().map(|record| record.image.clone());
    let of_pod = || pods.iter().find_map(|pod| pod.image().map(str::to_owned));
    let current = live.and_then(|_| of_record.or_else(of_pod).or_else(|| images.served.clone()));
    let wanted = network.and_then(|network| image(node, &defaults(network)));
    let rejected_elsewhere = match (network, &wanted) {
        (Some(network), Some(wanted)) if current.as_ref() != Some(wanted) => {
            rejections(network, Some(node), ctx)
        }
        _ => Vec::new(),
    };
    let is_paused = node.spec.paused || network.is_some_and(|network| network.spec.paused);
    let format = node.status.as_ref().and_then(|status| status.payload_store.as_ref()?.format);
    let format = format.and_then(|format| u32::try_from(format).ok());
    Facts {
        record,
        current,
        served: images.served,
        served_format: format,
        rejected_elsewhere,
        // Nothing is written while it is paused, so nothing is decided.
        pod: if is_paused { PodState::Unknown } else { pod_state(node, &pods, ctx, now) },
    }
}

fn defaults(network: &TesseraNetwork) -> tessera_crds::api::network::NodeDefaults {
    network.spec.node_defaults.clone().unwrap_or_default()
}

/// What nodes of `network` but `except` rejected.
pub fn rejections(
    network: &TesseraNetwork,
    except: Option<&TesseraNode>,
    ctx: &Context,
) -> Vec<(String, Rejection)> {
    let mut found = Vec::new();
    for node in ctx.caches.nodes_of(name_of(network)) {
        if except.is_some_and(|except| uid_of(except) == uid_of(&*node)) {
            continue;
        }
        let rejected = record_of(&node, ctx).map(|record| record.rejected).unwrap_or_default();
        let counts = rejected.into_iter().filter(|it| it.counts(node.spec.restart_trigger));
        found.extend(counts.map(|it| (name_of(&*node).to_owned(), it)));
    }
    found
}

fn record_of(node: &TesseraNode, ctx: &Context) -> Option<Record> {
    match ctx.caches.workload_of(uid_of(node)) {
        Some(workload) => Record::of(&workload.metadata),
        None => Record::of_status(node.status.as_ref()?.images.as_ref()?),
    }
}

fn pod_state(node: &TesseraNode, pods: &[Arc<KeptPod>], ctx: &Context, now: Timestamp) -> PodState {
    let ready = pods.iter().find(|pod| pod.is_ready()).and_then(|pod| pod.image());
    let not_ready = pods.iter().filter(|pod| !pod.is_ready() && pod.metadata.deletion_timestamp.is_none());
    let failing = not_ready.filter_map(|pod| failure(node, pod, ctx, now));
    // Of several pods the first that gets a new image may fail while the others serve with the old one.
    let mut failing = failing.filter(|failure| ready != Some(failure.image.as_str()));
    match (failing.next(), ready) {
        (Some(failure), _) => PodState::Failing(failure),
        (None, Some(image)) => PodState::Ready(image.to_owned()),
        (None, None) => PodState::Unknown,
    }
}

fn failure(node: &TesseraNode, pod: &KeptPod, ctx: &Context, now: Timestamp) -> Option<Failure> {
    let container = container(pod)?;
    let of = |message: String| Failure {
        image: pod.image().unwrap_or_default().to_owned(),
        message,
        never_started: None,
        store_back_at: None,
    };
    match start::problem(pod.status.as_ref()) {
        Some((Reason::ImagePullFailed, message)) => {
            let never = container.restart_count == 0 && container.last_state.as_ref().is_none_or(is_empty);
            let made = pod.metadata.creation_timestamp.as_ref().map(|made| made.0);
            Some(Failure { never_started: made.filter(|_| never), ..of(message) })
        }
        Some((Reason::ContainerFailed, message)) => Some(of(message)),
        Some(_) => None,
        None => {
            container.state.as_ref()?.running.as_ref()?;
            match last_answer(pod, ctx, now) {
                Some(report) => unready(&report, has_database(node))
                    .map(|(message, back)| Failure { store_back_at: back, ..of(message) }),
                None => Some(of("the container runs, and the node does not answer the operator".to_owned())),
            }
        }
    }
}

fn is_empty(state: &k8s_openapi::api::core::v1::ContainerState) -> bool {
    state.running.is_none() && state.terminated.is_none()
}

fn has_database(node: &TesseraNode) -> bool {
    node.spec.storage.r#type == StorageType::Postgres
}

/// Why a node is not ready that answers, and since when it has its secret store, its database and what it imports; `None`: it awaits
/// one of them.
fn unready(report: &admin::Status, has_database: bool) -> Option<(String, Option<Timestamp>)> {
    let store = report.secret_store.as_ref();
    let database = Some(&report.database).filter(|_| has_database);
    if database.is_some_and(|database| !database.available) {
        return None;
    }
    let has = |key: &str| report.keys.iter().any(|known| known.name == key);
    if store.is_some_and(|store| !store.available) || report.imports.iter().any(|it| !has(&it.key)) {
        return None;
    }
    let imported = report.keys.iter().filter(|key| key.imported).filter_map(|key| key.born_at.as_ref());
    let since = store.into_iter().chain(database).map(|found| &found.since).chain(imported);
    let back = since.filter_map(|since| since.parse::<Timestamp>().ok()).max();
    let awaiting = if report.awaiting.is_empty() {
        "the kubelet does not find it ready".to_owned()
    } else {
        report.awaiting.join("; ")
    };
    Some((format!("the node is not ready: {awaiting}"), back))
}

fn container(pod: &KeptPod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_deref()?.first()
}

fn last_answer(pod: &KeptPod, ctx: &Context, now: Timestamp) -> Option<admin::Status> {
    let last = ctx.answers.of(pod.uid())?.last;
    last.filter(|(_, at)| now.duration_since(*at) <= ANSWER_COUNTS).map(|(status, _)| status)
}

/// Whether `node`, which serves, may get `wanted` before others of its network.
pub fn turn(
    node: &TesseraNode,
    wanted: &str,
    network: &TesseraNetwork,
    observe: SignedDuration,
    ctx: &Context,
    now: Timestamp,
) -> Result<(), String> {
    let defaults = defaults(network);
    let mut nodes = ctx.caches.nodes_of(name_of(network));
    nodes.sort_by(|a, b| name_of(&**a).cmp(name_of(&**b)));
    let peers: Vec<_> = nodes.iter().map(|node| peer(node, wanted, &defaults, ctx)).collect();
    canary::turn(name_of(node), &peers, observe, now)
}

fn peer(
    node: &TesseraNode,
    wanted: &str,
    defaults: &tessera_crds::api::network::NodeDefaults,
    ctx: &Context,
) -> Peer {
    let ready = image_check::ready_pods(node, ctx);
    let record = record_of(node, ctx).filter(|record| record.image == wanted);
    let with_it = ready.iter().find(|pod| pod.has_image(wanted));
    let is_on = !node.spec.paused && node.spec.replicas > 0;
    let is_admitted = ctx.rollouts.is_admitted(node, &ctx.caches);
    Peer {
        name: name_of(node).to_owned(),
        wants: is_on && image(node, defaults).as_deref() == Some(wanted),
        serves: !ready.is_empty(),
        holds: match record {
            _ if !is_on => Holds::No,
            _ if is_admitted => Holds::AsCanary,
            Some(record) if record.canary => Holds::AsCanary,
            None if with_it.is_none() => Holds::No,
            _ => Holds::Yes,
        },
        ready_since: with_it.and_then(|pod| pod.ready_since()),
    }
}

/// The format that `image` writes, as a pod that tried it or a node that runs it says; `None`: not known.
pub fn format_of(wanted: &str, network: &TesseraNetwork, ctx: &Context, now: Timestamp) -> Option<u32> {
    let tried = ctx.caches.pods.indexed(uid_of(network));
    let ended = tried.iter().filter(|pod| image_check::network_of(pod).is_some() && pod.has_image(wanted));
    let ended = ended.filter(|pod| image_check::phase(pod) == Some("Succeeded")).find_map(|pod| {
        let state = container(pod).and_then(|container| container.state.as_ref()?.terminated.as_ref());
        state.map(|ended| ImageReport::format_in(ended.message.as_deref()))
    });
    if let Some(format) = ended {
        return format;
    }
    // A missing format of a node with a database does not mean the first format, as it does of an old node.
    let nodes = ctx.caches.nodes_of(name_of(network));
    nodes.iter().filter(|node| node.spec.storage.embedded.is_some()).find_map(|node| {
        let pods = image_check::ready_pods(node, ctx);
        let answer =
            pods.iter().filter(|pod| pod.has_image(wanted)).find_map(|pod| last_answer(pod, ctx, now))?;
        Some(answer.payload_store?.format.unwrap_or(FIRST_FORMAT))
    })
}

#[cfg(test)]
mod tests {
    use tessera_node_api::admin::{ImportState, ImportStatus};

    use super::*;
    use crate::fixtures::report_of_a_ready_node;

    #[test]
    fn an_image_is_not_to_blame_for_a_database_that_is_away() {
        let mut report = report_of_a_ready_node();
        report.ready = false;
        report.database.available = false;
        assert_eq!(unready(&report, true), None, "it is not open yet");
        assert!(
            unready(&report, false).is_some(),
            "a store on a volume that does not open is the image's matter"
        );
        let store = |format| admin::PayloadStoreStatus { id: String::new(), lost: Vec::new(), format };
        report.payload_store = Some(store(None));
        assert_eq!(unready(&report, true), None, "it was lost");
        report.database = admin::DependencyStatus {
            available: true,
            since: "2026-12-31T23:59:00Z".into(),
            ..report.database
        };
        let back = unready(&report, true).and_then(|(_, back)| back);
        assert_eq!(back, "2026-12-31T23:59:00Z".parse().ok(), "the time counts from its return");
        report.database.available = false;
        report.payload_store = Some(store(Some(1)));
        assert!(unready(&report, false).is_some(), "a full volume makes no node unready");
    }

    #[test]
    fn an_image_is_not_to_blame_for_a_key_that_is_still_to_be_imported() {
        let mut report = report_of_a_ready_node();
        report.ready = false;
        report.awaiting = vec!["ports are not bound yet".into()];
        assert_eq!(
            unready(&report, false),
            Some(("the node is not ready: ports are not bound yet".into(), None))
        );
        report.imports = vec![ImportStatus {
            key: "main".into(),
            state: ImportState::Awaited,
            message: "the Secret is not there".into(),
            files_present: false,
        }];
        let keys = std::mem::take(&mut report.keys);
        assert_eq!(unready(&report, false), None, "a person is awaited");
        report.keys = keys;
        report.keys[0].imported = true;
        let (_, since) = unready(&report, false).expect("it has the key");
        assert_eq!(
            since,
            report.keys[0].born_at.as_ref().unwrap().parse().ok(),
            "the time counts from there"
        );
    }
}
