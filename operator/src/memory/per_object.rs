//! Memory of one fact per object, released when the object is deleted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One `T` per object, by UID. Made by a [`Registry`] alone, so that none outlives its object.
pub struct PerObject<T>(Mutex<HashMap<String, T>>);

impl<T> Default for PerObject<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> PerObject<T> {
    /// Remembers `value` of the object with this UID.
    pub fn put(&self, uid: &str, value: T) {
        self.lock().insert(uid.to_owned(), value);
    }

    /// Releases the memory of the object with this UID.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// Reads or changes the value in place; `None`: nothing is remembered.
    pub fn with<R>(&self, uid: &str, use_it: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.lock().get_mut(uid).map(use_it)
    }

    /// How many objects are remembered.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether no object is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> PerObject<T> {
    /// The value of the object with this UID.
    pub fn get(&self, uid: &str) -> Option<T> {
        self.lock().get(uid).cloned()
    }
}

impl<T: Default> PerObject<T> {
    /// Reads or changes the value in place, made by default if there is none.
    pub fn with_default<R>(&self, uid: &str, use_it: impl FnOnce(&mut T) -> R) -> R {
        use_it(self.lock().entry(uid.to_owned()).or_default())
    }
}

trait Forget: Send + Sync {
    fn forget(&self, uid: &str);
}

impl<T: Send> Forget for PerObject<T> {
    fn forget(&self, uid: &str) {
        Self::forget(self, uid);
    }
}

/// Every [`PerObject`] of the process, so that one call releases all memory of a deleted object.
#[derive(Default)]
pub struct Registry(Mutex<Vec<Arc<dyn Forget>>>);

impl Registry {
    /// A new memory that [`Registry::forget`] knows.
    pub fn per_object<T: Send + 'static>(&self) -> Arc<PerObject<T>> {
        let memory = Arc::new(PerObject::default());
        let known: Arc<dyn Forget> = Arc::<PerObject<T>>::clone(&memory);
        self.lock().push(known);
        memory
    }

    /// The object with this UID was deleted: releases all memory of it, in the order in which the memories were made.
    pub fn forget(&self, uid: &str) {
        for memory in &*self.lock() {
            memory.forget(uid);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<dyn Forget>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_object_is_forgotten_everywhere_and_no_other_is() {
        let registry = Registry::default();
        let (names, counts) = (registry.per_object::<String>(), registry.per_object::<u32>());
        for uid in ["a", "b"] {
            names.put(uid, uid.to_owned());
            counts.with_default(uid, |count| *count += 1);
        }
        registry.forget("a");
        assert_eq!((names.get("a"), counts.get("a")), (None, None));
        assert_eq!((names.get("b").as_deref(), counts.get("b")), (Some("b"), Some(1)));
        assert_eq!((names.len(), counts.is_empty()), (1, false));
    }
}
