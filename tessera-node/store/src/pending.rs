//! Completions: await them on any executor, or block a plain thread on them.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::{oneshot, watch};

use crate::error::WriteError;
use crate::reservation::Reservation;

/// The answer to a write, given when it is durable and readable.
///
/// Dropping it does not cancel the write.
#[must_use = "a write is known to be durable only when its answer has come"]
#[derive(Debug)]
pub struct Pending<T>(State<T>);

#[derive(Debug)]
enum State<T> {
    Queued(oneshot::Receiver<Result<T, WriteError>>),
    Refused(WriteError),
}

impl<T> Pending<T> {
    /// An answer that will come, and the end that gives it.
    pub(crate) fn queued(reservation: Reservation) -> (Completion<T>, Self) {
        let (answer, receiver) = oneshot::channel();
        (Completion { answer, reservation }, Self(State::Queued(receiver)))
    }

    /// A write that was not even queued.
    pub(crate) fn refused(error: WriteError) -> Self {
        Self(State::Refused(error))
    }

    /// Blocks this thread until the answer is there. Not for threads of an async runtime.
    pub fn wait(self) -> Result<T, WriteError> {
        match self.0 {
            State::Queued(receiver) => receiver.blocking_recv().unwrap_or(Err(WriteError::Closed)),
            State::Refused(error) => Err(error),
        }
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, WriteError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Queued(receiver) => {
                Pin::new(receiver).poll(cx).map(|answer| answer.unwrap_or(Err(WriteError::Closed)))
            }
            State::Refused(error) => Poll::Ready(Err(*error)),
        }
    }
}

/// The writer's end of a [`Pending`].
#[derive(Debug)]
pub(crate) struct Completion<T> {
    answer: oneshot::Sender<Result<T, WriteError>>,
    reservation: Reservation,
}

impl<T> Completion<T> {
    /// Answers; a caller that went away is no error.
    pub(crate) fn complete(self, answer: Result<T, WriteError>) {
        // Before the answer: a caller that has it may write again.
        drop(self.reservation);
        let _ = self.answer.send(answer);
    }
}

/// Raised when the store is poisoned: the process must then exit.
#[derive(Debug, Clone)]
pub struct Fatal(watch::Receiver<Option<String>>);

impl Fatal {
    /// A signal that is not raised, and the end that raises it.
    pub(crate) fn new() -> (watch::Sender<Option<String>>, Self) {
        let (sender, receiver) = watch::channel(None);
        (sender, Self(receiver))
    }

    /// Waits until the store is poisoned and returns the reason.
    pub async fn reason(mut self) -> String {
        loop {
            if let Some(reason) = self.now() {
                return reason;
            }
            if self.0.changed().await.is_err() {
                // Closed without having been poisoned.
                std::future::pending::<()>().await;
            }
        }
    }

    /// The reason, if the store is poisoned already.
    pub fn now(&self) -> Option<String> {
        self.0.borrow().clone()
    }
}
