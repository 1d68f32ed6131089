//! The CA state of each network: read from its Secret in the operator's namespace, and only there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use kube::{Api, Client};
use tessera_crds::condition::Reason;
use tessera_crds::names;
use tessera_pki::{CaState, StateError};

use crate::kube::is_forbidden;
use crate::kube::meta::Owner;
use crate::kube::planned::Planned;

/// The member of the Secret.
const STATE: &str = "state.json";
/// How old a remembered state may be: every reconcile of every node asks for it.
const FRESH: Duration = Duration::from_secs(15);

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
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Read { source, .. } => is_forbidden(source).then_some(Reason::PermissionDenied),
            Self::State { .. } => Some(Reason::IssuerUnavailable),
        }
    }
}

/// Reads CA states.
pub struct Authorities {
    client: Client,
    namespace: String,
    known: Mutex<HashMap<String, (Instant, Arc<CaState>)>>,
}

impl Authorities {
    /// Reads from the operator's namespace.
    pub fn new(client: Client, namespace: String) -> Self {
        Self { client, namespace, known: Mutex::default() }
    }

    /// The CA state of the network with this UID, at most a few seconds old. `None`: it has none yet.
    pub async fn get(&self, network_uid: &str) -> Result<Option<Arc<CaState>>, AuthoritiesError> {
        if let Some(state) = self.remembered(network_uid) {
            return Ok(Some(state));
        }
        self.read(network_uid).await
    }

    /// The CA state as it is now.
    pub async fn read(&self, network_uid: &str) -> Result<Option<Arc<CaState>>, AuthoritiesError> {
        let name = names::network::ca_state(network_uid);
        let secret = || format!("{}/{name}", self.namespace);
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let found = api.get_opt(&name).await;
        let found =
            found.map_err(|source| AuthoritiesError::Read { secret: secret(), source: Box::new(source) })?;
        let Some(found) = found else {
            self.known().remove(network_uid);
            return Ok(None);
        };
        let document = found.data.as_ref().and_then(|data| data.get(STATE)).map(|bytes| bytes.0.as_slice());
        let state = CaState::from_json(document.unwrap_or_default())
            .map_err(|source| AuthoritiesError::State { secret: secret(), source })?;
        let state = Arc::new(state);
        self.known().insert(network_uid.to_owned(), (Instant::now(), Arc::clone(&state)));
        Ok(Some(state))
    }

    fn remembered(&self, network_uid: &str) -> Option<Arc<CaState>> {
        let known = self.known();
        let (since, state) = known.get(network_uid)?;
        (since.elapsed() < FRESH).then(|| Arc::clone(state))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Instant, Arc<CaState>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The Secret for a new state. It has no owner: it must outlive the network, and an owner in another namespace is not
/// possible.
pub fn planned(operator_namespace: &str, network: &Owner, uid: &str, state: &CaState) -> Planned {
    let annotation = ("tessera.rs/network-namespace".to_owned(), network.namespace.clone());
    Planned::new(&Secret {
        metadata: ObjectMeta {
            name: Some(names::network::ca_state(uid)),
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
