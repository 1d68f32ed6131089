//! What every reconcile of one namespace has at hand.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use kube::Client;
use tessera_crds::{TesseraNetworkStatus, TesseraNodeStatus};
use tessera_pki::CaState;
use tokio::sync::Semaphore;

use crate::issue::authorities::Authorities;
use crate::kube::events::Events;
use crate::kube::writer::Writer;
use crate::memory::backoff::Backoff;
use crate::memory::status_memo::StatusMemo;
use crate::network::observe::StoreProbes;
use crate::probe::admin::{AdminClient, AdminError};
use crate::process::metrics::Metrics;
use crate::settings::ClusterSettings;
use crate::watch::caches::Caches;

/// Reads, writes and remembers. Pure stages receive none of it.
#[derive(Clone)]
pub struct Context {
    /// For reads that no cache answers.
    pub client: Client,
    /// For writes.
    pub writer: Arc<Writer>,
    /// For what a person wants to know.
    pub events: Events,
    /// What the watches of this namespace last saw.
    pub caches: Caches,
    /// The CA states.
    pub authorities: Arc<Authorities>,
    /// Credentials for admin ports, by network UID.
    pub admin: Arc<AdminClients>,
    /// Waits of objects that failed.
    pub backoff: Arc<Backoff>,
    /// Bounds how many reconciles of all namespaces run at once.
    pub slots: Arc<Semaphore>,
    /// Counts reconciles.
    pub metrics: Arc<Metrics>,
    /// Statuses of nodes that the watch has not shown yet.
    pub node_statuses: Arc<StatusMemo<TesseraNodeStatus>>,
    /// Statuses of networks that the watch has not shown yet.
    pub network_statuses: Arc<StatusMemo<TesseraNetworkStatus>>,
    /// What the last look at each network's secret store found.
    pub stores: Arc<StoreProbes>,
    /// What the cluster around the networks is like.
    pub settings: ClusterSettings,
}

/// Credentials for admin ports, made when first needed and renewed in time.
#[derive(Default)]
pub struct AdminClients {
    known: Mutex<HashMap<String, AdminClient>>,
}

impl AdminClients {
    /// Credentials for the nodes of the network with this UID.
    pub fn get(
        &self,
        network_uid: &str,
        trust_domain: &str,
        authorities: &CaState,
        now: Timestamp,
    ) -> Result<AdminClient, AdminError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = known.get(network_uid).filter(|client| client.is_current(authorities, now)) {
            return Ok(client.clone());
        }
        let client = AdminClient::new(authorities, trust_domain, now)?;
        known.insert(network_uid.to_owned(), client.clone());
        Ok(client)
    }
}
