//! Which clients of Q2T and metrics this process has served, and which authority signed the certificate that each showed.
//!
//! A connection is counted as long as its [`Open`] lives. A rollover of an authority waits for these.

use std::collections::{BTreeMap, HashMap};
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
    by_identity: HashMap<Identity, Seen>,
    /// The number of the next handshake.
    next: u64,
}

#[derive(Debug)]
struct Seen {
    /// The number of its first handshake that is remembered.
    first: u64,
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
    /// [`Seen::first`] of the entry that counts this connection.
    first: u64,
}

impl Callers {
    /// `identity` was served a connection, for which it showed a certificate that `issuer` signed.
    pub(crate) fn opened(&self, identity: &Identity, issuer: &str) -> Option<Open> {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.make_space_for(identity);
        let seen = state.by_identity.entry(identity.clone()).or_insert_with(|| Seen::new(number));
        seen.last = number;
        issuer.clone_into(&mut seen.issuer);
        if seen.open.len() >= MAX_ISSUERS && !seen.open.contains_key(issuer) {
            return None;
        }
        *seen.open.entry(issuer.to_owned()).or_default() += 1;
        let first = seen.first;
        drop(state);
        Some(Open { callers: self.clone(), identity: identity.clone(), issuer: issuer.to_owned(), first })
    }

    /// What the status reports, sorted by identity.
    pub(crate) fn seen(&self) -> Vec<SeenCaller> {
        let state = self.state();
        let seen = state.by_identity.iter().map(|(identity, seen)| SeenCaller {
            identity: identity.to_string(),
            issuer: seen.issuer.clone(),
            open: seen.open.keys().cloned().collect(),
        });
        let mut seen: Vec<_> = seen.collect();
        drop(state);
        seen.sort_by(|one, other| one.identity.cmp(&other.identity));
        seen
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics between two writes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// At the bound the client that was seen longest ago is forgotten, those without an open connection first.
    fn make_space_for(&mut self, identity: &Identity) {
        if self.by_identity.len() < MAX_CALLERS || self.by_identity.contains_key(identity) {
            return;
        }
        let oldest = self.by_identity.iter().min_by_key(|(_, seen)| (!seen.open.is_empty(), seen.last));
        if let Some(identity) = oldest.map(|(identity, _)| identity.clone()) {
            self.by_identity.remove(&identity);
        }
    }
}

impl Seen {
    fn new(first: u64) -> Self {
        Self { first, last: first, issuer: String::new(), open: BTreeMap::new() }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.callers.state();
        // The client may have been forgotten, and remembered anew, since.
        let seen = state.by_identity.get_mut(&self.identity).filter(|seen| seen.first == self.first);
        let Some(seen) = seen else { return };
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
    fn a_connection_of_a_forgotten_client_ends_without_a_trace() {
        let callers = Callers::default();
        let mut all: Vec<_> =
            (0..=MAX_CALLERS).map(|number| callers.opened(&client(&format!("c{number}")), OLD)).collect();
        // The first was forgotten for the last, and comes back.
        let again = callers.opened(&client("c0"), NEW);
        drop(all.remove(0));
        let seen = callers.seen();
        let first = seen.iter().find(|seen| seen.identity == client("c0").to_string()).unwrap();
        assert_eq!(first.open, [NEW]);
        drop(again);
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
