//! Who reaches every container of the cluster by way of its machine, past the policies on pods: `nodes/proxy` lets the holder
//! call the kubelet, where a GET opens a shell by WebSocket; `nodes/checkpoint` writes a container's memory to disk. Pure.
//!
//! Both resources lie outside of namespaces, so only a `ClusterRoleBinding` grants them.

use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Subject};

/// A subject that holds such a right and is not of Kubernetes' own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// The `ClusterRoleBinding`.
    pub binding: String,
    /// Who, for example `ServiceAccount monitoring/prometheus`.
    pub subject: String,
}

/// What a request to one machine asks for: it names the machine, so it is no list, watch or deletecollection.
const VERBS: [&str; 6] = ["*", "get", "create", "update", "patch", "delete"];
const RESOURCES: [&str; 5] = ["*", "*/proxy", "*/checkpoint", "nodes/proxy", "nodes/checkpoint"];

/// Whether the role grants a way into containers past the policies on pods.
pub fn grants(role: &ClusterRole) -> bool {
    role.rules.iter().flatten().any(is_way_in)
}

fn is_way_in(rule: &PolicyRule) -> bool {
    let has = |texts: Option<&Vec<String>>, of: &[&str]| {
        texts.into_iter().flatten().any(|text| of.contains(&text.as_str()))
    };
    has(rule.api_groups.as_ref(), &["", "*"])
        && has(rule.resources.as_ref(), &RESOURCES)
        && has(Some(&rule.verbs), &VERBS)
}

/// The subjects of `binding` that get such a right by one of `roles` and are not of Kubernetes' own.
pub fn holders(binding: &ClusterRoleBinding, roles: &BTreeSet<String>) -> Vec<Holder> {
    if !roles.contains(&binding.role_ref.name) {
        return Vec::new();
    }
    let name = binding.metadata.name.as_deref().unwrap_or_default();
    let subjects = binding.subjects.iter().flatten();
    let foreign = subjects.filter(|subject| !is_built_in(name, &binding.role_ref.name, subject));
    foreign.map(|subject| Holder { binding: name.to_owned(), subject: in_words(subject) }).collect()
}

/// Who administers the cluster: a checklist that names these would name them in every cluster.
const ADMINISTRATORS: [&str; 2] = ["system:masters", "kubeadm:cluster-admins"];
/// The API server towards kubelets, as it is called where it is no member of `system:masters`.
const API_SERVERS: [&str; 4] =
    ["kube-apiserver", "kube-apiserver-kubelet-client", "system:apiserver", "system:kube-apiserver"];

/// By all of binding, role and subject: a label could be anybody's.
fn is_built_in(binding: &str, role: &str, subject: &Subject) -> bool {
    let name = subject.name.as_str();
    match subject.kind.as_str() {
        "Group" => role == "cluster-admin" && ADMINISTRATORS.contains(&name),
        "User" => role == "system:kubelet-api-admin" && API_SERVERS.contains(&name),
        "ServiceAccount" => {
            // Garbage collector and namespace controller may do things to all resources.
            subject.namespace.as_deref() == Some("kube-system")
                && binding == role
                && role.strip_prefix("system:controller:") == Some(name)
        }
        _ => false,
    }
}

fn in_words(subject: &Subject) -> String {
    match &subject.namespace {
        Some(namespace) => format!("{} {namespace}/{}", subject.kind, subject.name),
        None => format!("{} {}", subject.kind, subject.name),
    }
}
