//! [pure but for randomness] The next state of a network's authorities: what is distrusted goes, longer leaves are admitted,
//! rollovers begin and go on.

use jiff::{SignedDuration, Timestamp};
use tessera_crds::TesseraNetwork;
use tessera_crds::TesseraNode;
use tessera_crds::api::pki::LeafPolicy;
use tessera_pki::rollover::{Facts, Step, View, Wish};
use tessera_pki::{Authority, CaError, CaState, Role};

use crate::issue::leaf::signed;
use crate::kube::meta::name_of;

/// What was seen of the parties of both authorities.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllFacts {
    /// Of the network's.
    pub network: Facts,
    /// Of the admin ports'.
    pub admin: Facts,
    /// The earliest time that the clock of a node says now; `None`: no node says.
    pub earliest_time: Option<Timestamp>,
}

impl AllFacts {
    /// The time by which a date counts as passed: ours, or that of a node that is behind it. A clock of ours that jumps ahead must
    /// not end the life of certificates that nodes still serve.
    pub fn time(&self, now: Timestamp) -> Timestamp {
        self.earliest_time.map_or(now, |earliest| earliest.min(now))
    }
}

/// What the spec asks of both authorities.
pub fn wish(network: &TesseraNetwork) -> Wish {
    let policy = &network.spec.pki.ca;
    Wish { trigger: policy.rollover_trigger, renew_before: signed(policy.renew_before.as_std()) }
}

/// The first authorities of `network`. The demand that its spec has already is met by them.
pub fn first(
    network: &TesseraNetwork,
    longest_leaf: SignedDuration,
    now: Timestamp,
) -> Result<CaState, CaError> {
    let lifetime = signed(network.spec.pki.ca.lifetime.as_std());
    let mut state = CaState::generate(name_of(network), lifetime, now)?;
    for authority in [&mut state.network, &mut state.admin] {
        authority.trigger = network.spec.pki.ca.rollover_trigger;
        authority.longest_leaf = longest_leaf;
    }
    Ok(state)
}

/// The state after the next step of each authority; `None`: there is none to take.
pub fn next(
    network: &TesseraNetwork,
    state: &CaState,
    facts: &AllFacts,
    longest_leaf: SignedDuration,
    now: Timestamp,
) -> Result<Option<CaState>, CaError> {
    let clocks = Clocks { ours: now, earliest: facts.time(now) };
    let step =
        |role, authority: &Authority, facts| next_of(network, role, authority, facts, longest_leaf, clocks);
    let changed = [
        step(Role::Network, &state.network, &facts.network)?,
        step(Role::Admin, &state.admin, &facts.admin)?,
    ];
    let [network, admin] = changed;
    if network.is_none() && admin.is_none() {
        return Ok(None);
    }
    Ok(Some(CaState {
        generation: state.generation + 1,
        network: network.unwrap_or_else(|| state.network.clone()),
        admin: admin.unwrap_or_else(|| state.admin.clone()),
    }))
}

/// Ours, and the earliest of ours and the nodes'.
#[derive(Clone, Copy)]
struct Clocks {
    ours: Timestamp,
    earliest: Timestamp,
}

fn next_of(
    network: &TesseraNetwork,
    role: Role,
    authority: &Authority,
    facts: &Facts,
    longest_leaf: SignedDuration,
    Clocks { ours: now, earliest }: Clocks,
) -> Result<Option<Authority>, CaError> {
    let lifetime = signed(network.spec.pki.ca.lifetime.as_std());
    let spec = role.spec(name_of(network), authority.ordinal.saturating_add(1), lifetime);
    let distrust = &network.spec.pki.ca.distrust;
    let is_distrusted =
        |fingerprint: &str| distrust.iter().any(|distrusted| distrusted.as_str() == fingerprint);
    if let Some(without) = authority.without(|ca| is_distrusted(ca.fingerprint()), &spec, now)? {
        return Ok(Some(without));
    }
    if longest_leaf > authority.longest_leaf {
        return Ok(Some(Authority { longest_leaf, ..authority.clone() }));
    }
    let wish = wish(network);
    match View::of(authority).next(&wish, facts, earliest) {
        Some(Step::Begin) => authority.begin(&spec, wish.trigger.max(authority.trigger), now).map(Some),
        Some(Step::Advance) => Ok(Some(authority.advance(now))),
        None => Ok(None),
    }
}

/// The longest that any leaf of the network lasts, as its spec and those of its nodes are now.
pub fn longest_leaf<'a>(
    network: &TesseraNetwork,
    nodes: impl IntoIterator<Item = &'a TesseraNode>,
) -> SignedDuration {
    let own = &network.spec.pki.leaf;
    let clients = nodes.into_iter().flat_map(|node| &node.spec.clients);
    let policies = clients.map(|client| client.certificate.clone().unwrap_or_default().policy(own));
    let lifetime = |policy: &LeafPolicy| signed(policy.lifetime.as_std());
    policies.map(|policy| lifetime(&policy)).fold(lifetime(own), SignedDuration::max)
}

#[cfg(test)]
mod tests;
