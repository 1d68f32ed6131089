//! The parties of a rollover. Contents (of a Secret, of a volume, of a process) are counted by the phase that they were made in,
//! from 0 (the old CA alone) to 4 (the new CA alone).

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use tessera_pki::Phase;
use tessera_pki::rollover::{
    Awaited, BY_ADDRESS, CaView, ClientFacts, DependencyFacts, Facts, NodeFacts, Report, Seen, Step, View,
    Wish,
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
    /// The phase that a leader believes in that may have been replaced. The other one knows what is.
    believed: u8,
    nodes: [Option<Node>; 3],
    clients: [Option<Client>; 2],
    /// The content that the dependency took its roots from; `None`: there is none.
    dependency: Option<u8>,
    /// A node showed it the new leaf alone and was served.
    dependency_seen: bool,
    /// All leaves of the old CA have ended.
    expired: bool,
}

impl World {
    /// So many nodes, clients of which each says whether it reads its roots anew, a dependency or none.
    pub(crate) fn start(nodes: usize, clients: &[bool], dependency: bool) -> Self {
        let node = Node { secret: 0, loaded: 0, report: 0 };
        let client =
            |rereads| Client { secret: 0, volume: 0, roots: 0, seen: NONE, rereads, acknowledged: false };
        Self {
            phase: 0,
            believed: 0,
            nodes: std::array::from_fn(|index| (index < nodes).then_some(node)),
            clients: std::array::from_fn(|index| clients.get(index).copied().map(client)),
            dependency: dependency.then_some(0),
            dependency_seen: false,
            expired: false,
        }
    }

    /// Nodes are alike.
    pub(crate) fn canonical(mut self) -> Self {
        self.nodes.sort_unstable();
        self
    }

