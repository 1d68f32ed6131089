//! `kubectl tessera report`: the checklist of a network and its nodes, for an auditor or another tool.
//!
//! ```text
//! TesseraNetwork, TesseraNodes, TesseraAttestations ──► Report ──► json | html | oscal ──► standard output
//! [read: cluster]                                       [pure]     [pure]
//! ```

mod html;
mod json;
mod model;
mod oscal;
mod statements;
#[cfg(test)]
pub(crate) mod tests;
mod text;
mod titles;

use anyhow::Context as _;
use jiff::Timestamp;

use crate::args::{Report as Args, ReportFormat};
use crate::cluster::Cluster;
use crate::report::model::Report;

/// Writes the report that `args` name.
pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let cluster = Cluster::connect(&args.target).await?;
    let network = cluster.network(&args.network).await?;
    let nodes = cluster.nodes_of(&args.network).await?;
    let attestations = cluster.attestations_of(&args.network).await?;
    let report = Report::new(&network, &nodes, &attestations, Timestamp::now());
    print!("{}", rendered(&report, args.output)?);
    Ok(())
}

fn rendered(report: &Report, format: ReportFormat) -> anyhow::Result<String> {
    match format {
        ReportFormat::Json => json::render(report).context("the report cannot be written as JSON"),
        ReportFormat::Html => Ok(html::render(report)),
        ReportFormat::Oscal => oscal::render(report).context("the report cannot be written as OSCAL"),
    }
}
