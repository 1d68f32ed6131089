//! What the store must hold for a network: names and documents. Pure.

use serde_json::{Value, json};
use tessera_crds::api::network::VaultStore;
use tessera_crds::names;

/// Seconds that a login lasts before it must be renewed.
const TOKEN_TTL: u64 = 3600;
/// Seconds after which a login can no longer be renewed, and its holder shows a fresh ServiceAccount token.
const TOKEN_MAX_TTL: u64 = 24 * 3600;
/// How the `ServiceAccount` of a node is called, with any node's name. The chart's admission policies let nobody but a node's own pod have a
/// token of one.
const NODE_SERVICE_ACCOUNTS: &str = "tessera-node-*";

/// Where a Vault in the cluster finds the API server.
pub(crate) const IN_CLUSTER_API: &str = "https://kubernetes.default.svc";

/// What the store must hold for a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The store's address as the network names it; also the audience of every login.
    pub(crate) address: String,
    /// Mount of the KV engine.
    pub(crate) kv_mount: String,
    /// What every path below the mount starts with.
    pub(crate) path_prefix: String,
    /// Mount of the Kubernetes auth method.
    pub(crate) auth_mount: String,
    /// Where the store reaches the API server, if the person says so.
    pub(crate) kubernetes_host: Option<String>,
    /// The role that nodes and operator log in with.
    pub(crate) role: String,
    /// The only namespace to log in from.
    pub(crate) namespace: String,
    /// The ServiceAccount that the operator looks in with.
    pub(crate) provisioner: String,
    /// The only networks that a login may be used from; empty: any.
    pub(crate) source_cidrs: Vec<String>,
}

impl Wanted {
    /// What `store` of a network in `namespace` needs.
    pub(crate) fn new(store: &VaultStore, namespace: &str, kubernetes_host: Option<String>) -> Self {
        Self {
            address: store.address.to_string(),
            kv_mount: store.kv.mount.to_string(),
            path_prefix: store.kv.path_prefix.to_string(),
            auth_mount: store.auth.mount.to_string(),
            kubernetes_host,
            role: store.auth.role.to_string(),
            namespace: namespace.to_owned(),
            provisioner: names::PROVISIONER.to_owned(),
            source_cidrs: store.source_cidrs.iter().map(|cidr| as_the_store_says(cidr)).collect(),
        }
    }

    /// The name of the policy.
    pub(crate) fn policy_name(&self) -> String {
        format!("tessera-{}", self.path_prefix.replace('/', "-"))
    }

    /// Where the nodes of the namespace have their directories, below the mount.
    pub(crate) fn directory(&self) -> String {
        format!("{}/{}", self.path_prefix, self.namespace)
    }

    /// The first line of the policy. Two prefixes can have one policy name (`a/b` and `a-b`), so the policy says whose
    /// it is, and nobody else's is overwritten.
    pub(crate) fn policy_mark(&self) -> String {
        format!("# kubectl tessera store-setup: {}/{}", self.kv_mount, self.path_prefix)
    }

