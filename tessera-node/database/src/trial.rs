//! Tries which clients the database's servers accept: one without a certificate, one with a certificate of a foreign authority, the node.
//!
//! A server that demands a certificate refuses a foreign one in the handshake. It refuses a client without one after the handshake, with
//! SQLSTATE 28000, which also means that no rule of `pg_hba.conf` accepts the role. So such a refusal counts only where the node itself is
//! accepted right after, at the same server.
//!
//! A name with several addresses is several servers: each is tried, since any of them may be the next primary.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use rustls::sign::CertifiedKey;
use tessera_node_api::tls_client;
use tessera_tls::trial::{Outcome, Shown};
use tokio::net::lookup_host;
use tokio::time::timeout;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::Credentials;
use crate::connection_string::Server;
use crate::credentials::Login;
use crate::primary::why;

/// For one login at one server.
const LOGIN_TIME: Duration = Duration::from_secs(5);
/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 16;
const DEFAULT_PORT: u16 = 5432;

/// The servers of a connection string, to be tried.
pub struct Trials(Login);

impl Credentials {
    /// Reads the files for trials. The sentence of an error names the file, and quotes nothing.
    pub async fn trials(&self) -> Result<Trials, String> {
        self.read().await.map(Trials)
    }
}

impl Trials {
    /// The servers, `host:port` each.
    pub fn address(&self) -> String {
        let names: Vec<_> = self.0.servers.iter().map(|server| server.name.as_str()).collect();
        names.join(", ")
    }

    /// Whether certificates of authorities are shown with the node's own.
    pub fn own_is_chained(&self) -> bool {
        self.0.own.as_ref().is_some_and(|own| own.cert.len() > 1)
    }

    /// Logs in at each server, with the role and the password of the connection string.
    ///
    /// A client counts as served if one server serves it, and as refused if every server refuses it. [`Shown::OwnAlone`] counts as served
    /// only if every server serves it: any of them may be the next primary after the old authority is gone.
    pub async fn run(&self, shown: &Shown) -> Outcome {
        let Ok(certificate) = self.certificate(shown) else {
            return Outcome::Unclear("the node does not try a database with this".to_owned());
        };
        let tls = self.0.tls(certificate);
        let of_servers = self.0.servers.iter().map(|server| self.at_addresses(server, &tls, shown));
        let outcomes: Vec<_> = join_all(of_servers).await.into_iter().flatten().collect();
        match shown {
            Shown::OwnAlone => of_all(&outcomes, &Outcome::Served, &Outcome::Refused),
            _ => of_all(&outcomes, &Outcome::Refused, &Outcome::Served),
        }
    }

    /// What came of each address of a server.
    async fn at_addresses(&self, server: &Server, tls: &MakeRustlsConnect, shown: &Shown) -> Vec<Outcome> {
        let named = |why: String| Outcome::Unclear(format!("{}: {why}", server.name));
        let addresses = match timeout(LOGIN_TIME, addresses(server)).await {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(why)) => return vec![named(why)],
            Err(_) => return vec![named("its name was not resolved in time".to_owned())],
        };
        let tried = addresses.into_iter().map(|config| async move {
            match timeout(LOGIN_TIME, self.at_one(&config, tls, shown)).await {
                Ok(Outcome::Unclear(why)) => named(why),
                Ok(clear) => clear,
                Err(_) => named("no answer in time".to_owned()),
            }
        });
        join_all(tried).await
    }

    async fn at_one(&self, config: &Config, tls: &MakeRustlsConnect, shown: &Shown) -> Outcome {
        match login(config, tls, shown).await {
            Attempt::Clear(outcome) => outcome,
            Attempt::RefusedRole => {
                let own = self.0.tls(self.0.own.clone());
                match login(config, &own, &Shown::Own).await {
                    Attempt::Clear(Outcome::Served) => Outcome::Refused,
                    _ => Outcome::Unclear(
                        "the server refuses the role, also with the node's certificate".to_owned(),
                    ),
                }
            }
        }
    }

    fn certificate(&self, shown: &Shown) -> Result<Option<Arc<CertifiedKey>>, ()> {
        match shown {
            Shown::NoCertificate => Ok(None),
            Shown::Foreign(stranger) => Ok(Some(stranger.certified_key())),
            Shown::Own => Ok(self.0.own.clone()),
            Shown::OwnAlone => Ok(self.0.own.as_deref().map(leaf_alone)),
            Shown::Plain | Shown::Expired(_) => Err(()),
        }
    }
}

/// The outcome `one` if any server has it, `all` if every server has it, else that of the first server without either.
fn of_all(outcomes: &[Outcome], all: &Outcome, one: &Outcome) -> Outcome {
    if outcomes.contains(one) {
        return one.clone();
    }
    let unclear = outcomes.iter().find(|outcome| *outcome != all);
    unclear.unwrap_or(all).clone()
}

fn leaf_alone(own: &CertifiedKey) -> Arc<CertifiedKey> {
    let leaf = own.cert.first().cloned();
    Arc::new(CertifiedKey::new(leaf.into_iter().collect(), Arc::clone(&own.key)))
}

/// What came of one login.
enum Attempt {
    Clear(Outcome),
    /// The server refuses the role, after the handshake: perhaps for the lack of a certificate.
    RefusedRole,
}

async fn login(config: &Config, tls: &MakeRustlsConnect, shown: &Shown) -> Attempt {
    let Err(error) = config.connect(tls.clone()).await else { return Attempt::Clear(Outcome::Served) };
    let is_refused = match error.as_db_error() {
        Some(refusal) if *refusal.code() == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            return Attempt::RefusedRole;
        }
        Some(_) => false,
        None => tls_client::refusal(&error).is_some_and(|alert| shown.accepts(alert)),
    };
    Attempt::Clear(if is_refused { Outcome::Refused } else { Outcome::Unclear(why(error)) })
}

/// How each address of a server is reached.
async fn addresses(server: &Server) -> Result<Vec<Config>, String> {
    let Some(Host::Tcp(host)) = server.config.get_hosts().first() else {
        return Err("it has no name".to_owned());
    };
    let port = server.config.get_ports().first().copied().unwrap_or(DEFAULT_PORT);
    let mut config = server.config.clone();
    // A standby that lets a stranger read is no better than a primary that does.
    config.target_session_attrs(TargetSessionAttrs::Any);
    if !config.get_hostaddrs().is_empty() {
        return Ok(vec![config]);
    }
    let found = lookup_host((host.as_str(), port)).await.map_err(|error| error.to_string())?;
    let found: BTreeSet<_> = found.map(|address| address.ip()).collect();
    if found.is_empty() || found.len() > MAX_ADDRESSES {
        return Err(format!("its name has {} addresses; 1 to {MAX_ADDRESSES} are tried", found.len()));
    }
    let at = |address| {
        let mut config = config.clone();
        config.hostaddr(address);
        config
    };
    Ok(found.into_iter().map(at).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_away_leaves_open_what_all_must_show() {
        use Outcome::{Refused, Served};
        let away = || Outcome::Unclear("b: away".to_owned());
        for (outcomes, of_a_stranger, of_our_own_alone) in [
            (vec![Refused, Refused], Refused, Refused),
            (vec![Served, Served], Served, Served),
            (vec![Refused, Served], Served, Refused),
            (vec![Refused, away()], away(), Refused),
            (vec![Served, away()], Served, away()),
        ] {
            assert_eq!(of_all(&outcomes, &Refused, &Served), of_a_stranger, "{outcomes:?}");
            assert_eq!(of_all(&outcomes, &Served, &Refused), of_our_own_alone, "{outcomes:?}");
        }
    }
}
