//! `kubectl tessera status`: how networks and nodes do, in a table for people or as JSON.
//!
//! ```text
//! TesseraNetworks, TesseraNodes ──► Overview ──► table | json
//! [read: cluster]                   [pure]       [pure]
//! ```

mod overview;
mod table;
#[cfg(test)]
mod tests;

use jiff::Timestamp;

use crate::args::{Output, Status};
use crate::cluster::Cluster;
use crate::status::overview::Overview;

/// Prints what `args` name.
pub(crate) async fn run(args: &Status) -> anyhow::Result<()> {
    let cluster = Cluster::connect(&args.target).await?;
    let (networks, nodes) = (cluster.networks().await?, cluster.all_nodes().await?);
    let overview = Overview::new(&networks, &nodes, args.name.as_deref(), Timestamp::now());
    if let (true, Some(name)) = (overview.is_empty(), &args.name) {
        anyhow::bail!(
            "there is no TesseraNetwork and no TesseraNode {name:?} in namespace {:?}: name another with -n",
            cluster.namespace()
        );
    }
    match args.output {
        Some(Output::Json) => println!("{}", serde_json::to_string_pretty(&overview)?),
        None if overview.is_empty() => {
            println!("namespace {} has no TesseraNetwork and no TesseraNode", cluster.namespace());
        }
        None => print!("{}", table::of(&overview)),
    }
    Ok(())
}
