//! The parties of a rollover. Contents (of a Secret, of a volume, of a process) are counted by the phase that they were made in,
//! from 0 (the old CA alone) to 4 (the new CA alone).

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use tessera_pki::Phase;
use tessera_pki::rollover::{
    Awaited, CaView, ClientFacts, DependencyFacts, Facts, NodeFacts, Report, Seen, Step, View, Wish,
};

/// The content and the phase in which the new CA stands alone.
pub(crate) const END: u8 = 4;
const NONE: u8 = 9;

/// What [`World::may_step`] came to, by what it depends on: worlds are many, and differ mostly in what the operator does not see.
#[derive(Default)]
pub(crate) struct Answers(HashMap<Visible, bool>);

/// Phase, whether old leaves have ended, what is seen of nodes and of clients, whether the dependency was seen to trust the new CA.
type Visible = (u8, bool, [u8; 3], [u8; 2], bool);

/// Parts of the facts that are left out to see that they are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    NodesReport,
    NodesAreStored,
    ClientsAreSeen,
    OnceReadersAreAcknowledged,
    DependenciesAreSeen,
    WritesAreFenced,
}

pub(crate) const CONDITIONS: [Condition; 6] = [
    Condition::NodesReport,
    Condition::NodesAreStored,
    Condition::ClientsAreSeen,
    Condition::OnceReadersAreAcknowledged,
    Condition::DependenciesAreSeen,
    Condition::WritesAreFenced,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Node {
    secret: u8,
    /// What the process has loaded; [`NONE`]: it is down.
    loaded: u8,
    /// What the operator last heard of this process; [`NONE`]: nothing.
    report: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Client {
    secret: u8,
    /// What has reached its volume. It reads its leaf there for each handshake.
    volume: u8,
    /// The content that it took its roots from.
    roots: u8,
    /// The content of the leaf that a node saw last; [`NONE`]: it was not seen.
    seen: u8,
    rereads: bool,
    acknowledged: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// Of the document, which changes by compare-and-swap.
    pub(crate) phase: u8,
    /// The phase that each of the two leaders believes in.
    leaders: [u8; 2],
    nodes: [Node; 3],
    clients: [Client; 2],
    /// The content that the dependency took its roots from.
    dependency: u8,
    /// A node showed it the new leaf alone and was served.
    dependency_seen: bool,
    /// All leaves of the old CA have ended.
    expired: bool,
}

impl World {
    pub(crate) fn start() -> Self {
        let client = Client { secret: 0, volume: 0, roots: 0, seen: NONE, rereads: false, acknowledged: false };
        Self {
            phase: 0,
            leaders: [0, 0],
            nodes: [Node { secret: 0, loaded: 0, report: 0 }; 3],
            clients: [client, Client { rereads: true, ..client }],
            dependency: 0,
            dependency_seen: false,
            expired: false,
        }
    }

    /// Nodes are alike.
    pub(crate) fn canonical(mut self) -> Self {
        self.nodes.sort_unstable();
        self.leaders.sort_unstable();
        self
    }

    /// Everything that can happen next, if `missing` were not awaited.
    pub(crate) fn events(&self, missing: Option<Condition>, answers: &mut Answers) -> Vec<Self> {
        let mut all = Vec::new();
        for leader in 0..2 {
            all.extend(self.leader_acts(leader, missing, answers));
        }
        for index in 0..3 {
            all.extend(self.node_acts(index));
        }
        for index in 0..2 {
            all.extend(self.client_acts(index));
        }
        all.extend(self.people_act());
        all.retain(|next| next != self);
        all
    }

    fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut next = *self;
        change(&mut next);
        next
    }

    fn leader_acts(&self, leader: usize, missing: Option<Condition>, answers: &mut Answers) -> Vec<Self> {
        let believed = self.leaders[leader];
        let mut all = vec![self.with(|world| world.leaders[leader] = world.phase)];
        // The swap of a stale leader is refused.
        if believed == self.phase && self.phase < END && self.may_step_again(missing, answers) {
            all.push(self.with(|world| {
                world.phase += 1;
                world.leaders[leader] = world.phase;
            }));
        }
        // A replace at a resourceVersion: what a newer phase has written is not overwritten.
        let may_write = |secret: u8| secret <= believed || missing == Some(Condition::WritesAreFenced);
        for index in 0..3 {
            if may_write(self.nodes[index].secret) {
                all.push(self.with(|world| world.nodes[index].secret = believed));
            }
        }
        for index in 0..2 {
            if may_write(self.clients[index].secret) {
                all.push(self.with(|world| world.clients[index].secret = believed));
            }
        }
        all
    }

    fn node_acts(&self, index: usize) -> Vec<Self> {
        let node = |change: fn(&mut Node)| self.with(|world| change(&mut world.nodes[index]));
        if self.nodes[index].loaded == NONE {
            return vec![node(|node| node.loaded = node.secret)];
        }
        let mut all = vec![
            node(|node| node.loaded = node.secret),
            node(|node| node.report = node.loaded),
            node(|node| (node.loaded, node.report) = (NONE, NONE)),
        ];
        // Its trial of the dependency.
        let shows_new = matches!(self.nodes[index].loaded, 2 | 3);
        if shows_new && trusts_new(self.dependency) {
            all.push(self.with(|world| world.dependency_seen = true));
        }
        all
    }

    fn client_acts(&self, index: usize) -> Vec<Self> {
        let client = |change: fn(&mut Client)| self.with(|world| change(&mut world.clients[index]));
        vec![
            client(|client| {
                client.volume = client.secret;
                if client.rereads {
                    client.roots = client.secret;
                }
            }),
            // It starts anew.
            client(|client| client.roots = client.volume),
            client(|client| client.seen = client.volume),
        ]
    }

    fn people_act(&self) -> Vec<Self> {
        let mut all = Vec::new();
        // Each installs what is published: the roots of the present phase.
        all.push(self.with(|world| world.dependency = world.phase));
        for (index, client) in self.clients.iter().enumerate() {
            if trusts_new(client.roots) && matches!(self.phase, 2 | 3) {
                all.push(self.with(|world| world.clients[index].acknowledged = true));
            }
        }
        if self.phase == 2 {
            all.push(self.with(|world| world.expired = true));
        }
        all
    }

    fn may_step_again(&self, missing: Option<Condition>, answers: &mut Answers) -> bool {
        let node = |node: &Node| {
            let seen = if node.loaded == NONE { 10 } else { node.report };
            seen * 2 + u8::from(node.secret == self.phase)
        };
        let client = |client: &Client| {
            client.seen * 4 + u8::from(client.secret == self.phase) * 2 + u8::from(client.acknowledged)
        };
        let key = (self.phase, self.expired, self.nodes.each_ref().map(node), self.clients.each_ref().map(client), self.dependency_seen);
        *answers.0.entry(key).or_insert_with(|| self.may_step(missing))
    }

    fn may_step(&self, missing: Option<Condition>) -> bool {
        let (view, now) = self.view();
        let wish = Wish { trigger: i64::from(self.phase == 0), renew_before: SignedDuration::ZERO };
        match view.next(&wish, &self.facts(missing), now) {
            Some(Step::Begin) => self.phase == 0,
            Some(Step::Advance) => true,
            None => false,
        }
    }

    /// What the operator would make of the document, and the time.
    fn view(&self) -> (View, Timestamp) {
        let since = Timestamp::UNIX_EPOCH;
        let (old, new) = (ca("old"), ca("new"));
        let (issuing, rollover) = match self.phase {
            0 => (old, None),
            1 => (old, Some((Phase::Trusting, since, new))),
            2 => (new, Some((Phase::Reissuing, since, old))),
            3 => (new, Some((Phase::Retiring, since, old))),
            _ => (new, None),
        };
        let longest_leaf = SignedDuration::from_hours(24);
        let trigger = i64::from(self.phase > 0);
        let now = if self.expired { since + longest_leaf * 2 } else { since };
        (View { issuing, rollover, crossed: true, longest_leaf, trigger }, now)
    }

    fn facts(&self, missing: Option<Condition>) -> Facts {
        let report = |content: u8| Report {
            trusts: roots(content).iter().map(|name| (*name).to_owned()).collect(),
            issuer: Some(if content < 2 { "CN=old" } else { "CN=new" }.to_owned()),
            chained: matches!(content, 2 | 3),
        };
        let reports = |node: &Node| match (node.loaded, node.report) {
            (NONE, _) => Vec::new(),
            _ if missing == Some(Condition::NodesReport) => vec![Some(report(self.phase))],
            (_, NONE) => vec![None],
            (_, heard) => vec![Some(report(heard))],
        };
        let stored = |secret: u8| secret == self.phase || missing == Some(Condition::NodesAreStored);
        let nodes = self.nodes.iter().map(|node| NodeFacts {
            name: "n".to_owned(),
            stored: stored(node.secret),
            pods: reports(node),
        });
        let clients = self.clients.iter().map(|client| ClientFacts {
            identity: "c".to_owned(),
            stored: stored(client.secret),
            seen: match client.seen {
                _ if missing == Some(Condition::ClientsAreSeen) => Seen::Issuing,
                NONE => Seen::Nowhere,
                0 | 1 => Seen::Another,
                _ => Seen::Issuing,
            },
            rereads_roots: client.rereads,
            acknowledged: client.acknowledged || missing == Some(Condition::OnceReadersAreAcknowledged),
        });
        let trusts_issuing = self.dependency_seen || missing == Some(Condition::DependenciesAreSeen);
        let dependency = DependencyFacts { name: "d".to_owned(), trusts_issuing, acknowledged: false };
        Facts { nodes: nodes.collect(), clients: clients.collect(), dependencies: vec![dependency] }
    }

    /// A pair of parties of which one refuses the other, though both follow the rules.
    pub(crate) fn refused(&self) -> Option<String> {
        let up = || self.nodes.iter().filter(|node| node.loaded != NONE && self.is_alive(node.loaded));
        for server in up() {
            for client in up() {
                if !mutual(client.loaded, client.loaded, server.loaded) {
                    return Some(format!("{client:?} and {server:?}"));
                }
            }
            for client in self.clients.iter().filter(|client| self.is_alive(client.volume)) {
                if !mutual(client.volume, client.roots, server.loaded) {
                    return Some(format!("{client:?} and {server:?}"));
                }
            }
            if !accepts(self.dependency, server.loaded) {
                return Some(format!("the dependency and {server:?}"));
            }
        }
        None
    }

    /// Who still holds a leaf of the old CA when all those have ended was not given another in all that time.
    fn is_alive(&self, content: u8) -> bool {
        !(self.expired && content < 2)
    }

    /// Once the rollover has ended, the old CA's key is destroyed.
    pub(crate) fn trusts_what_is_gone(&self) -> bool {
        self.phase == END
            && self.nodes.iter().any(|node| node.loaded != NONE && roots(node.loaded).contains(&"old"))
    }

    /// A kind day: all writes arrive, all volumes follow, all report, and people do what status asks of them.
    pub(crate) fn everybody_acts(&self) -> Self {
        let mut world = *self;
        world.leaders = [world.phase; 2];
        for node in &mut world.nodes {
            node.secret = world.phase;
            (node.loaded, node.report) = (node.secret, node.secret);
        }
        for client in &mut world.clients {
            client.secret = world.phase;
            (client.volume, client.roots, client.seen) = (client.secret, client.secret, client.secret);
            client.acknowledged = trusts_new(client.roots) && matches!(world.phase, 2 | 3);
        }
        world.dependency = world.phase;
        world.dependency_seen = matches!(world.phase, 2 | 3);
        if world.may_step(None) {
            world.phase += 1;
        } else {
            let (view, now) = world.view();
            let awaited: Vec<Awaited> = view.awaited(&world.facts(None), now);
            assert!(awaited.is_empty(), "{awaited:?}");
        }
        world
    }
}

fn ca(name: &str) -> CaView {
    CaView {
        fingerprint: name.to_owned(),
        name: format!("CN={name}"),
        not_before: Timestamp::UNIX_EPOCH,
        not_after: Timestamp::MAX,
    }
}

fn roots(content: u8) -> &'static [&'static str] {
    match content {
        0 => &["old"],
        1 => &["old", "new"],
        2 => &["new", "old"],
        _ => &["new"],
    }
}

fn trusts_new(content: u8) -> bool {
    roots(content).contains(&"new")
}

/// Whether who took its roots from `trusting` accepts the chain that is shown from `shown`: tried with four TLS stacks.
fn accepts(trusting: u8, shown: u8) -> bool {
    match shown {
        0 | 1 => roots(trusting).contains(&"old"),
        2 | 3 => true,
        _ => trusts_new(trusting),
    }
}

fn mutual(client_leaf: u8, client_roots: u8, server: u8) -> bool {
    accepts(server, client_leaf) && accepts(client_roots, server)
}
