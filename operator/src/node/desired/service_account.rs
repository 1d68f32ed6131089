//! Whom the node logs in to the secret store as. It has no rights in the API server, and its token is mounted nowhere by
//! default.

use k8s_openapi::api::core::v1::ServiceAccount;
use tessera_crds::names;

use crate::kube::planned::Planned;
use crate::node::resolve::Resolved;

pub(super) fn build(node: &Resolved) -> Planned {
    Planned::new(&ServiceAccount {
        metadata: node.owner.metadata(names::node::service_account(&node.name)),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    })
}
