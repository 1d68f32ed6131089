//! The node tries its own listeners over loopback, as clients that they must not serve: at start, at each period, and when
//! its certificate changes. What came of it stands in the status; nothing follows from it here.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tessera_node_api::admin::{self, ListenerTrials, Trial, TriedListener};
use tessera_node_api::identity::Identity;
use tessera_node_api::paths::EXPIRED_FILE;
use tessera_tls::trial::{self, Outcome, Server, Shown, Stranger};
use tessera_tls::{Credentials, CredentialsReceiver};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::config::watch::DynamicConfiguration;
use crate::metrics::Port;
use crate::{clock, tasks};

/// A connect over loopback to a port that listens.
const CONNECT: Duration = Duration::from_secs(1);
/// Files that are longer are none of the operator's.
const EXPIRED_FILE_BYTES: u64 = 64 << 10;

/// One listener of this node.
#[derive(Debug, Clone)]
pub(crate) struct Listener {
    /// Which.
    pub(crate) port: Port,
    /// Where it is bound.
    pub(crate) address: SocketAddr,
    /// What it shows.
    pub(crate) credentials: CredentialsReceiver,
    /// Where its certificate lies.
    pub(crate) directory: PathBuf,
}

/// The addresses that trials connect from just now: a listener neither logs nor counts what the node itself tries.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnTrials(Arc<Mutex<HashSet<SocketAddr>>>);

impl OwnTrials {
    /// Whether the connection from `peer` is a trial.
    pub(crate) fn has(&self, peer: SocketAddr) -> bool {
        let canonical = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&canonical)
    }

    fn change(&self, change: impl FnOnce(&mut HashSet<SocketAddr>) -> bool) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Tries all listeners, again and again.
pub(crate) struct Trials {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) own: OwnTrials,
    pub(crate) identity: Identity,
    pub(crate) configuration: DynamicConfiguration,
    pub(crate) result: watch::Sender<Option<ListenerTrials>>,
}

impl Trials {
    /// Runs until the node drains.
    pub(crate) async fn run(self) -> Result<(), Infallible> {
        let mut changes: Vec<_> =
            self.listeners.iter().map(|listener| listener.credentials.clone()).collect();
        let mut configuration = self.configuration.subscribe();
        loop {
            configuration.mark_unchanged();
            let tried = self.all().await;
            self.result.send_replace(Some(tried));
            let credentials = changes.iter_mut().map(|credentials| Box::pin(credentials.changed()));
            tokio::select! {
                () = tokio::time::sleep(self.configuration.probe_every()) => {}
                _ = futures::future::select_all(credentials) => {}
                Ok(()) = configuration.changed() => {}
            }
        }
    }

    async fn all(&self) -> ListenerTrials {
        let mut listeners = Vec::new();
        let foreign = Stranger::of_foreign_ca(&self.identity);
        let foreign =
            foreign.inspect_err(|error| tracing::warn!(%error, "no foreign certificate to try with"));
        for listener in &self.listeners {
            let Some(own) = listener.credentials.current() else { continue };
            let mut trials = Vec::new();
            for shown in shown(listener, foreign.as_ref().ok().cloned()).await {
                let outcome = self.one(listener, &shown, &own).await;
                trials.push(reported(&shown, outcome));
            }
            listeners.push(TriedListener { name: listener.port.as_str().to_owned(), trials });
        }
        ListenerTrials { tried_at: clock::now_rfc3339(), listeners }
    }

    async fn one(&self, listener: &Listener, shown: &Shown, own: &Credentials) -> Outcome {
        let (stream, from) = match connect(listener.address, &self.own).await {
            Ok(connected) => connected,
            Err(error) => return Outcome::Unclear(format!("no connection: {error}")),
        };
        let outcome = match Server::own_listener(own) {
            Ok(server) => trial::run(stream, shown, &server).await,
            Err(error) => Outcome::Unclear(error.to_string()),
        };
        self.own.change(|addresses| addresses.remove(&from));
        outcome
    }
}

async fn shown(listener: &Listener, foreign: Option<Stranger>) -> Vec<Shown> {
    let directory = listener.directory.clone();
    let expired = tasks::blocking(move || expired(&directory)).await.flatten();
    [
        Some(Shown::Plain),
        Some(Shown::NoCertificate),
        foreign.map(Shown::Foreign),
        expired.map(Shown::Expired),
        Some(Shown::Own),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// An expired certificate of the listener's own CA, if the operator has put one there.
fn expired(directory: &Path) -> Option<Stranger> {
    use std::io::Read;
    let file = std::fs::File::open(directory.join(EXPIRED_FILE)).ok()?;
    let mut pem = Zeroizing::new(Vec::new());
    file.take(EXPIRED_FILE_BYTES).read_to_end(&mut pem).ok()?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let stranger = Stranger::new(chain.ok()?, PrivateKeyDer::from_pem_slice(&pem).ok()?);
    stranger.inspect_err(|error| tracing::warn!(%error, "the expired certificate cannot be tried")).ok()
}

/// The address is known as a trial's before the listener can see it.
async fn connect(listener: SocketAddr, own: &OwnTrials) -> std::io::Result<(TcpStream, SocketAddr)> {
    let to = reachable(listener);
    let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.bind(SocketAddr::new(to.ip(), 0))?;
    let from = socket.local_addr()?;
    own.change(|addresses| addresses.insert(from));
    let connected = timeout(CONNECT, socket.connect(to)).await;
    let connected = connected.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
    match connected {
        Ok(stream) => Ok((stream, from)),
        Err(error) => {
            own.change(|addresses| addresses.remove(&from));
            Err(error)
        }
    }
}

/// A listener on every address is reached over loopback; IPv4 first, since `[::]` listens there, too.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        ip if !ip.is_unspecified() => address,
        IpAddr::V4(_) => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()),
        IpAddr::V6(_) if Path::new("/proc/sys/net/ipv4").exists() => {
            SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port())
        }
        IpAddr::V6(_) => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), address.port()),
    }
}

/// A trial, as the status has it.
pub(crate) fn reported(shown: &Shown, outcome: Outcome) -> Trial {
    let (outcome, why) = match outcome {
        Outcome::Refused => (admin::Outcome::Refused, None),
        Outcome::Served => (admin::Outcome::Served, None),
        Outcome::Unclear(why) => (admin::Outcome::Unclear, Some(why)),
    };
    let shown = match shown {
        Shown::Plain => admin::Shown::Plain,
        Shown::NoCertificate => admin::Shown::NoCertificate,
        Shown::Foreign(_) => admin::Shown::ForeignCA,
        Shown::Expired(_) => admin::Shown::Expired,
        Shown::Own => admin::Shown::Own,
        Shown::OwnAlone => admin::Shown::OwnAlone,
    };
    Trial { shown, outcome, why }
}
