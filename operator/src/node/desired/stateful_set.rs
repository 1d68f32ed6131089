//! The workload: a StatefulSet. With an embedded store it has one pod and one volume, which outlives it; with a database up to nine pods,
//! which are replaced one by one, each once the one before is ready.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, PodTemplateSpec, VolumeProjection,
    VolumeResourceRequirements, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::ObjectMeta;
use sha2::{Digest, Sha256};
use tessera_crds::names::{self, label};

use super::pod::Spread;
use super::{config_map, imports, placement, pod};
use crate::kube::meta::node_selector;
use crate::kube::planned::Planned;
use crate::node::resolve::storage::Volume;
use crate::node::resolve::{CURRENT_REVISION, Resolved};
use crate::node::rollout::{LEDGER_TERMS, TEMPLATE_HASH, TEMPLATE_REVISION, kept_revision};

/// The first revision that keeps nodes away from their ledgers.
const LEDGERS_SINCE: u32 = 2;
/// The first revision that spreads the pods of one node.
const PODS_SPREAD_SINCE: u32 = 3;

pub(super) fn build(node: &Resolved) -> Planned {
    let Chosen { revision, ledgers, imports } = chosen(node);
    let template = template(node, revision, &ledgers, &imports);
    let mut metadata = node.owner.metadata(names::node::stateful_set(&node.name));
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(TEMPLATE_REVISION.to_owned(), revision.to_string());
    annotations.insert(TEMPLATE_HASH.to_owned(), hash(&template));
    if revision >= LEDGERS_SINCE {
        annotations.insert(LEDGER_TERMS.to_owned(), ledgers.len().to_string());
    }
    let mut planned = StatefulSet { metadata, spec: Some(spec(node, template)), ..StatefulSet::default() };
    if let (Some(live), Some(spec)) = (&node.workload, &mut planned.spec) {
        // Kubernetes cannot change them, so what exists wins, whatever labels it has.
        spec.volume_claim_templates = serde_json::from_value(live.claims.clone()).ok();
    }
    Planned::new(&planned)
}

fn spec(node: &Resolved, template: PodTemplateSpec) -> StatefulSetSpec {
    let retain = Some("Retain".to_owned());
    StatefulSetSpec {
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
        template,
        volume_claim_templates: node.storage.volume().map(|volume| vec![claim(node, volume)]),
        ..StatefulSetSpec::default()
    }
}

/// What a template is made of beside the spec.
struct Chosen {
    revision: u32,
    /// The terms that keep the node away from its ledgers.
    ledgers: Vec<WeightedPodAffinityTerm>,
    /// The Secrets of keys to import.
    imports: Vec<VolumeProjection>,
}

/// Those of the live template as long as that would come out the same, so that neither a change of `clients` alone nor the end of
/// an import rolls a pod. Once it changes anyway, the newest and today's.
fn chosen(node: &Resolved) -> Chosen {
    let live = node.workload.as_ref();
    let ledgers = live.map(|live| live.ledger_terms.clone()).unwrap_or_default();
    let wanted = imports::sources(node);
    let mounted = live.map(|live| live.imports.clone()).unwrap_or_default();
    let imports = if wanted.iter().all(|one| mounted.contains(one)) { mounted } else { wanted.clone() };
    let hash_of = |revision| hash(&template(node, revision, &ledgers, &imports));
    match kept_revision(live, CURRENT_REVISION, hash_of) {
        Some(revision) => Chosen { revision, ledgers, imports },
        None => Chosen {
            revision: CURRENT_REVISION,
            ledgers: placement::away_from_ledgers(node),
            imports: wanted,
        },
    }
}

/// The template of a revision. A change of what a pod or its static configuration looks like becomes a new revision, chosen
/// here: an upgrade of the operator alone must roll no pod.
pub(super) fn template(
    node: &Resolved,
    revision: u32,
    ledgers: &[WeightedPodAffinityTerm],
    imports: &[VolumeProjection],
) -> PodTemplateSpec {
    let ledgers = if revision >= LEDGERS_SINCE { ledgers } else { &[] };
    let has_several = revision >= PODS_SPREAD_SINCE && node.storage.volume().is_none();
    let spread = if has_several { Spread::PodsOfNode } else { Spread::Nodes };
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels(node)),
            annotations: Some(annotations(node)),
            ..ObjectMeta::default()
        }),
        spec: Some(pod::spec(node, ledgers, imports, spread)),
    }
}

fn hash(template: &PodTemplateSpec) -> String {
    let json = serde_json::to_vec(template).expect("Kubernetes types have string keys only");
    hex::encode(&Sha256::digest(json)[..8])
}

/// The user's labels, and ours over them: what selects pods is not the user's to change.
fn labels(node: &Resolved) -> BTreeMap<String, String> {
    let mut labels = node.pod.labels.clone().unwrap_or_default();
    labels.extend(node.owner.labels.clone());
    labels
}

fn annotations(node: &Resolved) -> BTreeMap<String, String> {
    let mut annotations = node.pod.annotations.clone().unwrap_or_default();
    annotations.insert(label::CONFIG_HASH.to_owned(), config_map::static_sha256(node));
    if node.restart_trigger > 0 {
        annotations.insert(label::RESTART_TRIGGER.to_owned(), node.restart_trigger.to_string());
    }
    annotations
}

fn claim(node: &Resolved, volume: &Volume) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(names::node::VOLUME_CLAIM.to_owned()),
            labels: Some(node.owner.labels.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: volume.class.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity(volume.size.clone()))].into()),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}
