//! Whether an object of a name that we need is ours. Pure.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::ObjectMeta;
use tessera_crds::names::label;

use super::planned::{Planned, controller_of};
use super::write_error::WriteError;

/// Ours: controlled by the owner that the plan names; in another namespace, where no owner is possible, made for the same
/// node; for CA state, which has no owner either, by its name.
pub(super) fn is_ours(live: &ObjectMeta, planned: &Planned) -> bool {
    match &planned.owner {
        Some(ours) => {
            controller_of(live.owner_references.as_deref()).is_some_and(|owner| owner.uid == ours.uid)
        }
        None => {
            controller_of(live.owner_references.as_deref()).is_none()
                && node_path_of(live.annotations.as_ref()) == planned.node_path()
        }
    }
}

/// Namespace and name of the node that something in another namespace is made for.
pub fn node_path_of(annotations: Option<&BTreeMap<String, String>>) -> Option<&str> {
    annotations?.get(label::OF_NODE).map(String::as_str)
}

/// Whose it is. What a deleted namesake of our owner left behind is in the way for a moment only.
pub(super) fn foreign(live: &ObjectMeta, planned: &Planned) -> WriteError {
    let object = planned.id.clone();
    let controller = controller_of(live.owner_references.as_deref());
    let namesake = |owner: &OwnerReference| {
        planned.owner.as_ref().is_some_and(|ours| (&ours.kind, &ours.name) == (&owner.kind, &owner.name))
    };
    let of_node = || node_path_of(live.annotations.as_ref()).map(|path| format!("TesseraNode {path}"));
    let text = controller.map(|owner| format!("{} {}", owner.kind, owner.name)).or_else(of_node);
    match text {
        Some(owner) if controller.is_some_and(namesake) => WriteError::LeftOver { object, owner },
        controller => WriteError::NameConflict { object, controller },
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;

    fn metadata(kind: &str, name: &str, uid: &str) -> ObjectMeta {
        let owner = json!([{"apiVersion": "tessera.rs/v1alpha1", "kind": kind, "name": name, "uid": uid, "controller": true}]);
        serde_json::from_value(json!({"name": "a-peers", "namespace": "b", "ownerReferences": owner}))
            .unwrap()
    }

    #[test]
    fn what_a_deleted_namesake_left_is_told_from_what_is_another_s() {
        let ours = metadata("TesseraNode", "a", "new");
        let planned = Planned::new(&ConfigMap { metadata: ours.clone(), ..ConfigMap::default() });
        assert!(is_ours(&ours, &planned));
        let left = metadata("TesseraNode", "a", "old");
        assert!(!is_ours(&left, &planned));
        assert!(
            matches!(foreign(&left, &planned), WriteError::LeftOver { owner, .. } if owner == "TesseraNode a")
        );
        let another = foreign(&metadata("TesseraNode", "b", "x"), &planned);
        assert!(
            matches!(another, WriteError::NameConflict { controller: Some(owner), .. } if owner == "TesseraNode b")
        );
        let nobody = foreign(&ObjectMeta::default(), &planned);
        assert!(matches!(nobody, WriteError::NameConflict { controller: None, .. }));
    }
}
