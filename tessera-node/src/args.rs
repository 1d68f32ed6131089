//! The command line. Only this module reads it.
//!
//! ```text
//! tessera-node run --configfile F          the transaction manager
//! tessera-node --configfile F              the same, as Java Tessera spells it
//! tessera-node probe {startup|live|ready}  asks a running one over its Unix socket
//! ```

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tessera_node_api::paths;

use crate::fault::FaultPoint;

/// What the process was asked to do.
#[derive(Debug)]
pub enum Action {
    /// Run the transaction manager.
    Run(RunArgs),
    /// Ask a running one.
    Probe(ProbeArgs),
}

/// Options of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Tessera's configuration file (JSON), with our extension under `tesseraNode`.
    #[arg(long, value_name = "FILE")]
    pub configfile: PathBuf,
    /// Kill the process at one named write. Crash tests only; no release build has it.
    #[cfg_attr(debug_assertions, arg(long, value_name = "NAME", hide = true))]
    #[cfg_attr(not(debug_assertions), arg(skip))]
    pub fault_point: Option<FaultPoint>,
}

/// Options of `probe`.
#[derive(Debug, Clone, Args)]
pub struct ProbeArgs {
    /// What to ask.
    #[arg(value_enum)]
    pub question: Question,
    /// The Unix socket of the running node.
    #[arg(long, value_name = "PATH", default_value = paths::PROBE_SOCKET)]
    pub socket: PathBuf,
}

/// What a probe asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Question {
    /// Whether the process is up and has read its configuration.
    Startup,
    /// Whether its event loop turns.
    Live,
    /// Whether it serves: keys in memory, database open, own valid certificate.
    Ready,
}

impl Question {
    /// The word on the socket.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Live => "live",
            Self::Ready => "ready",
        }
    }
}

/// Reads the command line. The error is clap's: it knows whether it is a request for help.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Action, clap::Error> {
    let cli = Cli::try_parse_from(arguments.into_iter().map(java_spelling))?;
    match (cli.command, cli.run) {
        (Some(Command::Run(run)), _) | (None, Some(run)) => Ok(Action::Run(run)),
        (Some(Command::Probe(probe)), _) => Ok(Action::Probe(probe)),
        (None, None) => Err(<Cli as clap::CommandFactory>::command().error(
            clap::error::ErrorKind::MissingRequiredArgument,
            "--configfile <FILE> is required: the node has no built-in configuration",
        )),
    }
}

#[derive(Debug, Parser)]
#[command(
    name = "tessera-node",
    version,
    about = "A private transaction manager for Quorum and Besu networks",
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(flatten)]
    run: Option<RunArgs>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the transaction manager
    Run(RunArgs),
    /// Ask a running node over its Unix socket; exit code 0 is yes
    Probe(ProbeArgs),
}

/// Existing deployments write the option with one dash.
fn java_spelling(argument: OsString) -> OsString {
    if argument == "-configfile" { OsString::from("--configfile") } else { argument }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(line: &str) -> Result<Action, clap::Error> {
        parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn all_spellings_of_run_mean_the_same() {
        for line in
            ["tessera-node run --configfile f", "tessera-node --configfile f", "tessera-node -configfile f"]
        {
            let Ok(Action::Run(run)) = parse_words(line) else { panic!("{line}") };
            assert_eq!(run.configfile, PathBuf::from("f"));
        }
    }

    #[test]
    fn probe_asks_the_usual_socket() {
        let Ok(Action::Probe(probe)) = parse_words("tessera-node probe ready") else { panic!() };
        assert_eq!((probe.question, probe.socket), (Question::Ready, PathBuf::from(paths::PROBE_SOCKET)));
    }

    #[test]
    fn a_missing_configuration_names_the_option() {
        assert!(parse_words("tessera-node").unwrap_err().to_string().contains("--configfile"));
    }
}
