//! [pure] From the spec and what it refers to, to a value that cannot be wrong: everything after this is infallible.

pub mod exposure;
pub mod keys;
mod leaves;
pub mod storage;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use tessera_crds::api::client::Client;
use tessera_crds::api::logging::OtlpCollector;
use tessera_crds::api::network::{NodeDefaults, Privacy, Rollout, Scraper};
use tessera_crds::api::partner::Partner;
use tessera_crds::api::peer::EgressRule;
use tessera_crds::api::pod::PodSettings;
use tessera_crds::api::secret_store::VaultStore;
use tessera_crds::condition::ConditionType;
use tessera_crds::{TesseraNetwork, TesseraNode, names};
use tessera_node_api::identity::{Identity, IdentityError};
use tessera_node_api::stamp::Stamp;

use super::inputs::{Inputs, NetworkInput};
use crate::backup::custodians::Custodians;
use crate::issue::leaf::{self, Leaf, LeafError};
use crate::kube::meta::{Owner, name_of, namespace_of, node_labels};
use crate::network::{egress, hold};
use crate::node::rollout::{self, LiveWorkload};
use crate::node::upgrade::{self, Choice, Limits};
use crate::report::conditions;
use crate::report::unreadable::Unreadable;
use crate::settings::ClusterSettings;
use exposure::Exposed;
use keys::PlannedKey;
use storage::Storage;

/// The pod templates that this operator can make. A new one gets a new number; the old ones stay until no supported
/// upgrade starts from them, since an upgrade of the operator alone must roll no pod.
///
/// 1: the first. 2: prefers machines without pods of the node's ledgers.
pub const CURRENT_REVISION: u32 = 3;

/// A node with everything settled.
pub struct Resolved {
    /// The TesseraNode.
    pub owner: Owner,
    /// Its name.
    pub name: String,
    /// The network's name.
    pub network: String,
    /// Whose the node's directory in the secret store is.
    pub stamp: Stamp,
    /// The network's trust domain.
    pub trust_domain: String,
    /// Who this node is.
    pub identity: Identity,
    /// The workload as it is, if there is one.
    pub workload: Option<LiveWorkload>,
    /// The image, by digest: the spec's, or the one before it that came back.
    pub image: String,
    /// What the spec says of the image, and how that did.
    pub upgrade: Choice,
    /// 0 or 1.
    pub replicas: i32,
    /// Of the one container.
    pub resources: ResourceRequirements,
    /// What the user adds to the pods.
    pub pod: PodSettings,
    /// Which privacy features are on.
    pub privacy: Privacy,
    /// Any change of this number restarts the pod.
    pub restart_trigger: i64,
    /// Where payloads are kept.
    pub storage: Storage,
    /// The secret store.
    pub store: VaultStore,
    /// Where the secret store lies.
    pub store_egress: Vec<EgressRule>,
    /// Other organisations.
    pub partners: Vec<Partner>,
    /// The collector of its logs.
    pub collector: Option<OtlpCollector>,
    /// How partners reach it; `None`: not at all from outside of the cluster.
    pub exposure: Option<Exposed>,
    /// Why it is not exposed as the spec says.
    pub not_exposed: Option<String>,
    /// Ledger nodes.
    pub clients: Vec<Client>,
    /// Scrapers.
    pub monitoring: Vec<Scraper>,
    /// The keys.
    pub keys: Vec<PlannedKey>,
    /// Who can open backups of the keys; `None`: the network asks for none.
    pub custodians: Option<Custodians>,
    /// The payload store that a person accepted as the successor of lost ones.
    pub accepted_payload_store: Option<String>,
    /// Whether the whole namespace is denied by default, so that clients need to be let out.
    pub dedicated: bool,
    /// What the cluster around it is like.
    pub settings: ClusterSettings,
    /// The node's own leaf.
    pub tls: Leaf,
    /// The leaf of its admin port.
    pub admin_tls: Leaf,
    /// A leaf for each client whose Secret can be read, in the order of `clients`.
    pub client_tls: Vec<Leaf>,
    /// Node or network are paused: nothing is written but status.
    pub paused: bool,
    /// Why a node that serves keeps its template: the secret store is not known to be ready.
    pub store_ready: Result<(), String>,
    /// How many nodes of the network may be away at once.
    pub rollout: Rollout,
    /// How old the image may be.
    pub max_image_age: SignedDuration,
    /// How often it tries its own listeners and its egress.
    pub probe_every: SignedDuration,
    /// What it must not reach, by address and port.
    pub must_not_reach: Vec<String>,
}

