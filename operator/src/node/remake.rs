//! [IO, write] A claim template cannot be changed, and neither can a claim. While the node has no volume yet, a workload with
//! another claim template than the spec's goes, with its claim, and both come again: a class that does not exist or a size
//! that no machine has would else be there permanently.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec};
use kube::api::DynamicObject;
use kube::core::ApiResource;
use serde_json::Value;
use tessera_crds::names;

use super::resolve::Resolved;
use super::resolve::storage::Volume;
use super::rollout;
use crate::controller::context::Context;
use crate::kube::object_id::ObjectId;
use crate::kube::planned::Planned;
use crate::kube::writer::WriteError;

/// Removes workload and claim if they ask for another volume than the spec and there is none yet; whether the workload must
/// wait for that.
pub(super) async fn remove_unbound(
    node: &Resolved,
    workload: &Planned,
    live: Option<&DynamicObject>,
    ctx: &Context,
) -> Result<bool, WriteError> {
    let Some(wanted) = node.storage.volume() else { return Ok(false) };
    let name = names::node::volume_claim(&node.name, 0);
    let claim = ctx.caches.claims.get(&name);
    let claim = claim.as_ref().map(|claim| claim.read());
    let uid = live.and_then(|live| live.metadata.uid.as_deref()).unwrap_or_default();
    if claim.as_ref().is_some_and(has_volume) || rollout::serves(uid, &ctx.caches) {
        return Ok(false);
    }
    let asks_otherwise =
        |found: Option<PersistentVolumeClaimSpec>| found.is_some_and(|it| differs(&it, wanted));
    let wrong_claim = claim.filter(|claim| asks_otherwise(claim.spec.clone()));
    let wrong_template = live.filter(|live| asks_otherwise(template(live)));
    let is_wrong = wrong_claim.is_some() || wrong_template.is_some();
    if let Some(live) = live.filter(|_| is_wrong) {
        tracing::info!(object = %workload, "made again: it asks for another volume than the spec, and there is none yet");
        ctx.writer.remove_unchanged(&workload.resource, &workload.id, &live.metadata).await?;
    }
    if let Some(claim) = wrong_claim.filter(|claim| claim.metadata.deletion_timestamp.is_none()) {
        let id = ObjectId::of::<PersistentVolumeClaim>(&node.owner.namespace, &name);
        let resource = ApiResource::erase::<PersistentVolumeClaim>(&());
        ctx.writer.remove_unchanged(&resource, &id, &claim.metadata).await?;
    }
    Ok(is_wrong)
}

fn has_volume(claim: &PersistentVolumeClaim) -> bool {
    let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref());
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    volume.is_some_and(|volume| !volume.is_empty()) || phase.is_some_and(|phase| phase != "Pending")
}

/// Without a class in the spec, the cluster's default stands in the claim.
fn differs(found: &PersistentVolumeClaimSpec, wanted: &Volume) -> bool {
    let size = found.resources.as_ref().and_then(|resources| resources.requests.as_ref()?.get("storage"));
    let other_size = size.is_some_and(|size| !quantity_eq(&size.0, &wanted.size));
    let other_class = wanted.class.is_some() && found.storage_class_name != wanted.class;
    other_size || other_class
}

fn quantity_eq(a: &str, b: &str) -> bool {
    !crate::kube::quantity::is_less(a, b) && !crate::kube::quantity::is_less(b, a)
}

fn template(live: &DynamicObject) -> Option<PersistentVolumeClaimSpec> {
    let spec: Value = live.data.pointer("/spec/volumeClaimTemplates/0/spec")?.clone();
    serde_json::from_value(spec).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claim(size: &str, class: Option<&str>) -> PersistentVolumeClaimSpec {
        let spec = json!({"storageClassName": class, "resources": {"requests": {"storage": size}}});
        serde_json::from_value(spec).unwrap()
    }

    fn wanted(size: &str, class: Option<&str>) -> Volume {
        Volume { size: size.to_owned(), class: class.map(str::to_owned) }
    }

    #[test]
    fn a_claim_differs_by_size_and_by_a_class_that_the_spec_names() {
        assert!(!differs(&claim("1Gi", Some("standard")), &wanted("1024Mi", Some("standard"))));
        assert!(!differs(&claim("1Gi", Some("the-default")), &wanted("1Gi", None)));
        assert!(differs(&claim("1Gi", Some("nowhere")), &wanted("1Gi", Some("standard"))));
        assert!(differs(&claim("1Gi", None), &wanted("1Gi", Some("standard"))));
        assert!(differs(&claim("25Ti", None), &wanted("25Gi", None)));
    }

    #[test]
    fn a_claim_has_a_volume_from_its_binding_on() {
        let claim = |json: Value| serde_json::from_value::<PersistentVolumeClaim>(json).unwrap();
        assert!(!has_volume(&claim(json!({"spec": {}, "status": {"phase": "Pending"}}))));
        assert!(!has_volume(&claim(json!({"spec": {}}))));
        assert!(has_volume(&claim(json!({"spec": {"volumeName": "pv"}, "status": {"phase": "Pending"}}))));
        assert!(has_volume(&claim(json!({"spec": {}, "status": {"phase": "Lost"}}))));
    }
}
