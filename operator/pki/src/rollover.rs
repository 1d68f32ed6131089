//! When a rollover begins and what each of its phases awaits. Pure, and without keys: a test explores every order of events.
//!
//! ```text
//! phase      ends when
//! Stable     its end comes near, or somebody demands it
//! Trusting   every node reports that it trusts both CAs
//! Reissuing  every node reports that it serves a leaf of the new CA, and each client was seen with one, or the last leaf that the
//!            old CA signed has ended
//! Retiring   every node reports that it trusts the new CA alone, each dependency was seen to trust it, and each client that reads
//!            its roots once is acknowledged
//! ```
//!
//! Nothing proceeds on a timer alone. Once the old CA has ended, no leaf and no cross certificate of it is good for anything, so
//! nobody is awaited for its sake.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::authority::{Authority, Phase};
use crate::ca::Ca;

/// A leaf that was signed by a process which had not seen the new phase yet: how long after its begin that can be.
const SIGNED_LATE: SignedDuration = SignedDuration::from_mins(10);

/// An authority as far as a rollover depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The CA that signs.
    pub issuing: CaView,
    /// The phase, since when it is so, and the other CA.
    pub rollover: Option<(Phase, Timestamp, CaView)>,
    /// Whether the old CA can sign the new one, so that who trusts the old one accepts leaves of both.
    pub crossed: bool,
    /// No leaf lasts longer.
    pub longest_leaf: SignedDuration,
    /// The demand that was met last.
    pub trigger: i64,
}

/// A CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaView {
    /// SHA-256 of its certificate's DER, lower-case hex.
    pub fingerprint: String,
    /// Its name, as it stands as issuer in what it signs.
    pub name: String,
    /// Start of its validity.
    pub not_before: Timestamp,
    /// End of its validity.
    pub not_after: Timestamp,
}

/// What a person asks of an authority.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// Grows with each demand for another CA.
    pub trigger: i64,
    /// How long before its end a CA is replaced.
    pub renew_before: SignedDuration,
}

/// What was seen of all parties.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Every node.
    pub nodes: Vec<NodeFacts>,
    /// Every ledger node and scraper.
    pub clients: Vec<ClientFacts>,
    /// Every server of others that our leaves are shown to.
    pub dependencies: Vec<DependencyFacts>,
}

/// A node, by its pods. One without a pod runs nothing that could refuse anybody, and takes what is stored when it starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// Its name.
    pub name: String,
    /// Whether its Secret holds the leaf, the chain and the roots of the present phase.
    pub stored: bool,
    /// The last report of each pod; `None`: it has reported nothing yet.
    pub pods: Vec<Option<Report>>,
}

/// What a node says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The fingerprints of the roots that it trusts.
    pub trusts: Vec<String>,
    /// The issuer of the leaf that it shows.
    pub issuer: Option<String>,
    /// Whether it shows a cross certificate beside it.
    pub chained: bool,
}

/// A client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFacts {
    /// Its identity.
    pub identity: String,
    /// Whether its Secret holds the leaf, the chain and the roots of the present phase.
    pub stored: bool,
    /// What it showed.
    pub seen: Seen,
    /// Whether it reads its roots anew for each connection.
    pub rereads_roots: bool,
    /// Whether a person says that it trusts the CA that signs now.
    pub acknowledged: bool,
}

/// What a client showed in its last handshakes and shows on its open connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It was not seen.
    Nowhere,
    /// A leaf of another CA than the one that signs now, at least once.
    Another,
    /// Leaves of the CA that signs now, and nothing else.
    Issuing,
}

/// A server of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DependencyFacts {
    /// What it is and where.
    pub name: String,
    /// Whether every node that showed it the new leaf alone was served.
    pub trusts_issuing: bool,
    /// Whether a person says that it trusts the CA that signs now.
    pub acknowledged: bool,
    /// How a person says so: [`BY_ADDRESS`] or [`BY_PARTNER`].
    pub acknowledged_by: &'static str,
}

/// How a person says that a client or a server trusts a CA.
pub const BY_ADDRESS: &str = "name both in spec.pki.acknowledge";
/// How a person says that a partner trusts a CA.
pub const BY_PARTNER: &str = "set acknowledgedCA of the partner in spec.partners";

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Begin a rollover.
    Begin,
    /// Go on to the next phase.
    Advance,
}

/// Somebody whom the present phase awaits, in words that do not change while it waits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Awaited {
    /// Who: `node a`, `client spiffe://…`.
    pub party: String,
    /// What is missing, and what a person can do.
    pub what: String,
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.party, self.what)
    }
}

impl View {
    /// Of `authority`.
    pub fn of(authority: &Authority) -> Self {
        let rollover = authority.rollover.as_ref();
        Self {
            issuing: CaView::of(&authority.issuing),
            rollover: rollover.map(|it| (it.phase, it.since, CaView::of(&it.other))),
            crossed: authority.old().certificate().may_sign_authorities(),
            longest_leaf: authority.longest_leaf,
            trigger: authority.trigger,
        }
    }

    /// Whether a new CA is due or demanded, if no rollover is under way.
    pub fn is_due(&self, wish: &Wish, now: Timestamp) -> bool {
        wish.trigger > self.trigger || now >= self.issuing.due_at(wish.renew_before)
    }

    /// The next step, if it can be taken.
    pub fn next(&self, wish: &Wish, facts: &Facts, now: Timestamp) -> Option<Step> {
        match self.rollover {
            None => self.is_due(wish, now).then_some(Step::Begin),
            Some(_) => self.awaited(facts, now).is_empty().then_some(Step::Advance),
        }
    }

