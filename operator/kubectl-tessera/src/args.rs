//! The command line. No secret is an argument: arguments show in process lists and shell histories.

use std::num::NonZero;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use tessera_node_api::stamp::Stamp;

/// What a person does for a TesseraNetwork that its operator must not be able to do.
#[derive(Debug, Parser)]
#[command(name = "kubectl-tessera", bin_name = "kubectl tessera", version)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Prepare the secret store for a TesseraNetwork: engine, login, policy and role
    ///
    /// Logs in with the token in `VAULT_TOKEN` or else in `~/.vault-token`. Shows each step; what is already right is left
    /// alone, so running it again is safe.
    StoreSetup(StoreSetup),
    /// Accept that the payloads of a node's old volume are lost
    ///
    /// A node whose volume was replaced answers 503 for a payload that it does not find, since the old volume may have held
    /// it. After this it answers "not found", which a ledger takes as "not a party", permanently. Try to bring the old
    /// volume back first. Needs the right to create `tesseranodes/accept-loss`.
    AcceptLoss(AcceptLoss),
    /// Restart a TesseraNode, or all nodes of the namespace, within the rollout budget of their network
    ///
    /// Raises `spec.restartTrigger`; the operator then replaces the pods, no more at a time than the network's
    /// `rollout.maxUnavailable` allows.
    Restart(Restart),
    /// Show the security checklist of a TesseraNetwork, or with --node that of a TesseraNode
    ///
    /// Each line with its result, who observed it, what was observed, until when that counts, and what to do. Evidence that is
    /// too old is shown as Unknown. Changes nothing.
    Checklist(Checklist),
    /// Show how the TesseraNetworks and TesseraNodes of a namespace do: ready or why not, checklist, keys, certificates
    ///
    /// A checklist counts the lines that are Verified, Enforced or Attested now; evidence that is too old does not count. A
    /// status that speaks of an older spec is shown as Unknown. Changes nothing.
    Status(Status),
    /// Write the security checklist of a TesseraNetwork and its nodes for an auditor or another tool
    ///
    /// To standard output, as JSON, as one HTML page that needs nothing else, or as assessment results of OSCAL 1.1.3. Evidence
    /// that is too old is Unknown, and an exception that has expired accepts nothing. Changes nothing.
    Report(Report),
    /// Search a namespace for credentials in clear text, with your own rights
    ///
    /// `ConfigMaps`, pods, what makes pods, and the releases that Helm keeps in Secrets. Shows where and by which rule, never the
    /// credential. Exit code 1 if anything is found, or could not be searched. Changes nothing.
    Audit(Audit),
    /// Show the CAs of a TesseraNetwork, the rollover under way and whom it waits for, and the certificates of its nodes
    ///
    /// With what to add to the network where a client's or a server's word is awaited. Changes nothing.
    Certificates(Certificates),
    /// Show the versions of a TesseraNode's keys: what each is used for, its age, and whether peers still push to an old one
    ///
    /// Changes nothing.
    Keys(Keys),
    /// Give a key of a TesseraNode a new version
    ///
    /// Raises `spec.keys[].rotation.trigger`. The version before goes on receiving, and everything that it received stays readable.
    /// Each version is a permanent address.
    Rotate(Rotate),
    /// Keep the keys of a TesseraNetwork offline: export them sealed, prove that a copy opens, bring lost keys back
    ///
    /// Keys leave a node sealed to the custodians of the network's `spec.keyBackup` alone.
    Backup(crate::backup::args::Backup),
    /// Print the sidecar that takes a ledger to its TesseraNode: containers, volumes and flags to paste
    ///
    /// For ledgers that cannot do mutual TLS well. The sidecar, `tessera-node connect` in the ledger's own pod, speaks plain HTTP on
    /// a Unix socket and mutual TLS with the client's certificate to the node; a new certificate is used without a restart. Changes
    /// nothing.
    Connect(Connect),
}

/// Which cluster, and which namespace of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Target {
    /// The namespace; default: that of the current context
    #[arg(short, long)]
    pub(crate) namespace: Option<String>,

    /// The kubeconfig context; default: the current one
    #[arg(long)]
    pub(crate) context: Option<String>,
}

impl Target {
    /// The same with a namespace, unless one was named.
    pub(crate) fn or_namespace(&self, namespace: &str) -> Self {
        let namespace = self.namespace.clone().unwrap_or_else(|| namespace.to_owned());
        Self { namespace: Some(namespace), context: self.context.clone() }
    }
}

/// Arguments of `certificates`.
#[derive(Debug, clap::Args)]
pub(crate) struct Certificates {
    /// The TesseraNetwork
    pub(crate) network: String,

    #[command(flatten)]
    pub(crate) target: Target,

    /// How to print it; default: tables for people
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<Output>,
}

/// Arguments of `keys`.
#[derive(Debug, clap::Args)]
pub(crate) struct Keys {
    /// The TesseraNode
    pub(crate) node: String,

    #[command(flatten)]
    pub(crate) target: Target,

    /// How to print it; default: a table for people
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<Output>,
}

/// Arguments of `rotate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Rotate {
    /// The TesseraNode
    pub(crate) node: String,

    /// The key's name; default: the default key
    #[arg(long)]
    pub(crate) key: Option<String>,

    #[command(flatten)]
    pub(crate) target: Target,
}

