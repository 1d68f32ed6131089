//! Whether the database can be used, as its links see it.

use std::time::SystemTime;

use tokio::sync::watch;

/// Follows the links. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Health(watch::Sender<State>);

#[derive(Debug, Clone)]
struct State {
    /// For each link why it has no connection; none: it has one.
    links: Vec<Option<String>>,
    /// Why the database cannot be used, and since when; none: since when it can.
    failure: Option<String>,
    since: SystemTime,
}

/// The changes since it was made.
#[derive(Debug)]
pub struct HealthChanges(watch::Receiver<State>);

impl HealthChanges {
    /// Resolves when the failure is another, or none; pending once the database is closed.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Links of this kind: one of each must be up.
pub(crate) type Kinds<'a> = &'a [std::ops::Range<usize>];

impl Health {
    pub(crate) fn new(links: usize) -> Self {
        let waiting = "not connected yet".to_owned();
        Self(watch::Sender::new(State {
            links: vec![Some(waiting.clone()); links],
            failure: Some(waiting),
            since: SystemTime::now(),
        }))
    }

    /// Why the database cannot be used; none: it can.
    pub fn failure(&self) -> Option<String> {
        self.0.borrow().failure.clone()
    }

    /// Since when it can or cannot be used.
    pub fn since(&self) -> SystemTime {
        self.0.borrow().since
    }

    /// Follows the answer of [`Self::failure`].
    pub fn subscribe(&self) -> HealthChanges {
        HealthChanges(self.0.subscribe())
    }

    /// Records the state of a link. Subscribers wake, and the log has a line, only when the state of the whole database changes.
    pub(crate) fn note(&self, link: usize, failure: Option<String>, kinds: Kinds<'_>) {
        self.0.send_if_modified(|state| {
            state.links[link] = failure;
            let failure = kinds.iter().find_map(|kind| {
                let links = &state.links[kind.clone()];
                links.iter().all(Option::is_some).then(|| links.iter().flatten().next().cloned()).flatten()
            });
            let is_switched = failure.is_some() != state.failure.is_some();
            let is_changed = failure != state.failure;
            if is_switched {
                state.since = SystemTime::now();
                if let Some(reason) = &failure {
                    tracing::error!(reason, "the database cannot be used");
                } else {
                    tracing::info!("the database can be used");
                }
            }
            state.failure = failure;
            is_changed
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_can_be_used_while_one_link_of_each_kind_is_up() {
        let kinds = [0..2, 2..4];
        let health = Health::new(4);
        assert_eq!(health.failure().as_deref(), Some("not connected yet"));
        health.note(0, None, &kinds);
        assert!(health.failure().is_some());
        health.note(3, None, &kinds);
        assert_eq!(health.failure(), None);
        health.note(3, Some("refused".to_owned()), &kinds);
        assert_eq!(health.failure().as_deref(), Some("not connected yet"));
        health.note(2, None, &kinds);
        assert_eq!(health.failure(), None);
    }
}
