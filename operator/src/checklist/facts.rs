//! What the lines are judged from. Pure. Each fact may be missing, and a missing one proves nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use tessera_crds::TesseraNode;
use tessera_crds::api::secret_store::VaultStore;
use tessera_crds::checklist::{HardwareLevel, LineResult};
use tessera_node_api::admin;

use super::clear_text::ClearTextFacts;
use super::cluster::ClusterFacts;
use super::finding::Finding;
use super::statements::Statements;
use super::store_facts::AuditorAnswer;
use super::stranger::StrangerRound;
use crate::backup::custodians::Custodians;

/// What is known of one node.
#[derive(Debug, Clone)]
pub struct NodeFacts {
    /// How many pods it should have.
    pub replicas: usize,
    /// The image that it should run, by digest.
    pub image: String,
    /// Why the image that it should run is not in use, if that was found bad.
    pub failed_upgrade: Option<String>,
    /// Whether a change of its pod waits for its turn.
    pub upgrade_waits: bool,
    /// How old an image may be.
    pub max_image_age: SignedDuration,
    /// How often it tries its own listeners and its egress, and the operator tries to connect to it.
    pub probe_every: SignedDuration,
    /// Whether its newest template runs everywhere, as the StatefulSet controller says.
    pub is_rolled_out: Option<bool>,
    /// Whether its NetworkPolicies were last found or made as planned.
    pub policies_in_place: Option<bool>,
    /// NetworkPolicies of others that select its pods and allow something, by name.
    pub foreign_policies: Vec<String>,
    /// Whether no pods of others are on its machine; `None`: not known.
    pub dedicated_machines: Option<bool>,
    /// From where its load balancer takes connections to P2P; `None`: it has none.
    pub exposed_to: Option<Vec<String>>,
    /// What its network says that it must not reach, by address and port.
    pub must_not_reach: Vec<String>,
    /// The collector that its network names for its logs, by URL.
    pub collector: Option<String>,
    /// The secret store that it shows a client certificate, by URL; `None`: it shows none.
    pub store_with_certificate: Option<String>,
    /// How the node logs in to the database of its payloads.
    pub database: DatabaseLogin,
    /// How old the newest version of a key may be, by the key's name; absent: nothing says.
    pub rotate_every: BTreeMap<String, SignedDuration>,
    /// What people state about its network.
    pub statements: Statements,
    /// Whether a credential in its log is known, though its process may have forgotten it.
    pub leak_is_known: bool,
    /// Its pods.
    pub pods: Vec<PodFacts>,
}

/// How a node logs in to the database of its payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseLogin {
    /// The node has no database.
    None,
    /// The node shows no certificate.
    WithoutCertificate,
    /// The node shows a certificate, and may also have a password.
    WithCertificate,
}

/// What is known of one pod.
#[derive(Debug, Clone)]
pub struct PodFacts {
    /// Its name.
    pub name: String,
    /// The image that runs, by digest, as the kubelet says.
    pub image_id: Option<String>,
    /// What the node in it said of itself a moment ago.
    pub report: Option<admin::Status>,
    /// How far its clock was ahead of the operator's when it answered.
    pub clock_skew: Option<SignedDuration>,
    /// What came of the operator's last connects to it.
    pub stranger: Option<StrangerRound>,
}

/// What is known of a network.
pub struct NetworkFacts<'a> {
    /// The settings of its secret store.
    pub vault: Option<&'a VaultStore>,
    /// What its secret store showed.
    pub store: StoreAnswer,
    /// The collector that it names for its nodes' logs.
    pub collector: CollectorFact<'a>,
    /// What came of shipping the operator's own log; `None`: the operator does not ship its log.
    pub operator_log: Option<&'a admin::LoggingStatus>,
    /// What people state about it.
    pub statements: Statements,
    /// Its nodes, by name.
    pub nodes: &'a [Arc<TesseraNode>],
    /// What the search of its namespace for credentials came to.
    pub clear_text: &'a ClearTextFacts,
    /// What was read of the cluster around it.
    pub cluster: &'a ClusterFacts,
    /// Who can open the backups of its keys; `None`: it asks for no backup.
    pub custodians: Option<Custodians>,
    /// How well hardware must protect its keys.
    pub hardware_minimum: HardwareLevel,
    /// Whether a credential in the operator's log is known, though its process may have forgotten it.
    pub leak_is_known: bool,
}

/// The collector that a network names for its nodes' logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CollectorFact<'a> {
    /// None.
    None,
    /// One that the nodes are given.
    Named,
    /// One whose CA bundle cannot be had; why.
    WithoutCa(&'a str),
}

/// What came of asking a secret store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreAnswer {
    /// This process has not asked it yet.
    NotAskedYet,
    /// It did not answer.
    Silent,
    /// It showed this.
    Shows(StoreFacts),
}

/// What a secret store shows to a stranger, the operator without a login, and to its auditor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFacts {
    /// What unseals it, by its own words, for example `shamir` or `awskms`.
    pub seal_type: String,
    /// What came of asking it as its auditor.
    pub auditor: AuditorAnswer,
}

impl NodeFacts {
    /// The worst that its pods show; the first by name of those that are equally bad.
    pub(super) fn worst_pod(&self, judge: impl Fn(&PodFacts) -> Finding) -> Finding {
        let missing = self.pods.len() < self.replicas;
        let worst = self.pods.iter().map(judge).min_by_key(|finding| finding.result);
        match worst {
            Some(worst) if !missing || worst.result < LineResult::Unknown => worst,
            _ if self.replicas == 0 => {
                Finding::unknown("NoPod", "the node is stopped: it has no pod", "set spec.replicas to 1")
            }
            _ => Finding::unknown(
                "NoPod",
                "a pod of the node is missing",
                "kubectl describe the TesseraNode: Ready says why",
            ),
        }
    }
}

impl PodFacts {
    /// Nothing can be said of a pod that does not answer.
    pub(super) fn silent(&self) -> Finding {
        Finding::unknown(
            "NodeSilent",
            format!("pod {} does not answer the operator", self.name),
            "kubectl describe the TesseraNode: Ready says why",
        )
    }

    /// Its node is of a version that does not say `what`.
    pub(super) fn too_old(&self, what: &str) -> Finding {
        Finding::unknown(
            "NodeTooOld",
            format!("the node in pod {} does not say {what}", self.name),
            "use a node image of the operator's version",
        )
    }
}