/// Arguments of `connect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Connect {
    /// The TesseraNode
    pub(crate) node: String,

    /// The client of the node's `spec.clients` that the ledger is
    #[arg(long, value_name = "NAME")]
    pub(crate) client: String,

    /// Listen on this port of 127.0.0.1, too, for a ledger that knows no Unix sockets (Besu)
    ///
    /// Every process of the pod, and everybody who may port-forward to it, speaks to the node there without a certificate. Refused
    /// by the sidecar in a pod with `hostNetwork`.
    #[arg(long, value_name = "PORT")]
    pub(crate) loopback: Option<NonZero<u16>>,

    #[command(flatten)]
    pub(crate) target: Target,

    /// How to print it; default: YAML to paste, with remarks
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<Output>,
}

/// Arguments of `audit`.
#[derive(Debug, clap::Args)]
pub(crate) struct Audit {
    #[command(flatten)]
    pub(crate) target: Target,

    /// How to print it; default: for people
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<Output>,
}

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// A TesseraNetwork, with its nodes, or a TesseraNode; default: all of the namespace
    pub(crate) name: Option<String>,

    #[command(flatten)]
    pub(crate) target: Target,

    /// How to print it; default: for people
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<Output>,
}

/// Arguments of `report`.
#[derive(Debug, clap::Args)]
pub(crate) struct Report {
    /// The TesseraNetwork
    pub(crate) network: String,

    #[command(flatten)]
    pub(crate) target: Target,

    /// The format
    #[arg(short, long, value_enum)]
    pub(crate) output: ReportFormat,
}

/// The format of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ReportFormat {
    /// For programs; its shape is stable
    Json,
    /// For people: one page without scripts, for the screen and for paper
    Html,
    /// Assessment results of OSCAL 1.1.3, in JSON
    Oscal,
}

/// Arguments of `checklist`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("whose").required(true).args(["network", "node"]))]
pub(crate) struct Checklist {
    /// The TesseraNetwork
    pub(crate) network: Option<String>,

    /// A TesseraNode instead
    #[arg(long)]
    pub(crate) node: Option<String>,

    #[command(flatten)]
    pub(crate) target: Target,

    /// How to print it; default: for people
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<Output>,
}

/// How something is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For programs
    Json,
}

/// Arguments of `restart`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["node", "all"]))]
pub(crate) struct Restart {
    /// The TesseraNode
    pub(crate) node: Option<String>,

    /// All TesseraNodes of the namespace
    #[arg(long)]
    pub(crate) all: bool,

    #[command(flatten)]
    pub(crate) target: Target,
}

/// Arguments of `accept-loss`.
#[derive(Debug, clap::Args)]
pub(crate) struct AcceptLoss {
    /// The TesseraNode
    pub(crate) node: String,

    #[command(flatten)]
    pub(crate) target: Target,

    /// Show what would be accepted and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Arguments of `store-setup`.
#[derive(Debug, clap::Args)]
pub(crate) struct StoreSetup {
    /// The TesseraNetwork, which must exist: all settings are read from it
    pub(crate) network: String,

    #[command(flatten)]
    pub(crate) target: Target,

    /// Where this machine reaches the store, if not at the address in the network, for example
    /// `https://127.0.0.1:8200` behind a port-forward. The store's certificate must hold that name.
    ///
    /// `VAULT_ADDR` in the environment is not enough to send the token elsewhere: it must agree with the network.
    #[arg(long, value_name = "URL")]
    pub(crate) vault_addr: Option<String>,

    /// PEM file with the CA of the store's certificate; default: the bundle that the network refers to
    #[arg(long, value_name = "FILE", env = "VAULT_CACERT")]
    pub(crate) ca_file: Option<PathBuf>,

    /// Where the store reaches the API server to check logins
    /// [default for a new auth method: `https://kubernetes.default.svc`]
    #[arg(long, value_name = "URL")]
    pub(crate) kubernetes_host: Option<String>,

    /// Give this network the keys of another cluster or network, after it is gone for good
    ///
    /// Names the stamp that lies beside the keys now, as the refused nodes report it. Each stamp of that name is replaced by
    /// this network's own; no other is touched. The nodes of the old cluster refuse to start from then on, and those that
    /// still run keep their keys in memory until they end: stop them first, or two clusters use the same keys.
    #[arg(long, value_name = "CLUSTER/NAMESPACE/NETWORK")]
    pub(crate) adopt: Option<Stamp>,

    /// Show what would be done and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adoption_names_the_whole_stamp() {
        let parse = |arguments: &[&str]| {
            Args::try_parse_from([&["kubectl-tessera", "store-setup", "net"], arguments].concat())
        };
        assert!(parse(&["--adopt", "prod-eu1/org-a/main"]).is_ok());
        for stamp in [&["--adopt"][..], &["--adopt", "prod-eu1"], &["--adopt", "prod-eu1/org-a"]] {
            assert!(parse(stamp).is_err(), "{stamp:?}");
        }
    }

    #[test]
    fn a_restart_names_one_node_or_all() {
        let parse =
            |arguments: &[&str]| Args::try_parse_from([&["kubectl-tessera", "restart"], arguments].concat());
        assert!(parse(&["node-a"]).is_ok());
        assert!(parse(&["--all", "-n", "org-a"]).is_ok());
        assert!(parse(&[]).is_err());
        assert!(parse(&["node-a", "--all"]).is_err());
    }
}
