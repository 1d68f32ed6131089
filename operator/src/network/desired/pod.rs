//! The pod that tries an image: it prints the version of the node in it, reports the format that it writes, and ends. It can reach and hold nothing: no token, no
//! volume, no Secret but those that the image is pulled with.

use k8s_openapi::api::core::v1::{
    Container, EnvVar, LocalObjectReference, Pod, PodSpec, ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use sha2::{Digest, Sha256};
use tessera_crds::names::{self, label};
use tessera_node_api::image_report::{REPORT_TO, TERMINATION_LOG};

use crate::kube::planned::Planned;
use crate::kube::restricted;
use crate::network::resolve::Resolved;
use crate::node::image_check::Untried;

/// What the cluster autoscaler goes by.
const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";

pub(super) fn build(network: &Resolved, untried: &Untried) -> Planned {
    let spec = spec(untried);
    let mut metadata = network.owner.metadata(names::network::image_check(&network.name, &hash(&spec)));
    // None of the labels by which NetworkPolicies and Services find nodes.
    metadata.labels = Some([(label::NAME.to_owned(), label::IMAGE_CHECK_APP.to_owned())].into());
    // One that waits for its image keeps no machine from being taken away.
    metadata.annotations = Some([(SAFE_TO_EVICT.to_owned(), "true".to_owned())].into());
    Planned::new(&Pod { metadata, spec: Some(spec), status: None })
}

fn hash(spec: &PodSpec) -> String {
    let json = serde_json::to_vec(spec).expect("Kubernetes types have string keys only");
    hex::encode(&Sha256::digest(json)[..5])
}

fn spec(Untried { image, pod }: &Untried) -> PodSpec {
    let pull_secrets = pod.image_pull_secrets.as_ref();
    PodSpec {
        service_account_name: Some("default".to_owned()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        // The kubelet tries again by itself, ever less often.
        restart_policy: Some("OnFailure".to_owned()),
        termination_grace_period_seconds: Some(1),
        security_context: Some(restricted::pod()),
        node_selector: pod.node_selector.clone(),
        tolerations: pod.tolerations.clone(),
        affinity: pod.affinity.clone(),
        image_pull_secrets: pull_secrets.map(|all| all.iter().map(LocalObjectReference::from).collect()),
        containers: vec![container(image)],
        ..PodSpec::default()
    }
}

fn container(image: &str) -> Container {
    Container {
        name: "tessera-node".to_owned(),
        image: Some(image.to_owned()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(vec!["/tessera-node".to_owned()]),
        args: Some(vec!["--version".to_owned()]),
        env: Some(vec![EnvVar {
            name: REPORT_TO.to_owned(),
            value: Some(TERMINATION_LOG.to_owned()),
            value_from: None,
        }]),
        resources: Some(resources()),
        security_context: Some(restricted::container()),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    }
}

fn resources() -> ResourceRequirements {
    let quantities = |all: [(&str, &str); 3]| {
        all.into_iter().map(|(name, value)| (name.to_owned(), Quantity(value.to_owned()))).collect()
    };
    ResourceRequirements {
        requests: Some(quantities([("cpu", "10m"), ("memory", "32Mi"), ("ephemeral-storage", "1Mi")])),
        limits: Some(quantities([("cpu", "1"), ("memory", "64Mi"), ("ephemeral-storage", "16Mi")])),
        ..ResourceRequirements::default()
    }
}
