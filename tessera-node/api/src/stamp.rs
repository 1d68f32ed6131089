//! Whose a node's directory in the secret store is: a cluster and a network, by names that a person wrote. A UID would be
//! lost with the cluster's etcd, and the keys with it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The owner of a directory in the secret store. Shown and parsed as `<cluster>/<namespace>/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", rename_all = "camelCase")]
pub struct Stamp {
    cluster: String,
    network: String,
}

/// Why a text is no stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StampError {
    /// The cluster's name.
    #[error("cluster must be 1 to 63 lower-case letters, digits and '-', with no '-' at either end")]
    Cluster,
    /// The network's namespace and name.
    #[error("network must be <namespace>/<name>, as Kubernetes writes them")]
    Network,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    cluster: String,
    network: String,
}

impl Stamp {
    /// The stamp of the network `name` in `namespace` of `cluster`.
    pub fn new(cluster: &str, namespace: &str, name: &str) -> Result<Self, StampError> {
        if !is_label(cluster) {
            return Err(StampError::Cluster);
        }
        if !is_label(namespace) || !is_label(name) {
            return Err(StampError::Network);
        }
        Ok(Self { cluster: cluster.to_owned(), network: format!("{namespace}/{name}") })
    }

    /// From the two members that the store keeps.
    pub fn of_members(cluster: &str, network: &str) -> Result<Self, StampError> {
        let (namespace, name) = network.split_once('/').ok_or(StampError::Network)?;
        Self::new(cluster, namespace, name)
    }

    /// Namespace and name of the network.
    pub fn network(&self) -> (&str, &str) {
        self.network.split_once('/').unwrap_or_default()
    }
}

/// A DNS label, as clusters, namespaces and networks are called.
pub fn is_label(text: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=63).contains(&text.len())
        && text.bytes().all(plain)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

impl TryFrom<Unchecked> for Stamp {
    type Error = StampError;

    fn try_from(unchecked: Unchecked) -> Result<Self, StampError> {
        Self::of_members(&unchecked.cluster, &unchecked.network)
    }
}

impl FromStr for Stamp {
    type Err = StampError;

    fn from_str(text: &str) -> Result<Self, StampError> {
        let (cluster, network) = text.split_once('/').ok_or(StampError::Network)?;
        Self::of_members(cluster, network)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cluster, self.network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_written_as_it_is_read() {
        let stamp: Stamp = "prod-eu1/org-a/main".parse().unwrap();
        assert_eq!(stamp, Stamp::new("prod-eu1", "org-a", "main").unwrap());
        assert_eq!(stamp.network(), ("org-a", "main"));
        assert_eq!(stamp.to_string(), "prod-eu1/org-a/main");
        let json = serde_json::to_value(&stamp).unwrap();
        assert_eq!(json, serde_json::json!({"cluster": "prod-eu1", "network": "org-a/main"}));
        assert_eq!(serde_json::from_value::<Stamp>(json).unwrap(), stamp);
    }

    #[test]
    fn what_is_no_name_is_no_stamp() {
        for text in ["", "a", "a/b", "a/b/c/d", "A/b/c", "a/b/-c", "a//c", "a/b/c ", "a/b/c\n", "../b/c"] {
            assert!(text.parse::<Stamp>().is_err(), "{text:?}");
        }
        assert_eq!(Stamp::new(&"a".repeat(64), "b", "c"), Err(StampError::Cluster));
        assert_eq!(Stamp::new("a", "b", "c.d"), Err(StampError::Network));
        for json in [r#"{"cluster":"a"}"#, r#"{"cluster":"a","network":"b"}"#] {
            assert!(serde_json::from_str::<Stamp>(json).is_err(), "{json}");
        }
    }
}
