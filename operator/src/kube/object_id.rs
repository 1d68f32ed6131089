//! Which object: kind, namespace and name.

use std::fmt;

use kube::Resource;

/// The identity of an object, as far as its name gives it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// The kind, for example `StatefulSet`.
    pub kind: String,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectId {
    /// The object of kind `K` called `name` in `namespace`.
    pub fn of<K: Resource<DynamicType = ()>>(namespace: &str, name: &str) -> Self {
        Self { kind: K::kind(&()).into_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// Whether it is of kind `K`.
    pub fn is_a<K: Resource<DynamicType = ()>>(&self) -> bool {
        self.kind == K::kind(&())
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}
