//! [IO, read] How the network's secret store is.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::inputs::Inputs;
use crate::controller::context::Context;
use crate::kube::meta::{namespace_of, uid_of};
use crate::kube::writer::{Token, WriteError};
use crate::probe::store::StoreState;
use crate::probe::vault::Vault;
use crate::report::error::chain;
use tessera_crds::TesseraNetwork;

/// A look that was good is good for this long, however often the network is reconciled meanwhile: each look is a login.
const GOOD_FOR: Duration = Duration::from_secs(20);
/// One that was not is repeated sooner.
const BAD_FOR: Duration = Duration::from_secs(3);

/// What the last look at each store found, by network UID.
#[derive(Default)]
pub struct StoreProbes {
    known: Mutex<HashMap<String, StoreProbe>>,
    /// The token that a network's store is looked at with, and what it is for.
    tokens: Mutex<HashMap<String, (String, Token)>>,
}

struct StoreProbe {
    at: Instant,
    generation: Option<i64>,
    store_ca: Vec<u8>,
    state: StoreState,
}

/// What can be said of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObservedStore {
    /// The look's result.
    State(StoreState),
    /// The spec leads to nothing that could be looked at.
    InvalidReference(String),
    /// We may not look.
    PermissionDenied(String),
}

/// Looks at the store, unless that was done a moment ago.
pub async fn observe(network: &TesseraNetwork, inputs: &Inputs, ctx: &Context) -> ObservedStore {
    let store_ca = match &inputs.store_ca {
        Ok(store_ca) => store_ca,
        Err(message) => return ObservedStore::InvalidReference(message.clone()),
    };
    if let Some(state) = ctx.stores.recent(network, store_ca) {
        return ObservedStore::State(state);
    }
    let observed = look(network, store_ca, ctx).await;
    if let ObservedStore::State(state) = &observed {
        ctx.stores.remember(network, store_ca, state.clone());
    }
    observed
}

async fn look(network: &TesseraNetwork, store_ca: &[u8], ctx: &Context) -> ObservedStore {
    // Without it the store CA could not have been read.
    let Some(spec) = &network.spec.secret_store.vault else {
        return ObservedStore::InvalidReference("spec.secretStore.vault is missing".to_owned());
    };
    let vault = match Vault::new(spec, store_ca) {
        Ok(vault) => vault,
        Err(error) => return ObservedStore::InvalidReference(chain(&error)),
    };
    if let Some(state) = vault.health().await {
        return ObservedStore::State(state);
    }
    let account = &spec.auth.service_account_ref.name;
    let token = match token(network, account, &spec.address, ctx).await {
        Ok(token) => token,
        Err(error) => {
            let message = format!("no token to log in to the secret store with: {}", chain(&error));
            return ObservedStore::PermissionDenied(message);
        }
    };
    let state = vault.try_login(&token.secret).await;
    if state != StoreState::Ready {
        // Perhaps it is the token's fault: its ServiceAccount may have been made anew.
        ctx.stores.forget_token(network);
    }
    ObservedStore::State(state)
}

/// The token of before, or another when it is old or was for another store.
async fn token(
    network: &TesseraNetwork,
    account: &str,
    audience: &str,
    ctx: &Context,
) -> Result<Token, WriteError> {
    let purpose = format!("{account} {audience}");
    if let Some(token) = ctx.stores.token_for(network, &purpose) {
        return Ok(token);
    }
    let token = ctx.writer.request_token(namespace_of(network), account, audience).await?;
    ctx.stores.keep_token(network, purpose, token.clone());
    Ok(token)
}

impl StoreProbes {
    fn token_for(&self, network: &TesseraNetwork, purpose: &str) -> Option<Token> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let (known_purpose, token) = tokens.get(uid_of(network))?;
        (known_purpose == purpose && Instant::now() < token.renew_at).then(|| token.clone())
    }

    fn keep_token(&self, network: &TesseraNetwork, purpose: String, token: Token) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(uid_of(network).to_owned(), (purpose, token));
    }

    fn forget_token(&self, network: &TesseraNetwork) {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).remove(uid_of(network));
    }

    fn recent(&self, network: &TesseraNetwork, store_ca: &[u8]) -> Option<StoreState> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let look = known.get(uid_of(network))?;
        let good_for = if look.state == StoreState::Ready { GOOD_FOR } else { BAD_FOR };
        let same = look.generation == network.metadata.generation && look.store_ca == store_ca;
        (same && look.at.elapsed() < good_for).then(|| look.state.clone())
    }

    fn remember(&self, network: &TesseraNetwork, store_ca: &[u8], state: StoreState) {
        let look = StoreProbe {
            at: Instant::now(),
            generation: network.metadata.generation,
            store_ca: store_ca.to_vec(),
            state,
        };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(uid_of(network).to_owned(), look);
    }
}
