//! The name of every object and label that follows from a network or a node, in one place.
//!
//! ```text
//! network org-a   org-a-ca  org-a-default-deny  org-a-monitoring-prometheus      tessera-ca-<namespace>.org-a (operator's namespace)
//!                 image-check-org-a-<hash> (pod)  tessera-network-org-a (Report)
//! node node-a     node-a  node-a-p2p  node-a-exposed  node-a-config  node-a-dynamic  node-a-tls  node-a-admin-tls
//!                 node-a-client-quorum-a  tessera-node-node-a
//!                 tessera-node-a (StatefulSet)  tessera-node-a-0 (pod)  data-tessera-node-a-0 (claim)
//!                 tessera-node-node-a (Report)        tessera-backup-<namespace>.node-a (ConfigMap, operator's namespace)
//! ```
//!
//! Every name is a function of the object that it belongs to, so that an object that was deleted comes back under the
//! same name. No two meet, since networks and nodes have no name that is made of such words ([`RESERVED_ENDS`],
//! [`RESERVED_WORDS`]). One that somebody else has is `Stalled NameConflict`, never an adoption.

/// The operator's field manager, and the value of the label [`label::MANAGED_BY`].
pub const FIELD_MANAGER: &str = "tessera-operator";
/// The ServiceAccount that the operator logs in to the secret store as; the chart makes it in each managed namespace.
pub const PROVISIONER: &str = "tessera-provisioner";
/// The start of the name of every StatefulSet, pod and ServiceAccount of ours, reserved by the chart's admission policies:
/// a request to exec into a pod shows a policy the pod's name and nothing else of the pod.
pub const RESERVED_PREFIX: &str = "tessera-";
/// The pod that the operator asks to exec into, to see that the chart's policies deny exec. No pod may have this name: the
/// chart's policies see to that.
pub const EXEC_PROBE: &str = "tessera-exec-probe";

/// No network or node has a name with such an end: node `a-admin` would want the Secret of the admin port of node `a`.
pub const RESERVED_ENDS: [&str; 5] = ["-admin", "-p2p", "-exposed", "-default-deny", "-nodes-deny"];
/// No network or node has such a word in its name, but as the first: node `a-client` would want the Secret of client `tls` of
/// node `a`.
pub const RESERVED_WORDS: [&str; 2] = ["client", "monitoring"];

/// Keys and values of labels and annotations.
pub mod label {
    /// What an object is part of: [`NODE_APP`] or [`NETWORK_APP`].
    pub const NAME: &str = "app.kubernetes.io/name";
    /// Who writes an object: [`super::FIELD_MANAGER`].
    pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
    /// The network that an object belongs to.
    pub const NETWORK: &str = "tessera.rs/network";
    /// The node that an object belongs to; also what selects the node's pods.
    pub const NODE: &str = "tessera.rs/node";
    /// Annotation of a pod template: SHA-256 of the static configuration, so that a change of it rolls the pods.
    pub const CONFIG_HASH: &str = "tessera.rs/config-hash";
    /// Annotation of a pod template: the node's `spec.restartTrigger`, so that a change of it rolls the pods.
    pub const RESTART_TRIGGER: &str = "tessera.rs/restart-trigger";
    /// Annotation of what a node has in another namespace, where it can have no owner: [`super::node::path`] of the node.
    pub const OF_NODE: &str = "tessera.rs/of-node";
    /// Annotation of a Service: the keys of the annotations that the spec gave it, with commas between them, so that an annotation that is
    /// taken from the spec goes from the Service. Annotations of others stay.
    pub const GIVEN_ANNOTATIONS: &str = "tessera.rs/given-annotations";
    /// Label of a namespace that must not be deleted, since its volumes go with it.
    pub const PROTECT: &str = "tessera.rs/protect";
    /// Annotation of a TesseraNode: the payload store that may go on without the payloads of lost ones. Only a subject that
    /// may `create` the sub-resource `tesseranodes/accept-loss` may set it; the chart's policy sees to that.
    pub const ACCEPT_LOSS: &str = "tessera.rs/accept-loss";
    /// [`NAME`] of what belongs to a node.
    pub const NODE_APP: &str = "tessera-node";
    /// [`NAME`] of a ConfigMap with the backup of a node's keys. It is no object of the node: the operator never deletes it.
    pub const KEY_BACKUP_APP: &str = "tessera-key-backup";
    /// [`NAME`] of what belongs to a network.
    pub const NETWORK_APP: &str = "tessera-network";
    /// [`NAME`] of a pod that tries an image. Only the operator may give it; the chart's policy sees to that.
    pub const IMAGE_CHECK_APP: &str = "tessera-image-check";
}

