//! Every task is owned, and any that ends unexpectedly ends the process: a controller without one of its watches would go
//! on and be wrong.

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The tasks of the process.
pub struct Tasks {
    set: JoinSet<String>,
    stop: CancellationToken,
}

/// A task ended while it should run.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UnexpectedEnd(String);

impl Tasks {
    /// No tasks yet; all are to end when `stop` is cancelled.
    pub fn new(stop: CancellationToken) -> Self {
        Self { set: JoinSet::new(), stop }
    }

    /// Cancelled when the process is to end.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Runs `task` until the process ends; its output says why it ended before that.
    pub fn spawn(&mut self, task: impl Future<Output = String> + Send + 'static) {
        self.set.spawn(task);
    }

    /// Runs `task` until it ends or the process does.
    pub fn spawn_until_stop(&mut self, task: impl Future<Output = String> + Send + 'static) {
        let stop = self.stop.clone();
        self.set.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => "stopped".to_owned(),
                why = task => why,
            }
        });
    }

    /// Waits until the process is to stop, then for all tasks; a task that ends before that is an error.
    pub async fn supervise(mut self) -> Result<(), UnexpectedEnd> {
        while let Some(ended) = self.set.join_next().await {
            if self.stop.is_cancelled() {
                continue;
            }
            self.stop.cancel();
            let why = ended.unwrap_or_else(|error| format!("a task crashed: {error}"));
            while self.set.join_next().await.is_some() {}
            return Err(UnexpectedEnd(why));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_stops_the_others_and_is_the_error() {
        let stop = CancellationToken::new();
        let mut tasks = Tasks::new(stop.clone());
        tasks.spawn_until_stop(std::future::pending());
        tasks.spawn(async { "the watch of pods ended".to_owned() });
        assert_eq!(tasks.supervise().await.unwrap_err().to_string(), "the watch of pods ended");
        assert!(stop.is_cancelled());
    }

    #[tokio::test]
    async fn a_stop_is_no_error() {
        let stop = CancellationToken::new();
        let mut tasks = Tasks::new(stop.clone());
        tasks.spawn_until_stop(std::future::pending());
        stop.cancel();
        tasks.supervise().await.unwrap();
    }
}
