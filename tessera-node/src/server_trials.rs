//! The node tries the servers that it depends on, its secret store, its collector of logs and its database, as clients that they must
//! not serve, and as itself: at start, at each period and when its configuration or its certificate changes. What came of it stands in the status;
//! nothing follows from it here.
//!
//! It tries the store only if it shows that a client certificate: one that asks for none serves the operator, too, which says so.
//!
//! While certificates of authorities are shown with the node's own, the node also shows its own alone: a server that serves it trusts
//! the authority that signed it, and a rollover of the authority may end. The servers of partners are tried only then, and with that
//! alone.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::{StreamExt, stream};
use tessera_node_api::admin::{self, COLLECTOR, Outcome, SECRET_STORE, Trial, TriedServer, partner_server};
use tessera_node_api::identity::Identity;
use tessera_node_api::secret_store::lookup_name;
use tessera_node_api::tls_client;
use tessera_tls::CredentialsReceiver;
use tessera_tls::trial::{self, Server, Shown, Stranger};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::admin::Opened;
use crate::clock;
use crate::config::partners::Partner;
use crate::config::watch::DynamicConfiguration;
use crate::database_trials::Database;
use crate::listener_trials::reported;
use crate::logs::{Collector, Endpoint};
use crate::peers::NodeUrl;

/// Of the lookup and of the connect, each.
const CONNECT: Duration = Duration::from_secs(5);
/// Servers of partners that are tried in one round. Those beyond need a person's word.
const MAX_PARTNER_SERVERS: usize = 256;
/// Of these, at one time.
const PARTNER_SERVERS_AT_ONCE: usize = 8;
/// Until the next round after one that left something open: a server was away, its certificate was renewed just now, or it does not
/// trust yet the authority that signed the node's certificate.
const OPEN: Duration = Duration::from_mins(1);
/// After rounds that leave the same open again and again.
const STILL_OPEN: Duration = Duration::from_mins(5);

/// Tries all servers, again and again.
pub(crate) struct Trials {
    /// The store, if the node shows it a certificate.
    pub(crate) store: Option<Store>,
    /// The database, if the node shows it a certificate.
    pub(crate) database: Option<Database>,
    pub(crate) credentials: CredentialsReceiver,
    pub(crate) identity: Identity,
    pub(crate) configuration: DynamicConfiguration,
    pub(crate) result: watch::Sender<Vec<TriedServer>>,
}

/// The secret store.
pub(crate) struct Store {
    /// Its session; there is none before the payload store is open, which a database may delay.
    pub(crate) opened: Arc<OnceLock<Opened>>,
    /// Its URL.
    pub(crate) address: String,
    /// Whether the certificate that it is shown is the node's own, and not one of its owner's.
    pub(crate) is_shown_own: bool,
}

/// A server, and how it must prove to be the one that we mean; or why that cannot be said.
struct Target {
    name: String,
    is_shown_own: bool,
    address: String,
    endpoint: Option<Endpoint>,
    server: Result<Server, String>,
}

impl Trials {
    /// Runs until the node drains.
    pub(crate) async fn run(self) -> Result<(), Infallible> {
        let mut configuration = self.configuration.subscribe();
        let mut credentials = self.credentials.clone();
        let mut tried_with = None;
        let mut pause = OPEN;
        loop {
            configuration.mark_unchanged();
            let mut before = self.result.borrow().clone();
            let leaf = self.credentials.current().map(|current| current.leaf().fingerprint().to_owned());
            if tried_with != leaf {
                forget_own_alone(&mut before);
                tried_with = leaf;
            }
            let (tried, is_settled) = self.all(&before).await;
            self.result.send_replace(tried);
            let every = self.configuration.probe_every();
            let wait = if is_settled { every } else { every.min(pause) };
            let next_pause = if is_settled { OPEN } else { (pause * 2).min(STILL_OPEN) };
            pause = tokio::select! {
                () = tokio::time::sleep(wait) => next_pause,
                Ok(()) = configuration.changed() => OPEN,
                () = credentials.changed() => OPEN,
            }
        }
    }

    /// What each server came to, and whether none of it may come out otherwise soon.
    async fn all(&self, before: &[TriedServer]) -> (Vec<TriedServer>, bool) {
        let foreign = Stranger::of_foreign_ca(&self.identity).map(Shown::Foreign);
        let foreign =
            foreign.inspect_err(|error| tracing::warn!(%error, "no foreign certificate to try with")).ok();
        let shown: Vec<_> =
            [Some(Shown::NoCertificate), foreign, Some(Shown::Own)].into_iter().flatten().collect();
        let awaits_store = self.store.as_ref().is_some_and(|store| store.opened.get().is_none());
        let (mut all, mut is_settled) = (Vec::new(), !awaits_store);
        for target in self.targets() {
            let tried = target.run(&shown).await;
            is_settled &= tried.trials.iter().all(settles);
            all.push(newest(before, tried));
        }
        if let Some(database) = &self.database {
            let tried = database.run(&shown).await;
            is_settled &= tried.trials.iter().all(settles);
            all.push(newest(before, tried));
        }
        let partners = self.partners();
        // Collected, since the compiler cannot tell that a lazy iterator of them may be sent.
        let partners: Vec<_> = partners.iter().map(|target| target.run(&[])).collect();
        let mut partners: Vec<_> =
            stream::iter(partners).buffer_unordered(PARTNER_SERVERS_AT_ONCE).collect().await;
        partners.sort_by(|a, b| (&a.name, &a.address).cmp(&(&b.name, &b.address)));
        is_settled &= partners.iter().flat_map(|tried| &tried.trials).all(settles);
        all.extend(partners.into_iter().map(|tried| newest(before, tried)));
        (all, is_settled)
    }