/// Why nothing can be made of a node.
#[derive(Debug, thiserror::Error)]
pub enum Unresolved {
    /// No such network.
    #[error(
        "there is no TesseraNetwork {0} in this namespace: create it, or correct spec.networkRef, which is immutable only once the node has a key or a volume"
    )]
    NetworkNotFound(String),
    /// The network has a value that this version does not know.
    #[error("this version of the operator cannot read TesseraNetwork {network}: {why}")]
    NetworkUnreadable {
        /// Which.
        network: String,
        /// The unknown value.
        why: String,
    },
    /// The network has no authorities yet.
    #[error("TesseraNetwork {0} has no certificate authority yet")]
    NetworkNotReady(String),
    /// The spec cannot work as it stands.
    #[error("{0}")]
    InvalidConfiguration(String),
    /// No certificate.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// What it is made from may not be read, or cannot be used.
    #[error("{}", .0.message)]
    Unreadable(Unreadable),
}

impl Resolved {
    /// The address that it announces.
    pub fn p2p_url(&self) -> String {
        let of_service = || names::node::p2p_url(&self.name, &self.owner.namespace);
        self.exposure.as_ref().map_or_else(of_service, |exposed| exposed.url.clone())
    }

    /// All leaves.
    pub fn leaves(&self) -> impl Iterator<Item = &Leaf> {
        [&self.tls, &self.admin_tls].into_iter().chain(&self.client_tls)
    }
}

impl From<IdentityError> for Unresolved {
    fn from(error: IdentityError) -> Self {
        Self::InvalidConfiguration(error.to_string())
    }
}

/// What the annotation names. The admission policy lets only identifiers through; anything else the node would refuse with
/// the whole configuration, so it counts for nothing.
fn accepted_payload_store(node: &TesseraNode) -> Option<String> {
    let id = node.metadata.annotations.as_ref()?.get(names::label::ACCEPT_LOSS)?;
    let is_id = id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_id.then(|| id.clone())
}

/// Settles everything.
pub fn resolve(
    node: &TesseraNode,
    inputs: &Inputs,
    settings: &ClusterSettings,
) -> Result<Resolved, Unresolved> {
    let network_name = node.spec.network_ref.name.to_string();
    let network = match &inputs.network {
        NetworkInput::Found(network) => &**network,
        NetworkInput::Missing => return Err(Unresolved::NetworkNotFound(network_name)),
        NetworkInput::Unreadable(why) => {
            return Err(Unresolved::NetworkUnreadable { network: network_name, why: why.clone() });
        }
    };
    let authorities =
        inputs.authorities.as_deref().ok_or_else(|| Unresolved::NetworkNotReady(network_name.clone()))?;
    let defaults = network.spec.node_defaults.clone().unwrap_or_default();
    let name = name_of(node).to_owned();
    let others = inputs.others.iter().map(|other| &**other);
    let (exposure, not_exposed) = exposure::settle(node, network, others, inputs.load_balancer.is_some());
    let leaves = leaves::leaves(node, network, authorities, exposure.as_ref(), inputs)?;
    let upgrade = choose_image(node, network, inputs)?;
    Ok(Resolved {
        owner: Owner::new(node, node_labels(&network_name, &name)),
        stamp: stamp(network, settings)?,
        trust_domain: network.spec.trust_domain.to_string(),
        identity: Identity::node(&network.spec.trust_domain, &name)?,
        workload: inputs.stateful_set.as_ref().map(LiveWorkload::of),
        image: upgrade.image.clone(),
        upgrade,
        replicas: node.spec.replicas,
        storage: Storage::of(node, &defaults)?,
        resources: node.spec.resources.clone().or(defaults.resources).unwrap_or_else(default_resources),
        pod: node.spec.pod.clone().or(defaults.pod),
        privacy: node.spec.privacy.unwrap_or(network.spec.privacy),
        restart_trigger: node.spec.restart_trigger,
        store: store(network)?,
        store_egress: network.spec.secret_store.egress.clone(),
        partners: sorted(hold::partners_let_in(network), |partner| partner.name.to_string()),
        collector: network.spec.logging.clone().map(|logging| logging.otlp),
        exposure,
        not_exposed,
        clients: sorted(node.spec.clients.clone(), |client| client.name.to_string()),
        monitoring: sorted(hold::scrapers_let_in(network), |scraper| scraper.name.to_string()),
        keys: planned_keys(node, inputs),
        custodians: Custodians::of(network),
        accepted_payload_store: accepted_payload_store(node),
        dedicated: is_dedicated(network),
        settings: settings.clone(),
        tls: leaves.node,
        admin_tls: leaves.admin,
        client_tls: leaves.clients,
        paused: node.spec.paused || network.spec.paused,
        store_ready: rollout::store_ready(network),
        rollout: network.spec.rollout.clone(),
        probe_every: leaf::signed(network.spec.checklist.probe_every.as_std()),
        must_not_reach: egress::must_not_reach(network),
        max_image_age: leaf::signed(network.spec.checklist.max_image_age.as_std()),
        network: network_name,
        name,
    })
}

