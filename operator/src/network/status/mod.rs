//! [pure] From what was seen to the status.

mod checklist;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use tessera_crds::api::network::{NodeCounts, SecretStoreStatus};
use tessera_crds::api::secret_store::VaultClientCertificateType;
use tessera_crds::condition::{ConditionType, Reason};
use tessera_crds::{TesseraNetwork, TesseraNetworkStatus, TesseraNode, names};
use tessera_pki::Ca;
use tessera_pki::rollover::Awaited;

use super::apply::Applied;
use super::hold::Holds;
use super::inputs::Inputs;
use super::partners;
use super::resolve::{Resolved, Unresolved};
use crate::checklist::summary;
use crate::kube::meta::{name_of, namespace_of};
use crate::kube::write_error::{WriteError, most_urgent, name_conflicts};
use crate::probe::store::StoreState;
use crate::probe::store_reports::ObservedStore;
use crate::report::conditions::{self, ConditionStatus, ConditionValue, Conditions, is_true};
use crate::report::error::chain;
use crate::rollover::status as rollover;

/// What the status is made of, once the network could be resolved.
pub struct Seen<'a> {
    /// What it should be.
    pub network: &'a Resolved,
    /// What of its spec is held back.
    pub holds: &'a Holds,
    /// What came of writing it.
    pub applied: &'a Applied,
}

/// The status of a network that could be resolved.
pub fn of_seen(object: &TesseraNetwork, seen: &Seen<'_>, inputs: &Inputs) -> TesseraNetworkStatus {
    let before = object.status.clone().unwrap_or_default();
    let state = &seen.network.authorities;
    let counts = count(&inputs.nodes);
    let store = store(inputs.store.as_ref(), object, &before.conditions);
    let certificates = certificates(seen, inputs.now);
    let mut conditions = Conditions::new(&before.conditions, object.metadata.generation, inputs.now);
    let ready = ready(seen, &store, &counts);
    let stalled = stalled(seen, inputs);
    // A change that is held is not being worked at.
    let is_operational = ready.0 == ConditionStatus::True || ready.1 == Reason::ChecklistHeld;
    let reconciling = reconciling(seen, is_operational).filter(|_| stalled.is_none());
    add(&mut conditions, ConditionType::Ready, ready);
    conditions.set_while(ConditionType::Reconciling, reconciling);
    conditions.set_while(ConditionType::Stalled, stalled);
    add(&mut conditions, ConditionType::CertificatesCurrent, certificates);
    match inputs.store {
        Some(_) => add(&mut conditions, ConditionType::SecretStoreReady, store),
        // What was found of the spec before stands, with the generation that it was found for.
        None => conditions.keep(ConditionType::SecretStoreReady, store),
    }
    conditions.set_while(ConditionType::AuthorityReplaced, authority_replaced(seen, inputs));
    if let Some(partners) = partners::condition(&seen.network.partners, inputs.now) {
        add(&mut conditions, ConditionType::PartnersAccepted, partners);
    }
    let checklist = checklist::judge(object, inputs, before.checklist.as_ref());
    add(&mut conditions, ConditionType::ChecklistSatisfied, summary::condition(&checklist.lines));
    // What waits to be judged was not acted upon.
    let acted_upon =
        if seen.holds.awaited().is_some() { before.observed_generation } else { object.metadata.generation };
    TesseraNetworkStatus {
        observed_generation: acted_upon,
        cluster_name: Some(inputs.cluster_name.clone()),
        nodes: Some(counts),
        // Only what is stored is said: what is said counts as existing from then on.
        cas: if stored(seen) { rollover::cas(state) } else { before.cas },
        rollover: rollover::rollover(state, &seen.network.awaited),
        partners: seen.holds.partners(partners::status(&seen.network.partners, &inputs.reached)),
        secret_store: secret_store(inputs).or(before.secret_store),
        bundle_config_map: Some(names::network::ca_bundle(name_of(object))),
        checklist: Some(checklist),
        held: seen.holds.status(&before.held, inputs.now),
        conditions: conditions.into_list(),
    }
}

