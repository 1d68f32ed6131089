//! What a secret store shows to its read-only auditor. Pure. Each fact may be missing: the auditor may not read it, or the store's
//! answer was none.

use std::sync::Arc;

use serde::Deserialize;
use tessera_store_objects::Wanted;

use super::facts::{NetworkFacts, StoreAnswer};

/// What came of asking a secret store as its auditor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditorAnswer {
    /// This process has not asked yet.
    NotAskedYet,
    /// The store itself does not answer.
    StoreSilent,
    /// There is no role for an auditor: an earlier `store-setup` made none.
    NotProvisioned,
    /// The auditor is not let in, or nobody could ask of late; why.
    Failed(String),
    /// The store shows this.
    Shows(Arc<AuditorFacts>),
}

/// What a secret store shows to its auditor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditorFacts {
    /// What `store-setup` writes for this network.
    pub wanted: Wanted,
    /// The policies that the auditor's login has.
    pub login_policies: Vec<String>,
    /// The role of nodes and operator.
    pub role: Option<RoleFacts>,
    /// The probe's role that must let the operator in.
    pub inside_role: Option<RoleFacts>,
    /// The probe's role that must not.
    pub outside_role: Option<RoleFacts>,
    /// What came of a login with the role that must let the operator in.
    pub inside: LoginOutcome,
    /// What came of a login with the other, with the same token.
    pub outside: LoginOutcome,
    /// The nodes' policy; empty: there is none.
    pub policy: Option<String>,
    /// The auditor's own policy.
    pub auditor_policy: Option<String>,
    /// The ways to log in, by mount.
    pub methods: Option<Vec<AuthMethod>>,
    /// Which of them ask for a second factor.
    pub enforcements: Option<Vec<MfaEnforcement>>,
    /// The audit devices, by path.
    pub devices: Option<Vec<AuditDevice>>,
    /// The settings of the key-value engine.
    pub kv: Option<KvFacts>,
}

/// What came of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginOutcome {
    /// It was let in.
    Served,
    /// It was refused with HTTP 403.
    Refused,
    /// Neither; what the store said.
    Unclear(String),
}

/// A role of the Kubernetes auth method, as the store shows it. A member that is missing has the value that binds least.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RoleFacts {
    bound_service_account_names: Option<Vec<String>>,
    bound_service_account_namespaces: Option<Vec<String>>,
    bound_service_account_namespace_selector: Option<String>,
    audience: Option<String>,
    alias_name_source: Option<String>,
    token_policies: Option<Vec<String>>,
    token_no_default_policy: bool,
    token_ttl: u64,
    token_max_ttl: u64,
    token_period: u64,
    token_bound_cidrs: Option<Vec<String>>,
}

/// An auth method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthMethod {
    /// Where it is mounted.
    pub mount: String,
    /// Its type.
    pub kind: String,
    /// What names it elsewhere in the store.
    pub accessor: String,
}

/// Who logs in by an auth method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Users {
    Machines,
    People,
    /// Its type does not say.
    Unclear,
}

/// What asks for a second factor at a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MfaEnforcement {
    /// How many factors it names; any one will do.
    pub factors: usize,
    /// The accessors of the auth methods that it speaks of.
    pub accessors: Vec<String>,
    /// The types of the auth methods that it speaks of.
    pub kinds: Vec<String>,
}

/// An audit device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditDevice {
    /// Its path.
    pub path: String,
    /// Its type.
    pub kind: String,
    /// Whether it writes to another machine, by its own settings.
    pub remote: bool,
    /// Whether it writes secrets in clear text (`log_raw`).
    pub raw: bool,
}

/// The settings of the key-value engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvFacts {
    /// Whether it keeps versions.
    pub is_version_2: bool,
    /// Whether a write must say which version it replaces.
    pub cas_required: bool,
    /// After how long it deletes a version by itself, in the store's words; `None`: never.
    pub deletes_after: Option<String>,
}

