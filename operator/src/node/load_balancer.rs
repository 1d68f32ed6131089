//! [read] The Service of type `LoadBalancer` that a node has, as the watch last showed it.

use k8s_openapi::api::core::v1::Service;
use tessera_crds::{TesseraNode, names};

use crate::controller::context::Context;
use crate::kube::meta::{name_of, namespace_of, uid_of};
use crate::kube::object_id::ObjectId;
use crate::kube::planned::controller_of;

/// Addresses that are shown.
const MAX_ADDRESSES: usize = 16;

/// A load balancer that exists, whatever the spec says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LiveLoadBalancer {
    /// Its addresses, as its controller reports them, sorted.
    pub addresses: Vec<String>,
    /// From where it takes connections, as the Service says it; empty: from everywhere.
    pub sources: Vec<String>,
}

/// The load balancer of `node`; `None`: there is no such Service, or another owner controls it.
pub fn of_node(node: &TesseraNode, ctx: &Context) -> Option<LiveLoadBalancer> {
    let id = ObjectId::of::<Service>(namespace_of(node), &names::node::exposed_service(name_of(node)));
    let seen = ctx.caches.seen(&id)?;
    let owner = controller_of(seen.metadata.owner_references.as_deref())?;
    let is_ours = owner.uid == uid_of(node) && seen.metadata.deletion_timestamp.is_none();
    is_ours.then(|| seen.read::<Service>().map(of_service)).flatten()
}

fn of_service(service: Service) -> LiveLoadBalancer {
    let sources = service.spec.and_then(|spec| spec.load_balancer_source_ranges).unwrap_or_default();
    let ingress = service.status.and_then(|status| status.load_balancer?.ingress).unwrap_or_default();
    let is_said = |text: &String| !text.is_empty();
    let address =
        ingress.into_iter().filter_map(|one| one.hostname.filter(is_said).or(one.ip.filter(is_said)));
    let mut addresses: Vec<_> = address.collect();
    addresses.sort();
    addresses.dedup();
    addresses.truncate(MAX_ADDRESSES);
    LiveLoadBalancer { addresses, sources }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_or_else_ips_in_an_order_that_stays() {
        let of = |ingress: serde_json::Value| {
            let service = serde_json::json!({
                "spec": {"loadBalancerSourceRanges": ["203.0.113.0/28"]},
                "status": {"loadBalancer": {"ingress": ingress}},
            });
            of_service(serde_json::from_value(service).unwrap())
        };
        let one =
            of(serde_json::json!([{"ip": "203.0.113.9"}, {"hostname": "lb.example", "ip": "203.0.113.7"}]));
        assert_eq!(one.addresses, ["203.0.113.9", "lb.example"]);
        assert_eq!(one.sources, ["203.0.113.0/28"]);
        let turned =
            of(serde_json::json!([{"hostname": "lb.example"}, {"hostname": "", "ip": "203.0.113.9"}]));
        assert_eq!(turned.addresses, one.addresses);
        assert_eq!(of_service(Service::default()), LiveLoadBalancer::default());
    }
}
