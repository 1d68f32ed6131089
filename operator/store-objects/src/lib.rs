//! What the secret store must hold for a network: names and documents. Pure.
//!
//! `kubectl tessera store-setup` writes them as the store's administrator; the operator reads them back as the auditor and
//! compares. Both take them from here.
//!
//! ```text
//! policy tessera-<prefix>           role <role>                 nodes and operator log in: each node reaches its own keys
//! policy tessera-<prefix>-auditor   role <role>-auditor         the operator reads settings, no key
//!                                   role <role>-probe-inside    no policy; bound to sourceCIDRs: must let the operator in
//!                                   role <role>-probe-outside   no policy; bound to addresses of nobody: must not
//! ```

use serde_json::{Value, json};
use tessera_crds::api::secret_store::VaultStore;
use tessera_crds::names;

/// Seconds that a login lasts before it must be renewed.
const TOKEN_TTL: u64 = 3600;
/// Seconds after which a login can no longer be renewed, and its holder shows a fresh ServiceAccount token.
const TOKEN_MAX_TTL: u64 = 24 * 3600;
/// How the `ServiceAccount` of a node is called, with any node's name. The chart's admission policies let nobody but a node's own pod have a
/// token of one.
const NODE_SERVICE_ACCOUNTS: &str = "tessera-node-*";

/// Seconds that a login of the auditor or of a probe lasts. It is a batch token: it takes no place in the store and ends by itself.
const AUDIT_TTL: u64 = 60;
/// Addresses of documentation (RFC 5737), from which nobody connects.
pub const NOBODY: &str = "192.0.2.0/24";

/// Where a Vault in the cluster finds the API server.
pub const IN_CLUSTER_API: &str = "https://kubernetes.default.svc";

/// What the store must hold for a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The store's address as the network names it; also the audience of every login.
    pub address: String,
    /// Mount of the KV engine.
    pub kv_mount: String,
    /// What every path below the mount starts with.
    pub path_prefix: String,
    /// Mount of the Kubernetes auth method.
    pub auth_mount: String,
    /// Where the store reaches the API server, if the person says so.
    pub kubernetes_host: Option<String>,
    /// The role that nodes and operator log in with.
    pub role: String,
    /// The only namespace to log in from.
    pub namespace: String,
    /// The ServiceAccount that the operator looks in with.
    pub provisioner: String,
    /// The only networks that a login may be used from; empty: any.
    pub source_cidrs: Vec<String>,
}

