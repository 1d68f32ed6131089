//! The CA state of each network: read from its Secret in the operator's namespace, and only there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use kube::{Api, Client};
use tessera_crds::condition::Reason;
use tessera_crds::{TesseraNetwork, names};
use tessera_pki::{CaState, StateError};
use tokio::sync::RwLock;

use crate::kube::meta::{Owner, name_of, namespace_of, uid_of};
use crate::kube::planned::Planned;
use crate::kube::prune::remove_as_listed;
use crate::kube::refusal::is_unauthorized;
use crate::memory::per_object::{PerObject, Registry};
use crate::report::error::chain;
use crate::report::unreadable::Unreadable;

/// The member of the Secret.
const STATE: &str = "state.json";
/// After how long the loss of a state is looked for.
const FRESH: Duration = Duration::from_mins(1);

/// Why a CA state cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    /// The Secret cannot be read.
    #[error("failed to read Secret {secret} with the CA state")]
    Read {
        /// Namespace and name.
        secret: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// The Secret holds something else.
    #[error("Secret {secret} holds no usable CA state: restore it from a backup")]
    State {
        /// Namespace and name.
        secret: String,
        /// Why.
        source: StateError,
    },
}

impl AuthoritiesError {
    /// What a person must repair. `None`: the API server failed in a way that may pass.
    pub fn unreadable(&self) -> Option<Unreadable> {
        match self {
            Self::Read { source, .. } if is_unauthorized(source) => Some(Unreadable::forbidden(self)),
            Self::Read { .. } => None,
            Self::State { .. } => {
                Some(Unreadable { reason: Reason::IssuerUnavailable, message: chain(self) })
            }
        }
    }
}

/// Reads CA states.
pub struct Authorities {
    client: Client,
    namespace: String,
    known: Arc<PerObject<Known>>,
    /// Shared by reads, exclusive for a removal: who has read a state must find its Secret later.
    removal: RwLock<()>,
}

#[derive(Clone)]
struct Known {
    since: Instant,
    state: Arc<CaState>,
    /// Of the Secret that it was read from.
    metadata: ObjectMeta,
}

impl Authorities {
    /// Reads from the operator's namespace.
    pub fn new(client: Client, namespace: String, registry: &Registry) -> Self {
        Self { client, namespace, known: registry.per_object(), removal: RwLock::default() }
    }

    /// The network's CA state, as the network's own reconcile last read it. `None`: it has none yet.
    pub async fn get(&self, network: &TesseraNetwork) -> Result<Option<Arc<CaState>>, AuthoritiesError> {
        match self.known.get(uid_of(network)) {
            Some(known) => Ok(Some(known.state)),
            None => Ok(self.read(network).await?.map(|known| known.state)),
        }
    }

    /// The CA state, read again if that was last done a while ago: only a leader writes it, so its loss alone can be seen.
    /// With it comes the metadata of the Secret that it was read from.
    pub async fn refresh(
        &self,
        network: &TesseraNetwork,
    ) -> Result<Option<(Arc<CaState>, ObjectMeta)>, AuthoritiesError> {
        let known = self.known.get(uid_of(network)).filter(|known| known.since.elapsed() < FRESH);
        let known = match known {
            Some(known) => Some(known),
            None => self.read(network).await?,
        };
        Ok(known.map(|known| (known.state, known.metadata)))
    }

    /// The state was replaced; the Secret has this metadata now.
    pub fn replaced(&self, network: &TesseraNetwork, state: Arc<CaState>, metadata: ObjectMeta) {
        self.known.put(uid_of(network), Known { since: Instant::now(), state, metadata });
    }

    /// Whether a phase of a rollover of `network` began a short while ago.
    pub fn began_just_now(&self, network: &TesseraNetwork, now: Timestamp) -> bool {
        self.known.get(uid_of(network)).is_some_and(|known| known.state.began_just_now(now))
    }

    /// Whether the state could be replaced nobody knows, or somebody else has replaced it.
    pub fn forget(&self, network: &TesseraNetwork) {
        self.known.forget(uid_of(network));
    }

    /// The Secrets of the operator's namespace.
    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Removes the Secret with this metadata if `gone` says that its network does not exist; whether it did. `gone` is asked
    /// while nobody reads: a network that comes back later finds no state and makes a new one, and a network that came back
    /// before is seen by `gone`.
    pub async fn remove_if(
        &self,
        secret: &ObjectMeta,
        gone: impl Future<Output = kube::Result<bool>>,
    ) -> kube::Result<bool> {
        let _no_reads = self.removal.write().await;
        if !gone.await? {
            return Ok(false);
        }
        remove_as_listed(&self.secrets(), secret).await
    }

    async fn read(&self, network: &TesseraNetwork) -> Result<Option<Known>, AuthoritiesError> {
        let name = names::network::ca_state(namespace_of(network), name_of(network));
        let secret = || format!("{}/{name}", self.namespace);
        let _no_removal = self.removal.read().await;
        let found = self.secrets().get_opt(&name).await;
        let found =
            found.map_err(|source| AuthoritiesError::Read { secret: secret(), source: Box::new(source) })?;
        let Some(found) = found else {
            self.known.forget(uid_of(network));
            return Ok(None);
        };
        let document = found.data.as_ref().and_then(|data| data.get(STATE)).map(|bytes| bytes.0.as_slice());
        let state = CaState::from_json(document.unwrap_or_default())
            .map_err(|source| AuthoritiesError::State { secret: secret(), source })?;
        let known = Known { since: Instant::now(), state: Arc::new(state), metadata: found.metadata };
        self.known.put(uid_of(network), known.clone());
        Ok(Some(known))
    }
}

/// The Secret with a state. It has no owner, since an owner in another namespace is not possible: [`super::leftovers`]
/// removes it.
pub fn planned(operator_namespace: &str, network: &Owner, state: &CaState) -> Planned {
    let annotation = ("tessera.rs/network-namespace".to_owned(), network.namespace.clone());
    Planned::new(&Secret {
        metadata: ObjectMeta {
            name: Some(names::network::ca_state(&network.namespace, &network.reference.name)),
            namespace: Some(operator_namespace.to_owned()),
            labels: Some(network.labels.clone()),
            annotations: Some([annotation].into()),
            ..ObjectMeta::default()
        },
        data: Some([(STATE.to_owned(), ByteString(state.to_json().to_vec()))].into()),
        type_: Some("tessera.rs/ca-state".to_owned()),
        ..Secret::default()
    })
}
