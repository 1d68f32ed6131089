//! The steps, in order: each looks first, and writes only what is not yet so.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};
use tessera_store_objects::{IN_CLUSTER_API, Wanted, policy_path};

use crate::vault::{Store, VaultError};

use super::runbook;

/// The auth method's types, the built-in one first. A Vault without built-in plug-ins has it under its own name.
const AUTH_TYPES: [&str; 2] = ["kubernetes", "vault-plugin-auth-kubernetes"];

/// How often, and how far apart, an engine that was just made is asked.
const UPGRADE_TRIES: u32 = 40;
const UPGRADE_PAUSE: Duration = Duration::from_millis(250);

/// Why the store cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    /// The store refused or did not answer.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The mount is another engine.
    #[error(
        "mount {mount:?} is {found}, not a key-value engine of version 2: choose another spec.secretStore.vault.kv.mount, or upgrade it with `vault kv enable-versioning`"
    )]
    NotKv2 {
        /// The mount.
        mount: String,
        /// What it is.
        found: String,
    },
    /// The auth mount is another method.
    #[error(
        "auth mount {mount:?} is of type {found:?}, not kubernetes: choose another spec.secretStore.vault.auth.mount"
    )]
    NotKubernetes {
        /// The mount.
        mount: String,
        /// Its type.
        found: String,
    },
    /// The store has no such auth method.
    #[error(
        "the secret store has no Kubernetes auth method: register the plug-in vault-plugin-auth-kubernetes in its catalog"
    )]
    NoAuthPlugin,
    /// The auth mount was enabled and does not show.
    #[error("auth mount {0:?} was enabled and is not listed: run this again")]
    NotListed(String),
    /// The store is outside of the cluster, so it has no ServiceAccount to check logins with.
    #[error(
        "the secret store does not run in a pod of this cluster, so it cannot check logins by itself: write kubernetes_host, kubernetes_ca_cert and token_reviewer_jwt to {path:?} as its administrator, then run this again"
    )]
    NoReviewer {
        /// Where the configuration belongs.
        path: String,
    },
    /// The policy is of another path.
    #[error(
        "policy {name:?} exists and is not that of {mark:?}: choose another spec.secretStore.vault.kv.pathPrefix, or delete the policy if it is not used"
    )]
    ForeignPolicy {
        /// The policy.
        name: String,
        /// The mark it should have.
        mark: String,
    },
    /// The role is of another namespace.
    #[error(
        "role {role:?} admits the namespaces {found}: choose another spec.secretStore.vault.auth.role, or delete the role if it is not used"
    )]
    ForeignRole {
        /// The role.
        role: String,
        /// The namespaces.
        found: String,
    },
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(super) outcome: Outcome,
    pub(super) what: String,
    /// What a person would type instead; of a dry run alone.
    pub(super) command: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    AlreadySo,
    Done,
    WouldDo,
    Kept,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::AlreadySo => "already so",
            Outcome::Done => "done",
            Outcome::WouldDo => "would do",
            Outcome::Kept => "kept",
        };
        write!(f, "{outcome:<10}  {}", self.what)?;
        let lines = self.command.iter().flat_map(|command| command.lines());
        lines.into_iter().try_for_each(|line| write!(f, "\n              {line}"))
    }
}

/// The steps with what they work on.
pub(crate) struct Setup<'a, S> {
    pub(crate) store: &'a S,
    pub(crate) wanted: &'a Wanted,
    pub(crate) dry_run: bool,
}

