//! Which clients of Q2T and metrics this process has served, and which authority signed the certificate that each showed.
//!
//! A connection is counted as long as its [`Open`] lives. A rollover of an authority waits for these.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tessera_node_api::admin::SeenCaller;
use tessera_node_api::identity::Identity;

/// Clients that are remembered. The listeners have lists of whom they serve; this bounds what former clients leave behind.
const MAX_CALLERS: usize = 64;
/// Authorities of one client's open connections: a rollover has two.
const MAX_ISSUERS: usize = 4;

/// All clients that were served. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Callers(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    by_identity: BTreeMap<Identity, Seen>,
    handshakes: u64,
}

#[derive(Debug, Default)]
struct Seen {
    /// The number of its last handshake.
    last: u64,
    /// Who signed the certificate of its last handshake.
    issuer: String,
    /// How many connections are open with a certificate of each authority.
    open: BTreeMap<String, usize>,
}

/// An open connection of a client.
#[derive(Debug)]
pub(crate) struct Open {
    callers: Callers,
    identity: Identity,
    issuer: String,
}

impl Callers {
    /// `identity` was served a connection, for which it showed a certificate that `issuer` signed. None: at a bound, the connection
    /// is not counted.
    pub(crate) fn opened(&self, identity: &Identity, issuer: &str) -> Option<Open> {
        let mut state = self.state();
        state.handshakes += 1;
        let number = state.handshakes;
        let seen = state.entry(identity)?;
        seen.last = number;
        issuer.clone_into(&mut seen.issuer);
        if seen.open.len() >= MAX_ISSUERS && !seen.open.contains_key(issuer) {
            return None;
        }
        *seen.open.entry(issuer.to_owned()).or_default() += 1;
        drop(state);
        Some(Open { callers: self.clone(), identity: identity.clone(), issuer: issuer.to_owned() })
    }

    /// What the status reports, sorted by identity.
    pub(crate) fn seen(&self) -> Vec<SeenCaller> {
        let one = |(identity, seen): (&Identity, &Seen)| SeenCaller {
            identity: identity.to_string(),
            issuer: seen.issuer.clone(),
            open: seen.open.keys().cloned().collect(),
        };
        self.state().by_identity.iter().map(one).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics between two writes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// At the bound the client that was seen longest ago is forgotten. A client with an open connection never is.
    fn entry(&mut self, identity: &Identity) -> Option<&mut Seen> {
        if self.by_identity.len() >= MAX_CALLERS && !self.by_identity.contains_key(identity) {
            let gone = self.by_identity.iter().filter(|(_, seen)| seen.open.is_empty());
            let oldest = gone.min_by_key(|(_, seen)| seen.last)?.0.clone();
            self.by_identity.remove(&oldest);
        }
        Some(self.by_identity.entry(identity.clone()).or_default())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.callers.state();
        let Some(seen) = state.by_identity.get_mut(&self.identity) else { return };
        let Some(open) = seen.open.get_mut(&self.issuer) else { return };
        *open -= 1;
        if *open == 0 {
            seen.open.remove(&self.issuer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "CN=org-a network CA";
    const NEW: &str = "CN=org-a network CA 2";

    fn client(name: &str) -> Identity {
        Identity::client("org.test", "a", name).unwrap()
    }

    fn line(seen: &SeenCaller) -> String {
        format!("{} last {} open {}", seen.identity, seen.issuer, seen.open.join(", "))
    }

    fn lines(callers: &Callers) -> Vec<String> {
        callers.seen().iter().map(line).collect()
    }

    #[test]
    fn the_last_issuer_stays_and_open_connections_are_counted() {
        let callers = Callers::default();
        let (quorum, besu) = (client("quorum"), client("besu"));
        let first = [callers.opened(&quorum, OLD), callers.opened(&quorum, OLD)];
        let other = callers.opened(&besu, OLD);
        let newer = callers.opened(&quorum, NEW);
        let besu = format!("{besu} last {OLD} open");
        let quorum = format!("{quorum} last {NEW} open");
        assert_eq!(lines(&callers), [format!("{besu} {OLD}"), format!("{quorum} {OLD}, {NEW}")]);
        let [one, two] = first;
        drop((one, other));
        assert_eq!(lines(&callers), [format!("{besu} "), format!("{quorum} {OLD}, {NEW}")]);
        drop(two);
        assert_eq!(lines(&callers), [format!("{besu} "), format!("{quorum} {NEW}")]);
        drop(newer);
        assert_eq!(lines(&callers), [format!("{besu} "), format!("{quorum} ")]);
    }

    #[test]
    fn the_client_that_was_seen_longest_ago_is_forgotten_first() {
        let callers = Callers::default();
        let held = callers.opened(&client("held"), OLD);
        for number in 0..MAX_CALLERS {
            drop(callers.opened(&client(&format!("c{number}")), OLD));
        }
        let seen = callers.seen();
        assert_eq!(seen.len(), MAX_CALLERS);
        let knows = |name: &str| seen.iter().any(|seen| seen.identity == client(name).to_string());
        assert!(knows("held") && knows("c1") && !knows("c0"));
        drop(held);
    }

    #[test]
    fn while_all_have_open_connections_no_further_client_is_counted() {
        let callers = Callers::default();
        let all: Vec<_> =
            (0..MAX_CALLERS).map(|number| callers.opened(&client(&format!("c{number}")), OLD)).collect();
        assert!(all.iter().all(Option::is_some));
        assert!(callers.opened(&client("late"), OLD).is_none());
        drop(all);
        assert!(callers.opened(&client("late"), OLD).is_some());
        assert_eq!(callers.seen().len(), MAX_CALLERS);
    }

    #[test]
    fn the_authorities_of_one_client_are_bounded() {
        let callers = Callers::default();
        let issuers: Vec<_> = (0..=MAX_ISSUERS).map(|number| format!("CN={number}")).collect();
        let open: Vec<_> = issuers.iter().map(|issuer| callers.opened(&client("quorum"), issuer)).collect();
        assert_eq!(callers.seen()[0].open, issuers[..MAX_ISSUERS]);
        assert_eq!(callers.seen()[0].issuer, issuers[MAX_ISSUERS]);
        drop(open);
        assert!(callers.seen()[0].open.is_empty());
    }
}
