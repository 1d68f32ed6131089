//! The statuses that this process wrote and that its watch has not shown yet.
//!
//! Without it, a reconcile that follows at once would compare with the status from before, write the same again and tell
//! the same Events twice.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Statuses by UID, each with the resourceVersion that it was written upon.
pub struct StatusMemo<S> {
    written: Mutex<HashMap<String, (Option<String>, S)>>,
}

impl<S> Default for StatusMemo<S> {
    fn default() -> Self {
        Self { written: Mutex::default() }
    }
}

impl<S: Clone> StatusMemo<S> {
    /// Remembers what was written upon `version`.
    pub fn wrote(&self, uid: &str, version: Option<String>, status: S) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.insert(uid.to_owned(), (version, status));
    }

    /// What was written upon `version`: newer than what an object of that version shows.
    pub fn newer_than(&self, uid: &str, version: Option<&str>) -> Option<S> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let (upon, status) = written.get(uid)?;
        if upon.as_deref() == version {
            return Some(status.clone());
        }
        written.remove(uid);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_counts_until_the_watch_shows_another_version() {
        let memo = StatusMemo::default();
        memo.wrote("u", Some("1".into()), "new");
        assert_eq!(memo.newer_than("u", Some("1")), Some("new"));
        assert_eq!(memo.newer_than("u", Some("2")), None);
        assert_eq!(memo.newer_than("u", Some("1")), None);
    }
}
