//! The lines of the network, and those of its nodes. Pure.

use maud::{Markup, html};
use tessera_crds::checklist::LineStatus;

use super::{badge, time};
use crate::evidence::EXPIRED;
use crate::report::model::{NodeReport, Report, ReportLine};
use crate::report::text::visible;

/// One row for each line, which leads to its details.
pub(super) fn overview(report: &Report) -> Markup {
    html! {
        table {
            thead { tr {
                th scope="col" { "Line" } th scope="col" { "Result" } th scope="col" { "Observer" }
                th scope="col" { "Evidence counts until" } th scope="col" { "Accepted until" }
            } }
            tbody { @for line in &report.lines { (overview_row(line)) } }
        }
    }
}

fn overview_row(line: &ReportLine) -> Markup {
    let status = &line.status;
    html! {
        tr {
            td { a href=(format!("#{}", status.id)) { (line.title) } br; span.id.soft { (status.id.as_str()) } }
            td { (badge(status.result)) }
            td { (observer(status)) }
            td.time { (until(status)) }
            td.time { @if let Some(exception) = &status.exception { (time(&exception.expires)) } @else { "–" } }
        }
    }
}

/// All that is known of each line.
pub(super) fn details(report: &Report) -> Markup {
    html! {
        section {
            h2 { "The fourteen lines" }
            @for line in &report.lines { (detail(line)) }
        }
    }
}

fn detail(line: &ReportLine) -> Markup {
    let status = &line.status;
    html! {
        article id=(status.id.as_str()) class=(format!("line {}", status.result)) {
            header {
                div { h3 { (line.title) } span.id.soft { (status.id.as_str()) } }
                (badge(status.result))
            }
            dl {
                dt { "Reason" } dd { code { (visible(&status.reason)) } }
                dt { "Observed" } dd.text { (visible(&status.observed)) }
                @for part in &status.parts {
                    dt { (part.name.to_string()) } dd.text { (badge(part.result)) " " (visible(&part.observed)) }
                }
                dt { "Observer" } dd { (observer(status)) }
                dt { "Evidence" } dd { "this result since " (time(&status.last_transition_time)) ", counts until: " (until(status)) }
                @if let Some(exception) = &status.exception {
                    dt { "Exception" }
                    dd.text { (visible(&exception.by)) " accepts the violation until " (time(&exception.expires)) " (TesseraAttestation " (visible(&exception.name)) ")" }
                }
                @if let Some(remedy) = &status.remedy { dt { "What to do" } dd.text.todo { (visible(remedy)) } }
            }
        }
    }
}

/// A table for each node.
pub(super) fn nodes(report: &Report) -> Markup {
    html! {
        section {
            h2 { "Nodes" }
            @if report.nodes.is_empty() { p { "The network has no node." } }
            @for node in &report.nodes { (of_node(node)) }
        }
    }
}

fn of_node(node: &NodeReport) -> Markup {
    html! {
        div.node {
            h3 { (node.name) }
            p.soft {
                "Ready " (node.ready.status) " (" (node.ready.reason) ")"
                @if let Some(summary) = &node.summary { " · " (summary) " lines count as satisfied" }
                @if let Some(end) = &node.certificate_not_after { " · certificate until " (time(end)) }
            }
            @for image in &node.images { p.soft.text { "Runs " code { (visible(image)) } } }
            @if node.lines.is_empty() {
                p { "Nobody has looked at this node yet." }
            } @else {
                table {
                    thead { tr {
                        th scope="col" { "Line" } th scope="col" { "Result" } th scope="col" { "Observer" }
                        th scope="col" { "Observed" } th scope="col" { "Counts until" }
                    } }
                    tbody { @for line in &node.lines { (node_row(line)) } }
                }
            }
        }
    }
}

fn node_row(line: &ReportLine) -> Markup {
    let status = &line.status;
    html! {
        tr {
            td.id { (status.id.as_str()) }
            td { (badge(status.result)) }
            td { (observer(status)) }
            td.text {
                (visible(&status.observed))
                @for part in &status.parts { br; b { (part.name.to_string()) ": " } (part.result.to_string()) ", " (visible(&part.observed)) }
                @if let Some(exception) = &status.exception { br; b { "Accepted: " } "by " (visible(&exception.by)) " until " (time(&exception.expires)) }
                @if let Some(remedy) = &status.remedy { br; b { "To do: " } (visible(remedy)) }
            }
            td.time { (until(status)) }
        }
    }
}

fn observer(status: &LineStatus) -> String {
    status.observer.map_or_else(|| "nobody".to_owned(), |observer| observer.to_string())
}

fn until(status: &LineStatus) -> Markup {
    html! {
        @if let Some(end) = &status.valid_until {
            (time(end))
            @if status.reason == EXPIRED { " (passed)" }
        } @else {
            "–"
        }
    }
}
