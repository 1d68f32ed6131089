//! The statuses that this process wrote and that its watch has not shown yet.
//!
//! Without it, a reconcile that follows at once would compare with the status from before, write the same again and publish
//! the same Events twice.

use std::sync::Arc;

use super::per_object::{PerObject, Registry};

/// Statuses by UID.
pub struct StatusMemo<S> {
    written: Arc<PerObject<Written<S>>>,
}

struct Written<S> {
    /// Versions of the object that are older, as far as they can still be seen.
    superseded: Vec<String>,
    version: Option<String>,
    /// `None`: the watch has shown it, so that the cache has it, too.
    status: Option<S>,
}

/// How many superseded versions are remembered: as many writes can be ahead of the watch.
const MAX_SUPERSEDED: usize = 8;

impl<S: Clone + Send + 'static> StatusMemo<S> {
    /// An empty memo.
    pub fn new(registry: &Registry) -> Self {
        Self { written: registry.per_object() }
    }

    /// Remembers that `status` was written and became `version`, newer than those `superseded`.
    pub fn wrote(
        &self,
        uid: &str,
        superseded: impl IntoIterator<Item = String>,
        version: Option<String>,
        status: S,
    ) {
        let known = self.written.with(uid, |before| std::mem::take(&mut before.superseded));
        let mut all: Vec<_> = known.unwrap_or_default().into_iter().chain(superseded).collect();
        all.dedup();
        all.retain(|old| Some(old) != version.as_ref());
        let surplus = all.len().saturating_sub(MAX_SUPERSEDED);
        all.drain(..surplus);
        self.written.put(uid, Written { superseded: all, version, status: Some(status) });
    }

    /// The status and version that are newer than `version` of the object.
    pub fn newer_than(&self, uid: &str, version: Option<&str>) -> Option<(S, Option<String>)> {
        let newer = |written: &mut Written<S>| {
            if written.version.as_deref() == version {
                written.forget_status();
            }
            let is_older = written.superseded.iter().any(|old| Some(old.as_str()) == version);
            Some((written.status.clone().filter(|_| is_older)?, written.version.clone()))
        };
        self.written.with(uid, newer).flatten()
    }

    /// Whether an object of this version, which the watch shows, is the result of our own last write. From then on its
    /// version alone is remembered.
    pub fn is_own_write(&self, uid: &str, version: Option<&str>) -> bool {
        let is_own = |written: &mut Written<S>| {
            let is_own = written.version.as_deref() == version;
            if is_own {
                written.forget_status();
            }
            is_own
        };
        self.written.with(uid, is_own).unwrap_or(false)
    }
}

impl<S> Written<S> {
    /// The cache has it by now.
    fn forget_status(&mut self) {
        (self.status, self.superseded) = (None, Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old(version: &str) -> [String; 1] {
        [version.to_owned()]
    }

    #[test]
    fn a_status_counts_until_the_watch_shows_it_or_a_newer_version() {
        let memo = StatusMemo::new(&Registry::default());
        memo.wrote("u", old("1"), Some("2".into()), "first");
        memo.wrote("u", old("2"), Some("3".into()), "second");
        for version in ["1", "2"] {
            assert_eq!(memo.newer_than("u", Some(version)), Some(("second", Some("3".to_owned()))));
        }
        assert_eq!(memo.newer_than("u", Some("4")), None, "somebody else wrote");
        assert_eq!(memo.newer_than("u", Some("3")), None, "the watch has shown it");
        assert_eq!(memo.newer_than("u", Some("2")), None, "and shows nothing older after that");
        assert!(memo.is_own_write("u", Some("3")) && !memo.is_own_write("u", Some("4")));
    }

    #[test]
    fn the_memory_of_one_object_is_bounded() {
        let memo = StatusMemo::new(&Registry::default());
        for version in 0..100 {
            memo.wrote("u", old(&version.to_string()), Some((version + 1).to_string()), ());
        }
        assert_eq!(memo.newer_than("u", Some("5")), None);
        assert!(memo.newer_than("u", Some("99")).is_some());
    }
}
