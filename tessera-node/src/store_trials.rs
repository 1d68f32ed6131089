//! The node tries its secret store as a client that the store must not serve, and as itself: at start and at each period. What
//! came of it stands in the status; nothing follows from it here.
//!
//! It does so only if its network names a client certificate: a store that asks for none is served by the operator, which shows
//! none either, and says so.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tessera_keys::VaultKeys;
use tessera_node_api::admin::{StoreTrials, Trial};
use tessera_node_api::identity::Identity;
use tessera_node_api::secret_store::lookup_name;
use tessera_tls::trial::{self, Outcome, Server, Shown, Stranger};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::watch;
use tokio::time::timeout;
use url::{Host, Url};

use crate::clock;
use crate::config::watch::DynamicConfiguration;
use crate::listener_trials::reported;

/// Of the lookup and of the connect, each.
const CONNECT: Duration = Duration::from_secs(5);
/// Until the next round after one that gave no answer: the store was away, or its certificate was renewed just now.
const UNCLEAR: Duration = Duration::from_mins(1);

/// Tries the store, again and again.
pub(crate) struct Trials {
    pub(crate) vault: Arc<VaultKeys>,
    /// The store's URL.
    pub(crate) address: String,
    pub(crate) identity: Identity,
    pub(crate) configuration: DynamicConfiguration,
    pub(crate) result: watch::Sender<Option<StoreTrials>>,
}

impl Trials {
    /// Runs until the node drains.
    pub(crate) async fn run(self) -> Result<(), Infallible> {
        let mut configuration = self.configuration.subscribe();
        loop {
            configuration.mark_unchanged();
            let trials = self.all().await;
            let is_clear = trials.iter().all(|trial| trial.why.is_none());
            let tried = StoreTrials { tried_at: clock::now_rfc3339(), address: self.address.clone(), trials };
            self.result.send_replace(Some(tried));
            let every = self.configuration.probe_every();
            let wait = if is_clear { every } else { every.min(UNCLEAR) };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                Ok(()) = configuration.changed() => {}
            }
        }
    }

    async fn all(&self) -> Vec<Trial> {
        let foreign = Stranger::of_foreign_ca(&self.identity).map(Shown::Foreign);
        let foreign =
            foreign.inspect_err(|error| tracing::warn!(%error, "no foreign certificate to try with"));
        let server = self.server();
        let mut trials = Vec::new();
        for shown in [Some(Shown::NoCertificate), foreign.ok(), Some(Shown::Own)].into_iter().flatten() {
            let outcome = match &server {
                Ok(server) => self.one(&shown, server).await.unwrap_or_else(Outcome::Unclear),
                Err(why) => Outcome::Unclear(why.clone()),
            };
            trials.push(reported(&shown, outcome));
        }
        trials
    }

    fn server(&self) -> Result<Server, String> {
        let (host, _) = self.host_and_port().ok_or("the store's address has no host")?;
        let tls = self.vault.client_tls().ok_or("no client certificate is named")?;
        let tls = tls.map_err(|error| error.to_string())?;
        Server::of_another(&host, tls.roots, tls.own).map_err(|error| error.to_string())
    }

    async fn one(&self, shown: &Shown, server: &Server) -> Result<Outcome, String> {
        let (host, port) = self.host_and_port().ok_or("the store's address has no host")?;
        // Absent outside of Linux and of containers: then there is no search domain either.
        let resolv_conf = tokio::fs::read_to_string("/etc/resolv.conf").await.unwrap_or_default();
        let name = lookup_name(&host, &resolv_conf);
        let late = |_| "no connection in time".to_owned();
        let found = timeout(CONNECT, lookup_host((name.as_str(), port))).await.map_err(late)?;
        let addresses: Vec<_> = found.map_err(|error| format!("lookup of {name}: {error}"))?.collect();
        let stream = timeout(CONNECT, TcpStream::connect(addresses.as_slice())).await.map_err(late)?;
        let stream = stream.map_err(|error| format!("no connection: {error}"))?;
        Ok(trial::run(stream, shown, server).await)
    }

    /// No brackets around an IPv6 address.
    fn host_and_port(&self) -> Option<(String, u16)> {
        let url = Url::parse(&self.address).ok()?;
        let host = match url.host()? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        Some((host, url.port_or_known_default()?))
    }
}
