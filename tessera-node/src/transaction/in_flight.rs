//! Our own transactions that are being sent now.
//!
//! A recipient has the payload before our own copy is stored, and can push it back at once. Taken as a message of a lost
//! database, that push would be stored first and the send would then meet it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tessera_enclave::TxHash;

/// How many sends of each transaction are under way.
#[derive(Debug, Default)]
pub(super) struct InFlight(Mutex<HashMap<TxHash, usize>>);

/// One send under way; ends when dropped.
#[derive(Debug)]
pub(super) struct Sending {
    all: Arc<InFlight>,
    hash: TxHash,
}

impl InFlight {
    pub(super) fn begin(self: &Arc<Self>, hash: &TxHash) -> Sending {
        *self.0.lock().entry(*hash).or_default() += 1;
        Sending { all: Arc::clone(self), hash: *hash }
    }

    pub(super) fn contains(&self, hash: &TxHash) -> bool {
        self.0.lock().contains_key(hash)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let mut all = self.all.0.lock();
        if let Some(count) = all.get_mut(&self.hash) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_in_flight_until_its_last_send_ends() {
        let (all, hash) = (Arc::<InFlight>::default(), TxHash::of(b"text"));
        let (first, second) = (all.begin(&hash), all.begin(&hash));
        drop(first);
        assert!(all.contains(&hash));
        drop(second);
        assert!(!all.contains(&hash));
        assert!(all.0.lock().is_empty());
    }
}
