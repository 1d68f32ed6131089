//! Fills the filter with the keys of the index, beside everything else: until that is done, the index answers.

use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use crate::catalog::Catalog;
use crate::health::Health;
use crate::location::Key;

/// Keys of one transaction of the index.
const KEYS: usize = 1024;

/// Fills from a small index at once, from a large one by a thread of its own.
pub(crate) fn start(catalog: &Arc<Catalog>, health: &Arc<Health>) -> io::Result<Option<JoinHandle<()>>> {
    let Some(last) = fill(catalog, None) else { return Ok(None) };
    let (catalog, health) = (Arc::clone(catalog), Arc::clone(health));
    let rest = move || {
        let mut last = Some(last);
        while last.is_some() && !health.is_ending() {
            last = fill(&catalog, last);
        }
    };
    Builder::new().name("store-filter".to_owned()).spawn(rest).map(Some)
}

/// The last key that was added; None at the end, or when the index cannot be read, so that the filter stays incomplete.
fn fill(catalog: &Catalog, after: Option<Key>) -> Option<Key> {
    catalog.fill_filter(after, KEYS).unwrap_or_else(|error| {
        tracing::warn!(%error, "the store's index cannot be read; each write asks the index");
        None
    })
}
