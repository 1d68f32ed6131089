//! Probes the secret stores of one namespace's networks, beside all reconciles.
//!
//! ```text
//! network changed, or due ──► health (every 30 s) ──► login (on change and every 10 min) ──► audit ──► report ──► the network
//!                               fails: again after 5 s, doubled up to 30 s                  (on change and every checklist.probeEvery)
//! ```
//!
//! Each login is a write in the store's audit log and storage, so a login that worked counts until what it was made with
//! changes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use rustls::sign::CertifiedKey;
use tessera_crds::api::secret_store::VaultStore;
use tessera_crds::{TesseraNetwork, names};

use super::store::StoreState;
use super::store_audit::{self, Audited};
use super::store_client;
use super::store_reports::{ObservedStore, PERIOD, Report, Subject};
use super::vault::Vault;
use super::workers;
use crate::controller::context::Context;
use crate::kube::meta::{namespace_of, uid_of};
use crate::kube::refusal::is_unauthorized;
use crate::kube::requests::Token;
use crate::kube::writer::WriteError;
use crate::memory::backoff::jittered;
use crate::process::tasks::Tasks;
use crate::report::error::chain;

/// Stores that are probed at once in one namespace.
const WORKERS: usize = 4;

/// Starts the workers of one namespace.
pub fn start(context: &Arc<Context>, tasks: &mut Tasks) {
    workers::start(WORKERS, &context.queues.stores, context, tasks, |network, ctx| async move {
        probe(&network, &ctx).await
    });
}

async fn probe(name: &str, ctx: &Arc<Context>) -> Option<Duration> {
    let cached = ctx.caches.networks.get(name)?;
    let network = cached.readable().filter(|network| network.metadata.deletion_timestamp.is_none())?;
    let uid = uid_of(&**network);
    let read = async { Ok((read_ca(network, ctx).await?, store_client::read(network, ctx).await)) };
    let (ca_pem, shown) = match read.await {
        Ok((ca_pem, Ok(shown))) => (ca_pem, Ok(shown)),
        Ok((ca_pem, Err(Unread::For(observed)))) => (ca_pem, Err(observed)),
        Err(Unread::For(observed)) => (String::new(), Err(observed)),
        // The API server is away: what was found before stands.
        Ok((_, Err(Unread::Transient))) | Err(Unread::Transient) => {
            return Some(jittered(ctx.stores.backoff.after_failure(uid)));
        }
    };
    let subject = Subject { store: network.spec.secret_store.vault.clone(), ca_pem };
    let before = ctx.stores.reports.get(uid);
    let known = before.as_ref().filter(|report| report.subject == subject);
    let (logged_in, audited) =
        (known.and_then(Report::fresh_login), known.and_then(|report| report.audited.clone()));
    let Found { observed, logged_in, seal_type, audited } = match shown {
        Err(observed) => Found::nothing(observed),
        Ok(shown) => look(network, &subject, shown, logged_in, audited, ctx).await,
    };
    let wait = if observed == ObservedStore::State(StoreState::Ready) {
        ctx.stores.backoff.reset(uid);
        PERIOD.min(store_audit::every(network))
    } else {
        ctx.stores.backoff.after_failure(uid)
    };
    // The network may have gone meanwhile, and its memory with it.
    ctx.caches.networks.get(name)?;
    let report = Report { subject, observed, seal_type, audited, logged_in };
    let changed = before.is_none_or(|before| before.differs_from(&report));
    ctx.stores.reports.put(uid, report);
    if changed {
        ctx.queues.networks.touch(&name.to_owned());
    }
    Some(jittered(wait))
}

/// Why what the store is asked with is not there.
pub(super) enum Unread {
    For(ObservedStore),
    Transient,
}

