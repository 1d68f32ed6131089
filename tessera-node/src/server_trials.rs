//! The node tries the servers that it depends on, its secret store and its collector of logs, as clients that they must not serve,
//! and as itself: at start, at each period and when its configuration changes. What came of it stands in the status; nothing follows
//! from it here.
//!
//! It tries the store only if it shows that a client certificate: one that asks for none serves the operator, too, which says so.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tessera_keys::VaultKeys;
use tessera_node_api::admin::{COLLECTOR, Outcome, SECRET_STORE, Trial, TriedServer};
use tessera_node_api::identity::Identity;
use tessera_node_api::secret_store::lookup_name;
use tessera_node_api::tls_client;
use tessera_tls::CredentialsReceiver;
use tessera_tls::trial::{self, Server, Shown, Stranger};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::clock;
use crate::config::watch::DynamicConfiguration;
use crate::listener_trials::reported;
use crate::logs::{Collector, Endpoint};

/// Of the lookup and of the connect, each.
const CONNECT: Duration = Duration::from_secs(5);
/// Until the next round after one that gave no answer: a server was away, or its certificate was renewed just now.
const UNCLEAR: Duration = Duration::from_mins(1);

/// Tries all servers, again and again.
pub(crate) struct Trials {
    /// The store and its URL, if the node shows it a certificate.
    pub(crate) store: Option<(Arc<VaultKeys>, String)>,
    pub(crate) credentials: CredentialsReceiver,
    pub(crate) identity: Identity,
    pub(crate) configuration: DynamicConfiguration,
    pub(crate) result: watch::Sender<Vec<TriedServer>>,
}

/// A server, and how it must prove to be the one that we mean; or why that cannot be said.
struct Target {
    name: &'static str,
    address: String,
    endpoint: Option<Endpoint>,
    server: Result<Server, String>,
}

impl Trials {
    /// Runs until the node drains.
    pub(crate) async fn run(self) -> Result<(), Infallible> {
        let mut configuration = self.configuration.subscribe();
        loop {
            configuration.mark_unchanged();
            let before = self.result.borrow().clone();
            let (tried, is_clear) = self.all(&before).await;
            self.result.send_replace(tried);
            let every = self.configuration.probe_every();
            let wait = if is_clear { every } else { every.min(UNCLEAR) };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                Ok(()) = configuration.changed() => {}
            }
        }
    }

    /// What each server came to, and whether all gave an answer.
    async fn all(&self, before: &[TriedServer]) -> (Vec<TriedServer>, bool) {
        let foreign = Stranger::of_foreign_ca(&self.identity).map(Shown::Foreign);
        let foreign =
            foreign.inspect_err(|error| tracing::warn!(%error, "no foreign certificate to try with")).ok();
        let shown: Vec<_> =
            [Some(Shown::NoCertificate), foreign, Some(Shown::Own)].into_iter().flatten().collect();
        let (mut all, mut is_clear) = (Vec::new(), true);
        for target in self.targets() {
            let tried = target.run(&shown).await;
            is_clear &= tried.trials.iter().all(|trial| trial.outcome != Outcome::Unclear);
            all.push(newest(before, tried));
        }
        (all, is_clear)
    }

    fn targets(&self) -> Vec<Target> {
        let store = self.store.as_ref().map(|(vault, address)| store(vault, address));
        let configuration = self.configuration.current();
        let collector = configuration.as_ref().and_then(|configuration| configuration.collector.as_ref());
        store.into_iter().chain(collector.map(|collector| self.collector(collector))).collect()
    }

    fn collector(&self, collector: &Collector) -> Target {
        let endpoint = &collector.endpoint;
        let server = || {
            let roots =
                tls_client::roots(collector.ca_bundle.as_bytes()).map_err(|error| error.to_string())?;
            let own = self.credentials.current().ok_or("the node has no valid certificate")?;
            Server::of_another(endpoint.host(), roots, own.certified_key()).map_err(|error| error.to_string())
        };
        let (address, server) = (endpoint.as_str().to_owned(), server());
        Target { name: COLLECTOR, address, endpoint: Some(endpoint.clone()), server }
    }
}