/// Names that follow from a network.
pub mod network {
    /// The ConfigMap with the public bundle of the CA, for ledger nodes.
    pub fn ca_bundle(network: &str) -> String {
        format!("{network}-ca")
    }

    /// The ConfigMap with the P2P URLs of all nodes.
    pub fn peers(network: &str) -> String {
        format!("{network}-peers")
    }

    /// The NetworkPolicy that denies all traffic of the namespace.
    pub fn default_deny(network: &str) -> String {
        format!("{network}-default-deny")
    }

    /// The NetworkPolicy that denies all traffic of the network's node pods. It outlives each node, whose own policy goes
    /// before its pod does.
    pub fn nodes_deny(network: &str) -> String {
        format!("{network}-nodes-deny")
    }

    /// The Secret with the certificate of the scraper `scraper`.
    pub fn monitoring_secret(network: &str, scraper: &str) -> String {
        format!("{network}-monitoring-{scraper}")
    }

    /// The Secret with the certificate that the operator shows the network's secret store, if the network's CA issues it.
    pub fn store_client_secret(network: &str) -> String {
        format!("{network}-store-client")
    }

    /// The OpenReports `Report` of the network's checklist.
    pub fn report(network: &str) -> String {
        format!("tessera-network-{network}")
    }

    /// The pod that tries an image before a node that serves gets it. `hash` tells images, and where they are tried, apart.
    pub fn image_check(network: &str, hash: &str) -> String {
        format!("image-check-{network}-{hash}")
    }

    const CA_STATE: &str = "tessera-ca-";

    /// The Secret in the operator's namespace with both CAs of the network. Not by UID: a backup of the Secret must serve the
    /// same network in a cluster that was rebuilt. No two networks share a name: neither part holds a dot.
    pub fn ca_state(namespace: &str, network: &str) -> String {
        format!("{CA_STATE}{namespace}.{network}")
    }

    /// Namespace and name of the network whose CAs are in the Secret `name`.
    pub fn of_ca_state(name: &str) -> Option<(&str, &str)> {
        name.strip_prefix(CA_STATE)?.split_once('.')
    }
}

/// Names that follow from a node.
pub mod node {
    use super::RESERVED_PREFIX;

    /// The claim template of the node's volume, and so the start of the claim's name.
    pub const VOLUME_CLAIM: &str = "data";

    /// Namespace and name in one, as [`super::label::OF_NODE`] has them.
    pub fn path(namespace: &str, node: &str) -> String {
        format!("{namespace}/{node}")
    }

    /// Namespace and name of a node; `None`: nobody has such names. Others may have written it, and it becomes part of a
    /// request's path.
    pub fn of_path(path: &str) -> Option<(&str, &str)> {
        let is_name = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        path.split_once('/').filter(|(namespace, node)| is_name(namespace) && is_name(node))
    }

    /// The node's ServiceAccount. The admission policies of the chart go by this prefix.
    pub fn service_account(node: &str) -> String {
        format!("{RESERVED_PREFIX}node-{node}")
    }

    /// The StatefulSet.
    pub fn stateful_set(node: &str) -> String {
        format!("{RESERVED_PREFIX}{node}")
    }

    /// The pod with this ordinal.
    pub fn pod(node: &str, ordinal: u32) -> String {
        format!("{}-{ordinal}", stateful_set(node))
    }

    /// The volume claim of the pod with this ordinal.
    pub fn volume_claim(node: &str, ordinal: u32) -> String {
        format!("{VOLUME_CLAIM}-{}", pod(node, ordinal))
    }

    /// The Service for ledger nodes and scrapers.
    pub fn client_service(node: &str) -> String {
        node.to_owned()
    }

    /// The OpenReports `Report` of the node's checklist.
    pub fn report(node: &str) -> String {
        format!("{RESERVED_PREFIX}node-{node}")
    }

    /// The headless Service for other transaction managers and for the operator.
    pub fn p2p_service(node: &str) -> String {
        format!("{node}-p2p")
    }

    /// The Service for transaction managers of partners.
    pub fn exposed_service(node: &str) -> String {
        format!("{node}-exposed")
    }

    /// The ConfigMap with the static configuration.
    pub fn static_config(node: &str) -> String {
        format!("{node}-config")
    }

    /// The ConfigMap with the dynamic configuration: clients and keys.
    pub fn dynamic_config(node: &str) -> String {
        format!("{node}-dynamic")
    }

