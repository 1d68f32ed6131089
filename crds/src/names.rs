//! The name of every object and label that follows from a network or a node, in one place.
//!
//! Every name is a function of the object it belongs to, so that a person can tell one from the other and an object that
//! was deleted comes back under the same name.

/// The operator's field manager, and the value of `app.kubernetes.io/managed-by`.
pub const FIELD_MANAGER: &str = "tessera-operator";
/// The ServiceAccount that the operator logs in to the secret store as; the chart makes it in each managed namespace.
pub const PROVISIONER: &str = "tessera-provisioner";
