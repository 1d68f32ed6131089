//! The operator's process.

use std::process::ExitCode;

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
    telemetry::init(&args.log);
    match run::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %run::chain(&error), "the operator ends");
            ExitCode::FAILURE
        }
    }
}
