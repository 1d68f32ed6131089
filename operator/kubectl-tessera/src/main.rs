//! `kubectl tessera`: what a person does for a TesseraNetwork that the operator must not be able to do.
//!
//! ```text
//! kubectl tessera restart NODE | --all      raises spec.restartTrigger (with the person's own kubeconfig)
//! kubectl tessera status [NAME]             shows how networks and nodes do
//! kubectl tessera checklist NETWORK         shows the lines of the security checklist
//! kubectl tessera report NETWORK -o FORMAT  writes the checklist for an auditor or another tool
//! kubectl tessera audit                     searches the namespace for credentials in clear text
//! kubectl tessera certificates NETWORK      shows its CAs, a rollover under way, and what its nodes serve
//! kubectl tessera keys NODE                 shows the versions of a node's keys
//! kubectl tessera rotate NODE               gives a key a new version
//! kubectl tessera backup export NETWORK     writes the backup of its nodes' keys, for custodians; confirm, restore: see backup/
//! kubectl tessera connect NODE --client C   prints the sidecar that takes a ledger to its node
//! kubectl tessera store-setup NETWORK
//!
//!   TesseraNetwork ──► Wanted ──► steps ──► Vault       (with the person's own token)
//!   [read: cluster]    [pure]     [decide]  [io: vault]
//! ```
//!
//! The operator is blind to keys because it has no right to write the policy that keeps it out. So a person writes
//! that policy, once, with this plug-in; it shows each step and changes nothing that is already right.
//!
//! `kubectl tessera accept-loss NODE` is the other act of a person: only a person can know that a lost volume stays lost.

mod accept_loss;
mod args;
mod audit;
mod backup;
mod certificates;
mod checklist;
mod cluster;
mod connect;
mod evidence;
mod keys;
mod objects;
mod report;
mod restart;
mod rotate;
mod status;
mod store_setup;
mod text_table;
mod token;
mod vault;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nothing else has installed a provider before the first line of main");
    let result = match Args::parse().command {
        Command::StoreSetup(args) => store_setup::run(&args).await,
        Command::AcceptLoss(args) => accept_loss::run(&args).await,
        Command::Restart(args) => restart::run(&args).await,
        Command::Checklist(args) => checklist::run(&args).await,
        Command::Status(args) => status::run(&args).await,
        Command::Report(args) => report::run(&args).await,
        Command::Audit(args) => audit::run(&args).await,
        Command::Certificates(args) => certificates::run(&args).await,
        Command::Keys(args) => keys::run(&args).await,
        Command::Rotate(args) => rotate::run(&args).await,
        Command::Backup(args) => backup::run(&args.command).await,
        Command::Connect(args) => connect::run(&args).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
