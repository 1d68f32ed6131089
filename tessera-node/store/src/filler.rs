//! Scans the index beside everything else: the filter gets its keys, and each segment the count of its live bytes. Until that is
//! done, the index answers, and nothing is compacted.

use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use crate::catalog::Catalog;
use crate::compaction_wanted::Wanted;
use crate::health::Health;
use crate::location::Key;

/// Keys of one transaction of the index.
const KEYS: usize = 1024;

/// Fills from a small index at once, from a large one by a thread of its own.
pub(crate) fn start(
    catalog: &Arc<Catalog>,
    health: &Arc<Health>,
    compaction: &Arc<Wanted>,
) -> io::Result<Option<JoinHandle<()>>> {
    let Some(last) = fill(catalog, None) else {
        compaction.wake();
        return Ok(None);
    };
    let (catalog, health, compaction) = (Arc::clone(catalog), Arc::clone(health), Arc::clone(compaction));
    let rest = move || {
        let mut last = Some(last);
        while last.is_some() && !health.is_ending() {
            last = fill(&catalog, last);
        }
        compaction.wake();
    };
    Builder::new().name("store-filter".to_owned()).spawn(rest).map(Some)
}

/// The last key that was added; None at the end, or when the index cannot be read, so that the filter and the counts stay incomplete.
fn fill(catalog: &Catalog, after: Option<Key>) -> Option<Key> {
    catalog.scan_index(after, KEYS).unwrap_or_else(|error| {
        tracing::warn!(%error, "the store's index cannot be read; each write asks the index");
        None
    })
}
