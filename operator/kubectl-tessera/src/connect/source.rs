//! A source of connections in words. [pure]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use tessera_crds::api::peer::IngressPeer;

/// The pods or addresses of `peer`, of a node in `namespace`.
pub(super) fn describe(peer: &IngressPeer, namespace: &str) -> String {
    if let Some(block) = &peer.ip_block {
        return format!("a pod with an address of {}", block.cidr);
    }
    let pods = match labels(peer.pod_selector.as_ref()) {
        Some(labels) => format!("a pod with {labels}"),
        None => "any pod".to_owned(),
    };
    match &peer.namespace_selector {
        None => format!("{pods} in namespace {namespace}"),
        Some(selector) => match labels(Some(selector)) {
            Some(labels) => format!("{pods} in a namespace with {labels}"),
            None => format!("{pods} in any namespace"),
        },
    }
}

/// Whether only pods of the node's own namespace are meant.
pub(super) fn is_of_own_namespace(peer: &IngressPeer) -> bool {
    peer.ip_block.is_none() && peer.namespace_selector.is_none()
}

/// None: it selects everything.
fn labels(selector: Option<&LabelSelector>) -> Option<String> {
    let selector = selector?;
    let equal = selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}={value}"));
    let others = selector.match_expressions.iter().flatten().map(|expression| {
        let values = expression.values.as_deref().unwrap_or_default();
        let values = if values.is_empty() { String::new() } else { format!(" ({})", values.join(", ")) };
        format!("{} {}{values}", expression.key, expression.operator)
    });
    let all: Vec<_> = equal.chain(others).collect();
    (!all.is_empty()).then(|| all.join(", "))
}
