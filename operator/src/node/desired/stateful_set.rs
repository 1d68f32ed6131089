//! The workload: a StatefulSet of one pod with one volume that outlives it.

use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, PodTemplateSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::ObjectMeta;
use tessera_crds::names::{self, label};

use super::{config_map, pod};
use crate::kube::meta::node_selector;
use crate::kube::planned::Planned;
use crate::node::resolve::Resolved;

pub(super) fn build(node: &Resolved) -> Planned {
    let retain = Some("Retain".to_owned());
    Planned::new(&StatefulSet {
        metadata: node.owner.metadata(names::node::stateful_set(&node.name)),
        spec: Some(StatefulSetSpec {
            replicas: Some(node.replicas),
            service_name: Some(names::node::p2p_service(&node.name)),
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("RollingUpdate".to_owned()),
                ..StatefulSetUpdateStrategy::default()
            }),
            persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
                when_deleted: retain.clone(),
                when_scaled: retain,
            }),
            selector: node_selector(&node.name),
            template: template(node),
            volume_claim_templates: Some(vec![claim(node)]),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    })
}

/// The template of revision 1, the only one yet. A change of the pod or of its static configuration becomes revision 2,
/// chosen here by `node.revision`: an upgrade of the operator alone must roll no pod.
fn template(node: &Resolved) -> PodTemplateSpec {
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(node.owner.labels.clone()),
            annotations: Some([(label::CONFIG_HASH.to_owned(), config_map::static_sha256(node))].into()),
            ..ObjectMeta::default()
        }),
        spec: Some(pod::spec(node)),
    }
}

fn claim(node: &Resolved) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(names::node::VOLUME_CLAIM.to_owned()),
            labels: Some(node.owner.labels.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: node.volume.class.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity(node.volume.size.clone()))].into()),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}
