//! What is assessed, with what, and what people state. Pure.

use std::collections::BTreeSet;

use tessera_crds::checklist::Observer;

use super::document::{
    AssessmentAssets, Attestation, Component, ComponentState, InventoryItem, Part, Party, Platform, Property,
    ResponsibleParty, Subjects,
};
use super::ids::Ids;
use super::{ATTESTER, property};
use crate::report::model::{NodeReport, Report};
use crate::report::statements::Statement;
use crate::report::text::{markdown, one_line};

/// The programs that observe.
pub(super) const OBSERVERS: [Observer; 4] =
    [Observer::Operator, Observer::Node, Observer::ApiServer, Observer::Store];

/// What is assessed, and with what.
pub(super) fn subjects(report: &Report, ids: Ids) -> Subjects {
    Subjects {
        components: vec![network(report, ids)],
        inventory_items: report.nodes.iter().map(|node| inventory_item(node, ids)).collect(),
        assessment_assets: AssessmentAssets {
            components: OBSERVERS.iter().map(|observer| tool(*observer, ids)).collect(),
            assessment_platforms: [Platform { uuid: ids.of(&["platform"]), title: "Tessera operator" }],
        },
    }
}

fn network(report: &Report, ids: Ids) -> Component {
    let network = &report.network;
    let mut props: Vec<Property> = ready(&network.ready.status, &network.ready.reason);
    props.extend(property("trust-domain", &network.trust_domain));
    props.extend(network.secret_store.as_deref().and_then(|address| property("secret-store", address)));
    props.extend(network.authorities.iter().filter_map(|authority| {
        let class = Some(format!("{:?}", authority.role));
        Some(Property { class, ..property("authority-sha256", &authority.fingerprint)? })
    }));
    Component {
        uuid: ids.of(&["network"]),
        r#type: "system",
        title: format!("TesseraNetwork {}/{}", network.namespace, network.name),
        description: "A network of Tessera nodes with its secret store".to_owned(),
        props,
        status: ComponentState {
            state: if network.ready.status == "True" { "operational" } else { "other" },
        },
    }
}

fn inventory_item(node: &NodeReport, ids: Ids) -> InventoryItem {
    let mut props = ready(&node.ready.status, &node.ready.reason);
    props.extend(property("uid", &node.uid));
    props.extend(node.images.iter().filter_map(|image| property("image", image)));
    props.extend(node.default_key.as_deref().and_then(|key| property("default-key", key)));
    props.extend(node.summary.as_deref().and_then(|summary| property("summary", summary)));
    InventoryItem {
        uuid: ids.of(&["node", &node.name]),
        description: format!("TesseraNode {}", node.name),
        props,
    }
}

fn ready(status: &str, reason: &str) -> Vec<Property> {
    [property("ready", status), property("ready-reason", reason)].into_iter().flatten().collect()
}

fn tool(observer: Observer, ids: Ids) -> Component {
    let (title, description) = match observer {
        Observer::Operator => ("Tessera operator", "Tries what must not be possible, from its own pod"),
        Observer::Node => ("tessera-node", "Examines its own process, machine and connections"),
        Observer::ApiServer => ("Kubernetes API server", "Shows the objects of the cluster"),
        Observer::Store => ("Secret store", "Answers for its own settings"),
        Observer::Person => ("Person", "States what a cluster cannot see"),
    };
    Component {
        uuid: tool_id(observer, ids),
        r#type: "software",
        title: title.to_owned(),
        description: description.to_owned(),
        props: Vec::new(),
        status: ComponentState { state: "operational" },
    }
}

/// The UUID of the program that observes as `observer`.
pub(super) fn tool_id(observer: Observer, ids: Ids) -> uuid::Uuid {
    ids.of(&["observer", &observer.to_string()])
}

/// The people who state something.
pub(super) fn parties(report: &Report, ids: Ids) -> Vec<Party> {
    let names: BTreeSet<_> = report.statements.iter().map(|statement| statement.by.as_str()).collect();
    names
        .into_iter()
        .map(|by| Party {
            uuid: party_id(by, ids),
            r#type: "person",
            name: one_line(by).unwrap_or_else(|| "nameless".to_owned()),
        })
        .collect()
}

/// The UUID of the person `by`.
pub(super) fn party_id(by: &str, ids: Ids) -> uuid::Uuid {
    ids.of(&["person", by])
}

/// What people state, with whether it counts.
pub(super) fn attestations(report: &Report, ids: Ids) -> Vec<Attestation> {
    report.statements.iter().map(|statement| attestation(statement, ids)).collect()
}

fn attestation(statement: &Statement, ids: Ids) -> Attestation {
    let mut props = Vec::new();
    props.extend(property("name", &statement.name));
    props.extend(property("line", statement.line.as_str()));
    props.extend(property("type", &format!("{:?}", statement.r#type)));
    props.extend(statement.created.as_deref().and_then(|created| property("created", created)));
    props.extend(property("expires", &statement.expires));
    props.extend(property("counts", if statement.counts { "true" } else { "false" }));
    props.extend(statement.ignored_because.and_then(|why| property("ignored-because", why)));
    Attestation {
        responsible_parties: [ResponsibleParty {
            role_id: ATTESTER,
            party_uuids: [party_id(&statement.by, ids)],
        }],
        parts: [Part { id: None, name: "statement", props, prose: markdown(&statement.text) }],
    }
}
