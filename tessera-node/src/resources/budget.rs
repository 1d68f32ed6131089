//! The memory that large requests and answers share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The unit in which memory is counted.
const UNIT: u64 = 1 << 10;
/// How long a request waits for memory. Peers give a push up after 3.5 seconds: the refusal must reach them before.
const WAIT: Duration = Duration::from_secs(1);

/// The memory for the large requests and answers of the whole process.
#[derive(Debug, Clone)]
pub(crate) struct MemoryBudget {
    total: Arc<Semaphore>,
    bytes: u64,
}

/// The part of the budget that one kind of listener may hold: two thirds, so that peers never crowd out our own ledger
/// node, nor the other way round.
#[derive(Debug, Clone)]
pub(crate) struct MemoryShare {
    total: Arc<Semaphore>,
    own: Arc<Semaphore>,
    bytes: u64,
}

/// What one request holds; released on drop.
#[derive(Debug)]
pub(crate) struct Permit {
    share: MemoryShare,
    held: Option<[OwnedSemaphorePermit; 2]>,
    units: u32,
}

/// Why a request does not get its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BudgetError {
    /// It needs more than there is, even with nothing else in progress.
    #[error("this takes more memory than the node has: raise its memory limit")]
    TooLarge,
    /// Others hold it.
    #[error("too many large requests at once: try again")]
    Busy,
}

impl MemoryBudget {
    pub(crate) fn new(bytes: u64) -> Self {
        Self { total: semaphore(bytes), bytes }
    }

    pub(crate) fn total(&self) -> u64 {
        self.bytes
    }

    /// A share for one kind of listener.
    pub(crate) fn share(&self) -> MemoryShare {
        let bytes = self.bytes / 3 * 2;
        MemoryShare { total: Arc::clone(&self.total), own: semaphore(bytes), bytes }
    }
}

impl MemoryShare {
    /// The most that one request can hold.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// One request's permit, empty at first.
    pub(crate) fn permit(&self) -> Permit {
        Permit { share: self.clone(), held: None, units: 0 }
    }
}

impl Permit {
    /// Makes the permit large enough for `bytes`; a larger one stays as it is.
    pub(crate) async fn grow(&mut self, bytes: u64) -> Result<(), BudgetError> {
        if bytes > self.share.bytes {
            return Err(BudgetError::TooLarge);
        }
        let units = u32::try_from(bytes.div_ceil(UNIT)).map_err(|_| BudgetError::TooLarge)?;
        let missing = units.saturating_sub(self.units);
        if missing == 0 {
            return Ok(());
        }
        let both = async {
            // The share first: a kind of listener that has used its own up must not wait among all.
            let own = Arc::clone(&self.share.own).acquire_many_owned(missing).await.ok()?;
            let total = Arc::clone(&self.share.total).acquire_many_owned(missing).await.ok()?;
            Some([own, total])
        };
        let Ok(Some(more)) = timeout(WAIT, both).await else { return Err(BudgetError::Busy) };
        match &mut self.held {
            Some(held) => held.iter_mut().zip(more).for_each(|(held, more)| held.merge(more)),
            none => *none = Some(more),
        }
        self.units = units;
        Ok(())
    }

    /// Gives everything back before the request ends.
    pub(crate) fn release(&mut self) {
        self.held = None;
        self.units = 0;
    }

    /// Everything that is held, to be released elsewhere.
    pub(crate) fn take(&mut self) -> Self {
        let empty = self.share.permit();
        std::mem::replace(self, empty)
    }

    /// Whether nothing is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.units == 0
    }
}

fn semaphore(bytes: u64) -> Arc<Semaphore> {
    let units = usize::try_from(bytes / UNIT).unwrap_or(usize::MAX);
    Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_kind_of_listener_cannot_hold_everything() {
        let budget = MemoryBudget::new(300 << 10);
        let (peers, clients) = (budget.share(), budget.share());
        let mut push = peers.permit();
        assert_eq!(push.grow(201 << 10).await, Err(BudgetError::TooLarge));
        push.grow(200 << 10).await.unwrap();
        let mut second = peers.permit();
        assert_eq!(second.grow(1).await, Err(BudgetError::Busy));
        let mut send = clients.permit();
        send.grow(100 << 10).await.unwrap();
        assert_eq!(send.grow(101 << 10).await, Err(BudgetError::Busy));

        drop(push.take());
        assert!(push.is_empty());
        second.grow(200 << 10).await.unwrap();
    }
}
