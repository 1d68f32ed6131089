//! `kubectl tessera rotate`: raises `rotation.trigger` of a node's key, which the node turns into a new version.

use crate::args::Rotate;
use crate::cluster::Cluster;

/// Raises the trigger of the key that `args` name, or of the default key.
pub(crate) async fn run(args: &Rotate) -> anyhow::Result<()> {
    let cluster = Cluster::connect(&args.target).await?;
    let (key, trigger) = cluster.raise_rotation_trigger(&args.node, args.key.as_deref()).await?;
    println!("tesseranode/{}: spec.keys[{key}].rotation.trigger is {trigger}", args.node);
    println!(
        "the version before goes on receiving; where manifests come from Git, change it there, too: kubectl tessera keys {} -n {}",
        args.node,
        cluster.namespace()
    );
    Ok(())
}