async fn read_ca(network: &TesseraNetwork, ctx: &Context) -> Result<String, Unread> {
    let invalid = |message: String| Unread::For(ObservedStore::InvalidReference(message));
    let Some(vault) = &network.spec.secret_store.vault else {
        return Err(invalid("spec.secretStore.vault is missing".to_owned()));
    };
    let bundle = &vault.ca_bundle_ref;
    let object = format!("ConfigMap {}", bundle.name);
    let api: Api<ConfigMap> = Api::namespaced(ctx.probes.clone(), namespace_of(network));
    let found = api.get_opt(&bundle.name).await.map_err(|error| {
        if !is_unauthorized(&error) {
            return Unread::Transient;
        }
        let message = format!("failed to read {object}: {}: check the operator's Role", chain(&error));
        Unread::For(ObservedStore::PermissionDenied(message))
    })?;
    let found = found.ok_or_else(|| {
        invalid(format!(
            "{object} does not exist: create it with the CA of the secret store under {:?}, or correct spec.secretStore.vault.caBundleRef",
            bundle.key.as_str()
        ))
    })?;
    let text = found.data.and_then(|mut data| data.remove(bundle.key.as_str()));
    text.ok_or_else(|| invalid(format!("{object} has no key {:?}", bundle.key.as_str())))
}

/// What one probe found.
struct Found {
    observed: ObservedStore,
    /// When the login was made that shows it.
    logged_in: Option<Instant>,
    seal_type: Option<String>,
    audited: Option<Audited>,
}

impl Found {
    fn nothing(observed: ObservedStore) -> Self {
        Self { observed, logged_in: None, seal_type: None, audited: None }
    }
}

/// Asks for the store's health, logs in unless `logged_in` still counts, and asks what a stranger and the auditor may know.
async fn look(
    network: &TesseraNetwork,
    subject: &Subject,
    shown: Option<Arc<CertifiedKey>>,
    logged_in: Option<Instant>,
    audited: Option<Audited>,
    ctx: &Arc<Context>,
) -> Found {
    let invalid = |message: String| Found::nothing(ObservedStore::InvalidReference(message));
    let Some(spec) = &subject.store else { return invalid("spec.secretStore.vault is missing".to_owned()) };
    let vault = match Vault::new(spec, subject.ca_pem.as_bytes(), shown) {
        Ok(vault) => vault,
        Err(error) => return invalid(chain(&error)),
    };
    if let Some(state) = vault.health().await {
        return Found { audited, ..Found::nothing(ObservedStore::State(state)) };
    }
    let seal_type = vault.seal_type().await;
    let was_in = logged_in.is_some();
    let (observed, logged_in) = log_in(network, spec, &vault, logged_in, ctx).await;
    let let_in_anew = !was_in && logged_in.is_some();
    let audited = store_audit::audit(network, spec, &vault, audited, let_in_anew, ctx).await;
    Found { observed, logged_in, seal_type, audited: Some(audited) }
}

async fn log_in(
    network: &TesseraNetwork,
    spec: &VaultStore,
    vault: &Vault,
    logged_in: Option<Instant>,
    ctx: &Context,
) -> (ObservedStore, Option<Instant>) {
    if logged_in.is_some() {
        return (ObservedStore::State(StoreState::Ready), logged_in);
    }
    let token = match token(network, spec, ctx).await {
        Ok(token) => token,
        Err(error) => {
            let message = format!("no token to log in to the secret store with: {}", chain(&error));
            return (ObservedStore::PermissionDenied(message), None);
        }
    };
    let state = vault.try_login(&token.secret).await;
    if state != StoreState::Ready {
        // Perhaps it is the token's fault: its ServiceAccount may have been made anew.
        ctx.stores.tokens.forget(uid_of(network));
        return (ObservedStore::State(state), None);
    }
    (ObservedStore::State(state), Some(Instant::now()))
}

/// The token of before, or another when it is old or was for another store.
pub(super) async fn token(
    network: &TesseraNetwork,
    spec: &VaultStore,
    ctx: &Context,
) -> Result<Token, WriteError> {
    let (account, uid) = (names::PROVISIONER, uid_of(network));
    let purpose = format!("{account} {}", spec.address);
    let known = ctx.stores.tokens.get(uid);
    if let Some((_, token)) =
        known.filter(|(known, token)| *known == purpose && Instant::now() < token.renew_at)
    {
        return Ok(token);
    }
    let token = ctx.writer.request_token(namespace_of(network), account, &spec.address).await?;
    ctx.stores.tokens.put(uid, (purpose, token.clone()));
    Ok(token)
}
