//! Segments that compaction looked into and does not take.

use std::collections::BTreeMap;

use crate::catalog::Catalog;
use crate::location::{Key, State};

/// What is known about the content of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Known {
    /// Something in it is damaged, or it does not fit its neighbours.
    Damaged,
    /// This record is damaged and current: once it is repaired, the segment is looked into again.
    DamagedRecord(Key),
    /// Bytes of all its records: its end was too small for the next one.
    Records(u64),
}

/// Forgets what was known of segments whose damaged record is superseded by now, and counts them.
pub(crate) fn forget_repaired(known: &mut BTreeMap<u64, Known>, catalog: &Catalog) -> usize {
    let before = known.len();
    known.retain(|segment, known| match known {
        // An index that does not answer now is asked again.
        Known::DamagedRecord(key) => catalog
            .lookup(key)
            .map_or(true, |found| !found.is_some_and(|at| at.segment != *segment && at.state == State::Live)),
        Known::Damaged | Known::Records(_) => true,
    });
    before - known.len()
}