impl<S: Store> Setup<'_, S> {
    /// All steps; `show` gets each as it ends. The role comes last: until then nobody can log in to a store that is
    /// half set up.
    pub(crate) async fn run(&self, mut show: impl FnMut(Step)) -> Result<(), SetupError> {
        let engine = self.kv_engine().await?;
        let engine_outcome = engine.outcome;
        show(engine);
        show(self.check_and_set(engine_outcome).await?);
        let (step, accessor) = self.auth_method().await?;
        show(step);
        let mounted = accessor.is_some();
        show(self.auth_config(mounted).await?);
        show(self.node_policy(accessor.as_deref()).await?);
        show(self.auditor_policy().await?);
        for (role, document, what) in self.operator_s_roles() {
            show(self.role(&role, &document, mounted, &what).await?);
        }
        let what = format!("ServiceAccounts of namespace {} may log in", self.wanted.namespace);
        show(self.role(&self.wanted.role, &self.wanted.role_document(), mounted, &what).await?);
        Ok(())
    }

    async fn kv_engine(&self) -> Result<Step, SetupError> {
        let mount = &self.wanted.kv_mount;
        let what = format!("key-value engine, version 2, at {mount}/");
        if self.kv_engine_is_there().await? {
            return Ok(already(what));
        }
        let body = json!({"type": "kv", "options": {"version": "2"}});
        match self.change(&format!("sys/mounts/{mount}"), &body, what.clone()).await {
            Err(SetupError::Vault(error)) if in_use(&error) && self.kv_engine_is_there().await? => {
                Ok(already(what))
            }
            outcome => outcome,
        }
    }

    async fn kv_engine_is_there(&self) -> Result<bool, SetupError> {
        let mount = &self.wanted.kv_mount;
        let mounts = self.store.read("sys/mounts").await?.unwrap_or_default();
        let Some(found) = mounts.get(format!("{mount}/")) else { return Ok(false) };
        if text(found, "type") == "kv" && text(&found["options"], "version") == "2" {
            return Ok(true);
        }
        let found = format!("{} version {:?}", text(found, "type"), text(&found["options"], "version"));
        Err(SetupError::NotKv2 { mount: mount.clone(), found })
    }

    /// Without check-and-set a client that does not ask for it overwrites a key. Who else writes to an engine that was there
    /// before would be refused from now on, so that one is left to its owner.
    async fn check_and_set(&self, engine: Outcome) -> Result<Step, SetupError> {
        let mount = &self.wanted.kv_mount;
        let path = format!("{mount}/config");
        let what = format!("check-and-set is required at {mount}/");
        let body = json!({"cas_required": true});
        if engine == Outcome::WouldDo {
            return Ok(would(&path, &body, what));
        }
        let found = self.kv_config(&path).await?;
        if found.is_some_and(|found| found["cas_required"] == true) {
            return Ok(already(what));
        }
        if engine == Outcome::Done {
            return self.change(&path, &body, what).await;
        }
        let what = format!(
            "check-and-set is not required at {mount}/: if all who write there use it, require it with `vault write {path} cas_required=true`"
        );
        Ok(Step { outcome: Outcome::Kept, what, command: None })
    }

    /// A new engine refuses all requests for a moment.
    async fn kv_config(&self, path: &str) -> Result<Option<Value>, SetupError> {
        let mut tries = 0;
        loop {
            match self.store.read(path).await {
                Err(VaultError::Refused { errors, .. })
                    if tries < UPGRADE_TRIES && errors.contains("Upgrading from non-versioned") =>
                {
                    tries += 1;
                    tokio::time::sleep(UPGRADE_PAUSE).await;
                }
                found => return Ok(found?),
            }
        }
    }

    /// The auth method and its accessor, by which the policy names who logged in through it. No accessor: it is not
    /// there yet, which only a dry run leaves so.
    async fn auth_method(&self) -> Result<(Step, Option<String>), SetupError> {
        let mount = &self.wanted.auth_mount;
        let what = |kind: &str| format!("auth method {kind} at auth/{mount}/");
        if let Some(found) = self.auth_mount().await? {
            let kind = text(&found, "type");
            if !AUTH_TYPES.contains(&kind) {
                return Err(SetupError::NotKubernetes { mount: mount.clone(), found: kind.to_owned() });
            }
            return Ok((already(what(kind)), Some(text(&found, "accessor").to_owned())));
        }
        if self.dry_run {
            let path = format!("sys/auth/{mount}");
            return Ok((would(&path, &json!({"type": AUTH_TYPES[0]}), what(AUTH_TYPES[0])), None));
        }
        let kind = self.enable_auth().await?;
        let found = self.auth_mount().await?.ok_or_else(|| SetupError::NotListed(mount.clone()))?;
        let step = Step { outcome: Outcome::Done, what: what(kind), command: None };
        Ok((step, Some(text(&found, "accessor").to_owned())))
    }

    async fn auth_mount(&self) -> Result<Option<Value>, SetupError> {
        let mut mounts = self.store.read("sys/auth").await?.unwrap_or_default();
        let mount = mounts.get_mut(format!("{}/", self.wanted.auth_mount));
        Ok(mount.map(Value::take))
    }

    async fn enable_auth(&self) -> Result<&'static str, SetupError> {
        let path = format!("sys/auth/{}", self.wanted.auth_mount);
        for kind in AUTH_TYPES {
            match self.store.write(&path, &json!({ "type": kind })).await {
                Ok(()) => return Ok(kind),
                Err(error) if in_use(&error) => return Ok(kind),
                Err(VaultError::Refused { errors, .. }) if errors.contains("not found in the catalog") => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(SetupError::NoAuthPlugin)
    }

    /// Where the store asks whether a token is good. It may serve other clients too, so what is there stays unless the
    /// person says otherwise.
    async fn auth_config(&self, mounted: bool) -> Result<Step, SetupError> {
        let path = format!("auth/{}/config", self.wanted.auth_mount);
        let found = if mounted { self.store.read(&path).await? } else { None };
        let found = found.as_ref().map(|found| text(found, "kubernetes_host"));
        let asked = self.wanted.kubernetes_host.as_deref();
        let what = |host: &str| format!("logins are checked at {host}");
        match (found, asked) {
            (Some(found), Some(asked)) if found == asked => Ok(already(what(found))),
            (Some(IN_CLUSTER_API), None) => Ok(already(what(IN_CLUSTER_API))),
            (Some(found), None) if !found.is_empty() => {
                let what = format!("{} (change it with --kubernetes-host)", what(found));
                Ok(Step { outcome: Outcome::Kept, what, command: None })
            }
            (_, asked) => {
                let host = asked.unwrap_or(IN_CLUSTER_API);
                // The store's own pod is the reviewer: its ServiceAccount may create TokenReviews, and no token is
                // copied into the store's storage.
                let body = json!({"kubernetes_host": host, "disable_local_ca_jwt": false});
                match self.change(&path, &body, what(host)).await {
                    Err(SetupError::Vault(VaultError::Refused { errors, .. }))
                        if errors.contains("serviceaccount/ca.crt") =>
                    {
                        Err(SetupError::NoReviewer { path })
                    }
                    outcome => outcome,
                }
            }
        }
    }

    async fn node_policy(&self, accessor: Option<&str>) -> Result<Step, SetupError> {
        let name = self.wanted.policy_name();
        let what = format!("policy {name}: each node reads and creates its own keys, and no other's");
        let policy = self.wanted.policy(accessor.unwrap_or("ACCESSOR"));
        self.policy(name, &policy, self.wanted.policy_mark(), what).await
    }

    async fn auditor_policy(&self) -> Result<Step, SetupError> {
        let name = self.wanted.auditor_policy_name();
        let what = format!("policy {name}: settings of the store that the checklist speaks of, no key");
        self.policy(name, &self.wanted.auditor_policy(), self.wanted.auditor_policy_mark(), what).await
    }

    async fn policy(
        &self,
        name: String,
        policy: &str,
        mark: String,
        what: String,
    ) -> Result<Step, SetupError> {
        let path = policy_path(&name);
        let found = self.store.read(&path).await?;
        if let Some(found) = found.as_ref().map(|found| text(found, "policy")) {
            if found == policy {
                return Ok(already(what));
            }
            if found.lines().next() != Some(mark.as_str()) {
                return Err(SetupError::ForeignPolicy { name, mark });
            }
        }
        self.change(&path, &json!({ "policy": policy }), what).await
    }

    fn operator_s_roles(&self) -> [(String, Value, String); 3] {
        let wanted = self.wanted;
        let probe = |addresses| format!("no policy; the operator tries that {addresses}");
        [
            (wanted.inside_role(), wanted.inside_role_document(), probe("sourceCIDRs let it in")),
            (wanted.outside_role(), wanted.outside_role_document(), probe("other addresses do not")),
            (
                wanted.auditor_role(),
                wanted.auditor_role_document(),
                "the operator reads settings of the store".to_owned(),
            ),
        ]
    }

    async fn role(
        &self,
        role: &str,
        document: &Value,
        mounted: bool,
        what: &str,
    ) -> Result<Step, SetupError> {
        let path = self.wanted.role_path(role);
        let what = format!("role {role}: {what}");
        let found = if mounted { self.store.read(&path).await? } else { None };
        if let Some(found) = found {
            let namespaces = &found["bound_service_account_namespaces"];
            if *namespaces != document["bound_service_account_namespaces"] {
                return Err(SetupError::ForeignRole { role: role.to_owned(), found: namespaces.to_string() });
            }
            if holds(&found, document) {
                return Ok(already(what));
            }
        }
        self.change(&path, document, what).await
    }

    async fn change(&self, path: &str, body: &Value, what: String) -> Result<Step, SetupError> {
        if self.dry_run {
            return Ok(would(path, body, what));
        }
        self.store.write(path, body).await?;
        Ok(Step { outcome: Outcome::Done, what, command: None })
    }
}

pub(super) fn already(what: String) -> Step {
    Step { outcome: Outcome::AlreadySo, what, command: None }
}

fn would(path: &str, body: &Value, what: String) -> Step {
    Step { outcome: Outcome::WouldDo, what, command: Some(runbook::command(path, body)) }
}

/// Someone else was faster: two people, or two pipelines, set up two networks at once.
fn in_use(error: &VaultError) -> bool {
    matches!(error, VaultError::Refused { errors, .. } if errors.contains("path is already in use"))
}

pub(super) fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// Whether `found` has every member of `wanted`; lists in any order, since the store sorts some, and an empty list is one
/// that the store may not show.
fn holds(found: &Value, wanted: &Value) -> bool {
    let Some(wanted) = wanted.as_object() else { return false };
    wanted.iter().all(|(member, value)| match (found.get(member), value) {
        (Some(Value::Array(found)), Value::Array(wanted)) => {
            found.len() == wanted.len() && wanted.iter().all(|item| found.contains(item))
        }
        (None | Some(Value::Null), Value::Array(wanted)) => wanted.is_empty(),
        (Some(found), wanted) => found == wanted,
        (None, _) => false,
    })
}

#[cfg(test)]
mod tests;
