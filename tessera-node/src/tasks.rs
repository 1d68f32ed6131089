//! The only place that spawns. A *service* runs until the node drains; one that ends earlier stops the process: a node
//! without its store's writer or its discovery looks alive and is not. An *observer* is a service that goes on to the end
//! of the drain. A *job* (one connection, one push) may end at any time and is awaited when the node drains.
//!
//! ```text
//! service ── ended unexpectedly ──► Ended ──► run() returns an error ──► exit code 2
//! job     ───────────────────────── tracked ─► drain waits for it, to a deadline
//! ```

use std::fmt::Display;
use std::future::Future;
use std::num::NonZero;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A service that ended while the node was meant to run.
#[derive(Debug, thiserror::Error)]
#[error("{service} ended: {reason}")]
pub struct Ended {
    /// Its name.
    pub service: &'static str,
    /// Why.
    pub reason: String,
}

/// Spawns, and knows when to stop. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tasks {
    drain: CancellationToken,
    /// Cancelled at the end of the drain.
    stop: CancellationToken,
    jobs: TaskTracker,
    services: TaskTracker,
    ended: mpsc::UnboundedSender<Ended>,
}

/// The receiving half: the first service that ends unexpectedly.
#[derive(Debug)]
pub struct Watch(mpsc::UnboundedReceiver<Ended>);

impl Tasks {
    /// No task yet.
    pub fn new() -> (Self, Watch) {
        let (ended, watch) = mpsc::unbounded_channel();
        let tasks = Self {
            drain: CancellationToken::new(),
            stop: CancellationToken::new(),
            jobs: TaskTracker::new(),
            services: TaskTracker::new(),
            ended,
        };
        (tasks, Watch(watch))
    }

    /// Cancelled when the node drains: nothing new is accepted from then on.
    pub fn draining(&self) -> &CancellationToken {
        &self.drain
    }

    /// Runs `service` until the node drains.
    pub fn service<E: Display + Send + 'static>(
        &self,
        name: &'static str,
        service: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.services.spawn(self.supervised(name, self.drain.clone(), service));
    }

    /// Runs `service` until the end of the drain: it reports what the node is doing meanwhile.
    pub fn observer<E: Display + Send + 'static>(
        &self,
        name: &'static str,
        service: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        tokio::spawn(self.supervised(name, self.stop.clone(), service));
    }

    fn supervised<E: Display + Send + 'static>(
        &self,
        name: &'static str,
        until: CancellationToken,
        service: impl Future<Output = Result<(), E>> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (drain, ended) = (self.drain.clone(), self.ended.clone());
        async move {
            let mut running = tokio::spawn(service);
            let joined = tokio::select! {
                joined = &mut running => joined,
                () = until.cancelled() => return running.abort(),
            };
            let reason = match joined {
                Ok(Ok(())) => "it returned".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(join) if join.is_panic() => "it panicked".to_owned(),
                Err(_) => "it was cancelled".to_owned(),
            };
            if !drain.is_cancelled() {
                // The receiver is gone only when the node is already on its way out.
                let _ = ended.send(Ended { service: name, reason });
            }
        }
    }

    /// Runs `job`; the drain waits for it.
    pub fn job(&self, job: impl Future<Output = ()> + Send + 'static) {
        self.jobs.spawn(job);
    }

    /// Runs `work` to its end even if the caller stops waiting for it; the drain waits as well. None: it panicked.
    ///
    /// It runs in the caller's task, and in one of its own only when the caller goes before the end: a task for every request
    /// would wake another thread for each.
    pub(crate) fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Option<T>> + Send {
        let work = AssertUnwindSafe(work).catch_unwind().boxed();
        Finish { work: Some(work), jobs: self.jobs.clone() }
    }

    /// Stops accepting, then waits for jobs and services, to `deadline`. False: something was still running.
    pub async fn drain(&self, deadline: Duration) -> bool {
        self.drain.cancel();
        self.jobs.close();
        self.services.close();
        let all = async {
            self.jobs.wait().await;
            self.services.wait().await;
        };
        let ended = tokio::time::timeout(deadline, all).await.is_ok();
        self.stop.cancel();
        ended
    }
}

/// Work that ends whatever becomes of its caller.
struct Finish<T: Send + 'static> {
    /// None: it has ended.
    work: Option<BoxFuture<'static, std::thread::Result<T>>>,
    jobs: TaskTracker,
}