/// The status of a network of which nothing can be made now.
pub fn of_unresolved(
    object: &TesseraNetwork,
    why: &Unresolved,
    nodes: &[Arc<TesseraNode>],
    now: Timestamp,
) -> TesseraNetworkStatus {
    let before = object.status.clone().unwrap_or_default();
    let mut conditions = Conditions::new(&before.conditions, object.metadata.generation, now);
    let message = chain(why);
    let reason = match why {
        Unresolved::Unreadable(unreadable) => unreadable.reason,
        _ => Reason::IssuerUnavailable,
    };
    conditions.set(ConditionType::Ready, ConditionStatus::False, reason, message.clone());
    conditions.set(
        ConditionType::CertificatesCurrent,
        ConditionStatus::False,
        Reason::RenewalFailing,
        message,
    );
    conditions.set_unknown(ConditionType::SecretStoreReady);
    TesseraNetworkStatus {
        // Nothing of a newer spec was acted upon.
        observed_generation: before.observed_generation,
        cluster_name: before.cluster_name,
        nodes: Some(count(nodes)),
        cas: before.cas,
        rollover: before.rollover,
        partners: before.partners,
        secret_store: before.secret_store,
        bundle_config_map: before.bundle_config_map,
        checklist: before.checklist,
        held: before.held,
        conditions: conditions.into_list(),
    }
}

fn add(conditions: &mut Conditions<'_>, type_: ConditionType, (truth, reason, message): ConditionValue) {
    conditions.set(type_, truth, reason, message);
}

fn count(nodes: &[Arc<TesseraNode>]) -> NodeCounts {
    let is_ready = |node: &TesseraNode| {
        node.status.as_ref().is_some_and(|status| is_true(&status.conditions, ConditionType::Ready))
    };
    let ready = nodes.iter().filter(|node| is_ready(node)).count();
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    NodeCounts { total: number(nodes.len()), ready: number(ready) }
}

/// Authorities that are new and could not be written do not exist.
fn stored(seen: &Seen<'_>) -> bool {
    !seen.network.authorities_are_new || !seen.applied.written.is_empty()
}

fn secret_store(inputs: &Inputs) -> Option<SecretStoreStatus> {
    inputs.store_ca_sha256.clone().map(|ca_bundle_sha256| SecretStoreStatus { ca_bundle_sha256 })
}

fn store(store: Option<&ObservedStore>, object: &TesseraNetwork, before: &[Condition]) -> ConditionValue {
    let Some(store) = store else {
        return conditions::value(before, ConditionType::SecretStoreReady).unwrap_or_else(|| {
            (ConditionStatus::Unknown, Reason::Waiting, "the secret store is being probed".to_owned())
        });
    };
    let no = |reason, message: &String| (ConditionStatus::False, reason, message.clone());
    let set_up = format!("kubectl tessera store-setup {} -n {}", name_of(object), namespace_of(object));
    match store {
        ObservedStore::State(StoreState::Ready) => {
            (ConditionStatus::True, Reason::Ready, "the secret store answers and lets us in".to_owned())
        }
        ObservedStore::State(StoreState::Sealed(message)) => no(Reason::Sealed, message),
        ObservedStore::State(StoreState::Unreachable(message)) => no(Reason::Unreachable, message),
        ObservedStore::State(StoreState::ClientRefused(alert)) => client_refused(alert, object),
        // What Vault answers strangers who ask for an auth method that is not there, too.
        ObservedStore::State(StoreState::LoginDenied(message)) => {
            let message = format!("{message}; if the store was never set up for this network: `{set_up}`");
            (ConditionStatus::False, Reason::LoginDenied, message)
        }
        ObservedStore::State(StoreState::NotProvisioned(message)) => {
            let message = format!("{message}: an administrator of the store runs `{set_up}`");
            (ConditionStatus::False, Reason::NotProvisioned, message)
        }
        ObservedStore::InvalidReference(message) => no(Reason::InvalidReference, message),
        ObservedStore::PermissionDenied(message) => no(Reason::PermissionDenied, message),
    }
}

