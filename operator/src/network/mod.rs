//! One TesseraNetwork: its authorities, what its nodes share, and how its secret store is.
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
use tessera_crds::condition::ConditionType;
use tessera_crds::{TesseraNetwork, TesseraNetworkStatus};

use crate::controller::context::Context;
use crate::issue::authorities::AuthoritiesError;
use crate::issue::leaf::LeafError;
use crate::kube::events::EventRecord;
use crate::kube::is_forbidden;
use crate::kube::meta::{name_of, reference_to, uid_of};
use crate::kube::writer::WriteError;
use crate::memory::backoff::jittered;
use crate::process::metrics::Kind;
use crate::report::conditions;
use crate::report::error::chain;
use resolve::{Resolved, Unresolved};

/// How often a store that lets us in is looked at.
const PROBE: Duration = Duration::from_secs(30);
/// How often one that does not.
const PROBE_SOON: Duration = Duration::from_secs(5);

/// Why a reconcile will be tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate cannot be issued.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// The CA state cannot be had.
    #[error(transparent)]
    Authorities(#[from] AuthoritiesError),
    /// An object that the spec refers to cannot be read.
    #[error("failed to read {object}")]
    Read {
        /// Which.
        object: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// Secrets of ours cannot be read.
    #[error(transparent)]
    Node(#[from] crate::node::Error),
    /// An object or the status cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Error {
    /// What a person must repair before anything can be read. `None`: the API server failed in a way that may pass, and the
    /// status stays. (An unreadable CA state is an input like others.)
    fn unreadable(&self) -> Option<Unresolved> {
        use crate::node::Error::ReadSecret;
        let (Self::Read { source, .. } | Self::Node(ReadSecret { source, .. })) = self else { return None };
        is_forbidden(source).then(|| Unresolved::PermissionDenied(chain(self)))
    }
}

/// Brings one network about and reports on it.
pub async fn reconcile(network: Arc<TesseraNetwork>, ctx: Arc<Context>) -> Result<Action, Error> {
    let _slot = ctx.slots.acquire().await;
    let begun = Instant::now();
    let result = reconcile_once(&with_own_status(&network, &ctx), &ctx).await;
    ctx.metrics.reconciled(Kind::Network, begun.elapsed(), result.is_ok());
    if result.is_ok() {
        ctx.backoff.reset(uid_of(&*network));
    }
    result
}

/// When to try again after an error. (The signature is the controller's.)
#[expect(clippy::needless_pass_by_value)]
pub fn error_policy(network: Arc<TesseraNetwork>, error: &Error, ctx: Arc<Context>) -> Action {
    let error = chain(error);
    if ctx.backoff.is_new_failure(uid_of(&*network), &error) {
        tracing::warn!(error, "a network could not be reconciled; trying on");
    }
    Action::requeue(ctx.backoff.after_failure(uid_of(&*network)))
}

/// The network with the status that we know it has.
fn with_own_status(network: &TesseraNetwork, ctx: &Context) -> TesseraNetwork {
    let mut network = network.clone();
    let version = network.metadata.resource_version.as_deref();
    let newer = ctx.network_statuses.newer_than(uid_of(&network), version);
    network.status = newer.or(network.status);
    network
}

async fn reconcile_once(network: &TesseraNetwork, ctx: &Context) -> Result<Action, Error> {
    if network.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let now = Timestamp::now();
    let inputs = match inputs::gather(network, ctx, now).await {
        Ok(inputs) => inputs,
        Err(error) => {
            if let Some(why) = error.unreadable() {
                let nodes = ctx.caches.nodes_of(name_of(network));
                report(network, status::of_unresolved(network, &why, &nodes, now), &[], ctx).await?;
            }
            return Err(error);
        }
    };
    match resolve::resolve(network, &inputs) {
        Ok(resolved) => reconcile_resolved(network, &resolved, &inputs, ctx).await,
        Err(why) => {
            let status = status::of_unresolved(network, &why, &inputs.nodes, now);
            report(network, status, &[], ctx).await?;
            match why {
                Unresolved::Leaf(error) => Err(error.into()),
                _ => Ok(Action::requeue(jittered(PROBE_SOON))),
            }
        }
    }
}

async fn reconcile_resolved(
    network: &TesseraNetwork,
    resolved: &Resolved,
    inputs: &inputs::Inputs,
    ctx: &Context,
) -> Result<Action, Error> {
    let applied = if resolved.paused {
        apply::Applied::default()
    } else {
        apply::apply(&desired::desired(resolved, &ctx.settings), resolved, inputs, ctx).await
    };
    let store = observe::observe(network, inputs, ctx).await;
    let seen = status::Seen { network: resolved, applied: &applied, store: &store };
    let status = status::of_seen(network, &seen, inputs);
    let settled = conditions::is_true(&status.conditions, ConditionType::SecretStoreReady);
    report(network, status, &events::of_writes(resolved, &applied), ctx).await?;
    if let Some(failure) = applied.failures.into_iter().next() {
        return Err(failure.into());
    }
    Ok(Action::requeue(next_check(resolved, inputs.now, settled)))
}

/// The next look at the store, or the first renewal if that is sooner. A paused network renews nothing.
fn next_check(network: &Resolved, now: Timestamp, settled: bool) -> Duration {
    let probe = jittered(if settled { PROBE } else { PROBE_SOON });
    if network.paused {
        return probe;
    }
    let due = network.monitoring.iter().map(|leaf| leaf.due_at).min().unwrap_or(Timestamp::MAX);
    let due = Duration::try_from(due.duration_since(now)).unwrap_or(Duration::ZERO);
    probe.min(due.max(Duration::from_secs(1)))
}

async fn report(
    network: &TesseraNetwork,
    status: TesseraNetworkStatus,
    written: &[EventRecord],
    ctx: &Context,
) -> Result<(), Error> {
    let before = network.status.clone().unwrap_or_default();
    if status != before {
        ctx.writer.apply_status(network, &status).await?;
        let version = network.metadata.resource_version.clone();
        ctx.network_statuses.wrote(uid_of(network), version, status.clone());
    }
    let records = [written, &events::of_transition(&before, &status)].concat();
    if !records.is_empty() {
        ctx.events.publish(&reference_to(network), &records).await;
    }
    Ok(())
}
