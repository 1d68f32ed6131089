//! The binary: harden first, then read the command line, then run.

use std::process::ExitCode;

use tessera_node::args::{self, Action, ConnectArgs, ProbeArgs, RepairArgs, RunArgs, VerifyArgs};
use tessera_node::{config, connect, fault, node, probe, repair, telemetry, verify};
use tessera_node_api::image_report::{ImageReport, REPORT_TO};
use tokio::signal::unix::{SignalKind, signal};

/// Exit codes of Java Tessera: 1 validation, 2 anything else, 3 unreadable configuration, 4 command line.
const FAILED: u8 = 2;
const COMMAND_LINE: u8 = 4;

fn main() -> ExitCode {
    // Before anything is parsed: from here on no memory of this process reaches a disk or another process.
    if let Err(error) = tessera_sys::harden() {
        eprintln!("ERROR: cannot harden the process: {error:#}");
        return ExitCode::from(FAILED);
    }
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("ERROR: another cryptography provider is installed");
        return ExitCode::from(FAILED);
    }
    match args::parse(std::env::args_os()) {
        Ok(Action::Run(args)) => run(&args),
        Ok(Action::Connect(args)) => carry(*args),
        Ok(Action::Probe(args)) => ask(&args),
        Ok(Action::Verify(args)) => check(&args),
        Ok(Action::Repair(args)) => repair(&args),
        Ok(Action::DatabaseSchema) => print_schema(),
        Err(error) => {
            // Help and version are no errors, and go to standard output.
            let _ = error.print();
            if error.kind() == clap::error::ErrorKind::DisplayVersion
                && let Err(error) = report_image()
            {
                eprintln!("ERROR: the image report cannot be written: {error}");
                return ExitCode::from(FAILED);
            }
            ExitCode::from(if error.use_stderr() { COMMAND_LINE } else { 0 })
        }
    }
}

/// Says to the pod that tries this image what the program writes.
fn report_image() -> std::io::Result<()> {
    let report = ImageReport { store_format: tessera_store::FORMAT };
    std::env::var_os(REPORT_TO).map_or(Ok(()), |file| std::fs::write(file, report.to_json()))
}

fn ask(args: &ProbeArgs) -> ExitCode {
    match probe::ask(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(answer) => {
            eprintln!("{answer}");
            ExitCode::FAILURE
        }
    }
}

fn check(args: &VerifyArgs) -> ExitCode {
    match verify::verify(&args.directory) {
        Ok(report) => {
            println!("{report}");
            if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            let cause =
                std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
            eprintln!("ERROR: {error}{cause}");
            ExitCode::from(FAILED)
        }
    }
}

fn repair(args: &RepairArgs) -> ExitCode {
    let repair::Answer { code, sentence } = repair::ask(args);
    if code == 0 {
        println!("{sentence}");
    } else {
        eprintln!("ERROR: {sentence}");
    }
    ExitCode::from(code)
}

fn print_schema() -> ExitCode {
    for (_, statement) in tessera_database::DDL {
        println!("{statement};");
    }
    ExitCode::SUCCESS
}

/// One thread: the sidecar is small beside its ledger.
fn carry(args: ConnectArgs) -> ExitCode {
    tessera_sys::raise_descriptor_limit();
    telemetry::start_unshipped();
    let result = connect::Config::new(args).map_err(anyhow::Error::from).and_then(|config| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { Ok(connect::run(config, terminated()?).await?) })
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the sidecar ends");
            eprintln!("ERROR: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn run(args: &RunArgs) -> ExitCode {
    tessera_sys::raise_descriptor_limit();
    // A probe holds no key and needs none of it.
    if let Err(error) = tessera_sys::install(tessera_sys::MAX_ARENA_BYTES) {
        eprintln!("ERROR: no locked memory for keys: {error:#}");
        return ExitCode::from(FAILED);
    }
    if let Some(point) = args.fault_point {
        fault::arm(point);
    }
    let config = match config::load(&args.configfile) {
        Ok(config) => config,
        Err(error) => return refuse(&error),
    };
    telemetry::start();
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the node ends");
            eprintln!("ERROR: Cause is {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn refuse(error: &config::ConfigError) -> ExitCode {
    match error {
        config::ConfigError::Invalid(problems) => {
            for problem in problems {
                eprintln!("ERROR: Config validation issue: {problem}");
            }
        }
        other => {
            let cause =
                std::error::Error::source(other).map(|source| format!(": {source}")).unwrap_or_default();
            eprintln!("ERROR: Configuration exception, cause is {other}{cause}");
        }
    }
    ExitCode::from(error.exit_code())
}

#[tokio::main]
async fn serve(config: config::Config) -> anyhow::Result<()> {
    Ok(node::run(config, terminated()?).await?)
}

/// The signals are caught from now on; the future ends with the first of them.
fn terminated() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
