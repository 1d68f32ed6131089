//! One TesseraNode: from its spec to a running, policed node and back to its status.
//!
//! ```text
//! inputs ──► resolve ──► desired ──► apply ──► observe ──► status
//! [read]     [pure]      [pure]      [write]   [read]      [pure, one patch]
//! ```

pub mod apply;
pub mod desired;
mod events;
pub mod inputs;
pub mod observe;
pub mod resolve;
pub mod status;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::runtime::controller::Action;
use tessera_crds::{TesseraNode, TesseraNodeStatus};

use crate::controller::context::Context;
use crate::issue::authorities::AuthoritiesError;
use crate::kube::is_forbidden;
use crate::kube::meta::{reference_to, uid_of};
use crate::kube::writer::WriteError;
use crate::memory::backoff::jittered;
use crate::process::metrics::Kind;
use crate::report::conditions;
use apply::Applied;
use inputs::Inputs;
use resolve::{Resolved, Unresolved};
use status::Seen;
use tessera_crds::condition::{ConditionType, Reason};

/// How often a node that is ready is asked how it is.
const PROBE: Duration = Duration::from_secs(30);
/// How often one that is not.
const PROBE_SOON: Duration = Duration::from_secs(3);

/// Why a reconcile will be tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The CA state cannot be had.
    #[error(transparent)]
    Authorities(#[from] AuthoritiesError),
    /// A Secret of ours cannot be read.
    #[error("failed to read Secret {name}")]
    ReadSecret {
        /// Which.
        name: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// An object or the status cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Error {
    /// What a person must repair before anything can be read. `None`: the API server failed in a way that may pass, and the
    /// status stays.
    pub fn unreadable(&self) -> Option<Unresolved> {
        let reason = match self {
            Self::Authorities(error) => error.reason()?,
            Self::ReadSecret { source, .. } if is_forbidden(source) => Reason::PermissionDenied,
            Self::ReadSecret { .. } | Self::Write(_) => return None,
        };
        let mut message = crate::report::error::chain(self);
        if reason == Reason::PermissionDenied {
            message.push_str(": check the operator's Role");
        }
        Some(Unresolved::Unreadable { reason, message })
    }
}

/// Brings one node about and reports on it.
pub async fn reconcile(node: Arc<TesseraNode>, ctx: Arc<Context>) -> Result<Action, Error> {
    let _slot = ctx.slots.acquire().await;
    let begun = Instant::now();
    let result = reconcile_once(&with_own_status(&node, &ctx), &ctx).await;
    ctx.metrics.reconciled(Kind::Node, begun.elapsed(), result.is_ok());
    if result.is_ok() {
        ctx.backoff.reset(uid_of(&*node));
    }
    result
}

/// When to try again after an error. (The signature is the controller's.)
#[expect(clippy::needless_pass_by_value)]
pub fn error_policy(node: Arc<TesseraNode>, error: &Error, ctx: Arc<Context>) -> Action {
    let error = crate::report::error::chain(error);
    if ctx.backoff.is_new_failure(uid_of(&*node), &error) {
        tracing::warn!(error, "a node could not be reconciled; trying on");
    }
    Action::requeue(ctx.backoff.after_failure(uid_of(&*node)))
}

/// The node with the status that we know it has.
fn with_own_status(node: &TesseraNode, ctx: &Context) -> TesseraNode {
    let mut node = node.clone();
    let newer = ctx.node_statuses.newer_than(uid_of(&node), node.metadata.resource_version.as_deref());
    node.status = newer.or(node.status);
    node
}

async fn reconcile_once(node: &TesseraNode, ctx: &Context) -> Result<Action, Error> {
    if node.metadata.deletion_timestamp.is_some() {
        // Owned objects go with it; volume, keys and CA stay. There is nothing to clean up, so nothing can hang.
        return Ok(Action::await_change());
    }
    let now = Timestamp::now();
    let inputs = match inputs::gather(node, ctx, now).await {
        Ok(inputs) => inputs,
        Err(error) => {
            if let Some(why) = error.unreadable() {
                report(node, status::of_unresolved(node, &why, now), &[], ctx).await?;
            }
            return Err(error);
        }
    };
    match resolve::resolve(node, &inputs, &ctx.settings) {
        Ok(resolved) => reconcile_resolved(node, &resolved, &inputs, ctx).await,
        Err(why) => {
            report(node, status::of_unresolved(node, &why, inputs.now), &[], ctx).await?;
            Ok(Action::requeue(jittered(wait_for(&why))))
        }
    }
}

async fn reconcile_resolved(
    node: &TesseraNode,
    resolved: &Resolved,
    inputs: &Inputs,
    ctx: &Context,
) -> Result<Action, Error> {
    let applied = if resolved.paused {
        Applied::of_existing(inputs)
    } else {
        apply::apply(&desired::desired(resolved), resolved, inputs, ctx).await
    };
    let authorities = inputs.authorities.as_deref();
    let observed = match authorities {
        Some(authorities) => observe::observe(resolved, &applied, authorities, ctx, inputs.now).await,
        None => observe::Observed::default(),
    };
    let seen = Seen { node: resolved, applied: &applied, observed: &observed, now: inputs.now };
    let status = status::of_seen(node, &seen);
    let ready = conditions::is_true(&status.conditions, ConditionType::Ready);
    let served = conditions::is_true(&status.conditions, ConditionType::CertificatesServed);
    report(node, status, &events::of_writes(resolved, &applied), ctx).await?;
    if let Some(failure) = applied.failures.into_iter().next() {
        return Err(failure.into());
    }
    Ok(Action::requeue(next_check(resolved, inputs.now, ready && served)))
}

/// The next probe, or the first renewal if that is sooner. A paused node renews nothing, so nothing can be due.
fn next_check(node: &Resolved, now: Timestamp, settled: bool) -> Duration {
    let probe = jittered(if settled { PROBE } else { PROBE_SOON });
    if node.paused {
        return probe;
    }
    let leaves = [&node.tls, &node.admin_tls].into_iter().chain(&node.client_tls);
    let due = leaves.map(|leaf| leaf.due_at).min().unwrap_or(Timestamp::MAX);
    let due = Duration::try_from(due.duration_since(now)).unwrap_or(Duration::ZERO);
    probe.min(due.max(Duration::from_secs(1)))
}

/// A watch tells when the network comes; the CA state has none.
fn wait_for(why: &Unresolved) -> Duration {
    match why {
        Unresolved::NetworkNotReady(_) => PROBE_SOON,
        _ => PROBE,
    }
}

/// Writes the status if it changed, and tells of what became so.
async fn report(
    node: &TesseraNode,
    status: TesseraNodeStatus,
    written: &[crate::kube::events::EventRecord],
    ctx: &Context,
) -> Result<(), Error> {
    let before = node.status.clone().unwrap_or_default();
    if status != before {
        ctx.writer.apply_status(node, &status).await?;
        let version = node.metadata.resource_version.clone();
        ctx.node_statuses.wrote(uid_of(node), version, status.clone());
    }
    let records = [written, &events::of_transition(&before, &status)].concat();
    if !records.is_empty() {
        ctx.events.publish(&reference_to(node), &records).await;
    }
    Ok(())
}
