//! The command line. Only this module reads it.
//!
//! ```text
//! tessera-node run --configfile F          the transaction manager
//! tessera-node --configfile F              the same, as Java Tessera spells it
//! tessera-node connect …                   a ledger's sidecar: plain HTTP on a Unix socket, mutual TLS to its node
//! tessera-node probe {startup|live|ready}  asks a running one over its Unix socket
//! tessera-node verify DIR                  checks the payload store of a stopped one
//! tessera-node repair HASH                 fetches a damaged payload of a running one from its peers
//! tessera-node database-schema             prints what makes the tables of a database
//! ```

use std::ffi::OsString;
use std::num::NonZero;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tessera_enclave::TxHash;
use tessera_node_api::identity::Identity;
use tessera_node_api::paths;

use crate::fault::FaultPoint;
use crate::peers::NodeUrl;
use crate::repair;

/// What the process was asked to do.
#[derive(Debug)]
pub enum Action {
    /// Run the transaction manager.
    Run(RunArgs),
    /// Carry a ledger's requests to its node.
    Connect(Box<ConnectArgs>),
    /// Ask a running one.
    Probe(ProbeArgs),
    /// Check a payload store.
    Verify(VerifyArgs),
    /// Fetch a damaged payload.
    Repair(RepairArgs),
    /// Print the tables of a database.
    DatabaseSchema,
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

/// Options of `connect`.
#[derive(Debug, Clone, Args)]
pub struct ConnectArgs {
    /// Where the node serves ledgers, `https://host:port`; its certificate must hold this host.
    #[arg(long, value_name = "URL")]
    pub node_url: NodeUrl,
    /// Who the node is, `spiffe://<trustDomain>/node/<name>`; nobody else is spoken to.
    #[arg(long, value_name = "URI")]
    pub node: Identity,
    /// The name under which the node's `spec.clients` declares this ledger.
    #[arg(long, value_name = "NAME")]
    pub client: String,
    /// The directory with the client's `tls.crt`, `tls.key` and `ca.crt`; new files are used without a restart.
    #[arg(long, value_name = "DIRECTORY", default_value = paths::CONNECT_TLS)]
    pub tls: PathBuf,
    /// The Unix socket for the ledger, mode 0660, with the group of its directory.
    #[arg(long, value_name = "PATH", default_value = paths::CONNECT_SOCKET)]
    pub socket: PathBuf,
    /// The Unix socket for `tessera-node probe`.
    #[arg(long, value_name = "PATH", default_value = paths::CONNECT_PROBE_SOCKET)]
    pub probe_socket: PathBuf,
    /// Listen on this port of 127.0.0.1, too, for a ledger that knows no Unix sockets.
    ///
    /// Every process of the pod, and everybody who may port-forward to the pod, speaks to the node there without a certificate.
    /// Refused on the network of the machine (`hostNetwork`), and if the two environment variables below do not show that the pod
    /// has a network of its own.
    #[arg(long, value_name = "PORT")]
    pub listen_loopback: Option<NonZero<u16>>,
    /// The pod's addresses, from the downward API (`status.podIPs`).
    #[arg(long, value_name = "ADDRESSES", env = paths::CONNECT_POD_IPS)]
    pub pod_ips: Option<String>,
    /// The addresses of the pod's machine, from the downward API (`status.hostIPs`).
    #[arg(long, value_name = "ADDRESSES", env = paths::CONNECT_HOST_IPS)]
    pub host_ips: Option<String>,
    /// Connections of the ledger; fewer if the container's memory holds fewer. At the bound the connection that is idle for
    /// longest gives way to a new one.
    #[arg(long, value_name = "NUMBER", default_value_t = 256)]
    pub max_connections: usize,
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

/// Options of `verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// The directory of the payload store. No node may have it open.
    #[arg(value_name = "DIRECTORY")]
    pub directory: PathBuf,
}

/// Options of `repair`.
#[derive(Debug, Clone, Args)]
pub struct RepairArgs {
    /// The payload's hash in base64, as `--list`, `tessera-node verify` and the node's log name it.
    #[arg(value_name = "HASH", value_parser = repair::parse_hash, required_unless_present = "list")]
    pub hash: Option<TxHash>,
    /// Repair nothing, and name the damaged payloads that are known: those that a start or a read found.
    #[arg(long, conflicts_with_all = ["hash", "peer"])]
    pub list: bool,
    /// Ask only the peer with this address, `https://host:port`. Every peer that is asked learns that this node takes part in the
    /// transaction. A recipient believes this peer who the sender is; without it, only a peer that holds the sender's key. A payload
    /// that is not damaged is asked for as well, and what is missing is added.
    #[arg(long, value_name = "URL")]
    pub peer: Option<NodeUrl>,
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
        (Some(Command::Connect(connect)), _) => Ok(Action::Connect(connect)),
        (Some(Command::Probe(probe)), _) => Ok(Action::Probe(probe)),
        (Some(Command::Verify(verify)), _) => Ok(Action::Verify(verify)),
        (Some(Command::Repair(repair)), _) => Ok(Action::Repair(repair)),
        (Some(Command::DatabaseSchema), _) => Ok(Action::DatabaseSchema),
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
    /// Carry a ledger's requests to its node, as a sidecar in the ledger's pod: plain HTTP on a Unix socket on one side, mutual
    /// TLS with the client's certificate on the other
    ///
    /// For ledgers that cannot do mutual TLS well. `kubectl tessera connect` prints the container to paste. Nothing of a request
    /// is kept or logged; only requests that change nothing are sent a second time.
    Connect(Box<ConnectArgs>),
    /// Ask a running node, or a sidecar, over its Unix socket; exit code 0 is yes
    Probe(ProbeArgs),
    /// Read the whole payload store of a node that is stopped; exit code 0: nothing is damaged, 1: something is
    ///
    /// Checks each record of the log, and that each payload has its hash. Names what is damaged, and changes nothing.
    /// Once the node runs again, `tessera-node repair` fetches a damaged transaction from a peer.
    Verify(VerifyArgs),
    /// Fetch a payload that is damaged in a running node's store from the node's peers
    ///
    /// The node asks every peer for what is for its own keys, takes a payload only if that has the hash and one of its keys opens
    /// it, and writes it in place of the damaged one. Reads of it succeed afterwards. A payload with enhanced privacy is not resent by peers.
    /// The command ends within two minutes. A repair is incomplete if a peer that may have more did not answer, or was not asked: the
    /// payload can be read, and at its sender boxes of recipients are missing. With --peer, that peer is asked for the rest.
    ///
    /// Exit codes:
    ///   0  the payload is repaired, durably; or the list is complete
    ///   1  the payload stays damaged: no peer gave it, peers contradict each other, or a privacy rule refuses it
    ///   2  the node could not do it now: it does not answer, does not serve yet, or its disk is full
    ///   3  there is nothing to repair: the hash is unknown, the payload is whole, or it was never sent
    ///   4  the command line is wrong
    ///   5  the payload is repaired, incomplete: ask the peers that the sentence names again with --peer
    #[command(verbatim_doc_comment)]
    Repair(RepairArgs),
    /// Print the statements that make the tables in a PostgreSQL database, for a role that may run them
    ///
    /// A node makes the tables that are missing by itself if its role may. It never changes one that is there.
    DatabaseSchema,
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
    fn a_sidecar_knows_its_node_by_address_and_by_identity() {
        let all = "tessera-node connect --node-url https://a.org-a.svc:8080 --node spiffe://org-a.example/node/a --client quorum";
        let Ok(Action::Connect(connect)) = parse_words(all) else { panic!() };
        assert_eq!((connect.node.name(), connect.node_url.host()), ("a", "a.org-a.svc"));
        assert_eq!((connect.listen_loopback, connect.socket), (None, PathBuf::from(paths::CONNECT_SOCKET)));
        for less in [
            "--node-url https://a.org-a.svc:8080 ",
            "--node spiffe://org-a.example/node/a ",
            " --client quorum",
        ] {
            assert!(parse_words(&all.replace(less, "")).is_err(), "without {less}");
        }
        assert!(parse_words(&format!("{all} --listen-loopback 0")).is_err());
    }

    #[test]
    fn a_repair_names_one_whole_hash() {
        let hash = TxHash::of(b"text");
        let Ok(Action::Repair(repair)) = parse_words(&format!("tessera-node repair {hash}")) else {
            panic!()
        };
        assert_eq!((repair.hash, repair.peer), (Some(hash), None));
        let line = format!("tessera-node repair {hash} --peer https://b:9000");
        let Ok(Action::Repair(repair)) = parse_words(&line) else { panic!() };
        assert_eq!(repair.peer, "https://b:9000".parse().ok());
        let Ok(Action::Repair(repair)) = parse_words("tessera-node repair --list") else { panic!() };
        assert!(repair.list && repair.hash.is_none());
        assert!(parse_words("tessera-node repair").is_err());
        assert!(parse_words(&format!("tessera-node repair {hash} --list")).is_err());
        assert!(parse_words("tessera-node repair AAAA").unwrap_err().to_string().contains("this has 3"));
    }

    #[test]
    fn a_missing_configuration_names_the_option() {
        assert!(parse_words("tessera-node").unwrap_err().to_string().contains("--configfile"));
    }
}
