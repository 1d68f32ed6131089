//! `kubectl tessera store-setup`: engine, login, policy and role of a TesseraNetwork; with `--adopt`, also the keys of a
//! cluster that is gone.

mod address;
mod adopt;
#[cfg(test)]
mod example;
mod runbook;
mod steps;

use anyhow::Context;
use tessera_store_objects::Wanted;

use crate::args::StoreSetup;
use crate::cluster::{Cluster, ClusterError};
use crate::token;
use crate::vault::Vault;

use self::adopt::Adoption;
use self::steps::Setup;

/// Reads the network, then makes the store what the network needs, one printed step after the other.
pub(crate) async fn run(args: &StoreSetup) -> anyhow::Result<()> {
    let token = token::find()?;
    let cluster = Cluster::connect(&args.target).await?;
    let network = cluster.network(&args.network).await?;
    let stamp = cluster.stamp_of(&network, &args.network);
    if args.adopt.is_some() && stamp.is_none() {
        return Err(ClusterError::NoClusterName(args.network.clone()).into());
    }
    let store = network.spec.secret_store.vault;
    let store = store.ok_or_else(|| ClusterError::NotVault(args.network.clone()))?;
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
    if let (Some(from), Some(to)) = (&args.adopt, &stamp) {
        println!("keys of {from}, to be those of {to}");
        let adoption = Adoption { store: &vault, wanted: &wanted, from, to, dry_run: args.dry_run };
        adoption.run(|step| println!("  {step}")).await?;
        println!("nodes of {from} refuse to start from now on; stop those that still run");
    }
    if args.dry_run {
        println!("{}", runbook::for_the_owner(&wanted, &args.network, store.client_certificate.as_ref()));
        println!("nothing was changed (--dry-run)");
    } else {
        println!("the secret store is ready for this network; --dry-run prints what else its owner sees to");
    }
    Ok(())
}
