//! The store, asked as its read-only auditor, and whether it heeds addresses.
//!
//! ```text
//! login <role>-probe-inside   must be let in   ┐ the same token; no policy, so nothing to give back
//! login <role>-probe-outside  must be refused  ┘
//! login <role>-auditor ──► sys/audit, sys/auth, MFA, mount, policies, roles      a batch token, which ends within a minute
//! ```
//!
//! A round is three logins and ten reads, each an entry in the store's audit log.

use std::sync::Arc;

use reqwest::StatusCode;
use serde_json::Value;
use tessera_store_objects::{Wanted, policy_path};
use zeroize::Zeroizing;

use super::{Login, Vault, bounded, errors, settings};
use crate::checklist::store_facts::{AuditorAnswer, AuditorFacts, LoginOutcome, RoleFacts};
use crate::probe::store::StoreState;

/// The store did not answer, or not now: what it showed before stands for a while. Why.
#[derive(Debug)]
pub struct Transient(pub String);

/// An auditor's login.
struct Auditor<'a> {
    vault: &'a Vault,
    token: Zeroizing<String>,
    policies: Vec<String>,
}

enum Entry<'a> {
    In(Auditor<'a>),
    Out(AuditorAnswer),
}

impl Vault {
    /// One round of questions with `token`, about what `wanted` should be like.
    pub async fn audit(&self, token: &str, wanted: &Wanted) -> Result<AuditorAnswer, Transient> {
        let auditor = match self.enter(token, wanted).await? {
            Entry::In(auditor) => auditor,
            Entry::Out(answer) => return Ok(answer),
        };
        let inside = self.probe(&wanted.inside_role(), token).await?;
        let outside = self.probe(&wanted.outside_role(), token).await?;
        let facts = AuditorFacts {
            wanted: wanted.clone(),
            role: auditor.role(&wanted.role_path(&wanted.role)).await?,
            inside_role: auditor.role(&wanted.role_path(&wanted.inside_role())).await?,
            outside_role: auditor.role(&wanted.role_path(&wanted.outside_role())).await?,
            inside,
            outside,
            policy: auditor.policy(&wanted.policy_name()).await?,
            auditor_policy: auditor.policy(&wanted.auditor_policy_name()).await?,
            methods: auditor.read("sys/auth").await?.and_then(|found| settings::methods(&found?)),
            enforcements: auditor
                .read("identity/mfa/login-enforcement?list=true")
                .await?
                .and_then(|found| settings::enforcements(found.as_ref())),
            devices: auditor.read("sys/audit").await?.and_then(|found| settings::devices(found.as_ref())),
            kv: auditor.kv(&wanted.kv_mount).await?,
            login_policies: auditor.policies,
        };
        Ok(AuditorAnswer::Shows(Arc::new(facts)))
    }

    async fn enter<'a>(&'a self, token: &str, wanted: &Wanted) -> Result<Entry<'a>, Transient> {
        let role = wanted.auditor_role();
        let (status, body) = match self.login(&role, token).await {
            Ok(answer) => answer,
            Err(StoreState::Unreachable(why)) => return Err(Transient(why)),
            Err(_) => return Ok(Entry::Out(AuditorAnswer::Failed("its token is not for this store".into()))),
        };
        if status.is_success() {
            let unlike = || AuditorAnswer::Failed("it does not answer a login as Vault does".into());
            return Ok(serde_json::from_slice::<Login>(&body).map_or_else(
                |_| Entry::Out(unlike()),
                |login| {
                    let (token, policies) = (login.auth.client_token.into(), login.auth.token_policies);
                    Entry::In(Auditor { vault: self, token, policies })
                },
            ));
        }
        let why = errors(&body);
        match self.refusal(status, &why) {
            StoreState::NotProvisioned(_) => Ok(Entry::Out(AuditorAnswer::NotProvisioned)),
            StoreState::LoginDenied(_) => Ok(Entry::Out(AuditorAnswer::Failed(format!(
                "it refuses the login with role {role:?}: {why}"
            )))),
            _ => Err(Transient(why)),
        }
    }

    /// The login of a probe has no policy: it can do nothing, and ends by itself.
    async fn probe(&self, role: &str, token: &str) -> Result<LoginOutcome, Transient> {
        let (status, body) = match self.login(role, token).await {
            Ok(answer) => answer,
            Err(StoreState::Unreachable(why)) => return Err(Transient(why)),
            Err(_) => return Ok(LoginOutcome::Unclear("the token is not for this store".into())),
        };
        if status.is_server_error() {
            return Err(Transient(format!("HTTP {}", status.as_u16())));
        }
        Ok(match status {
            StatusCode::FORBIDDEN => LoginOutcome::Refused,
            _ if status.is_success() && serde_json::from_slice::<Login>(&body).is_ok() => {
                LoginOutcome::Served
            }
            _ => LoginOutcome::Unclear(format!("HTTP {}: {}", status.as_u16(), errors(&body))),
        })
    }
}

impl Auditor<'_> {
    /// What lies at `path`: `None`: the auditor may not read it, or it is nothing that Vault says; `Some(None)`: nothing.
    async fn read(&self, path: &str) -> Result<Option<Option<Value>>, Transient> {
        let url = format!("{}/v1/{path}", self.vault.address);
        let request = || {
            let request = self.vault.in_namespace(self.vault.http.get(&url));
            request.header("X-Vault-Token", self.token.as_str()).send()
        };
        // As with its health.
        let answer = match request().await {
            Err(error) if error.is_timeout() => request().await,
            first => first,
        };
        let answer = answer.map_err(|error| Transient(self.vault.cannot("read from", &error)))?;
        match answer.status() {
            StatusCode::OK => {
                let body = serde_json::from_slice::<Value>(&bounded(answer).await).ok();
                Ok(body.and_then(|mut body| body.get_mut("data").map(Value::take)).map(Some))
            }
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Ok(Some(None)),
            status if status.is_server_error() => Err(Transient(format!("HTTP {}", status.as_u16()))),
            _ => Ok(None),
        }
    }

    async fn role(&self, path: &str) -> Result<Option<RoleFacts>, Transient> {
        Ok(self.read(path).await?.flatten().and_then(settings::role))
    }

    async fn policy(&self, name: &str) -> Result<Option<String>, Transient> {
        let found = self.read(&policy_path(name)).await?;
        // A policy that is gone grants nothing, and is not what it should be.
        Ok(found
            .and_then(|found| found.map_or_else(|| Some(String::new()), |found| settings::policy(&found))))
    }

    async fn kv(&self, mount: &str) -> Result<Option<crate::checklist::store_facts::KvFacts>, Transient> {
        let engine = self.read(&format!("sys/mounts/{mount}")).await?.flatten();
        let config = self.read(&format!("{mount}/config")).await?.flatten();
        Ok(engine.and_then(|engine| settings::kv(&engine, config.as_ref())))
    }
}
