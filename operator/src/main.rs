//! The operator's process.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use tessera_operator::args::Args;
use tessera_operator::process::{run, telemetry};

fn main() -> ExitCode {
    // Before anything is parsed: this process will hold the keys of all CAs.
    if let Err(error) = tessera_sys::harden() {
        eprintln!("cannot harden the process: {}", run::chain(&error));
        return ExitCode::FAILURE;
    }
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("another TLS provider is installed already");
        return ExitCode::FAILURE;
    }
    let args = Args::parse();
    let own_log = args.own_log();
    telemetry::init(&args.log, own_log.as_ref().map(|log| Arc::clone(&log.queue)));
    match run::run(args, own_log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %run::chain(&error), "the operator ends");
            ExitCode::FAILURE
        }
    }
}