    /// Whom the present phase awaits, in the order of `facts`.
    pub fn awaited(&self, facts: &Facts, now: Timestamp) -> Vec<Awaited> {
        let Some((phase, since, other)) = &self.rollover else { return Vec::new() };
        let old = if *phase == Phase::Trusting { &self.issuing } else { other };
        if old.not_after <= now {
            return Vec::new();
        }
        let stored = not_stored(facts);
        let moving: Vec<_> = match phase {
            Phase::Trusting => {
                let both = [&self.issuing, other];
                let nodes = awaited_nodes(facts, "does not report yet that it trusts both CAs", |report| {
                    both.iter().all(|ca| report.trusts.contains(&ca.fingerprint))
                });
                nodes.chain(self.awaited_before_reissuing(facts, other)).collect()
            }
            Phase::Reissuing => {
                let nodes = awaited_nodes(
                    facts,
                    "does not report yet that it serves a leaf of the new CA",
                    |report| {
                        report.issuer.as_ref() == Some(&self.issuing.name) && report.chained == self.crossed
                    },
                );
                nodes.chain(self.awaited_clients(facts, *since, now)).collect()
            }
            Phase::Retiring => {
                let nodes =
                    awaited_nodes(facts, "does not report yet that it trusts the new CA alone", |report| {
                        report.trusts == [self.issuing.fingerprint.as_str()]
                    });
                let people = once_readers(facts, &self.issuing, old);
                nodes.chain(people).chain(dependencies(facts, &self.issuing, old)).collect()
            }
        };
        stored.chain(moving).collect()
    }

    /// A CA that cannot sign another, as those that an earlier operator made, leaves everybody to a person's word before the new one
    /// signs.
    fn awaited_before_reissuing<'a>(
        &'a self,
        facts: &'a Facts,
        next: &'a CaView,
    ) -> impl Iterator<Item = Awaited> + 'a {
        let clients = facts.clients.iter().filter(|client| !client.acknowledged);
        let clients = clients.map(|client| client.awaited(by_word(next, &self.issuing, BY_ADDRESS)));
        clients.chain(dependencies(facts, next, &self.issuing)).filter(|_| !self.crossed)
    }

    fn awaited_clients<'a>(
        &self,
        facts: &'a Facts,
        since: Timestamp,
        now: Timestamp,
    ) -> impl Iterator<Item = Awaited> + use<'a> {
        let last_end = since.checked_add(self.longest_leaf + SIGNED_LATE).unwrap_or(Timestamp::MAX);
        let clients = facts
            .clients
            .iter()
            .filter(move |client| client.stored && now < last_end && client.seen != Seen::Issuing);
        clients.map(move |client| {
            let what = match client.seen {
                Seen::Another => "still shows a certificate of the old CA",
                Seen::Nowhere | Seen::Issuing => "was not seen with a certificate of the new CA",
            };
            client.awaited(format!("{what}; its last one of the old CA ends at {last_end} at the latest"))
        })
    }
}

impl CaView {
    fn of(ca: &Ca) -> Self {
        let certificate = ca.certificate();
        Self {
            fingerprint: certificate.fingerprint().to_owned(),
            name: certificate.subject().to_owned(),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
        }
    }

    /// When it is replaced: `renew_before` its end, which counts as two thirds of its life at most, else the next one would be due
    /// at once.
    pub fn due_at(&self, renew_before: SignedDuration) -> Timestamp {
        let lifetime = self.not_after.duration_since(self.not_before).max(SignedDuration::ZERO);
        self.not_after - renew_before.clamp(SignedDuration::ZERO, lifetime / 3 * 2)
    }
}

impl ClientFacts {
    fn awaited(&self, what: String) -> Awaited {
        Awaited { party: format!("client {}", self.identity), what }
    }
}

fn awaited_nodes<'a>(
    facts: &'a Facts,
    what: &'a str,
    is_done: impl Fn(&Report) -> bool + 'a,
) -> impl Iterator<Item = Awaited> + 'a {
    let is_done = move |report: &Option<Report>| report.as_ref().is_some_and(&is_done);
    let nodes = facts.nodes.iter().filter(move |node| node.stored && !node.pods.iter().all(&is_done));
    nodes.map(move |node| Awaited { party: format!("node {}", node.name), what: what.to_owned() })
}

/// A process that starts now takes what is stored, so each Secret counts in each phase.
fn not_stored(facts: &Facts) -> impl Iterator<Item = Awaited> {
    let what = "has a Secret that does not hold the certificates of this phase yet: see whether the node is paused, and its conditions";
    let nodes = facts.nodes.iter().filter(|node| !node.stored);
    let nodes =
        nodes.map(move |node| Awaited { party: format!("node {}", node.name), what: what.to_owned() });
    let clients = facts.clients.iter().filter(|client| !client.stored);
    nodes.chain(clients.map(move |client| client.awaited(what.to_owned())))
}

fn once_readers<'a>(
    facts: &'a Facts,
    next: &'a CaView,
    old: &'a CaView,
) -> impl Iterator<Item = Awaited> + 'a {
    let waiting = facts.clients.iter().filter(|client| !client.rereads_roots && !client.acknowledged);
    waiting.map(|client| client.awaited(by_word(next, old, BY_ADDRESS)))
}

fn dependencies<'a>(
    facts: &'a Facts,
    next: &'a CaView,
    old: &'a CaView,
) -> impl Iterator<Item = Awaited> + 'a {
    let waiting = facts.dependencies.iter().filter(|server| !server.trusts_issuing && !server.acknowledged);
    waiting.map(|server| Awaited {
        party: server.name.clone(),
        what: by_word(next, old, server.acknowledged_by),
    })
}

fn by_word(next: &CaView, old: &CaView, how: &str) -> String {
    format!(
        "is not known to trust CA {}: install it there, then {how}; the CA before ends at {}",
        next.fingerprint, old.not_after
    )
}
