//! `kubectl tessera connect`: what to paste into a ledger's pod so that it reaches its node through `tessera-node connect`.
//!
//! ```text
//! TesseraNode, TesseraNetwork ──► Wiring ──► text (YAML with remarks) | json ──► standard output
//! [read: cluster]                 [pure]     [pure]
//! ```

mod pod;
mod source;
#[cfg(test)]
mod tests;
mod text;
mod wiring;

use crate::args::{Connect, Output};
use crate::cluster::Cluster;
use crate::connect::wiring::Wiring;

/// Prints the wiring that `args` name.
pub(crate) async fn run(args: &Connect) -> anyhow::Result<()> {
    let cluster = Cluster::connect(&args.target).await?;
    let node = cluster.node(&args.node).await?;
    let network = cluster.network(node.spec.network_ref.name.as_str()).await?;
    let wiring = Wiring::new(&node, &network, cluster.namespace(), &args.client, args.loopback)?;
    print!("{}", rendered(&wiring, args.output)?);
    Ok(())
}

fn rendered(wiring: &Wiring, output: Option<Output>) -> anyhow::Result<String> {
    match output {
        Some(Output::Json) => Ok(serde_json::to_string_pretty(wiring)? + "\n"),
        None => text::render(wiring),
    }
}