    fn targets(&self) -> Vec<Target> {
        let store = self.store.as_ref().and_then(Store::target);
        let configuration = self.configuration.current();
        let collector = configuration.as_ref().and_then(|configuration| configuration.collector.as_ref());
        store.into_iter().chain(collector.map(|collector| self.collector(collector))).collect()
    }

    /// The servers of all partners, while the node shows certificates of authorities with its own.
    fn partners(&self) -> Vec<Target> {
        let own = self.credentials.current().filter(|own| own.chained());
        let (Some(own), Some(configuration)) = (own, self.configuration.current()) else {
            return Vec::new();
        };
        let partners = configuration.partners.iter().filter(|partner| partner.trust.is_ok());
        let target = |partner: &Partner, url: &NodeUrl| {
            let roots = tls_client::roots(partner.ca_bundle.as_bytes()).map_err(|error| error.to_string());
            let server = roots.and_then(|roots| {
                Server::of_another(url.host(), roots, own.certified_key()).map_err(|error| error.to_string())
            });
            Target {
                name: partner_server(&partner.name),
                is_shown_own: true,
                address: url.as_str().to_owned(),
                endpoint: Endpoint::parse(url.as_str()),
                server,
            }
        };
        let all = partners.flat_map(|partner| partner.urls.iter().map(move |url| (partner, url)));
        all.take(MAX_PARTNER_SERVERS).map(|(partner, url)| target(partner, url)).collect()
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
        Target {
            name: COLLECTOR.to_owned(),
            is_shown_own: true,
            address,
            endpoint: Some(endpoint.clone()),
            server,
        }
    }
}

/// A server that is away shows nothing new: what it showed `before` stands, with the time at which it showed it.
fn newest(before: &[TriedServer], tried: TriedServer) -> TriedServer {
    let is_away = tried.trials.iter().all(|trial| trial.outcome == Outcome::Unclear);
    let known = before.iter().find(|known| known.name == tried.name && known.address == tried.address);
    known.filter(|_| is_away).cloned().unwrap_or(tried)
}

/// Another certificate may be treated otherwise.
fn forget_own_alone(before: &mut [TriedServer]) {
    for tried in before {
        tried.trials.retain(|trial| trial.shown != admin::Shown::OwnAlone);
    }
}

/// Whether the trial says what it will say until something changes here.
fn settles(trial: &Trial) -> bool {
    match trial.outcome {
        Outcome::Unclear => false,
        // The server learns of the new authority without our knowledge.
        Outcome::Refused => trial.shown != admin::Shown::OwnAlone,
        Outcome::Served => true,
    }
}

impl Store {
    fn target(&self) -> Option<Target> {
        let vault = self.opened.get()?.vault.as_ref()?;
        let endpoint = Endpoint::parse(&self.address);
        let server = || {
            let host = endpoint.as_ref().ok_or("its address is not https://host:port")?.host();
            let tls = vault.client_tls().ok_or("no client certificate is named")?;
            let tls = tls.map_err(|error| error.to_string())?;
            Server::of_another(host, tls.roots, tls.own).map_err(|error| error.to_string())
        };
        let (address, server) = (self.address.clone(), server());
        let is_shown_own = self.is_shown_own;
        Some(Target { name: SECRET_STORE.to_owned(), is_shown_own, address, endpoint, server })
    }
}

impl Target {
    async fn run(&self, shown: &[Shown]) -> TriedServer {
        let is_chained = self.server.as_ref().is_ok_and(Server::own_is_chained);
        let alone = (self.is_shown_own && is_chained).then_some(Shown::OwnAlone);
        let mut trials: Vec<Trial> = Vec::new();
        for shown in shown.iter().chain(&alone) {
            let outcome = match &self.server {
                Ok(server) => self.one(shown, server).await.unwrap_or_else(trial::Outcome::Unclear),
                Err(why) => trial::Outcome::Unclear(why.clone()),
            };
            trials.push(reported(shown, outcome));
        }
        TriedServer {
            name: self.name.clone(),
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

    #[test]
    fn a_server_that_refuses_our_certificate_alone_is_asked_again_soon_and_another_certificate_anew() {
        let trial = |shown, outcome| Trial { shown, outcome, why: None };
        let alone = |outcome| trial(admin::Shown::OwnAlone, outcome);
        assert!(settles(&alone(Outcome::Served)) && !settles(&alone(Outcome::Refused)));
        assert!(settles(&trial(admin::Shown::NoCertificate, Outcome::Refused)));
        assert!(!settles(&trial(admin::Shown::Own, Outcome::Unclear)));

        let first = tried("https://a:8200", "1", [Outcome::Refused, Outcome::Served]);
        let mut before = [first.clone()];
        before[0].trials.push(alone(Outcome::Served));
        forget_own_alone(&mut before);
        assert_eq!(before, [first]);
    }
}