impl<T: Send + 'static> Future for Finish<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let Some(work) = &mut self.work else { return Poll::Ready(None) };
        let done = ready!(work.as_mut().poll(context));
        self.work = None;
        Poll::Ready(done.ok())
    }
}

impl<T: Send + 'static> Drop for Finish<T> {
    fn drop(&mut self) {
        // Without a runtime the process is at its end, past the drain.
        if let (Some(work), Ok(runtime)) = (self.work.take(), Handle::try_current()) {
            self.jobs.spawn_on(work.map(drop), &runtime);
        }
    }
}

impl Watch {
    /// The next service that ended unexpectedly; pending as long as there is none.
    pub async fn ended(&mut self) -> Ended {
        match self.0.recv().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }
}

/// Work over more bytes than this would keep other requests of its thread waiting.
pub(crate) const LARGE: usize = 64 << 10;

/// As many computations over large bodies at once as half of the cores, and at least one: however many callers send them,
/// the event loop keeps the other half for small requests and handshakes.
static COMPUTATIONS: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    Semaphore::new(cores.div_ceil(2))
});

/// Runs `work` over `bytes` bytes: at once if they are few, else off the event loop in its turn. None: it panicked there.
pub(crate) async fn compute<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    if bytes < LARGE {
        return Some(work());
    }
    let turn = COMPUTATIONS.acquire().await.ok()?;
    // The turn ends with the work, also when nobody waits for it any more.
    blocking(move || {
        let _turn = turn;
        work()
    })
    .await
}

/// Runs `work` off the event loop. None: it panicked.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_service_that_ends_is_reported_with_its_reason() {
        let (tasks, mut watch) = Tasks::new();
        tasks.service("discovery", async { Err::<(), _>("no route") });
        assert_eq!(watch.ended().await.to_string(), "discovery ended: no route");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn large_computations_leave_half_of_the_cores_to_others() {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = || {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            compute(LARGE, move || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::hint::black_box(vec![0_u8; 1 << 20].iter().map(|byte| u64::from(*byte)).sum::<u64>());
                running.fetch_sub(1, Ordering::SeqCst);
            })
        };
        let done = futures::future::join_all((0..64).map(|_| work())).await;
        assert!(done.iter().all(Option::is_some));
        assert!(most.load(Ordering::SeqCst) <= cores.div_ceil(2));
        assert_eq!(compute(LARGE, || panic!("no turn is lost")).await, None::<()>);
        assert_eq!(compute(LARGE, || 1).await, Some(1));
    }

    #[tokio::test]
    async fn a_panic_is_an_end() {
        let (tasks, mut watch) = Tasks::new();
        tasks.service("writer", async {
            assert!(std::hint::black_box(false), "boom");
            Ok::<(), String>(())
        });
        assert_eq!(watch.ended().await.to_string(), "writer ended: it panicked");
    }

    #[tokio::test]
    async fn work_whose_caller_goes_is_finished_and_the_drain_waits_for_it() {
        let (tasks, _watch) = Tasks::new();
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let (done, finished) = tokio::sync::oneshot::channel();
        let mut working = Box::pin(tasks.finish(async move {
            gone.await.unwrap();
            done.send("done").unwrap();
        }));
        assert!(working.as_mut().now_or_never().is_none());
        drop(working);
        let drained = tokio::spawn({
            let tasks = tasks.clone();
            async move { tasks.drain(Duration::from_secs(5)).await }
        });
        tokio::task::yield_now().await;
        assert!(!drained.is_finished());
        go.send(()).unwrap();
        assert_eq!(finished.await.unwrap(), "done");
        assert!(drained.await.unwrap());
    }

    #[tokio::test]
    async fn work_that_is_waited_for_needs_no_task() {
        let (tasks, _watch) = Tasks::new();
        assert_eq!(tasks.finish(async { 1 }).await, Some(1));
        assert_eq!(tasks.finish(async { panic!("caught") }).await, None::<()>);
        assert!(tasks.jobs.is_empty());
    }

    #[tokio::test]
    async fn draining_waits_for_jobs_to_its_deadline() {
        let (tasks, _watch) = Tasks::new();
        let draining = tasks.draining().clone();
        tasks.job(async move { draining.cancelled().await });
        assert!(tasks.drain(Duration::from_secs(5)).await);

        let (tasks, _watch) = Tasks::new();
        tasks.job(std::future::pending());
        assert!(!tasks.drain(Duration::from_millis(1)).await);
    }
}
