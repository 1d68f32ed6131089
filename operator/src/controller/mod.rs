//! One controller for all kinds.
//!
//! ```text
//! queue ──► cache ──► Managed::reconcile ──► status (one patch, if changed) ──► Events, Report ──► due again
//!                          │ fails                                                   │
//!                          └──► backs off, per object ◄──────────────────────────────┘
//! ```
//!
//! A kind implements [`Managed`]; everything around one reconcile is here. A reconcile waits for the API server alone: nodes
//! and stores are asked by tasks of their own (`probe/`), and reconciles read the last answer.

pub mod context;
pub mod error;
pub mod queue;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kube::events::EventRecord;
use crate::kube::meta::{reference_of, reference_to, uid_of};
use crate::kube::planned::Planned;
use crate::kube::writer::WriteError;
use crate::memory::status_memo::StatusMemo;
use crate::process::metrics::Kind;
use crate::process::tasks::Tasks;
use crate::report::error::chain;
use crate::report::open_report::Report;
use crate::watch::cache::{Cache, Cached};
use crate::watch::kept::Parsed;
use context::Context;
use error::Error;
use queue::Queue;

/// How many objects of one kind are worked on at once in one namespace. Each waits for the API server most of the time.
const WORKERS: usize = 8;

/// The wait after another writer was faster.
const AFTER_CONFLICT: Duration = Duration::from_millis(500);

/// A kind of our API.
pub trait Managed:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// Its status.
    type Status: Clone + Default + PartialEq + Serialize + Send + Sync + 'static;
    /// Its name in metrics.
    const KIND: Kind;

    /// Where its status stands.
    fn status_mut(&mut self) -> &mut Option<Self::Status>;
    /// Its objects.
    fn cache(ctx: &Context) -> &Cache<Parsed<Self>>;
    /// Its queue.
    fn queue(ctx: &Context) -> &Arc<Queue<String>>;
    /// Its statuses that the watch has not shown yet.
    fn statuses(ctx: &Context) -> &StatusMemo<Self::Status>;
    /// What a person wants to know of a change of status.
    fn events(before: &Self::Status, after: &Self::Status) -> Vec<EventRecord>;
    /// Its checklist as `status` has it, for dashboards; `None`: it was not judged yet.
    fn open_report(&self, status: &Self::Status, now: Timestamp) -> Option<Report>;
    /// Brings it about and looks how it is.
    fn reconcile(
        &self,
        ctx: &Context,
        now: Timestamp,
    ) -> impl Future<Output = Result<Reconciled<Self::Status>, Error>> + Send;
}

/// What came of one reconcile.
pub struct Reconciled<S> {
    /// The status; `None`: nothing can be said yet, and the status stays.
    pub status: Option<S>,
    /// What a person wants to know of what was written.
    pub events: Vec<EventRecord>,
    /// Why it must be tried again.
    pub failure: Option<Error>,
    /// When it is due again, if nothing changes.
    pub next: Duration,
}

/// Starts the workers of one kind. They begin when the caches are filled.
pub fn start<K: Managed>(context: &Arc<Context>, tasks: &mut Tasks)
where
    Parsed<K>: Cached,
{
    for _ in 0..WORKERS {
        let (ctx, stop) = (Arc::clone(context), tasks.stop().clone());
        tasks.spawn(async move {
            tokio::select! {
                () = ctx.caches.until_filled() => {}
                () = stop.cancelled() => return "stopped".to_owned(),
            }
            loop {
                let name = tokio::select! {
                    name = K::queue(&ctx).next() => name,
                    () = stop.cancelled() => return "stopped".to_owned(),
                };
                let wait = work::<K>(&ctx, &name).await;
                K::queue(&ctx).done(&name, wait);
            }
        });
    }
}