    /// Everything that can happen next, if `missing` were not awaited.
    pub(crate) fn events(&self, missing: Option<Condition>, answers: &mut Answers) -> Vec<Self> {
        let mut all = vec![self.with(|world| world.believed = world.phase)];
        // The swap of a leader that was replaced is refused.
        if self.phase < END && self.may_step_again(missing, answers) {
            all.push(self.with(|world| world.phase += 1));
        }
        for index in 0..self.nodes.len() {
            all.extend(self.node_acts(index, missing));
        }
        for index in 0..self.clients.len() {
            all.extend(self.client_acts(index, missing));
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

    /// What leaders may write into a Secret that holds `content`: a replace at a resourceVersion does not overwrite what a newer
    /// phase has written.
    fn writes(&self, content: u8, missing: Option<Condition>) -> Vec<u8> {
        let is_fenced = missing != Some(Condition::WritesAreFenced);
        let leaders = [self.phase, self.believed].into_iter();
        leaders.filter(|written| !is_fenced || content <= *written).collect()
    }

    fn node_acts(&self, index: usize, missing: Option<Condition>) -> Vec<Self> {
        let Some(node) = self.nodes[index] else { return Vec::new() };
        let change = |change: &dyn Fn(&mut Node)| {
            self.with(|world| {
                let mut changed = node;
                change(&mut changed);
                world.nodes[index] = Some(changed);
            })
        };
        let written = self.writes(node.secret, missing);
        let mut all: Vec<_> = written.into_iter().map(|it| change(&|node| node.secret = it)).collect();
        all.push(change(&|node| node.loaded = node.secret));
        if node.loaded != NONE {
            all.push(change(&|node| node.report = node.loaded));
            all.push(change(&|node| (node.loaded, node.report) = (NONE, NONE)));
        }
        // Its trial of the dependency.
        if matches!(node.loaded, 2 | 3) && self.dependency.is_some_and(trusts_new) {
            all.push(self.with(|world| world.dependency_seen = true));
        }
        all
    }

    fn client_acts(&self, index: usize, missing: Option<Condition>) -> Vec<Self> {
        let Some(client) = self.clients[index] else { return Vec::new() };
        let change = |change: &dyn Fn(&mut Client)| {
            self.with(|world| {
                let mut changed = client;
                change(&mut changed);
                world.clients[index] = Some(changed);
            })
        };
        let written = self.writes(client.secret, missing);
        let mut all: Vec<_> = written.into_iter().map(|it| change(&|client| client.secret = it)).collect();
        all.push(change(&|client| {
            client.volume = client.secret;
            if client.rereads {
                client.roots = client.secret;
            }
        }));
        // It starts anew.
        all.push(change(&|client| client.roots = client.volume));
        all.push(change(&|client| client.seen = client.volume));
        if trusts_new(client.roots) && matches!(self.phase, 2 | 3) {
            all.push(change(&|client| client.acknowledged = true));
        }
        all
    }

    fn people_act(&self) -> Vec<Self> {
        // The dependency's owner installs what is published: the roots of the present phase.
        let mut all = vec![self.with(|world| world.dependency = world.dependency.map(|_| world.phase))];
        if self.phase == 2 {
            all.push(self.with(|world| world.expired = true));
        }
        all
    }

    fn may_step_again(&self, missing: Option<Condition>, answers: &mut Answers) -> bool {
        let node = |node: &Option<Node>| {
            let Some(node) = node else { return 0 };
            let seen = if node.loaded == NONE { 10 } else { node.report };
            1 + seen * 2 + u8::from(node.secret == self.phase)
        };
        let client = |client: &Option<Client>| {
            let Some(client) = client else { return 0 };
            1 + client.seen * 4 + u8::from(client.secret == self.phase) * 2 + u8::from(client.acknowledged)
        };
        let (nodes, clients) = (self.nodes.each_ref().map(node), self.clients.each_ref().map(client));
        let key = (self.phase, self.expired, nodes, clients, self.dependency_seen);
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
        let nodes = self.nodes.iter().flatten().map(|node| NodeFacts {
            name: "n".to_owned(),
            stored: stored(node.secret),
            pods: reports(node),
        });
        let clients = self.clients.iter().flatten().map(|client| ClientFacts {
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
        let dependency = self.dependency.map(|_| DependencyFacts {
            name: "d".to_owned(),
            trusts_issuing,
            acknowledged: false,
            acknowledged_by: BY_ADDRESS,
        });
        Facts {
            nodes: nodes.collect(),
            clients: clients.collect(),
            dependencies: dependency.into_iter().collect(),
        }
    }

    /// A pair of parties of which one refuses the other, though both follow the rules.
    pub(crate) fn refused(&self) -> Option<String> {
        let up =
            || self.nodes.iter().flatten().filter(|node| node.loaded != NONE && self.is_alive(node.loaded));
        for server in up() {
            for client in up() {
                if !mutual(client.loaded, client.loaded, server.loaded) {
                    return Some(format!("{client:?} and {server:?}"));
                }
            }
            for client in self.clients.iter().flatten().filter(|client| self.is_alive(client.volume)) {
                if !mutual(client.volume, client.roots, server.loaded) {
                    return Some(format!("{client:?} and {server:?}"));
                }
            }
            if self.dependency.is_some_and(|roots| !accepts(roots, server.loaded)) {
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
            && self
                .nodes
                .iter()
                .flatten()
                .any(|node| node.loaded != NONE && roots(node.loaded).contains(&"old"))
    }

    /// A kind day: all writes arrive, all volumes follow, all report, and people do what status asks of them.
    pub(crate) fn everybody_acts(&self) -> Self {
        let mut world = *self;
        for node in world.nodes.iter_mut().flatten() {
            node.secret = world.phase;
            (node.loaded, node.report) = (node.secret, node.secret);
        }
        for client in world.clients.iter_mut().flatten() {
            client.secret = world.phase;
            (client.volume, client.roots, client.seen) = (client.secret, client.secret, client.secret);
            client.acknowledged = trusts_new(client.roots) && matches!(world.phase, 2 | 3);
        }
        world.dependency = world.dependency.map(|_| world.phase);
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
