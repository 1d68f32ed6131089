//! One TesseraNode: from its spec to a running, policed node and back to its status.
//!
//! ```text
//! inputs ──► resolve ──► desired ──► apply ──► observe ──► status
//! [read]     [pure]      [pure]      [write]   [read]      [pure, one patch]
//! ```

pub mod apply;
pub mod desired;
mod events;
pub mod hold;
pub mod image_check;
pub mod inputs;
pub mod load_balancer;
pub mod observe;
mod remake;
pub mod resolve;
pub mod rollout;
pub mod status;
pub mod upgrade;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tessera_crds::condition::ConditionType;
use tessera_crds::{TesseraNode, TesseraNodeStatus, names};

use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::queue::Queue;
use crate::controller::{Managed, Reconciled};
use crate::kube::events::EventRecord;
use crate::kube::meta::{Owner, name_of, node_labels};
use crate::memory::backoff::jittered;
use crate::memory::status_memo::StatusMemo;
use crate::probe::events as events_of;
use crate::process::metrics::Kind;
use crate::report::conditions;
use crate::report::open_report::Report;
use crate::watch::cache::Cache;
use crate::watch::kept::Parsed;
use apply::Applied;
use hold::Holds;
use inputs::Inputs;
use resolve::{Resolved, Unresolved};
use status::Seen;

/// How often a node is reconciled of which nothing changes: what it said of itself grows old.
const PERIOD: Duration = Duration::from_mins(1);
/// How often one that is not ready: some reasons follow from the time alone.
const PERIOD_WHILE_UNREADY: Duration = Duration::from_secs(15);
/// How soon a pod is asked again whose node is not ready or does not serve its certificate yet.
const ASK_AGAIN: Duration = Duration::from_secs(3);

impl Managed for TesseraNode {
    type Status = TesseraNodeStatus;
    const KIND: Kind = Kind::Node;

    fn status_mut(&mut self) -> &mut Option<TesseraNodeStatus> {
        &mut self.status
    }

    fn cache(ctx: &Context) -> &Cache<Parsed<Self>> {
        &ctx.caches.nodes
    }

    fn queue(ctx: &Context) -> &Arc<Queue<String>> {
        &ctx.queues.nodes
    }

    fn statuses(ctx: &Context) -> &StatusMemo<TesseraNodeStatus> {
        &ctx.node_statuses
    }

    fn events(before: &TesseraNodeStatus, after: &TesseraNodeStatus) -> Vec<EventRecord> {
        events::of_transition(before, after)
    }

    fn open_report(&self, status: &TesseraNodeStatus, now: Timestamp) -> Option<Report> {
        let owner = Owner::new(self, node_labels(&self.spec.network_ref.name, name_of(self)));
        Some(Report::new(&owner, names::node::report(name_of(self)), &status.checklist.as_ref()?.lines, now))
    }

    async fn reconcile(&self, ctx: &Context, now: Timestamp) -> Result<Reconciled<TesseraNodeStatus>, Error> {
        let inputs = match inputs::gather(self, ctx, now).await {
            Ok(inputs) => inputs,
            Err(error) => {
                let unreadable = error.unreadable().map(Unresolved::Unreadable);
                let status = unreadable.map(|why| status::of_unresolved(self, &why, now));
                return Ok(Reconciled { status, events: Vec::new(), failure: Some(error), next: PERIOD });
            }
        };
        match resolve::resolve(self, &inputs, &ctx.settings) {
            Ok(resolved) => match hold::live::holds(self, &resolved, &inputs, ctx).await {
                Ok(holds) => {
                    let granted = holds.narrow(resolved);
                    Ok(reconcile_resolved(self, &granted, &holds, &inputs, ctx).await)
                }
                Err(error) => Ok(Reconciled {
                    status: None,
                    events: Vec::new(),
                    failure: Some(error),
                    next: PERIOD_WHILE_UNREADY,
                }),
            },
            Err(why) => Ok(Reconciled {
                status: Some(status::of_unresolved(self, &why, now)),
                events: Vec::new(),
                failure: None,
                next: jittered(PERIOD_WHILE_UNREADY),
            }),
        }
    }
}

async fn reconcile_resolved(
    node: &TesseraNode,
    resolved: &Resolved,
    holds: &Holds,
    inputs: &Inputs,
    ctx: &Context,
) -> Reconciled<TesseraNodeStatus> {
    let applied = if holds.is_whole() {
        Applied::default()
    } else if resolved.paused {
        Applied::of_existing(inputs)
    } else {
        apply::apply(node, &desired::desired(resolved), resolved, inputs, ctx).await
    };
    let observed = observe::observe(node, resolved, &applied, ctx, inputs.now).await;
    let before =
        node.status.as_ref().and_then(|status| conditions::find(&status.conditions, ConditionType::Ready));
    let now = inputs.now;
    let seen = Seen { node: resolved, holds, applied: &applied, observed: &observed, now, before };
    let is_too_early = observed.awaits_first_answer() || observed.backup.awaits_list;
    let status = (!is_too_early).then(|| status::of_seen(node, &seen));
    let is_settled = status.as_ref().is_some_and(|status| {
        let holds = |type_| conditions::is_true(&status.conditions, type_);
        holds(ConditionType::Ready) && holds(ConditionType::CertificatesServed)
    });
    let is_waiting = applied.waiting.is_some();
    if !is_waiting && observed.serves_newest() && rollout::is_rolled(applied.stateful_set.as_ref()) {
        ctx.rollouts.wake_waiting(&ctx.namespace, &resolved.network, &ctx.queues.nodes);
    }
    if !is_settled {
        ask_again(&observed, ctx);
    }
    if observed.events == observe::EventCause::NotRead {
        ctx.queues.events.touch_within(&resolved.name, events_of::FIRST_WAIT);
    }
    Reconciled {
        status,
        events: events::of_writes(resolved, &applied),
        failure: applied.failures.into_iter().next().map(Error::from),
        // What a line holds waits for a person, and the watches show what that person does.
        next: next_check(resolved, now, holds.is_whole() || is_settled && !is_waiting),
    }
}

/// What the operator has just written may show in the node's next answer.
fn ask_again(observed: &observe::Observed, ctx: &Context) {
    for pod in observed.pods.iter().filter(|pod| pod.status.is_ok()) {
        ctx.queues.pods.touch_within(&pod.name, ASK_AGAIN);
    }
}

/// The next look, or the first renewal if that is sooner. A paused node renews nothing, so nothing can be due.
fn next_check(node: &Resolved, now: Timestamp, settled: bool) -> Duration {
    let period = jittered(if settled { PERIOD } else { PERIOD_WHILE_UNREADY });
    if node.paused {
        return period;
    }
    let due = node.leaves().map(|leaf| leaf.due_at).min().unwrap_or(Timestamp::MAX);
    let due = Duration::try_from(due.duration_since(now)).unwrap_or(Duration::ZERO);
    period.min(due.max(Duration::from_secs(1)))
}