/// One round of work on the object called `name`; returns when the next is due.
async fn work<K: Managed>(ctx: &Context, name: &str) -> Option<Duration>
where
    Parsed<K>: Cached,
{
    let cached = K::cache(ctx).get(name)?;
    let object = match &cached.object {
        // Owned objects go with their owner; volume, keys and CA stay. There is nothing to clean up, so nothing can hang.
        _ if cached.metadata.deletion_timestamp.is_some() => return None,
        Ok(object) => with_own_status(K::clone(object), ctx),
        Err(unknown) => {
            report_unreadable(&cached, unknown, ctx).await;
            return None;
        }
    };
    let begun = Instant::now();
    let result = round(&object, ctx).await;
    ctx.metrics.reconciled(K::KIND, begun.elapsed(), result.is_ok());
    let uid = uid_of(&object);
    Some(match result {
        Ok(next) => {
            ctx.backoff.reset(uid);
            next
        }
        Err(error) => {
            let error = chain(&error);
            if ctx.backoff.is_new_failure(uid, &error) {
                tracing::warn!(kind = ?K::KIND, name, error, "a reconcile failed and will be retried");
            }
            ctx.backoff.after_failure(uid)
        }
    })
}

async fn round<K: Managed>(object: &K, ctx: &Context) -> Result<Duration, Error>
where
    Parsed<K>: Cached,
{
    let reconciled = object.reconcile(ctx, Timestamp::now()).await?;
    if !reconciled.events.is_empty() {
        ctx.events.publish(&reference_to(object), &reconciled.events).await;
    }
    let reported = match reconciled.status {
        Some(status) => {
            let reported = report(object, &status, ctx).await;
            if reported.is_ok() {
                write_open_report(object, &status, ctx).await;
            }
            reported
        }
        None => Ok(()),
    };
    match (reported, reconciled.failure) {
        (_, Some(failure)) => Err(failure),
        // The watch lags behind another writer: the next attempt sees what changed.
        (Err(WriteError::Conflict { .. }), None) => Ok(AFTER_CONFLICT),
        (reported, None) => reported.map(|()| reconciled.next).map_err(Error::from),
    }
}

/// The object with the status that we know it has.
pub(crate) fn with_own_status<K: Managed>(mut object: K, ctx: &Context) -> K {
    let newer = K::statuses(ctx).newer_than(uid_of(&object), object.meta().resource_version.as_deref());
    if let Some((status, version)) = newer {
        *object.status_mut() = Some(status);
        object.meta_mut().resource_version = version;
    }
    object
}

/// Writes the status if it changed, and publishes what became so.
async fn report<K: Managed>(object: &K, status: &K::Status, ctx: &Context) -> Result<(), WriteError>
where
    Parsed<K>: Cached,
{
    let before = object.clone().status_mut().take().unwrap_or_default();
    if *status == before {
        return Ok(());
    }
    let version = ctx.writer.apply_status(object, status).await?;
    // The watch may still show this version, or one of before.
    let seen = K::cache(ctx).get(&object.name_any()).and_then(|seen| seen.metadata.resource_version.clone());
    let superseded = object.meta().resource_version.clone().into_iter().chain(seen);
    K::statuses(ctx).wrote(uid_of(object), superseded, version, status.clone());
    let events = K::events(&before, status);
    if !events.is_empty() {
        ctx.events.publish(&reference_to(object), &events).await;
    }
    Ok(())
}

/// The checklist for dashboards, if it differs from the last one written. A failure is no failure of the reconcile.
async fn write_open_report<K: Managed>(object: &K, status: &K::Status, ctx: &Context) {
    let plan = || object.open_report(status, Timestamp::now()).map(|report| Planned::new(&report));
    ctx.open_reports.write(uid_of(object), &ctx.namespace, plan).await;
}

/// An object that this version of the operator cannot read stops only itself. Its status may say things that this version
/// does not know either, so it is left alone.
async fn report_unreadable<K: Managed>(object: &Parsed<K>, unknown: &str, ctx: &Context)
where
    Parsed<K>: Cached,
{
    if !ctx.backoff.is_new_failure(object.uid(), unknown) {
        return;
    }
    let note = format!(
        "this version of the operator cannot read the object and leaves it and all it owns alone: {unknown}"
    );
    tracing::warn!(kind = ?K::KIND, name = object.name(), error = unknown, "an object cannot be read and is left alone");
    let about = reference_of::<K>(&object.metadata);
    ctx.events.publish(&about, &[EventRecord::warning("Unreadable", note)]).await;
}
