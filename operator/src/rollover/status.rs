//! [pure] A rollover as the network's status shows it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tessera_crds::TesseraNetwork;
use tessera_crds::api::network::{CaRole, CaStatus, CaUse, RolloverPhase, RolloverStatus};
use tessera_pki::rollover::{Awaited, NodeFacts, Report, View};
use tessera_pki::{Authority, Ca, CaState, Phase};

use super::next::AllFacts;

/// How many of those who are awaited are named.
const NAMED: usize = 16;

/// Every CA that is trusted or still signs, the one that signs first.
pub fn cas(state: &CaState) -> Vec<CaStatus> {
    [(CaRole::Network, &state.network), (CaRole::Admin, &state.admin)]
        .into_iter()
        .flat_map(of_authority)
        .collect()
}

fn of_authority((role, authority): (CaRole, &Authority)) -> Vec<CaStatus> {
    let status = |ca: &Ca, state| CaStatus {
        fingerprint: ca.certificate().fingerprint().to_owned(),
        role,
        state,
        not_after: ca.certificate().not_after().to_string().into(),
    };
    let other = authority.rollover.as_ref().map(|rollover| {
        status(&rollover.other, if rollover.phase == Phase::Trusting { CaUse::Next } else { CaUse::Retiring })
    });
    [status(&authority.issuing, CaUse::Current)].into_iter().chain(other).collect()
}

/// Whom the rollovers wait for, the network's first.
pub fn awaited(state: &CaState, facts: &AllFacts, now: Timestamp) -> Vec<Awaited> {
    let time = facts.time(now);
    let admin = View::of(&state.admin)
        .awaited(&facts.admin, time)
        .into_iter()
        .map(|awaited| Awaited { what: format!("(admin port) {}", awaited.what), ..awaited });
    View::of(&state.network).awaited(&facts.network, time).into_iter().chain(admin).collect()
}

/// The nodes that may still trust a CA that `network` distrusts: they report that they do, or nothing, or have an old Secret.
pub fn distrusting(network: &TesseraNetwork, facts: &AllFacts) -> BTreeSet<String> {
    let distrust = &network.spec.pki.ca.distrust;
    let is_bad = |root: &String| distrust.iter().any(|bad| **bad == **root);
    let trusts_none =
        |report: &Option<Report>| report.as_ref().is_some_and(|report| !report.trusts.iter().any(is_bad));
    let is_done = |node: &NodeFacts| node.stored && node.pods.iter().all(trusts_none);
    let nodes = facts.network.nodes.iter().chain(&facts.admin.nodes);
    let may_trust = nodes.filter(|node| !distrust.is_empty() && !is_done(node));
    may_trust.map(|node| node.name.clone()).collect()
}

/// What is under way; `None`: nothing is.
pub fn rollover(state: &CaState, awaited: &[Awaited]) -> Option<RolloverStatus> {
    let under_way = [&state.network, &state.admin].into_iter().filter_map(|authority| {
        let rollover = authority.rollover.as_ref()?;
        Some((rollover.phase, rollover.since, authority.trigger))
    });
    let (phase, since, trigger) = under_way.min_by_key(|(phase, ..)| *phase)?;
    Some(RolloverStatus {
        phase: match phase {
            Phase::Trusting => RolloverPhase::Trusting,
            Phase::Reissuing => RolloverPhase::Reissuing,
            Phase::Retiring => RolloverPhase::Retiring,
        },
        since: since.to_string().into(),
        trigger,
        waiting_for: awaited.iter().take(NAMED).map(ToString::to_string).collect(),
        waiting: i32::try_from(awaited.len()).unwrap_or(i32::MAX),
    })
}
