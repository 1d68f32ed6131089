//! How networks and nodes do, at a time. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use serde::Serialize;
use tessera_crds::api::partner::PartnerStatus;
use tessera_crds::checklist::ChecklistStatus;
use tessera_crds::condition::ConditionType;
use tessera_crds::{TesseraNetwork, TesseraNode};

use crate::evidence::{has_passed, read_at};

/// Networks and nodes.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Overview {
    /// The networks, by name.
    pub(super) networks: Vec<NetworkOverview>,
    /// The nodes, by name.
    pub(super) nodes: Vec<NodeOverview>,
    /// The partners of the networks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) partners: Vec<PartnerOverview>,
}

/// A network.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NetworkOverview {
    pub(super) name: String,
    pub(super) ready: Ready,
    /// How many of its nodes are ready, of how many: 2/3; absent if nobody has counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nodes: Option<String>,
    /// How many lines are satisfied, of how many: 9/14; absent if nobody has judged it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) checklist: Option<String>,
    /// The end of the CA that ends first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) authority: Option<End>,
}

/// A node.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeOverview {
    pub(super) name: String,
    pub(super) network: String,
    pub(super) ready: Ready,
    /// How many lines are satisfied, of how many: 5/6; absent if nobody has judged it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) checklist: Option<String>,
    /// How many of the spec's keys the node has, of how many: 1/1.
    pub(super) keys: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) default_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate: Option<End>,
}

/// Another organisation.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PartnerOverview {
    pub(super) name: String,
    pub(super) network: String,
    /// Whether the network's nodes accept its certificates.
    pub(super) accepted: bool,
    /// Why not, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    /// How many of its URLs all nodes reach, of how many: 1/2.
    pub(super) reached: String,
    /// The end of its CA that ends last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) authority: Option<End>,
}

/// The condition Ready, for the spec as it is now.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Ready {
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) message: String,
}

/// The end of a certificate.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct End {
    pub(super) not_after: String,
    pub(super) has_passed: bool,
}

impl Overview {
    /// Of all `networks` and `nodes`, or of the network `name` with its nodes and the node `name`.
    pub(super) fn new(
        networks: &[TesseraNetwork],
        nodes: &[TesseraNode],
        name: Option<&str>,
        now: Timestamp,
    ) -> Self {
        let is_named = |found: &str| name.is_none_or(|name| name == found);
        let networks: Vec<_> = networks.iter().filter(|network| is_named(&network.name_any())).collect();
        let nodes = nodes
            .iter()
            .filter(|node| is_named(&node.name_any()) || is_named(node.spec.network_ref.name.as_str()));
        Self {
            networks: networks.iter().map(|network| of_network(network, now)).collect(),
            partners: networks.iter().flat_map(|network| partners(network, now)).collect(),
            nodes: nodes.map(|node| of_node(node, now)).collect(),
        }
    }

    /// Whether there is nothing to show.
    pub(super) fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.nodes.is_empty()
    }
}

fn of_network(network: &TesseraNetwork, now: Timestamp) -> NetworkOverview {
    let status = network.status.clone().unwrap_or_default();
    let first = status.cas.into_iter().map(|ca| ca.not_after.to_string()).min();
    NetworkOverview {
        name: network.name_any(),
        ready: ready(&status.conditions, status.observed_generation, network.metadata.generation),
        nodes: status.nodes.map(|nodes| format!("{}/{}", nodes.ready, nodes.total)),
        checklist: checklist(status.checklist, now),
        authority: first.map(|not_after| end(not_after, now)),
    }
}

fn partners(network: &TesseraNetwork, now: Timestamp) -> Vec<PartnerOverview> {
    let found = network.status.iter().flat_map(|status| &status.partners);
    let one = |partner: &PartnerStatus| {
        let last = partner.cas.iter().map(|ca| ca.not_after.to_string()).max();
        PartnerOverview {
            name: partner.name.clone(),
            network: network.name_any(),
            accepted: partner.accepted,
            message: partner.message.clone(),
            reached: format!("{}/{}", partner.reached.len(), partner.reached.len() + partner.unreached.len()),
            authority: last.map(|not_after| end(not_after, now)),
        }
    };
    found.map(one).collect()
}

fn of_node(node: &TesseraNode, now: Timestamp) -> NodeOverview {
    let status = node.status.clone().unwrap_or_default();
    let has: BTreeSet<_> = status.keys.iter().map(|key| key.name.as_str()).collect();
    let had = node.spec.keys.iter().filter(|key| has.contains(key.name.as_str())).count();
    NodeOverview {
        name: node.name_any(),
        network: node.spec.network_ref.name.to_string(),
        ready: ready(&status.conditions, status.observed_generation, node.metadata.generation),
        checklist: checklist(status.checklist, now),
        keys: format!("{had}/{}", node.spec.keys.len()),
        default_key: status.default_key,
        certificate: status.certificate.map(|certificate| end(certificate.not_after.to_string(), now)),
    }
}

/// A condition of an older spec says nothing of this one.
fn ready(conditions: &[Condition], observed: Option<i64>, generation: Option<i64>) -> Ready {
    let found = conditions.iter().find(|condition| condition.type_ == ConditionType::Ready.as_str());
    let unknown = |reason: &str, message: &str| Ready {
        status: "Unknown".into(),
        reason: reason.into(),
        message: message.into(),
    };
    match found {
        None => unknown(
            "NotReconciled",
            "the operator has not seen it yet: see whether it runs and manages this namespace",
        ),
        Some(_) if observed != generation => {
            unknown("SpecChanged", "the operator has not seen the newest spec yet: see whether it runs")
        }
        Some(ready) => Ready {
            status: ready.status.clone(),
            reason: ready.reason.clone(),
            message: ready.message.clone(),
        },
    }
}

fn checklist(found: Option<ChecklistStatus>, now: Timestamp) -> Option<String> {
    found.map(|checklist| read_at(checklist, now).summary)
}

fn end(not_after: String, now: Timestamp) -> End {
    End { has_passed: has_passed(&not_after, now), not_after }
}
