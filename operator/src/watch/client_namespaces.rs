//! Namespaces that are not managed, and that hold Secrets of clients: a ledger's certificate is kept where the ledger is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::cache::Cache;
use super::kept::KeptSecret;

/// Which namespaces may hold Secrets of clients, of whose nodes, and what the watches saw there. Clones share it.
#[derive(Clone, Default)]
pub struct ClientNamespaces(Arc<BTreeMap<String, ClientNamespace>>);

#[derive(Default)]
struct ClientNamespace {
    given_to: BTreeSet<String>,
    secrets: Cache<KeptSecret>,
}

impl ClientNamespaces {
    /// Of pairs of a namespace and a managed namespace whose nodes it is given to.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut namespaces: BTreeMap<String, ClientNamespace> = BTreeMap::new();
        for (namespace, managed) in pairs {
            namespaces.entry(namespace.to_owned()).or_default().given_to.insert(managed.to_owned());
        }
        Self(Arc::new(namespaces))
    }

    /// Our Secrets in `namespace`, by the node that each is made for; `None`: it is not given to nodes of `managed`.
    pub fn given_to(&self, managed: &str, namespace: &str) -> Option<&Cache<KeptSecret>> {
        let namespace = self.0.get(namespace)?;
        namespace.given_to.contains(managed).then_some(&namespace.secrets)
    }

    /// Each namespace, and our Secrets there.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Cache<KeptSecret>)> {
        self.0.iter().map(|(name, namespace)| (name.as_str(), &namespace.secrets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_open_to_those_only_that_it_is_given_to() {
        let all = ClientNamespaces::new([("ledger-a", "org-a"), ("shared", "org-a"), ("shared", "org-b")]);
        let may = |managed, namespace| all.given_to(managed, namespace).is_some();
        assert!(may("org-a", "ledger-a") && may("org-a", "shared") && may("org-b", "shared"));
        assert!(!may("org-b", "ledger-a") && !may("org-a", "ledger-b") && !may("org-a", "org-a"));
        assert_eq!(all.all().map(|(name, _)| name).collect::<Vec<_>>(), ["ledger-a", "shared"]);
    }
}
