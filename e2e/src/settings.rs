//! What `hack/e2e` tells the tests. Tests that look at disks and logs read where those are, too.

use anyhow::{Context as _, Result};

/// The cluster's images and tools.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `localhost:5001/tessera-node@sha256:…`
    pub node_image: String,
    /// `localhost:5001/tessera-node-next@sha256:…`: the same node under another digest.
    pub next_image: String,
    /// `localhost:5001/tessera-node-bad@sha256:…`: its `--version` ends well, and it ends with an error when it is to run.
    pub bad_image: String,
    /// `localhost:5001/tessera-client@sha256:…`
    pub client_image: String,
    /// `localhost:5001/otelcol@sha256:…`
    pub collector_image: String,
    /// `localhost:5001/tessera-stacks@sha256:…`
    pub stacks_image: String,
    /// The plug-in's binary.
    pub kubectl_tessera: String,
    /// Vault as it is reached from the tests' machine, through a port-forward.
    pub vault_address: String,
    /// PEM file with the CA of Vault's certificate.
    pub vault_ca_file: String,
    /// Directory with the `tls.crt` and `tls.key` that nodes show the Vault; `None`: it asks for none.
    pub vault_client_tls: Option<String>,
    /// File with the token of Vault's administrator.
    pub vault_token_file: String,
}

impl Settings {
    /// Reads the environment; a missing variable names the command that sets it.
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            node_image: var("TESSERA_NODE_IMAGE")?,
            next_image: var("TESSERA_NEXT_IMAGE")?,
            bad_image: var("TESSERA_BAD_IMAGE")?,
            client_image: var("TESSERA_CLIENT_IMAGE")?,
            collector_image: var("TESSERA_COLLECTOR_IMAGE")?,
            stacks_image: var("TESSERA_STACKS_IMAGE")?,
            kubectl_tessera: var("KUBECTL_TESSERA")?,
            vault_address: var("TESSERA_VAULT_ADDR")?,
            vault_ca_file: var("TESSERA_VAULT_CA_FILE")?,
            vault_client_tls: std::env::var("TESSERA_VAULT_CLIENT_TLS").ok(),
            vault_token_file: var("TESSERA_VAULT_TOKEN_FILE")?,
        })
    }
}

fn var(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set: run the tests with hack/e2e"))
}
