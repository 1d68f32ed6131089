//! `kubectl tessera backup`: what custodians of a network's keys do.
//!
//! ```text
//! export   ConfigMap of the operator ──► file, kept offline                                   (ciphertext alone)
//! confirm  file + identity + challenge ──► TesseraBackupProof ──► operator ──► node ──► outcome
//! restore  file + identity + one-time recipient ──► TesseraKeyRestore ──► operator ──► node ──► secret store
//! ```
//!
//! `confirm` and `restore` have two forms. With what the node shows on the command line (`--challenge`, `--recipient`) they contact
//! nobody and print the object: that is for the machine without a network, where the identity lies. Without, they read it from
//! the cluster, create the object and wait for the outcome. The private keys exist in this process's memory alone, and only while it
//! computes.

pub(crate) mod args;
mod confirm;
mod custodian;
mod export;
mod outcome;
mod restore;

use args::BackupCommand;

/// Does what `command` names.
pub(crate) async fn run(command: &BackupCommand) -> anyhow::Result<()> {
    match command {
        BackupCommand::Export(args) => export::run(args).await,
        BackupCommand::Confirm(args) => confirm::run(args).await,
        BackupCommand::Restore(args) => restore::run(args).await,
    }
}