fn stamp(network: &TesseraNetwork, settings: &ClusterSettings) -> Result<Stamp, Unresolved> {
    Stamp::new(&settings.cluster_name, namespace_of(network), name_of(network))
        .map_err(|error| Unresolved::InvalidConfiguration(error.to_string()))
}

fn planned_keys(node: &TesseraNode, inputs: &Inputs) -> Vec<PlannedKey> {
    let known = node.status.as_ref().map(|status| status.keys.as_slice()).unwrap_or_default();
    keys::plan(&node.spec.keys, known, inputs.node_time)
}

fn choose_image(node: &TesseraNode, network: &TesseraNetwork, inputs: &Inputs) -> Result<Choice, Unresolved> {
    let defaults = network.spec.node_defaults.clone().unwrap_or_default();
    let wanted = image(node, &defaults).ok_or_else(|| {
        Unresolved::InvalidConfiguration(
            "no image: set spec.image, or spec.nodeDefaults.image of the network".to_owned(),
        )
    })?;
    let limits = Limits {
        progress_deadline: leaf::signed(network.spec.rollout.progress_deadline.as_std()),
        auto_rollback: network.spec.rollout.auto_rollback,
    };
    Ok(upgrade::choose(&wanted, node.spec.restart_trigger, &inputs.upgrade, limits, inputs.now))
}

/// The node's image, or that of all nodes of its network.
pub fn image(node: &TesseraNode, defaults: &NodeDefaults) -> Option<String> {
    node.spec.image.as_ref().or(defaults.image.as_ref()).map(ToString::to_string)
}

fn store(network: &TesseraNetwork) -> Result<VaultStore, Unresolved> {
    // Admission sees to it that the member is there.
    network.spec.secret_store.vault.clone().ok_or_else(|| {
        Unresolved::InvalidConfiguration("the network's spec.secretStore.vault is missing".to_owned())
    })
}

/// A node that has shown no key yet and that waits for a person: the others would only ask in vain. Any other is a peer
/// from its first moment, since a list takes its time to reach the pods.
pub fn is_stalled_without_key(node: &TesseraNode) -> bool {
    node.status.as_ref().is_some_and(|status| {
        status.keys.is_empty() && conditions::is_true(&status.conditions, ConditionType::Stalled)
    })
}

fn is_dedicated(network: &TesseraNetwork) -> bool {
    network.spec.namespace_isolation == tessera_crds::api::network::NamespaceIsolation::Dedicated
}

/// What a node needs when nothing is said: room for its connections, and ceilings that end a runaway. The one on ephemeral
/// storage is far above a container's rotated logs, which count as such.
fn default_resources() -> ResourceRequirements {
    let quantity = |name: &str, value: &str| (name.to_owned(), Quantity(value.to_owned()));
    ResourceRequirements {
        requests: Some(
            [quantity("cpu", "50m"), quantity("memory", "64Mi"), quantity("ephemeral-storage", "16Mi")]
                .into(),
        ),
        limits: Some(
            [quantity("cpu", "4"), quantity("memory", "512Mi"), quantity("ephemeral-storage", "1Gi")].into(),
        ),
        ..ResourceRequirements::default()
    }
}

fn sorted<T, K: Ord>(mut items: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    items.sort_by_key(key);
    items
}

#[cfg(test)]
mod tests;
