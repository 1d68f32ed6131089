//! `SecretStoreIsolation`: the secret store is isolated from external networks. Pure.
//!
//! - Enforced by: the chart's policy, which denies ways in to namespaces labelled `tessera.rs/secret-store=true`.
//! - Observed by: the API server, of a store in the cluster: which Services, Ingresses and Gateway routes lead to it. The operator
//!   looks its address up. Without a stranger from outside who tries to connect, the line is Enforced and not Verified.

use jiff::Timestamp;
use tessera_crds::checklist::{Line, Observer};

use super::cluster::ClusterFacts;
use super::facts::NetworkFacts;
use super::finding::Finding;
use super::store_paths::{ServiceName, is_private};
use super::{EVIDENCE_LASTS, NetworkLine};

pub(super) const OF_NETWORK: NetworkLine =
    NetworkLine { id: Line::SecretStoreIsolation, evidence_lasts: EVIDENCE_LASTS, judge };

fn judge(facts: &NetworkFacts<'_>, now: Timestamp) -> Finding {
    let Some(vault) = facts.vault else {
        return Finding::unknown("NoStore", "the network names no secret store", "set spec.secretStore");
    };
    let address = vault.address.to_string();
    let in_cluster = ServiceName::of(&address);
    let ways = in_cluster.as_ref().map(|name| of_ways(facts.cluster, name, now));
    let lookup = of_address(facts.cluster, &address, now);
    let worst = [ways.flatten(), lookup].into_iter().flatten().min_by_key(|finding| finding.result);
    worst.unwrap_or_else(|| no_stranger(in_cluster.as_ref()))
}

fn no_stranger(in_cluster: Option<&ServiceName>) -> Finding {
    let observed = match in_cluster {
        Some(ServiceName { namespace, .. }) => format!(
            "no LoadBalancer, NodePort, Ingress or Gateway route of namespace {namespace} leads to the secret store, and its address is of a private range; nobody from outside tried to connect"
        ),
        None => "the address of the secret store is of a private range; no more of it was seen, since it is not a Service of this cluster, and nobody from outside tried to connect".to_owned(),
    };
    Finding::enforced(
        "NoStranger",
        observed,
        "have somebody outside of its network try to connect to the secret store",
    )
}

/// `None`: nothing in the cluster leads to the store from outside.
fn of_ways(cluster: &ClusterFacts, name: &ServiceName, now: Timestamp) -> Option<Finding> {
    let ServiceName { service, namespace } = name;
    let seen = cluster.store_namespace.fresh("the secret store's namespace", cluster.probe_every, now);
    let pods = cluster.store_pods.fresh("the secret store's pods", cluster.probe_every, now);
    let seen = match seen {
        Ok(seen) => seen,
        Err(unread) => return Some(*unread),
    };
    let known = pods.as_ref().map(|pods| pods.as_slice()).unwrap_or_default();
    let found = seen.exposures(service, known);
    if let Some(first) = found.first() {
        let more = found.len() - 1;
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        return Some(Finding::violated(
            &format!("ExposedBy{}", first.kind),
            Observer::ApiServer,
            format!(
                "the secret store is reached from outside: in namespace {namespace}, {}{more}",
                first.what
            ),
            "delete the object that is named, or lead it elsewhere; label the namespace tessera.rs/secret-store=true, so that the chart's policy denies the next",
        ));
    }
    if seen.service(service).is_none_or(|service| service.kind == "ExternalName") {
        return Some(Finding::unknown(
            "NoSuchService",
            format!(
                "the secret store's address names Service {service} in namespace {namespace}, which has no pods behind it or does not exist"
            ),
            "correct spec.secretStore.vault.address",
        ));
    }
    pods.err().map(|unread| *unread)
}

/// `None`: the address is of a private range.
fn of_address(cluster: &ClusterFacts, address: &str, now: Timestamp) -> Option<Finding> {
    let addresses = match cluster.addresses.fresh("the secret store's address", cluster.probe_every, now) {
        Ok(addresses) => addresses,
        Err(unread) => return Some(*unread),
    };
    if addresses.is_empty() {
        let remedy = "correct spec.secretStore.vault.address, or the DNS record";
        return Some(Finding::unknown("NoAddress", format!("{address} resolves to no address"), remedy));
    }
    let public = addresses.iter().find(|address| !is_private(**address))?;
    Some(Finding::violated(
        "PublicAddress",
        Observer::Operator,
        format!("{address} resolves to {public}, which is not of a private range"),
        "give the secret store an address of a private network (a private endpoint), and let spec.secretStore.vault.address name it",
    ))
}