impl NetworkFacts<'_> {
    /// What came of asking the secret store as its auditor.
    pub(super) fn auditor(&self) -> &AuditorAnswer {
        match &self.store {
            StoreAnswer::NotAskedYet => &AuditorAnswer::NotAskedYet,
            StoreAnswer::Silent => &AuditorAnswer::StoreSilent,
            StoreAnswer::Shows(store) => &store.auditor,
        }
    }
}

impl RoleFacts {
    /// In which member, and how, the role differs from `wanted`, to the disadvantage of who relies on it: a shorter life of logins
    /// is none.
    pub(super) fn difference(&self, wanted: &Self) -> Option<String> {
        let (name, is, should) = self.other_holder(wanted).or_else(|| self.longer_life(wanted))?;
        Some(format!("{name} is {is}, and should be {should}"))
    }

    /// Who may log in, from where, and what the login may do.
    fn other_holder(&self, wanted: &Self) -> Option<(&'static str, String, String)> {
        let members = |role: &Self| {
            [
                ("bound_service_account_names", sorted(role.bound_service_account_names.as_ref())),
                ("bound_service_account_namespaces", sorted(role.bound_service_account_namespaces.as_ref())),
                ("token_policies", sorted(role.token_policies.as_ref())),
                ("token_bound_cidrs", sorted(role.token_bound_cidrs.as_ref())),
                (
                    "bound_service_account_namespace_selector",
                    text(role.bound_service_account_namespace_selector.as_ref()),
                ),
                ("audience", text(role.audience.as_ref())),
                ("alias_name_source", text(role.alias_name_source.as_ref())),
                ("token_no_default_policy", role.token_no_default_policy.to_string()),
            ]
        };
        let mut pairs = members(self).into_iter().zip(members(wanted));
        pairs.find(|(is, should)| is != should).map(|((name, is), (_, should))| (name, is, should))
    }

    /// Zero is the store's own default, which may be long; a period renews without end.
    fn longer_life(&self, wanted: &Self) -> Option<(&'static str, String, String)> {
        let mut times = [
            ("token_ttl", self.token_ttl, wanted.token_ttl),
            ("token_max_ttl", self.token_max_ttl, wanted.token_max_ttl),
        ]
        .into_iter()
        .filter(|(_, is, should)| *is == 0 || is > should);
        let time = times.next().map(|(name, is, should)| (name, is.to_string(), format!("1 to {should}")));
        time.or_else(|| {
            (self.token_period != 0).then(|| ("token_period", self.token_period.to_string(), "0".to_owned()))
        })
    }
}

fn sorted(list: Option<&Vec<String>>) -> String {
    let mut list: Vec<_> = list.into_iter().flatten().map(String::as_str).collect();
    list.sort_unstable();
    format!("{list:?}")
}

fn text(text: Option<&String>) -> String {
    format!("{:?}", text.map(String::as_str).unwrap_or_default())
}

impl AuthMethod {
    /// Who logs in by it. A plug-in that nobody here knows may be for anybody.
    pub(super) fn users(&self) -> Users {
        match self.kind.strip_prefix("vault-plugin-auth-").unwrap_or(&self.kind) {
            "token" | "ns_token" | "kubernetes" | "approle" | "aws" | "azure" | "gcp" | "alicloud" | "cf"
            | "pcf" | "oci" => Users::Machines,
            "userpass" | "ldap" | "oidc" | "okta" | "github" | "radius" | "kerberos" | "saml" => {
                Users::People
            }
            _ => Users::Unclear,
        }
    }

    /// Whether a login by it needs a second factor.
    pub(super) fn is_covered(&self, enforcements: &[MfaEnforcement]) -> bool {
        let covers = |enforcement: &MfaEnforcement| {
            enforcement.accessors.contains(&self.accessor) || enforcement.kinds.contains(&self.kind)
        };
        enforcements.iter().any(|enforcement| enforcement.factors > 0 && covers(enforcement))
    }
}
