//! The node tries whom the servers of its database let in; [`crate::server_trials`] says when, and where the outcome stands.

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
    /// Whether that is the node's own, and not one of the database's owner's.
    is_shown_own: bool,
}

impl Database {
    /// The one of `storage`; `node_tls` is the directory of the node's own certificate.
    pub(crate) fn of(storage: &Storage, node_tls: &Path) -> Option<Self> {
        let Storage::Postgres(credentials) = storage else { return None };
        let shown = credentials.client_certificate.as_deref()?;
        Some(Self { credentials: credentials.clone(), is_shown_own: shown == node_tls })
    }

    /// Shows the servers each of `shown`; and, if certificates of authorities are shown with the node's own, that alone.
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
