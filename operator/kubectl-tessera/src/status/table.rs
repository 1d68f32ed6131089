//! The overview for people. Pure.

use super::overview::{End, Overview};
use crate::text_table::aligned;

/// A table of the networks, one of the nodes and one of the partners, and below them what keeps each from being ready.
pub(super) fn of(overview: &Overview) -> String {
    let networks = overview.networks.iter().map(|network| {
        vec![
            network.name.clone(),
            network.ready.status.clone(),
            network.ready.reason.clone(),
            or_dash(network.nodes.as_deref()),
            or_dash(network.checklist.as_deref()),
            until(network.authority.as_ref()),
        ]
    });
    let nodes = overview.nodes.iter().map(|node| {
        vec![
            node.name.clone(),
            node.network.clone(),
            node.ready.status.clone(),
            node.ready.reason.clone(),
            or_dash(node.checklist.as_deref()),
            node.keys.clone(),
            until(node.certificate.as_ref()),
        ]
    });
    let partners = overview.partners.iter().map(|partner| {
        vec![
            partner.name.clone(),
            partner.network.clone(),
            if partner.accepted { "True" } else { "False" }.to_owned(),
            partner.reached.clone(),
            until(partner.authority.as_ref()),
        ]
    });
    let tables = [
        aligned(&["NETWORK", "READY", "REASON", "NODES", "CHECKLIST", "CA UNTIL"], networks.collect()),
        aligned(
            &["NODE", "NETWORK", "READY", "REASON", "CHECKLIST", "KEYS", "CERTIFICATE UNTIL"],
            nodes.collect(),
        ),
        aligned(&["PARTNER", "NETWORK", "ACCEPTED", "REACHED", "CA UNTIL"], partners.collect()),
        messages(overview),
    ];
    tables.into_iter().filter(|table| !table.is_empty()).collect::<Vec<_>>().join("\n")
}

fn or_dash(text: Option<&str>) -> String {
    text.unwrap_or("-").to_owned()
}

fn until(end: Option<&End>) -> String {
    match end {
        None => "-".to_owned(),
        Some(end) if end.has_passed => format!("{} (passed)", end.not_after),
        Some(end) => end.not_after.clone(),
    }
}

fn messages(overview: &Overview) -> String {
    let networks = overview.networks.iter().map(|network| ("TesseraNetwork", &network.name, &network.ready));
    let nodes = overview.nodes.iter().map(|node| ("TesseraNode", &node.name, &node.ready));
    let not_ready = networks.chain(nodes).filter(|(_, _, ready)| ready.status != "True");
    let not_ready =
        not_ready.map(|(kind, name, ready)| format!("{kind} {name}: {}\n", one_line(&ready.message)));
    let cut_off = overview.partners.iter().filter_map(|partner| {
        Some(format!("partner {}: {}\n", partner.name, one_line(partner.message.as_deref()?)))
    });
    not_ready.chain(cut_off).collect::<Vec<_>>().concat()
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