    /// The Secret with the node's certificate.
    pub fn tls_secret(node: &str) -> String {
        format!("{node}-tls")
    }

    /// The Secret with the certificate of the node's admin port.
    pub fn admin_tls_secret(node: &str) -> String {
        format!("{node}-admin-tls")
    }

    /// The Secret with the certificate of the ledger node `client`, for the ledger node to mount.
    pub fn client_secret(node: &str, client: &str) -> String {
        format!("{node}-client-{client}")
    }

    const KEY_BACKUP: &str = "tessera-backup-";

    /// The ConfigMap in the operator's namespace with the ciphertext of the node's keys. Not by UID: the backup must serve the same node in
    /// a cluster that was rebuilt. No two nodes share a name: neither part holds a dot.
    pub fn key_backup(namespace: &str, node: &str) -> String {
        format!("{KEY_BACKUP}{namespace}.{node}")
    }

    /// Namespace and name of the node whose backup is in the ConfigMap `name`.
    pub fn of_key_backup(name: &str) -> Option<(&str, &str)> {
        name.strip_prefix(KEY_BACKUP)?.split_once('.')
    }

    /// The key in that ConfigMap's data of who the node is: a backup file without keys.
    pub const KEY_BACKUP_HEAD: &str = "node.json";

    /// The key in that ConfigMap's data of one version. It names the public key (its base64 in the alphabet for file names), so that another key of
    /// the same name and version never takes the place of a key that was lost.
    pub fn key_backup_entry(key: &str, version: u32, public_key: &str) -> String {
        let public_key = public_key.trim_end_matches('=').replace('+', "-").replace('/', "_");
        format!("{key}.{version}.{public_key}.json")
    }

    /// The NetworkPolicy of the node's pods.
    pub fn network_policy(node: &str) -> String {
        node.to_owned()
    }

    /// The `PodDisruptionBudget`.
    pub fn disruption_budget(node: &str) -> String {
        node.to_owned()
    }

    /// The host name of a Service of the network's namespace, as certificates and URLs say it.
    pub fn service_host(service: &str, namespace: &str) -> String {
        format!("{service}.{namespace}.svc")
    }

    /// The URL for ledger nodes.
    pub fn q2t_url(node: &str, namespace: &str) -> String {
        format!("https://{}:8080/", service_host(&client_service(node), namespace))
    }