/// A server that is away shows nothing new: what it showed `before` stands, with the time at which it showed it.
fn newest(before: &[TriedServer], tried: TriedServer) -> TriedServer {
    let is_away = tried.trials.iter().all(|trial| trial.outcome == Outcome::Unclear);
    let known = before.iter().find(|known| known.name == tried.name && known.address == tried.address);
    known.filter(|_| is_away).cloned().unwrap_or(tried)
}

fn store(vault: &VaultKeys, address: &str) -> Target {
    let endpoint = Endpoint::parse(address);
    let server = || {
        let host = endpoint.as_ref().ok_or("its address is not https://host:port")?.host();
        let tls = vault.client_tls().ok_or("no client certificate is named")?;
        let tls = tls.map_err(|error| error.to_string())?;
        Server::of_another(host, tls.roots, tls.own).map_err(|error| error.to_string())
    };
    let server = server();
    Target { name: SECRET_STORE, address: address.to_owned(), endpoint, server }
}

impl Target {
    async fn run(&self, shown: &[Shown]) -> TriedServer {
        let mut trials: Vec<Trial> = Vec::new();
        for shown in shown {
            let outcome = match &self.server {
                Ok(server) => self.one(shown, server).await.unwrap_or_else(trial::Outcome::Unclear),
                Err(why) => trial::Outcome::Unclear(why.clone()),
            };
            trials.push(reported(shown, outcome));
        }
        TriedServer {
            name: self.name.to_owned(),
            address: self.address.clone(),
            tried_at: clock::now_rfc3339(),
            trials,
        }
    }

    async fn one(&self, shown: &Shown, server: &Server) -> Result<trial::Outcome, String> {
        let endpoint = self.endpoint.as_ref().ok_or("its address is not https://host:port")?;
        // Absent outside of Linux and of containers: then there is no search domain either.
        let resolv_conf = tokio::fs::read_to_string("/etc/resolv.conf").await.unwrap_or_default();
        let name = lookup_name(endpoint.host(), &resolv_conf);
        let late = |_| "no connection in time".to_owned();
        let found = timeout(CONNECT, lookup_host((name.as_str(), endpoint.port()))).await.map_err(late)?;
        let addresses: Vec<_> = found.map_err(|error| format!("lookup of {name}: {error}"))?.collect();
        let stream = timeout(CONNECT, TcpStream::connect(addresses.as_slice())).await.map_err(late)?;
        let stream = stream.map_err(|error| format!("no connection: {error}"))?;
        Ok(trial::run(stream, shown, server).await)
    }
}

#[cfg(test)]
mod tests {
    use tessera_node_api::admin;

    use super::*;

    fn tried(address: &str, tried_at: &str, outcomes: [Outcome; 2]) -> TriedServer {
        let shown = [admin::Shown::NoCertificate, admin::Shown::Own];
        let trials = shown.into_iter().zip(outcomes);
        TriedServer {
            name: SECRET_STORE.into(),
            address: address.into(),
            tried_at: tried_at.into(),
            trials: trials.map(|(shown, outcome)| Trial { shown, outcome, why: None }).collect(),
        }
    }

    #[test]
    fn a_server_that_is_away_keeps_what_it_showed_and_when_and_no_other_does() {
        use Outcome::{Refused, Served, Unclear};
        let before = [tried("https://a:8200", "1", [Refused, Served])];
        let away = |address| tried(address, "2", [Unclear, Unclear]);
        assert_eq!(newest(&before, away("https://a:8200")), before[0]);
        assert_eq!(newest(&before, away("https://b:8200")), away("https://b:8200"));
        assert_eq!(newest(&[], away("https://a:8200")), away("https://a:8200"));
        // One answer is news: it may be that somebody was served.
        for outcomes in [[Served, Unclear], [Refused, Refused], [Unclear, Served]] {
            let answered = tried("https://a:8200", "2", outcomes);
            assert_eq!(newest(&before, answered.clone()), answered);
        }
    }
}
