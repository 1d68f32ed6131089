//! The loop that all work beside reconciles shares.

use std::sync::Arc;
use std::time::Duration;

use crate::controller::context::Context;
use crate::controller::queue::Queue;
use crate::process::tasks::Tasks;

/// Starts `count` workers on the keys of `queue`. They begin when the caches are filled; the process ends without waiting
/// for them, since a probe changes nothing. `work` returns when its key is due again.
pub fn start<W, F>(
    count: usize,
    queue: &Arc<Queue<String>>,
    context: &Arc<Context>,
    tasks: &mut Tasks,
    work: W,
) where
    W: Fn(String, Arc<Context>) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Option<Duration>> + Send + 'static,
{
    for _ in 0..count {
        let (ctx, queue) = (Arc::clone(context), Arc::clone(queue));
        tasks.spawn_until_stop(async move {
            ctx.caches.until_filled().await;
            loop {
                let key = queue.next().await;
                let wait = work(key.clone(), Arc::clone(&ctx)).await;
                queue.done(&key, wait);
            }
        });
    }
}
