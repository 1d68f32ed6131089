//! What the search for credentials in a namespace, and in the operator's own log, came to. Pure. A part that was not searched proves nothing.

use std::collections::BTreeSet;

use tessera_node_api::admin::LogSearchStatus;

/// What is known of the credentials that a namespace's objects hold in clear text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearTextFacts {
    /// How many rules searched; `None`: they did not find the credential that is shown to them as a control.
    pub rules: Option<usize>,
    /// The kinds of object that were searched and are still watched.
    pub searched: Vec<String>,
    /// What was not searched, and why.
    pub not_searched: Vec<String>,
    /// Kinds whose first list is under way.
    pub pending: Vec<String>,
    /// How many objects were searched, pods aside, which come and go.
    pub objects: usize,
    /// What was found.
    pub found: BTreeSet<FoundCredential>,
    /// What was found in the log of this process.
    pub operator_log: LogSearchStatus,
}

/// A credential: where, and which rule found it. Never the credential.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FoundCredential {
    /// Whether the object is a pod that another object makes: of two, the maker is named.
    pub in_pod_of_another: bool,
    /// The object, for example `ConfigMap app`; for a pod that another makes, that one.
    pub object: String,
    /// The path of the field.
    pub path: String,
    /// The rule.
    pub rule: &'static str,
}
