//! The command line of `backup`.

use std::path::PathBuf;

use clap::Subcommand;

use crate::args::Target;

/// Arguments of `backup`.
#[derive(Debug, clap::Args)]
pub(crate) struct Backup {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: BackupCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Write a file for each TesseraNode with all versions of its keys, sealed to the custodians
    ///
    /// The files hold ciphertext alone; only custodians can open them. Needs the right to read the operator's backup `ConfigMaps`.
    /// Changes nothing.
    Export(BackupExport),
    /// Prove that a custodian's copy of the file opens
    ///
    /// Opens each version in the file and answers the node's challenge with it; the node verifies the answer, and its status says
    /// since when the custody is proven. No key leaves this machine.
    Confirm(BackupConfirm),
    /// Bring keys back to a TesseraNode that awaits them (`spec.keys[].restore`)
    ///
    /// Opens the file and seals the keys again, to the one process that awaits them. Nobody between here and there can open them.
    Restore(BackupRestore),
}

/// Arguments of `backup export`.
#[derive(Debug, clap::Args)]
pub(crate) struct BackupExport {
    /// The TesseraNetwork
    pub(crate) network: String,

    /// Of this TesseraNode alone, which may be deleted by now; default: all of the network
    #[arg(long)]
    pub(crate) node: Option<String>,

    /// Where the files go
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) directory: PathBuf,

    /// The namespace of the operator, which keeps the ciphertext
    #[arg(long, value_name = "NAME", default_value = "tessera-system")]
    pub(crate) operator_namespace: String,

    #[command(flatten)]
    pub(crate) target: Target,
}

/// Arguments of `backup confirm`.
#[derive(Debug, clap::Args)]
pub(crate) struct BackupConfirm {
    /// The backup file: the custodian's own copy
    pub(crate) file: PathBuf,

    /// Who proves: the name in the network's `spec.keyBackup.recipients`
    #[arg(long, value_name = "NAME")]
    pub(crate) custodian: String,

    /// The age identity file of the custodian
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: PathBuf,

    /// Answer this challenge (`status.keyBackup.challenge` of the TesseraNode), contact nobody, and print the proof
    ///
    /// For the machine without a network. What is printed holds no secret: create it where the cluster is reached.
    #[arg(long, value_name = "HEX")]
    pub(crate) challenge: Option<String>,

    #[command(flatten)]
    pub(crate) target: Target,
}

/// Arguments of `backup restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct BackupRestore {
    /// The backup file
    pub(crate) file: PathBuf,

    /// The age identity file of a custodian
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: PathBuf,

    /// The TesseraNode that gets the keys; default: the one that the file names
    #[arg(long)]
    pub(crate) node: Option<String>,

    /// Seal to this recipient (`status.keyBackup.restoreRecipients` of the TesseraNode), contact nobody, and print the object
    ///
    /// For the machine without a network. What is printed can be opened by the node's process alone: create it where the cluster is
    /// reached, before the node restarts.
    #[arg(long, value_name = "AGE")]
    pub(crate) recipient: Option<String>,

    #[command(flatten)]
    pub(crate) target: Target,
}
