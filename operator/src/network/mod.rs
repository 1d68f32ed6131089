//! One TesseraNetwork: its authorities, what its nodes share, and how its secret store is.
//!
//! ```text
//! hold ──────► inputs ──► resolve ──► desired ──► apply ──► status
//! [read, pure] [read]     [pure]      [pure]      [write]   [pure, one patch]
//! ```

pub mod apply;
mod bundle;
pub mod desired;
pub mod egress;
mod events;
pub mod hold;
pub mod inputs;
pub mod logging;
pub mod partners;
pub mod resolve;
pub mod status;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tessera_crds::condition::ConditionType;
use tessera_crds::{TesseraNetwork, TesseraNetworkStatus, names};

use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::queue::Queue;
use crate::controller::{Managed, Reconciled};
use crate::kube::events::EventRecord;
use crate::kube::meta::{Owner, name_of, network_labels};
use crate::memory::backoff::jittered;
use crate::memory::status_memo::StatusMemo;
use crate::process::metrics::Kind;
use crate::report::conditions::is_true;
use crate::report::open_report::Report;
use crate::watch::cache::Cache;
use crate::watch::kept::Parsed;
use hold::Holds;
use resolve::{Resolved, Unresolved};

/// How often a network is reconciled of which nothing changes: the loss of its CA state has no watch.
const PERIOD: Duration = Duration::from_mins(1);
/// How often it is looked at while a phase of a rollover is young.
const WHILE_ROLLING: Duration = Duration::from_secs(3);
/// How soon its own leaves follow the CA that was stored just now.
const AFTER_AUTHORITIES: Duration = Duration::from_millis(200);

impl Managed for TesseraNetwork {
    type Status = TesseraNetworkStatus;
    const KIND: Kind = Kind::Network;

    fn status_mut(&mut self) -> &mut Option<TesseraNetworkStatus> {
        &mut self.status
    }

    fn cache(ctx: &Context) -> &Cache<Parsed<Self>> {
        &ctx.caches.networks
    }

    fn queue(ctx: &Context) -> &Arc<Queue<String>> {
        &ctx.queues.networks
    }

    fn statuses(ctx: &Context) -> &StatusMemo<TesseraNetworkStatus> {
        &ctx.network_statuses
    }

    fn events(before: &TesseraNetworkStatus, after: &TesseraNetworkStatus) -> Vec<EventRecord> {
        events::of_transition(before, after)
    }

    fn open_report(&self, status: &TesseraNetworkStatus, now: Timestamp) -> Option<Report> {
        let owner = Owner::new(self, network_labels(name_of(self)));
        Some(Report::new(
            &owner,
            names::network::report(name_of(self)),
            &status.checklist.as_ref()?.lines,
            now,
        ))
    }

    async fn reconcile(
        &self,
        ctx: &Context,
        now: Timestamp,
    ) -> Result<Reconciled<TesseraNetworkStatus>, Error> {
        let holds = hold::live::holds(self, ctx, now).await?;
        let granted = holds.narrow(self);
        let inputs = match inputs::gather(&granted, ctx, now).await {
            Ok(inputs) => inputs,
            Err(error) => {
                let nodes = ctx.caches.nodes_of(name_of(self));
                let unreadable = error.unreadable().map(Unresolved::Unreadable);
                let status = unreadable.map(|why| status::of_unresolved(self, &why, &nodes, now));
                return Ok(Reconciled { status, events: Vec::new(), failure: Some(error), next: PERIOD });
            }
        };
        match resolve::resolve(&granted, &inputs) {
            Ok(resolved) => Ok(reconcile_resolved(self, &resolved, &holds, &inputs, ctx).await),
            // The API server was away for a moment: the status stays.
            Err(Unresolved::Transient(error)) => Err(Error::Unavailable(error)),
            Err(why) => {
                let status = Some(status::of_unresolved(self, &why, &inputs.nodes, now));
                let failure = if let Unresolved::Leaf(error) = why { Some(error.into()) } else { None };
                Ok(Reconciled { status, events: Vec::new(), failure, next: jittered(PERIOD) })
            }
        }
    }
}

async fn reconcile_resolved(
    network: &TesseraNetwork,
    resolved: &Resolved,
    holds: &Holds,
    inputs: &inputs::Inputs,
    ctx: &Context,
) -> Reconciled<TesseraNetworkStatus> {
    let applied = if resolved.paused {
        apply::Applied::default()
    } else {
        apply::apply(&desired::desired(resolved, &ctx.settings), network, resolved, inputs, ctx).await
    };
    let seen = status::Seen { network: resolved, holds, applied: &applied };
    let status = status::of_seen(network, &seen, inputs);
    let lines = status.checklist.as_ref().map(|checklist| checklist.lines.as_slice());
    ctx.metrics.checklist(&ctx.namespace, &resolved.name, lines.unwrap_or_default());
    let are_current = is_true(&status.conditions, ConditionType::CertificatesCurrent);
    ctx.metrics.certificates(&ctx.namespace, &resolved.name, Some(are_current));
    Reconciled {
        status: Some(status),
        events: events::of_writes(resolved, &applied),
        failure: applied.failures.into_iter().next().map(Error::from),
        next: next_check(resolved, inputs.now),
    }
}

/// The next look, or the first renewal if that is sooner. A paused network renews nothing.
fn next_check(network: &Resolved, now: Timestamp) -> Duration {
    let period = jittered(PERIOD);
    if network.paused {
        return period;
    }
    if network.authorities_are_new || network.authorities_next.is_some() {
        return AFTER_AUTHORITIES;
    }
    if !network.awaited.is_empty() && network.authorities.began_just_now(now) {
        return WHILE_ROLLING;
    }
    let due = network.client_leaves.iter().map(|leaf| leaf.due_at).min().unwrap_or(Timestamp::MAX);
    let due = Duration::try_from(due.duration_since(now)).unwrap_or(Duration::ZERO);
    period.min(due.max(Duration::from_secs(1)))
}