/// Why the store refuses the operator as a client, and what a person can do.
fn client_refused(alert: &str, object: &TesseraNetwork) -> ConditionValue {
    let Some(store) = &object.spec.secret_store.vault else {
        return (ConditionStatus::False, Reason::Unreachable, format!("refused with the TLS alert {alert}"));
    };
    let (reason, what) = match &store.client_certificate {
        None => (
            Reason::ClientCertificateRequired,
            "asks for a client certificate: set spec.secretStore.vault.clientCertificate".to_owned(),
        ),
        Some(named) => match (named.r#type, &named.secret_ref) {
            (VaultClientCertificateType::SecretRef, Some(secret)) => (
                Reason::ClientCertificateRefused,
                format!(
                    "refuses the client certificate in Secret {}: have its owner issue another, of the CA that its listener trusts",
                    secret.name
                ),
            ),
            _ => (
                Reason::ClientCANotInstalled,
                format!(
                    "does not trust the network's CA: its owner installs the certificate of ConfigMap {} as tls_client_ca_file and restarts it (a Vault reads that file at start only)",
                    names::network::ca_bundle(name_of(object))
                ),
            ),
        },
    };
    (
        ConditionStatus::False,
        reason,
        format!("the secret store at {} {what} (TLS alert {alert})", store.address),
    )
}

/// A rebuild keeps the nodes' keys and not the CA, whose key lay in etcd. The CA's validity begins a little before it was
/// made, which allows for clocks that differ.
fn authority_replaced(seen: &Seen<'_>, inputs: &Inputs) -> Option<(Reason, String)> {
    let begin = seen.network.authorities.network.founded;
    let keys = inputs.nodes.iter().flat_map(|node| {
        let keys = node.status.iter().flat_map(|status| &status.keys);
        keys.filter_map(|key| {
            Some((key.born_at.as_deref()?.parse::<Timestamp>().ok()?, name_of(&**node), &key.name))
        })
    });
    let (born_at, node, key) = keys.min().filter(|(born_at, ..)| *born_at < begin)?;
    let bundle = names::network::ca_bundle(&seen.network.name);
    let message = format!(
        "key {key} of {node} was generated at {born_at}, and the network's CA is valid from {begin}: the CA was made anew. \
         Ledgers and partners must take the certificates in ConfigMap {bundle}"
    );
    Some((Reason::KeysPredateAuthority, message))
}

/// How long before its end a CA that is not replaced yet needs a person, at most; a short-lived one, in its last twelfth.
const AUTHORITY_DUE: SignedDuration = SignedDuration::from_hours(30 * 24);

fn certificates(seen: &Seen<'_>, now: Timestamp) -> ConditionValue {
    if let Some(failure) = seen.applied.failures.iter().find(|failure| keeps_from_renewing(failure)) {
        return (ConditionStatus::False, Reason::RenewalFailing, chain(failure));
    }
    if !seen.network.distrusting.is_empty() {
        let nodes: Vec<_> = seen.network.distrusting.iter().take(3).map(String::as_str).collect();
        let (count, nodes) = (seen.network.distrusting.len(), nodes.join(", "));
        let message = format!(
            "{count} nodes may still trust a CA of spec.pki.ca.distrust, and serve who has its key: {nodes}. Those that are paused or do not answer need a person"
        );
        return (ConditionStatus::False, Reason::CADistrusted, message);
    }
    let authorities = &seen.network.authorities;
    let both = [("network", &authorities.network), ("admin", &authorities.admin)];
    if let Some((name, authority)) = both.into_iter().find(|(_, authority)| is_due(authority.old(), now)) {
        let end = authority.old().certificate().not_after();
        let Some(phase) = authority.phase() else {
            let message = format!("the {name} CA ends on {end} and is not being replaced");
            return (ConditionStatus::False, Reason::RenewalFailing, message);
        };
        let (phase, awaited) = (phase.as_str(), named(&seen.network.awaited));
        let message =
            format!("the {name} CA ends on {end}, and its rollover, now {phase}, waits for: {awaited}");
        return (ConditionStatus::False, Reason::RolloverWaiting, message);
    }
    let under_way = both.into_iter().filter_map(|(_, authority)| authority.phase()).min();
    match under_way {
        Some(phase) => {
            let message = format!("the CAs are being replaced, phase {}", phase.as_str());
            (ConditionStatus::True, Reason::RollingOver, message)
        }
        None => (ConditionStatus::True, Reason::Current, "nothing is due for renewal".to_owned()),
    }
}