    /// The policy: each ServiceAccount reaches its own directory and no other, so one policy serves all nodes.
    ///
    /// `create` without `update`: a key is written once, and so is the stamp. A node's login can neither overwrite its keys
    /// nor take them back from the cluster that a person gave them to.
    /// The login's own upkeep is granted here, since Vault's default policy grants more and may be changed by others.
    pub(crate) fn policy(&self, accessor: &str) -> String {
        let alias = |field: &str| format!("{{{{identity.entity.aliases.{accessor}.metadata.{field}}}}}");
        let own = format!("{}/{}", alias("service_account_namespace"), alias("service_account_name"));
        let directory = format!("{}/data/{}/{own}", self.kv_mount, self.path_prefix);
        let grant =
            |(path, capabilities)| format!("path \"{path}\" {{\n  capabilities = {capabilities}\n}}\n");
        let grants = [
            (format!("{directory}/keys/*"), r#"["create", "read"]"#),
            (format!("{directory}/stamp"), r#"["create", "read"]"#),
            ("auth/token/lookup-self".to_owned(), r#"["read"]"#),
            ("auth/token/renew-self".to_owned(), r#"["update"]"#),
            ("auth/token/revoke-self".to_owned(), r#"["update"]"#),
        ];
        format!("{}\n{}", self.policy_mark(), grants.map(grant).concat())
    }

    /// The role: who may log in, showing a token made for this store, and with which policy.
    pub(crate) fn role_document(&self) -> Value {
        json!({
            "bound_service_account_names": [NODE_SERVICE_ACCOUNTS, self.provisioner],
            "bound_service_account_namespaces": [self.namespace],
            "audience": self.address,
            "alias_name_source": "serviceaccount_name",
            "token_policies": [self.policy_name()],
            "token_no_default_policy": true,
            "token_ttl": TOKEN_TTL,
            "token_max_ttl": TOKEN_MAX_TTL,
            "token_bound_cidrs": self.source_cidrs,
        })
    }
}

/// Vault shows a network of one address without its prefix length.
fn as_the_store_says(cidr: &str) -> String {
    let single = if cidr.contains(':') { "/128" } else { "/32" };
    cidr.strip_suffix(single).unwrap_or(cidr).to_owned()
}

#[cfg(test)]
pub(super) fn example() -> Wanted {
    Wanted {
        address: "https://vault.vault.svc:8200".to_owned(),
        kv_mount: "secret".to_owned(),
        path_prefix: "prod-eu1/org-a".to_owned(),
        auth_mount: "kubernetes".to_owned(),
        kubernetes_host: None,
        role: "tessera-org-a".to_owned(),
        namespace: "org-a".to_owned(),
        provisioner: "tessera-provisioner".to_owned(),
        source_cidrs: vec!["10.244.0.0/16".to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_gives_each_its_own_directory() {
        let expected = r#"# kubectl tessera store-setup: secret/prod-eu1/org-a
path "secret/data/prod-eu1/org-a/{{identity.entity.aliases.auth_kubernetes_1.metadata.service_account_namespace}}/{{identity.entity.aliases.auth_kubernetes_1.metadata.service_account_name}}/keys/*" {
  capabilities = ["create", "read"]
}
path "secret/data/prod-eu1/org-a/{{identity.entity.aliases.auth_kubernetes_1.metadata.service_account_namespace}}/{{identity.entity.aliases.auth_kubernetes_1.metadata.service_account_name}}/stamp" {
  capabilities = ["create", "read"]
}
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
"#;
        assert_eq!(example().policy("auth_kubernetes_1"), expected);
        assert_eq!(example().policy_name(), "tessera-prod-eu1-org-a");
    }

    #[test]
    fn the_role_binds_audience_namespace_and_names() {
        let role = example().role_document();
        assert_eq!(role["audience"], "https://vault.vault.svc:8200");
        assert_eq!(role["bound_service_account_namespaces"], json!(["org-a"]));
        assert_eq!(role["bound_service_account_names"], json!(["tessera-node-*", "tessera-provisioner"]));
        assert_eq!(role["token_no_default_policy"], true);
        assert_eq!(role["token_bound_cidrs"], json!(["10.244.0.0/16"]));
    }

    #[test]
    fn a_single_address_is_written_as_vault_shows_it() {
        for (cidr, shown) in [
            ("192.0.2.7/32", "192.0.2.7"),
            ("2001:db8::7/128", "2001:db8::7"),
            ("192.0.2.0/28", "192.0.2.0/28"),
            ("2001:db8::/32", "2001:db8::/32"),
        ] {
            assert_eq!(as_the_store_says(cidr), shown);
        }
    }

    #[test]
    fn wanted_follows_the_network() {
        let store = serde_json::from_value(json!({
            "address": "https://vault.vault.svc:8200",
            "caBundleRef": {"name": "vault-ca"},
            "auth": {"role": "tessera-org-a"},
            "kv": {"pathPrefix": "prod-eu1/org-a"},
            "sourceCIDRs": ["10.244.0.0/16"],
        }))
        .unwrap();
        assert_eq!(Wanted::new(&store, "org-a", None), example());
    }
}
