//! What people state. Pure.

use maud::{Markup, html};

use super::time;
use crate::report::model::Report;
use crate::report::statements::Statement;
use crate::report::text::visible;

/// A row for each attestation and exception.
pub(super) fn statements(report: &Report) -> Markup {
    html! {
        section {
            h2 { "Attestations and exceptions" }
            @if report.statements.is_empty() {
                p { "Nobody has stated anything about this network." }
            } @else {
                table {
                    thead { tr {
                        th scope="col" { "Line" } th scope="col" { "Type" } th scope="col" { "Statement" }
                        th scope="col" { "By" } th scope="col" { "Stated" } th scope="col" { "Counts" }
                    } }
                    tbody { @for statement in &report.statements { (row(statement)) } }
                }
            }
        }
    }
}

fn row(statement: &Statement) -> Markup {
    html! {
        tr {
            td.id { (statement.line.as_str()) }
            td { (format!("{:?}", statement.r#type)) }
            td.text { (visible(&statement.text)) br; span.id.soft { (visible(&statement.name)) } }
            td.by { bdi { (visible(&statement.by)) } }
            td.time { @if let Some(created) = &statement.created { (time(created)) } @else { "–" } }
            td.counts-until {
                @match statement.ignored_because {
                    Some(why) => { b { "no: " } (why) },
                    None => { "until " (time(&statement.expires)) },
                }
            }
        }
    }
}
