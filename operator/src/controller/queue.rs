//! A fair work queue.
//!
//! ```text
//! touch ──► ready (first in, first out) ──► next ──► work ──► done ──► due (waits for its time) ──► ready
//!              each key at most once                 at most one worker a key; a touch meanwhile makes it ready again
//! ```
//!
//! A key that was worked on less than the pause ago waits for the rest of the pause: a burst of touches is one or two
//! rounds of work, and no number of touches postpones them. Memory is bounded by the number of keys.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// A queue of `K`s.
pub struct Queue<K> {
    state: Mutex<State<K>>,
    changed: Notify,
    pause: Duration,
}

struct State<K> {
    entries: HashMap<K, Entry>,
    ready: VecDeque<K>,
    due: BTreeMap<(Instant, u64), K>,
    sequence: u64,
}

struct Entry {
    phase: Phase,
    started: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waits for its time.
    Due((Instant, u64)),
    /// Waits for a worker.
    Ready,
    /// Is worked on; `true`: and was touched meanwhile.
    Running(bool),
}

impl<K: Clone + Eq + Hash> Queue<K> {
    /// An empty queue that starts work on one key at most once in `pause`.
    pub fn new(pause: Duration) -> Self {
        let state =
            State { entries: HashMap::new(), ready: VecDeque::new(), due: BTreeMap::new(), sequence: 0 };
        Self { state: Mutex::new(state), changed: Notify::new(), pause }
    }

    /// Asks for work on `key` as soon as may be.
    pub fn touch(&self, key: &K) {
        let now = Instant::now();
        self.lock().touch(key, now, self.pause);
        self.changed.notify_one();
    }

    /// Asks for work on `key` in `wait` at the latest.
    pub fn touch_within(&self, key: &K, wait: Duration) {
        self.lock().bring_forward(key, Instant::now() + wait);
        self.changed.notify_one();
    }

    /// Waits for the next key to work on. The caller owes a [`Queue::done`].
    pub async fn next(&self) -> K {
        loop {
            let changed = self.changed.notified();
            let now = Instant::now();
            let (taken, next_due, more) = {
                let mut state = self.lock();
                state.ripen(now);
                let taken = state.take(now);
                (taken, state.next_due(), !state.ready.is_empty())
            };
            if let Some(key) = taken {
                // Another worker takes over waiting for what remains.
                if more || next_due.is_some() {
                    self.changed.notify_one();
                }
                return key;
            }
            match next_due {
                Some(at) => tokio::select! { () = changed => {}, () = sleep_until(at) => {} },
                None => changed.await,
            }
        }
    }

    /// Work on `key` ended; it is due again in `wait`, or only when it is touched.
    pub fn done(&self, key: &K, wait: Option<Duration>) {
        let now = Instant::now();
        self.lock().done(key, wait.map(|wait| now + wait), now, self.pause);
        self.changed.notify_one();
    }

    /// How many keys wait for a worker.
    pub fn depth(&self) -> usize {
        self.lock().ready.len()
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash> State<K> {
    fn touch(&mut self, key: &K, now: Instant, pause: Duration) {
        match self.entries.get(key).map(|entry| (entry.phase, entry.started)) {
            Some((Phase::Ready, _)) => {}
            Some((Phase::Running(_), started)) => self.set(key, Phase::Running(true), started),
            Some((Phase::Due(_), Some(started))) if started + pause > now => {
                self.bring_forward(key, started + pause);
            }
            Some((Phase::Due(at), started)) => {
                self.due.remove(&at);
                self.make_ready(key, started);
            }
            None => self.make_ready(key, None),
        }
    }

    fn bring_forward(&mut self, key: &K, at: Instant) {
        match self.entries.get(key).map(|entry| (entry.phase, entry.started)) {
            Some((Phase::Due(before), started)) if at < before.0 => {
                self.due.remove(&before);
                self.make_due(key, at, started);
            }
            Some(_) => {}
            None => self.make_due(key, at, None),
        }
    }

    fn ripen(&mut self, now: Instant) {
        while let Some(first) = self.due.first_entry().filter(|first| first.key().0 <= now) {
            let key = first.remove();
            let started = self.entries.get(&key).and_then(|entry| entry.started);
            self.make_ready(&key, started);
        }
    }

    fn take(&mut self, now: Instant) -> Option<K> {
        let key = self.ready.pop_front()?;
        self.set(&key, Phase::Running(false), Some(now));
        Some(key)
    }

    fn done(&mut self, key: &K, again: Option<Instant>, now: Instant, pause: Duration) {
        let Some(entry) = self.entries.get(key) else { return };
        let started = entry.started;
        if entry.phase == Phase::Running(true) {
            let at = started.map_or(now, |started| started + pause);
            return self.make_due(key, at, started);
        }
        match again {
            Some(at) => self.make_due(key, at, started),
            None => {
                self.entries.remove(key);
            }
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    fn make_ready(&mut self, key: &K, started: Option<Instant>) {
        self.ready.push_back(key.clone());
        self.set(key, Phase::Ready, started);
    }

    fn make_due(&mut self, key: &K, at: Instant, started: Option<Instant>) {
        self.sequence += 1;
        let place = (at, self.sequence);
        self.due.insert(place, key.clone());
        self.set(key, Phase::Due(place), started);
    }

    fn set(&mut self, key: &K, phase: Phase, started: Option<Instant>) {
        self.entries.insert(key.clone(), Entry { phase, started });
    }
}

#[cfg(test)]
mod tests;
