//! What one watch last saw: objects of one kind in one namespace, by name and by one index.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use kube::runtime::watcher::Event;
use tokio::sync::watch;

/// An object as a cache keeps it.
pub trait Cached: Send + Sync + 'static {
    /// The name.
    fn name(&self) -> &str;
    /// The UID.
    fn uid(&self) -> &str;
    /// What the object is looked up by beside its name, for example its owner.
    fn index(&self) -> Option<&str>;
}

/// What an event of the watch did to one object.
pub struct Change<T> {
    /// The object before; `None`: it is new.
    pub before: Option<Arc<T>>,
    /// The object now; `None`: it was deleted.
    pub after: Option<Arc<T>>,
}

/// The objects of one kind in one namespace. Clones share them.
pub struct Cache<T>(Arc<Shared<T>>);

struct Shared<T> {
    objects: RwLock<Objects<T>>,
    filled: watch::Sender<bool>,
}

struct Objects<T> {
    by_name: HashMap<String, Arc<T>>,
    by_index: HashMap<String, BTreeSet<String>>,
    /// Names that the list under way has shown so far.
    listed: HashSet<String>,
}

impl<T> Clone for Cache<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        let objects = Objects { by_name: HashMap::new(), by_index: HashMap::new(), listed: HashSet::new() };
        Self(Arc::new(Shared { objects: RwLock::new(objects), filled: watch::Sender::new(false) }))
    }
}

impl<T: Cached> Cache<T> {
    /// The object called `name`.
    pub fn get(&self, name: &str) -> Option<Arc<T>> {
        self.read().by_name.get(name).cloned()
    }

    /// All objects.
    pub fn objects(&self) -> Vec<Arc<T>> {
        self.read().by_name.values().cloned().collect()
    }

    /// All objects with this index, by name.
    pub fn indexed(&self, index: &str) -> Vec<Arc<T>> {
        let objects = self.read();
        let names = objects.by_index.get(index);
        names.into_iter().flatten().filter_map(|name| objects.by_name.get(name).cloned()).collect()
    }

    /// Whether the first list is complete.
    pub fn is_filled(&self) -> bool {
        *self.0.filled.borrow()
    }

    /// Waits until the first list is complete.
    pub async fn until_filled(&self) {
        // The sender lives as long as this cache.
        let _ = self.0.filled.subscribe().wait_for(|filled| *filled).await;
    }

    /// Takes in an event of the watch, with each object turned into what is kept of it.
    pub fn take_in<K>(&self, event: Event<K>, keep: impl Fn(K) -> T) -> Vec<Change<T>> {
        match event {
            Event::Init => {
                self.write().listed.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                let object = keep(object);
                let mut objects = self.write();
                objects.listed.insert(object.name().to_owned());
                vec![objects.put(object)]
            }
            Event::InitDone => {
                let gone = self.write().drop_unlisted();
                self.0.filled.send_replace(true);
                gone
            }
            Event::Apply(object) => vec![self.write().put(keep(object))],
            Event::Delete(object) => self.write().remove(keep(object).name()).into_iter().collect(),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Objects<T>> {
        self.0.objects.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Objects<T>> {
        self.0.objects.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Cached> Objects<T> {
    fn put(&mut self, object: T) -> Change<T> {
        let object = Arc::new(object);
        let before = self.remove(object.name()).and_then(|change| change.before);
        if let Some(index) = object.index() {
            self.by_index.entry(index.to_owned()).or_default().insert(object.name().to_owned());
        }
        self.by_name.insert(object.name().to_owned(), Arc::clone(&object));
        Change { before, after: Some(object) }
    }

    fn remove(&mut self, name: &str) -> Option<Change<T>> {
        let before = self.by_name.remove(name)?;
        if let Some(index) = before.index()
            && let Some(names) = self.by_index.get_mut(index)
        {
            names.remove(name);
            if names.is_empty() {
                self.by_index.remove(index);
            }
        }
        Some(Change { before: Some(before), after: None })
    }

    fn drop_unlisted(&mut self) -> Vec<Change<T>> {
        let listed = std::mem::take(&mut self.listed);
        let gone: Vec<_> = self.by_name.keys().filter(|name| !listed.contains(*name)).cloned().collect();
        gone.iter().filter_map(|name| self.remove(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pet {
        name: &'static str,
        owner: &'static str,
    }

    impl Cached for Pet {
        fn name(&self) -> &str {
            self.name
        }

        fn uid(&self) -> &str {
            self.name
        }

        fn index(&self) -> Option<&str> {
            Some(self.owner)
        }
    }

    fn names(cache: &Cache<Pet>, owner: &str) -> Vec<&'static str> {
        cache.indexed(owner).iter().map(|pet| pet.name).collect()
    }

    fn take_in(cache: &Cache<Pet>, event: Event<(&'static str, &'static str)>) -> Vec<Change<Pet>> {
        cache.take_in(event, |(name, owner)| Pet { name, owner })
    }

    #[test]
    fn the_index_follows_the_objects() {
        let cache = Cache::default();
        take_in(&cache, Event::Apply(("b", "x")));
        take_in(&cache, Event::Apply(("a", "x")));
        assert_eq!(names(&cache, "x"), ["a", "b"]);
        let changes = take_in(&cache, Event::Apply(("a", "y")));
        assert_eq!(changes[0].before.as_ref().map(|pet| pet.owner), Some("x"));
        assert_eq!((names(&cache, "x"), names(&cache, "y")), (vec!["b"], vec!["a"]));
        assert_eq!(take_in(&cache, Event::Delete(("b", "x"))).len(), 1);
        assert!(names(&cache, "x").is_empty() && cache.get("b").is_none());
    }

    #[test]
    fn a_list_removes_what_it_does_not_show_and_fills_the_cache() {
        let cache = Cache::default();
        take_in(&cache, Event::Apply(("gone", "x")));
        take_in(&cache, Event::Init);
        take_in(&cache, Event::InitApply(("a", "x")));
        assert!(!cache.is_filled() && cache.get("gone").is_some());
        let changes = take_in(&cache, Event::InitDone);
        assert_eq!(changes.len(), 1);
        assert!(changes[0].after.is_none());
        assert!(cache.is_filled() && cache.get("gone").is_none());
        assert_eq!(names(&cache, "x"), ["a"]);
    }
}
