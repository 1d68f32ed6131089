//! Who is at the other end of a connection, and how long that client may take to read an answer.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use tessera_node_api::identity::Identity;
use tessera_tls::{Leaf, Peer, Scope};
use tokio::sync::watch;
use tokio::time::Instant;

/// An answer that holds memory must be read at this rate …
const READ_BYTES_PER_SECOND: u64 = 1 << 20;
/// … after so long.
const READ_GRACE: Duration = Duration::from_secs(10);

/// Who is at the other end of a connection.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) identity: Identity,
    certificate: CertificateDer<'static>,
    /// The partner that it is of, by what that may speak for.
    partner: Option<Arc<Scope>>,
    read_by: watch::Sender<Option<Instant>>,
}

impl Caller {
    pub(crate) fn new(peer: Peer, certificate: CertificateDer<'static>) -> Self {
        let Peer { identity, partner, .. } = peer;
        Self { identity, certificate, partner, read_by: watch::Sender::new(None) }
    }

    /// Whether the caller is of another organisation.
    pub(crate) fn is_of_partner(&self) -> bool {
        self.partner.is_some()
    }

    /// Whether the caller's certificate is for `host`, a DNS name or an IP address; that of a partner only for a DNS name inside of
    /// the partner's scope.
    pub(crate) fn speaks_for(&self, host: &str) -> bool {
        if self.partner.as_ref().is_some_and(|partner| !partner.holds_host(host)) {
            return false;
        }
        let Ok(name) = ServerName::try_from(host) else { return false };
        ParsedCertificate::try_from(&self.certificate)
            .is_ok_and(|certificate| verify_server_name(&certificate, &name).is_ok())
    }

    /// The hosts that the certificate of a node of ours names, wildcards as they are; of a partner's none.
    pub(crate) fn own_hosts(&self) -> Vec<String> {
        let leaf = if self.is_of_partner() { None } else { Leaf::parse(&self.certificate).ok() };
        leaf.map(|leaf| leaf.dns_names().to_vec()).unwrap_or_default()
    }

    /// From now on the caller has so long to read an answer of `bytes`, until the guard is dropped. The connection is closed
    /// then, since the answer holds memory that others wait for.
    pub(crate) fn reading(&self, bytes: usize) -> Reading {
        let seconds = bytes as u64 / READ_BYTES_PER_SECOND;
        self.read_by.send_replace(Some(Instant::now() + READ_GRACE + Duration::from_secs(seconds)));
        Reading(self.read_by.clone())
    }

    /// Returns when the deadline of the present answer has passed.
    pub(crate) async fn overdue(&self) {
        let mut read_by = self.read_by.subscribe();
        loop {
            let deadline = *read_by.borrow_and_update();
            tokio::select! {
                changed = read_by.changed() => if changed.is_err() { std::future::pending::<()>().await },
                () = sleep_until_some(deadline) => return,
            }
        }
    }
}

/// A deadline for reading an answer; lifted on drop.
#[derive(Debug)]
pub(crate) struct Reading(watch::Sender<Option<Instant>>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.send_replace(None);
    }
}

async fn sleep_until_some(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
