//! Pods that no kubelet runs: what the API server says of them is what a test makes it say.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tessera_crds::names::{self, label};
use tessera_node_api::paths::ADMIN_PORT;

use crate::world::World;

/// An address of loopback at which connections are taken and nothing is ever answered, as at a lost machine's.
pub(crate) struct Silence {
    pub(crate) address: IpAddr,
    _listener: TcpListener,
}

impl Silence {
    /// The one with this number.
    pub(crate) fn new(number: u8) -> Self {
        let address = IpAddr::V4(Ipv4Addr::new(127, 77, 0, number));
        let listener = TcpListener::bind(SocketAddr::new(address, ADMIN_PORT)).expect("loopback is all ours");
        Self { address, _listener: listener }
    }
}

/// The pod of a node, as the StatefulSet controller would make it.
pub(crate) async fn make(world: &World, node: &str) {
    try_make(world, node).await.expect("the pod is admitted");
}

/// The same, or the API server's refusal.
pub(crate) async fn try_make(world: &World, node: &str) -> Result<Pod, kube::Error> {
    let set =
        world.get("StatefulSet", &names::node::stateful_set(node)).await.expect("the workload is there");
    let metadata = &set["metadata"];
    let pod = json!({
        "metadata": {
            "name": names::node::pod(node, 0),
            "labels": set["spec"]["template"]["metadata"]["labels"],
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": metadata["name"],
                "uid": metadata["uid"], "controller": true}],
        },
        "spec": {
            "containers": [{"name": "tessera-node", "image": set["spec"]["template"]["spec"]["containers"][0]["image"]}],
            "automountServiceAccountToken": false,
        },
    });
    let pod = serde_json::from_value(pod).expect("a pod");
    pods(world).create(&PostParams::default(), &pod).await
}

/// The pod runs at `address`; the kubelet finds it ready or not.
pub(crate) async fn set_running(world: &World, node: &str, address: IpAddr, ready: bool) {
    let status = json!({"status": {
        "phase": "Running", "podIP": address.to_string(), "podIPs": [{"ip": address.to_string()}],
        "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" },
            "lastTransitionTime": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()}],
    }});
    let name = names::node::pod(node, 0);
    let patched = pods(world).patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await;
    patched.expect("the status is admitted");
}

/// The pod of a node is gone, as the StatefulSet controller would delete it.
pub(crate) async fn delete(world: &World, node: &str) {
    pods(world).delete(&names::node::pod(node, 0), &DeleteParams::default()).await.expect("it was there");
}

/// The pods that try images.
pub(crate) async fn image_checks(world: &World) -> Vec<Pod> {
    let selector = format!("{}={}", label::NAME, label::IMAGE_CHECK_APP);
    let listed = pods(world).list(&ListParams::default().labels(&selector)).await;
    listed.expect("pods can be listed").items
}

/// What the kubelet says of a pod.
pub(crate) async fn set_status(world: &World, pod: &str, status: Value) {
    let status = Patch::Merge(json!({"status": status}));
    pods(world).patch_status(pod, &PatchParams::default(), &status).await.expect("the status is admitted");
}

fn pods(world: &World) -> Api<Pod> {
    Api::namespaced(world.client.clone(), &world.namespace)
}
