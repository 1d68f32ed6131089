//! The node tries which clients the servers of its database accept. [`crate::server_trials`] decides when, and reports the outcome.

use std::path::Path;

use tessera_database::Credentials;
use tessera_node_api::admin::{DATABASE, TriedServer};
use tessera_tls::trial::{Outcome, Shown};

use crate::clock;
use crate::config::Storage;
use crate::listener_trials::reported;

/// A database that the node shows a certificate.
pub(crate) struct Database {
    credentials: Credentials,
    /// Whether the certificate is the node's own, and not one that the database's owner issued.
    is_shown_own: bool,
}

impl Database {
    /// The database of `storage`, if the node shows it a certificate. `node_tls` is the directory of the node's own certificate.
    pub(crate) fn of(storage: &Storage, node_tls: &Path) -> Option<Self> {
        let Storage::Postgres(credentials) = storage else { return None };
        let shown = credentials.client_certificate.as_deref()?;
        Some(Self { credentials: credentials.clone(), is_shown_own: shown == node_tls })
    }

    /// Tries each of `shown`. While the node's own certificate has a chain, also tries that certificate without its chain.
    pub(crate) async fn run(&self, shown: &[Shown]) -> TriedServer {
        let read = self.credentials.trials().await;
        let is_chained = read.as_ref().is_ok_and(tessera_database::Trials::own_is_chained);
        let alone = (self.is_shown_own && is_chained).then_some(Shown::OwnAlone);
        let mut trials = Vec::new();
        for shown in shown.iter().chain(&alone) {
            let outcome = match &read {
                Ok(servers) => servers.run(shown).await,
                Err(why) => Outcome::Unclear(why.clone()),
            };
            trials.push(reported(shown, outcome));
        }
        TriedServer {
            name: DATABASE.to_owned(),
            address: read.map(|servers| servers.address()).unwrap_or_default(),
            tried_at: clock::now_rfc3339(),
            trials,
        }
    }
}
