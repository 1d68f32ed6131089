//! `kubectl tessera`: what a person does for a TesseraNetwork that the operator must not be able to do.
//!
//! ```text
//! kubectl tessera store-setup NETWORK
//!
//!   TesseraNetwork ──► Wanted ──► steps ──► Vault       (with the person's own token)
//!   [read: cluster]    [pure]     [decide]  [io: vault]
//! ```
//!
//! The operator is blind to keys because it has no right to write the policy that keeps it out. So a person writes
//! that policy, once, with this plug-in; it shows each step and changes nothing that is already right.

mod args;
mod cluster;
mod store_setup;
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
    let Command::StoreSetup(args) = Args::parse().command;
    match store_setup::run(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
