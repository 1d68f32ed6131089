//! NetworkPolicies that the operator did not make. Policies add up, and each of them can only allow: one without rules does no
//! harm. Of one that the operator made, or that allows nothing, only the name is kept.

use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};

use super::cache::{Cache, Cached};
use super::kept::KeptPod;
use crate::kube::meta::{name_of, uid_of};
use crate::kube::planned::controller_of;

/// A NetworkPolicy.
pub struct KeptPolicy {
    name: String,
    uid: String,
    /// The pods that it opens; `None`: it is ours, or allows nothing.
    opens: Option<Selector>,
}

/// The index of those that open pods.
const OPENS: &str = "opens";

impl KeptPolicy {
    /// Keeps name and podSelector.
    pub fn keep(policy: NetworkPolicy) -> Self {
        let (name, uid) = (name_of(&policy).to_owned(), uid_of(&policy).to_owned());
        let is_ours = is_ours(&policy);
        let spec = policy.spec.unwrap_or_default();
        let has_rules = |rules: usize| rules > 0;
        let allows = has_rules(spec.ingress.map_or(0, |rules| rules.len()))
            || has_rules(spec.egress.map_or(0, |rules| rules.len()));
        let opens = (allows && !is_ours).then(|| selector(spec.pod_selector.unwrap_or_default()));
        Self { name, uid, opens }
    }

    /// Whether it is of others and allows something.
    pub fn opens_pods(&self) -> bool {
        self.opens.is_some()
    }

    fn opens(&self, pod: &KeptPod) -> bool {
        let labels = pod.metadata.labels.clone().unwrap_or_default();
        self.opens.as_ref().is_some_and(|pods| pods.matches(&labels))
    }
}

/// An owner that is not there has the object collected, and a live one of ours removes what it did not plan.
fn is_ours(policy: &NetworkPolicy) -> bool {
    let owner = controller_of(policy.metadata.owner_references.as_deref());
    owner.is_some_and(|owner| {
        owner.api_version.starts_with("tessera.rs/")
            && matches!(owner.kind.as_str(), "TesseraNode" | "TesseraNetwork")
    })
}

/// A selector that cannot be understood counts as one of all pods.
fn selector(pods: LabelSelector) -> Selector {
    Selector::try_from(pods).unwrap_or_default()
}

impl Cached for KeptPolicy {
    fn name(&self) -> &str {
        &self.name
    }

    fn uid(&self) -> &str {
        &self.uid
    }

    fn index(&self) -> Option<&str> {
        self.opens.is_some().then_some(OPENS)
    }
}

/// The policies of others that open one of `pods`, by name.
pub fn opening(policies: &Cache<KeptPolicy>, pods: &[impl AsRef<KeptPod>]) -> Vec<String> {
    let policies = policies.indexed(OPENS);
    let opening = policies.iter().filter(|policy| pods.iter().any(|pod| policy.opens(pod.as_ref())));
    opening.map(|policy| policy.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kube::runtime::watcher::Event;
    use serde_json::{Value, json};

    use super::*;

    fn policy(name: &str, spec: &Value, owner: &Value) -> NetworkPolicy {
        let metadata = json!({"name": name, "uid": name, "ownerReferences": owner});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    fn opening_of(spec: &Value, owner: &Value) -> Vec<String> {
        let pod = json!({"metadata": {"name": "tessera-a-0", "labels": {
            "app.kubernetes.io/name": "tessera-node", "tessera.rs/node": "a",
        }}});
        let pod = Arc::new(KeptPod::keep(serde_json::from_value(pod).unwrap()));
        let cache = Cache::default();
        cache.take_in(Event::Apply(policy("other", spec, owner)), KeptPolicy::keep);
        opening(&cache, &[pod])
    }

    #[test]
    fn a_policy_of_others_opens_the_pods_that_it_selects_and_allows_something() {
        let none = json!([]);
        let with = |pods: Value| opening_of(&json!({"podSelector": pods, "ingress": [{}]}), &none);
        assert_eq!(with(json!({})), ["other"]);
        assert_eq!(with(json!({"matchLabels": {"tessera.rs/node": "a"}})), ["other"]);
        let expression =
            |operator: &str| json!({"matchExpressions": [{"key": "tessera.rs/node", "operator": operator}]});
        assert_eq!(with(expression("Exists")), ["other"]);
        assert!(with(expression("DoesNotExist")).is_empty());
        assert!(with(json!({"matchLabels": {"tessera.rs/node": "b"}})).is_empty());
        assert_eq!(with(expression("Resembles")), ["other"], "what cannot be understood counts as all");
        let egress = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]});
        assert_eq!(opening_of(&egress, &none), ["other"]);
    }

    #[test]
    fn one_that_allows_nothing_does_no_harm_and_ours_are_ours() {
        let deny =
            json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [], "egress": []});
        assert!(opening_of(&deny, &json!([])).is_empty());
        let allow = json!({"podSelector": {}, "ingress": [{}]});
        let owner = |api: &str, kind: &str, controller: bool| json!([{"apiVersion": api, "kind": kind, "name": "a", "uid": "u", "controller": controller}]);
        assert!(opening_of(&allow, &owner("tessera.rs/v1alpha1", "TesseraNode", true)).is_empty());
        assert!(opening_of(&allow, &owner("tessera.rs/v1alpha1", "TesseraNetwork", true)).is_empty());
        for other in [
            owner("tessera.rs/v1alpha1", "TesseraNode", false),
            owner("example.org/v1", "TesseraNode", true),
            owner("apps/v1", "Deployment", true),
        ] {
            assert_eq!(opening_of(&allow, &other), ["other"]);
        }
    }
}
