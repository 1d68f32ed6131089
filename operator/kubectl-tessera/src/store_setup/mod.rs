//! `kubectl tessera store-setup`: engine, login, policy and role of a TesseraNetwork.

mod address;
mod steps;
mod wanted;

use anyhow::Context;

use crate::args::StoreSetup;
use crate::cluster::Cluster;
use crate::token;
use crate::vault::Vault;

use self::steps::Setup;
use self::wanted::Wanted;

/// Reads the network, then makes the store what the network needs, one printed step after the other.
pub(crate) async fn run(args: &StoreSetup) -> anyhow::Result<()> {
    let token = token::find()?;
    let cluster = Cluster::connect(args.context.as_deref(), args.namespace.as_deref()).await?;
    let store = cluster.vault_of(&args.network).await?;
    let ca = match &args.ca_file {
        Some(path) => std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?,
        None => cluster.ca_bundle(&store.ca_bundle_ref).await?,
    };
    let wanted = Wanted::new(&store, cluster.namespace(), args.kubernetes_host.clone());
    let environment = std::env::var("VAULT_ADDR").ok();
    let address = address::choose(args.vault_addr.as_deref(), environment.as_deref(), &wanted.address)?;
    let namespace = store.namespace.as_ref().map(ToString::to_string);
    let vault = Vault::new(address, namespace.as_deref(), &ca, &token)?;

    println!("secret store of TesseraNetwork {}/{} at {address}", cluster.namespace(), args.network);
    let setup = Setup { store: &vault, wanted: &wanted, dry_run: args.dry_run };
    setup.run(|step| println!("  {step}")).await?;
    let end = if args.dry_run {
        "nothing was changed (--dry-run)"
    } else {
        "the secret store is ready for this network"
    };
    println!("{end}");
    Ok(())
}
