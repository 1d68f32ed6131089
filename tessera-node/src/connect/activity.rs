//! When a request last made progress.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Shared by a request's body and by who waits for the answer. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Activity(Arc<Mutex<Instant>>);

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// Something moved.
    pub(super) fn touch(&self) {
        *self.0.lock() = Instant::now();
    }

    /// Returns when nothing has moved for so long.
    pub(super) async fn quiet_for(&self, limit: Duration) {
        loop {
            let until = *self.0.lock() + limit;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_moves_is_not_quiet() {
        const LIMIT: Duration = Duration::from_millis(400);
        let (activity, began) = (Activity::new(), Instant::now());
        let moving = activity.clone();
        tokio::spawn(async move {
            for _ in 0..3 {
                tokio::time::sleep(LIMIT / 2).await;
                moving.touch();
            }
        });
        activity.quiet_for(LIMIT).await;
        let moved = LIMIT / 2 * 3;
        assert!(began.elapsed() >= moved + LIMIT, "{:?}", began.elapsed());
    }
}