    /// The URL that the node advertises to other transaction managers.
    pub fn p2p_url(node: &str, namespace: &str) -> String {
        format!("https://{}:9000/", service_host(&p2p_service(node), namespace))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A label value and a Service name hold 63 characters; a pod's label `controller-revision-hash` is the name of the
    /// StatefulSet and eleven more.
    #[test]
    fn a_path_that_no_node_has_is_none() {
        assert_eq!(node::of_path(&node::path("org-a", "node-a")), Some(("org-a", "node-a")));
        for path in ["", "org-a", "/a", "org-a/", "org-a/../b", "org-a/a/status", "org-a/a?x", "org-a/A"] {
            assert_eq!(node::of_path(path), None, "{path:?}");
        }
    }

    #[test]
    fn the_backup_of_a_version_is_named_for_its_public_key() {
        let entry = node::key_backup_entry("main", 2, "BULeR8JyUWhiuuCMU/HLA0Q5pzkYT+cHII3ZKBey3Bo=");
        assert_eq!(entry, "main.2.BULeR8JyUWhiuuCMU_HLA0Q5pzkYT-cHII3ZKBey3Bo.json");
        assert_eq!(node::of_key_backup(&node::key_backup("org-a", "a")), Some(("org-a", "a")));
        assert_eq!(node::of_key_backup("tessera-ca-org-a.a"), None);
    }

    #[test]
    fn the_longest_names_fit_their_limits() {
        let longest = "n".repeat(40);
        assert!(node::p2p_service(&longest).len() <= 63);
        assert!(node::exposed_service(&longest).len() <= 63);
        assert!(node::stateful_set(&longest).len() + 11 <= 63);
        assert!(node::pod(&longest, 9).len() <= 63);
        assert!(node::service_account(&longest).len() <= 63);
        assert!(node::volume_claim(&longest, 9).len() <= 63);
        assert!(node::client_secret(&longest, &longest).len() <= 253);
        assert!(network::monitoring_secret(&longest, &longest).len() <= 253);
        assert!(network::ca_state(&"n".repeat(63), &longest).len() <= 253);
        assert!(node::key_backup(&"n".repeat(63), &longest).len() <= 253);
    }

    #[test]
    fn objects_of_one_kind_do_not_share_a_name() {
        let secrets = [
            node::tls_secret("x"),
            node::admin_tls_secret("x"),
            node::client_secret("x", "x"),
            network::monitoring_secret("x", "x"),
            network::ca_state("x", "x"),
        ];
        let config_maps = [node::static_config("x"), node::dynamic_config("x"), network::ca_bundle("x")];
        let services = [node::client_service("x"), node::p2p_service("x")];
        assert_eq!(BTreeSet::from(secrets).len(), 5);
        assert_eq!(BTreeSet::from(config_maps).len(), 3);
        assert_eq!(BTreeSet::from(services).len(), 2);
    }

    fn is_reserved(name: &str) -> bool {
        RESERVED_ENDS.iter().any(|end| name.ends_with(end))
            || RESERVED_WORDS.iter().any(|word| format!("{name}-").contains(&format!("-{word}-")))
    }

    /// All names of up to `most` words of which names of ours are made.
    fn words(most: usize) -> Vec<String> {
        const WORDS: [&str; 12] = [
            "x",
            "admin",
            "client",
            "monitoring",
            "tls",
            "p2p",
            "exposed",
            "default",
            "nodes",
            "deny",
            "config",
            "peers",
        ];
        let mut all: Vec<String> = WORDS.map(str::to_owned).into();
        let mut last = all.clone();
        for _ in 1..most {
            last = last.iter().flat_map(|start| WORDS.map(|word| format!("{start}-{word}"))).collect();
            all.extend(last.iter().cloned());
        }
        all
    }

    #[test]
    fn no_two_objects_of_networks_and_nodes_meet() {
        let mut owners = std::collections::HashMap::new();
        let mut own = |kind: &'static str, object: String, owner: String| {
            let before = owners.insert((kind, object), owner.clone());
            assert!(before.is_none_or(|before| before == owner), "{kind}: {owner} wants another's");
        };
        let clients = words(2);
        for name in words(3).iter().filter(|name| !is_reserved(name)) {
            let owner = format!("node {name}");
            own("Service", node::client_service(name), owner.clone());
            own("Service", node::p2p_service(name), format!("{owner}, p2p"));
            own("Service", node::exposed_service(name), format!("{owner}, exposed"));
            own("ConfigMap", node::static_config(name), owner.clone());
            own("ConfigMap", node::dynamic_config(name), format!("{owner}, dynamic"));
            own("Secret", node::tls_secret(name), owner.clone());
            own("Secret", node::admin_tls_secret(name), format!("{owner}, admin"));
            own("NetworkPolicy", node::network_policy(name), owner.clone());
            own("Report", node::report(name), owner.clone());
            for client in &clients {
                let owner = format!("{owner}, client {client}");
                own("Secret", node::client_secret(name, client), owner.clone());
                own("NetworkPolicy", node::client_secret(name, client), owner);
            }
            let owner = format!("network {name}");
            own("ConfigMap", network::ca_bundle(name), owner.clone());
            own("ConfigMap", network::peers(name), format!("{owner}, peers"));
            own("Report", network::report(name), owner.clone());
            own("NetworkPolicy", network::default_deny(name), format!("{owner}, default"));
            own("NetworkPolicy", network::nodes_deny(name), format!("{owner}, nodes"));
            for scraper in &clients {
                let owner = format!("{owner}, scraper {scraper}");
                own("Secret", network::monitoring_secret(name, scraper), owner.clone());
                own("NetworkPolicy", network::monitoring_secret(name, scraper), owner);
            }
        }
    }

    #[test]
    fn urls_name_the_services() {
        assert_eq!(node::q2t_url("node-a", "org-a"), "https://node-a.org-a.svc:8080/");
        assert_eq!(node::p2p_url("node-a", "org-a"), "https://node-a-p2p.org-a.svc:9000/");
    }

    #[test]
    fn the_name_of_a_ca_state_says_whose_it_is() {
        assert_eq!(network::ca_state("org-a", "main"), "tessera-ca-org-a.main");
        assert_ne!(network::ca_state("a-b", "c"), network::ca_state("a", "b-c"));
        assert_eq!(network::of_ca_state("tessera-ca-org-a.main"), Some(("org-a", "main")));
        for other in ["tessera-ca-org-a", "tessera-operator", "sh.helm.release.v1.tessera.v1"] {
            assert_eq!(network::of_ca_state(other), None);
        }
    }
}