impl Wanted {
    /// What `store` of a network in `namespace` needs.
    pub fn new(store: &VaultStore, namespace: &str, kubernetes_host: Option<String>) -> Self {
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
    pub fn policy_name(&self) -> String {
        format!("tessera-{}", self.path_prefix.replace('/', "-"))
    }

    /// Where the nodes of the namespace have their directories, below the mount.
    pub fn directory(&self) -> String {
        format!("{}/{}", self.path_prefix, self.namespace)
    }

    /// The first line of the policy. Two prefixes can have one policy name (`a/b` and `a-b`), so the policy says whose
    /// it is, and nobody else's is overwritten.
    pub fn policy_mark(&self) -> String {
        format!("# kubectl tessera store-setup: {}/{}", self.kv_mount, self.path_prefix)
    }

    /// The policy: each ServiceAccount reaches its own directory and no other, so one policy serves all nodes.
    ///
    /// `create` without `update`: a key is written once, and so is the stamp. A node's login can neither overwrite its keys
    /// nor take them back from the cluster that a person gave them to.
    /// The login's own upkeep is granted here, since Vault's default policy grants more and may be changed by others.
    pub fn policy(&self, accessor: &str) -> String {
        let alias = |field: &str| format!("{{{{identity.entity.aliases.{accessor}.metadata.{field}}}}}");
        let own = format!("{}/{}", alias("service_account_namespace"), alias("service_account_name"));
        let directory = format!("{}/data/{}/{own}", self.kv_mount, self.path_prefix);
        let grants = [
            (format!("{directory}/keys/*"), r#"["create", "read"]"#),
            (format!("{directory}/stamp"), r#"["create", "read"]"#),
            ("auth/token/lookup-self".to_owned(), r#"["read"]"#),
            ("auth/token/renew-self".to_owned(), r#"["update"]"#),
            ("auth/token/revoke-self".to_owned(), r#"["update"]"#),
        ];
        document(&self.policy_mark(), grants)
    }

    /// The auditor's policy: it reads settings, each by its whole path, and no key.
    ///
    /// Vault guards the list of audit devices with `sudo`; with `read` alone beside it, no device can be changed.
    pub fn auditor_policy(&self) -> String {
        let read = r#"["read"]"#;
        let role = |role: &str| (self.role_path(role), read);
        let grants = [
            ("sys/audit".to_owned(), r#"["read", "sudo"]"#),
            ("sys/auth".to_owned(), read),
            ("identity/mfa/login-enforcement".to_owned(), r#"["list"]"#),
            (format!("sys/mounts/{}", self.kv_mount), read),
            (format!("{}/config", self.kv_mount), read),
            (policy_path(&self.policy_name()), read),
            (policy_path(&self.auditor_policy_name()), read),
            role(&self.role),
            role(&self.inside_role()),
            role(&self.outside_role()),
        ];
        document(&self.auditor_policy_mark(), grants)
    }

    /// The role: who may log in, showing a token made for this store, and with which policy.
    pub fn role_document(&self) -> Value {
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

    /// The auditor's role: the operator alone, from the same networks as the nodes.
    pub fn auditor_role_document(&self) -> Value {
        self.provisioner_role(&[self.auditor_policy_name()], &self.source_cidrs)
    }

    /// A role without any policy that the operator must get in by, if its own address is among `source_cidrs`.
    pub fn inside_role_document(&self) -> Value {
        self.provisioner_role(&[], &self.source_cidrs)
    }

    /// The same role but for its addresses: the operator must not get in by it, if the store heeds addresses.
    pub fn outside_role_document(&self) -> Value {
        self.provisioner_role(&[], &[NOBODY.to_owned()])
    }

    fn provisioner_role(&self, policies: &[String], cidrs: &[String]) -> Value {
        json!({
            "bound_service_account_names": [self.provisioner],
            "bound_service_account_namespaces": [self.namespace],
            "audience": self.address,
            "alias_name_source": "serviceaccount_name",
            "token_policies": policies,
            "token_no_default_policy": true,
            "token_type": "batch",
            "token_ttl": AUDIT_TTL,
            "token_max_ttl": AUDIT_TTL,
            "token_bound_cidrs": cidrs,
        })
    }

    /// The name of the auditor's policy.
    pub fn auditor_policy_name(&self) -> String {
        format!("{}-auditor", self.policy_name())
    }

    /// The first line of the auditor's policy.
    pub fn auditor_policy_mark(&self) -> String {
        format!("{}, auditor", self.policy_mark())
    }

    /// The role that the operator reads settings with.
    pub fn auditor_role(&self) -> String {
        format!("{}-auditor", self.role)
    }

    /// The role without policy that lets the operator in.
    pub fn inside_role(&self) -> String {
        format!("{}-probe-inside", self.role)
    }

    /// The role without policy that does not.
    pub fn outside_role(&self) -> String {
        format!("{}-probe-outside", self.role)
    }

    /// Where `role` lies.
    pub fn role_path(&self, role: &str) -> String {
        format!("auth/{}/role/{role}", self.auth_mount)
    }
}

/// Where the policy `name` lies.
pub fn policy_path(name: &str) -> String {
    format!("sys/policies/acl/{name}")
}

fn document<const N: usize>(mark: &str, grants: [(String, &str); N]) -> String {
    let grant = |(path, capabilities)| format!("path \"{path}\" {{\n  capabilities = {capabilities}\n}}\n");
    format!("{mark}\n{}", grants.map(grant).concat())
}

/// Vault shows a network in lower case, and one of one address without its prefix length.
fn as_the_store_says(cidr: &str) -> String {
    let single = if cidr.contains(':') { "/128" } else { "/32" };
    cidr.strip_suffix(single).unwrap_or(cidr).to_ascii_lowercase()
}

#[cfg(test)]
fn example() -> Wanted {
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
    fn the_auditor_s_policy_names_whole_paths_and_has_sudo_for_the_audit_devices_alone() {
        let policy = example().auditor_policy();
        assert!(!policy.contains(['*', '+']), "{policy}");
        assert_eq!(policy.matches("sudo").count(), 1);
        assert!(
            policy.contains("path \"sys/audit\" {\n  capabilities = [\"read\", \"sudo\"]\n}"),
            "{policy}"
        );
        for verb in ["create", "update", "delete", "patch", "/data/"] {
            assert!(!policy.contains(verb), "{verb}: {policy}");
        }
        assert!(policy.starts_with("# kubectl tessera store-setup: secret/prod-eu1/org-a, auditor\n"));
        assert!(policy.contains("path \"auth/kubernetes/role/tessera-org-a-probe-outside\""), "{policy}");
    }

    #[test]
    fn the_operator_alone_has_the_auditor_s_and_the_probes_roles() {
        let wanted = example();
        let (inside, outside) = (wanted.inside_role_document(), wanted.outside_role_document());
        for role in [&wanted.auditor_role_document(), &inside, &outside] {
            assert_eq!(role["bound_service_account_names"], json!(["tessera-provisioner"]));
            assert_eq!(role["token_ttl"], 60);
            assert_eq!(role["token_type"], "batch");
        }
        assert_eq!(inside["token_policies"], json!([]));
        let differing = |role: &Value| {
            let mut role = role.clone();
            role["token_bound_cidrs"] = json!(null);
            role
        };
        assert_eq!(differing(&inside), differing(&outside), "they differ by their addresses alone");
    }

    #[test]
    fn a_single_address_is_written_as_vault_shows_it() {
        for (cidr, shown) in [
            ("192.0.2.7/32", "192.0.2.7"),
            ("2001:db8::7/128", "2001:db8::7"),
            ("192.0.2.0/28", "192.0.2.0/28"),
            ("2001:DB8::/32", "2001:db8::/32"),
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
