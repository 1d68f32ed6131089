//! How many bytes of each segment are live: one number for each segment, whatever the number of records.
//!
//! The numbers are not on disk. A start counts what the index holds, page by page, beside everything else; what is
//! published meanwhile counts itself. Each record is counted once, since its sequence number decides who counts it: the scan
//! counts what is older than the start, unless a newer version was published before the scan came to it.

use std::collections::{BTreeMap, HashSet};

use crate::location::{Key, Location};

#[derive(Debug)]
pub(crate) struct Usage {
    live: BTreeMap<u64, u64>,
    /// Records of the index from before this number are counted by the scan.
    scanned_before: u64,
    /// The last key that the scan counted.
    scanned_to: Option<Key>,
    complete: bool,
    /// Keys that the scan will meet and whose old version is dead already. Empty when the scan is complete.
    superseded: HashSet<Key>,
}

impl Usage {
    /// Of an index whose records are all older than `sequence`.
    pub(crate) fn new(sequence: u64) -> Self {
        Self {
            live: BTreeMap::new(),
            scanned_before: sequence,
            scanned_to: None,
            complete: false,
            superseded: HashSet::new(),
        }
    }

    /// So many bytes of records were published in a segment.
    pub(crate) fn published(&mut self, segment: u64, bytes: u64) {
        *self.live.entry(segment).or_default() += bytes;
    }

    /// A newer version of the record at `location` was published.
    pub(crate) fn superseded(&mut self, key: &Key, location: &Location) {
        let uncounted = !self.complete && self.scanned_to.is_none_or(|last| *key > last);
        if uncounted && location.sequence < self.scanned_before {
            self.superseded.insert(*key);
        } else if let Some(live) = self.live.get_mut(&location.segment) {
            *live = live.saturating_sub(u64::from(location.bytes));
        }
    }

    /// Counts a page of the index, in the order of its keys.
    pub(crate) fn scanned(&mut self, page: &[(Key, Location)]) {
        for (key, location) in page {
            if location.sequence < self.scanned_before && !self.superseded.contains(key) {
                *self.live.entry(location.segment).or_default() += u64::from(location.bytes);
            }
            self.scanned_to = Some(*key);
        }
    }

    /// The scan came to the end of the index.
    pub(crate) fn completed(&mut self) {
        self.complete = true;
        self.superseded = HashSet::new();
    }

    /// Live bytes of each segment that has any; None while the index is being scanned.
    pub(crate) fn live(&self) -> Option<&BTreeMap<u64, u64>> {
        self.complete.then_some(&self.live)
    }

    /// A segment is gone.
    pub(crate) fn forget(&mut self, segment: u64) {
        self.live.remove(&segment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::location::State;
    use crate::types::{Hash, Kind};

    fn key(number: u8) -> Key {
        Key { kind: Kind::Transaction, hash: Hash::new([number; Hash::LEN]) }
    }

    fn at(segment: u64, sequence: u64) -> Location {
        Location { segment, offset: 0, sequence, bytes: 10, state: State::Live }
    }

    /// Three old records; each is replaced at another moment of the scan, and the scan sees the old or the new location.
    #[test]
    fn a_record_counts_once_whenever_it_is_replaced() {
        for sees_new in [false, true] {
            let mut usage = Usage::new(4);
            let replace = |usage: &mut Usage, number: u8| {
                usage.published(2, 10);
                usage.superseded(&key(number), &at(1, number.into()));
            };
            let page = |number: u8, replaced: bool| {
                let new = replaced && sees_new;
                (key(number), if new { at(2, 10) } else { at(1, number.into()) })
            };
            replace(&mut usage, 1);
            usage.scanned(&[page(1, true), page(2, false)]);
            assert_eq!(usage.live(), None);
            replace(&mut usage, 2);
            replace(&mut usage, 3);
            usage.scanned(&[page(3, true)]);
            usage.completed();
            assert_eq!(usage.live().map(|live| (live[&1], live[&2])), Some((0, 30)));
        }
    }
}