/// The first few who are awaited.
fn named(awaited: &[Awaited]) -> String {
    let first: Vec<_> = awaited.iter().take(3).map(ToString::to_string).collect();
    match awaited.len().saturating_sub(first.len()) {
        0 => first.join("; "),
        more => format!("{}; and {more} more", first.join("; ")),
    }
}

/// Other writers' conflicts over other objects and an API server that is away for a moment keep no certificate from being
/// renewed in time.
fn keeps_from_renewing(failure: &WriteError) -> bool {
    !failure.is_transient()
        && (failure.object().is_a::<Secret>() || !matches!(failure, WriteError::Contested { .. }))
}

fn is_due(ca: &Ca, now: Timestamp) -> bool {
    let (begin, end) = (ca.certificate().not_before(), ca.certificate().not_after());
    end.duration_since(now) < (end.duration_since(begin) / 12).min(AUTHORITY_DUE)
}

fn ready(seen: &Seen<'_>, store: &ConditionValue, counts: &NodeCounts) -> ConditionValue {
    let not_ready = written(seen.applied)
        .or_else(|| store_not_ready(store))
        .or_else(|| nodes_not_ready(counts))
        .or_else(|| seen.holds.changes());
    let truth = ConditionStatus::from(not_ready.is_none());
    if seen.network.paused {
        let state = not_ready.map_or_else(|| "it serves".to_owned(), |(_, message)| message);
        return (truth, Reason::Paused, format!("paused by the spec; {state}"));
    }
    match not_ready {
        Some((reason, message)) => (truth, reason, message),
        None => (truth, Reason::Ready, "secret store and all nodes are ready".to_owned()),
    }
}

/// What passes by itself makes no network unready.
fn written(applied: &Applied) -> Option<(Reason, String)> {
    most_urgent(&applied.failures)
}

fn store_not_ready((truth, reason, message): &ConditionValue) -> Option<(Reason, String)> {
    let reason = match reason {
        Reason::Sealed | Reason::Unreachable => Reason::StoreUnreachable,
        // It answers: something else must be repaired.
        other => *other,
    };
    (*truth != ConditionStatus::True).then(|| (reason, message.clone()))
}

fn nodes_not_ready(counts: &NodeCounts) -> Option<(Reason, String)> {
    (counts.ready < counts.total)
        .then(|| (Reason::NodesNotReady, format!("{} of {} nodes are ready", counts.ready, counts.total)))
}

fn reconciling(seen: &Seen<'_>, is_operational: bool) -> Option<(Reason, String)> {
    if seen.network.paused {
        return None;
    }
    let failure = seen.applied.failures.first().map(|failure| chain(failure));
    let waits = || seen.holds.awaited().map(|what| format!("waiting with {what}"));
    let brought_up = || (!is_operational).then(|| "the network is being brought up".to_owned());
    failure.or_else(waits).or_else(brought_up).map(|message| (Reason::Progressing, message))
}

fn stalled(seen: &Seen<'_>, inputs: &Inputs) -> Option<(Reason, String)> {
    if let Some(message) = name_conflicts(&seen.applied.failures) {
        return Some((Reason::NameConflict, message));
    }
    match &inputs.store {
        Some(ObservedStore::InvalidReference(message)) => Some((Reason::InvalidReference, message.clone())),
        _ => partners::stalled(&seen.network.partners).map(|message| (Reason::InvalidReference, message)),
    }
}

#[cfg(test)]
mod tests;
