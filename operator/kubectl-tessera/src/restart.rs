//! `kubectl tessera restart`: raises `spec.restartTrigger`, which the operator turns into new pods within the rollout budget.

use crate::args::Restart;
use crate::cluster::Cluster;

/// Raises the trigger of the node that `args` name, or of all nodes of the namespace.
pub(crate) async fn run(args: &Restart) -> anyhow::Result<()> {
    let cluster = Cluster::connect(&args.target).await?;
    let nodes = match &args.node {
        Some(node) => vec![node.clone()],
        None => cluster.node_names().await?,
    };
    anyhow::ensure!(!nodes.is_empty(), "there are no TesseraNodes in namespace {:?}", cluster.namespace());
    for node in nodes {
        let trigger = cluster.raise_restart_trigger(&node).await?;
        println!("tesseranode/{node}: spec.restartTrigger is {trigger}");
    }
    println!(
        "the operator restarts the pods within rollout.maxUnavailable: kubectl get tnode -n {} -w",
        cluster.namespace()
    );
    Ok(())
}
