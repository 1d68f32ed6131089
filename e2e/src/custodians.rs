//! Custodians of keys: people with an age identity each, and the files that they keep.

use std::path::{Path, PathBuf};
use std::time::Duration;

use age::secrecy::ExposeSecret as _;
use age::x25519;
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tessera_backup::Identity;

use crate::fleet::{Fleet, NETWORK};
use crate::wait;

/// The kubelet's period to bring a changed configuration, the operator's to ask the node, and what a slow machine adds.
pub const DEADLINE: Duration = Duration::from_mins(5);

/// Custodians with their identities, in a directory that stands for their offline machines.
pub struct Custodians {
    directory: TempDir,
}

impl Custodians {
    /// Each with a new identity.
    pub fn new(names: &[&str]) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        for name in names {
            // As age-keygen writes it.
            let secret = x25519::Identity::generate().to_string();
            std::fs::write(directory.path().join(format!("{name}.txt")), secret.expose_secret())?;
        }
        Ok(Self { directory })
    }

    /// The path of a custodian's identity file.
    pub fn identity_file(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("{name}.txt"))
    }

    /// A custodian's identity.
    pub fn identity(&self, name: &str) -> Result<Identity> {
        Ok(Identity::parse(&std::fs::read_to_string(self.identity_file(name))?)?)
    }

    /// `keyBackup` of a network with these as recipients, all of whom must prove custody.
    pub fn key_backup(&self, names: &[&str]) -> Result<Value> {
        let recipients = names
            .iter()
            .map(|name| Ok(json!({"name": name, "age": self.identity(name)?.recipient()})))
            .collect::<Result<Vec<_>>>()?;
        Ok(json!({"recipients": recipients, "threshold": names.len()}))
    }

    /// The path of a custodian's copy of a node's backup.
    pub fn file(&self, name: &str, node: &str) -> PathBuf {
        self.directory.path().join(format!("of-{name}")).join(format!("{node}.json"))
    }

    /// The custodian's copy of the backup of a node, exported now.
    pub async fn export(&self, fleet: &Fleet, name: &str, node: &str) -> Result<PathBuf> {
        let directory = self.directory.path().join(format!("of-{name}"));
        let arguments = ["backup", "export", NETWORK, "--node", node, "--directory", text(&directory)];
        let said = fleet.plugin(&arguments, &[]).await?;
        ensure!(said.contains(&format!("{node}.json")), "{said}");
        Ok(self.file(name, node))
    }

    /// Proves that the custodian's copy opens. Returns the plug-in's output.
    pub async fn confirm(&self, fleet: &Fleet, name: &str, file: &Path) -> Result<String> {
        let identity = self.identity_file(name);
        let arguments = ["backup", "confirm", text(file), "--custodian", name, "--identity", text(&identity)];
        fleet.plugin(&arguments, &[]).await
    }

    /// Restores the keys of the custodian's copy, once the node publishes its recipient. Returns the plug-in's output.
    pub async fn restore(&self, fleet: &Fleet, name: &str, node: &str) -> Result<String> {
        wait::until(&format!("a recipient for the keys of {node}"), DEADLINE, || async {
            let status = fleet.node(node).await?["status"].clone();
            ensure!(status["keyBackup"]["restoreRecipients"][0]["recipient"].is_string(), "{status}");
            Ok(())
        })
        .await?;
        let (file, identity) = (self.file(name, node), self.identity_file(name));
        fleet.plugin(&["backup", "restore", text(&file), "--identity", text(&identity)], &[]).await
    }
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are text")
}
