//! [IO] What custodians send: proofs and keys that come back. The node judges each, once; a node that does not answer leaves it pending.
//!
//! ```text
//! proof ──► for another challenge: Refused
//!       └─► the node: wrong: Refused
//!                     right: remembered ──► status of the node notes it, with another challenge ──► Accepted
//! ```
//!
//! The status of the node is written first. An operator that ends between the two finds the proof noted there, and one that ends before it asks
//! the node again.

use std::fmt::Debug;
use std::time::Duration;

use http::StatusCode;
use kube::core::{DeserializeGuard, NamespaceResourceScope};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tessera_crds::api::key_backup::{JudgedState, JudgedStatus, KeyBackupStatus};
use tessera_crds::{TesseraBackupProof, TesseraKeyRestore, TesseraNetwork, TesseraNode};
use tessera_node_api::key_backup::CheckResult;

use super::carry::{recipient, speaker};
use super::challenge::AcceptedProof;
use super::judge::{self, Decision};
use crate::controller::context::Context;
use crate::kube::events::EventRecord;
use crate::kube::meta::{name_of, reference_to, uid_of};
use crate::probe::admin::AdminError;
use crate::probe::nodes;
use crate::report::error::chain;
use crate::watch::cache::Cached;

/// Objects of one kind and node that are judged in one round.
const AT_ONCE: usize = 8;
/// How soon a node's status should say what the node found right.
const NOTED_SOON: Duration = Duration::from_secs(2);
/// What the API takes of a message, in characters.
const MESSAGE_LIMIT: usize = 1000;

/// A kind of object that custodians send.
pub trait Sent:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned
{
    /// The node that it is for.
    fn node(&self) -> &str;
    /// What became of it.
    fn judged(&self) -> Option<&JudgedStatus>;

    /// Whether it was judged.
    fn is_judged(&self) -> bool {
        self.judged().is_some_and(|status| status.state.is_some())
    }
}

impl Sent for TesseraBackupProof {
    fn node(&self) -> &str {
        &self.spec.node_ref.name
    }

    fn judged(&self) -> Option<&JudgedStatus> {
        self.status.as_ref()
    }
}

impl Sent for TesseraKeyRestore {
    fn node(&self) -> &str {
        &self.spec.node_ref.name
    }

    fn judged(&self) -> Option<&JudgedStatus> {
        self.status.as_ref()
    }
}

/// What is kept of such an object: whose it is, not what it holds.
#[derive(Debug, Clone)]
pub struct KeptSent {
    name: String,
    uid: String,
    node: String,
    is_pending: bool,
}

impl KeptSent {
    /// Keeps what the watch showed. What this version cannot read it leaves alone.
    pub fn keep<K: Sent>(guarded: DeserializeGuard<K>) -> Self {
        let (metadata, node, is_pending) = match guarded.0 {
            Ok(object) => (object.meta().clone(), object.node().to_owned(), !object.is_judged()),
            Err(invalid) => (invalid.metadata, String::new(), false),
        };
        Self {
            name: metadata.name.unwrap_or_default(),
            uid: metadata.uid.unwrap_or_default(),
            node,
            is_pending: is_pending && metadata.deletion_timestamp.is_none(),
        }
    }

    /// The node that it is for, if it was not judged yet.
    pub fn pending_for(&self) -> Option<&str> {
        self.is_pending.then_some(self.node.as_str())
    }
}

/// By the node that must judge it.
impl Cached for KeptSent {
    fn name(&self) -> &str {
        &self.name
    }

    fn uid(&self) -> &str {
        &self.uid
    }

    fn index(&self) -> Option<&str> {
        self.pending_for()
    }
}

/// Judges what is pending for `node`; returns when to look again. One that cannot be judged keeps no other from it.
pub(super) async fn work(
    node: &TesseraNode,
    network: &TesseraNetwork,
    ctx: &Context,
) -> Result<Option<Duration>, String> {
    let proofs = ctx.caches.proofs.indexed(name_of(node));
    let restores = ctx.caches.restores.indexed(name_of(node));
    let are_more = proofs.len() > AT_ONCE || restores.len() > AT_ONCE;
    let (mut awaits_status, mut failed) = (false, Ok(()));
    for kept in restores.iter().take(AT_ONCE) {
        if let Some(restore) = read::<TesseraKeyRestore>(kept, ctx).await? {
            let taken = take_back(&restore, node, network, ctx).await;
            failed = failed.and(note_pending(&restore, taken, ctx).await);
        }
    }
    for kept in proofs.iter().take(AT_ONCE) {
        if let Some(proof) = read::<TesseraBackupProof>(kept, ctx).await? {
            let judged = judge_proof(&proof, node, network, ctx).await;
            let judged = judged.map(|awaits| awaits_status |= awaits);
            failed = failed.and(note_pending(&proof, judged, ctx).await);
        }
    }
    failed.map(|()| (are_more || awaits_status).then_some(NOTED_SOON))
}

/// Writes into the status of an object that is still pending why it is, once.
async fn note_pending<K: Sent>(object: &K, outcome: Result<(), String>, ctx: &Context) -> Result<(), String> {
    let Err(why) = outcome else { return Ok(()) };
    let text = format!("it waits, and is tried again: {why}");
    let message: String = text.chars().take(MESSAGE_LIMIT).collect();
    let known = object.judged().and_then(|status| status.message.as_ref());
    if known != Some(&message) {
        let observed_generation = object.meta().generation;
        let status = JudgedStatus { observed_generation, state: None, message: Some(message) };
        ctx.writer.apply_status(object, &status).await.map_err(|error| chain(&error))?;
        tracing::warn!(kind = %K::kind(&()), name = name_of(object), error = why, "what a custodian sent waits");
    }
    Err(why)
}

/// The object as it is now, unless it is gone or judged.
async fn read<K: Sent>(kept: &KeptSent, ctx: &Context) -> Result<Option<K>, String> {
    let api: Api<K> = Api::namespaced(ctx.probes.clone(), &ctx.namespace);
    let found = api.get_opt(&kept.name).await.map_err(|error| chain(&error))?;
    Ok(found.filter(|object| uid_of(object) == kept.uid && !object.is_judged()))
}

/// Judges one proof; whether the node's status is to note it before it is Accepted.
async fn judge_proof(
    proof: &TesseraBackupProof,
    node: &TesseraNode,
    network: &TesseraNetwork,
    ctx: &Context,
) -> Result<bool, String> {
    let of = |node: &TesseraNode| judge::decide(&proof.spec, backup_of(node));
    let decision = match of(node) {
        // The watch may lag behind the status that the custodian read.
        Decision::Refuse(_) => of(&live(node, ctx).await?),
        other => other,
    };
    let covers = match decision {
        Decision::Accept(message) => {
            let text = format!("proof {} of {}: {message}", name_of(proof), proof.spec.custodian);
            conclude(
                proof,
                node,
                JudgedState::Accepted,
                message,
                EventRecord::normal("CustodyConfirmed", text),
                ctx,
            )
            .await?;
            ctx.backups.accepted.forget(uid_of(proof));
            return Ok(false);
        }
        Decision::Refuse(why) => {
            refuse_proof(proof, node, why, ctx).await?;
            return Ok(false);
        }
        Decision::AskNode(covers) => covers,
    };
    if ctx.backups.accepted.get(uid_of(proof)).is_some() {
        ctx.queues.nodes.touch(&name_of(node).to_owned());
        return Ok(true);
    }
    let (address, _) = speaker(node, ctx).ok_or("the node does not answer")?;
    let (client, target) = nodes::reach(node, network, address, ctx).await?;
    let result = check_result(client.judge_proof(&target, &judge::proof(&proof.spec)).await)?;
    if !result.accepted {
        refuse_proof(proof, node, result.message, ctx).await?;
        return Ok(false);
    }
    let accepted = AcceptedProof {
        custodian: proof.spec.custodian.to_string(),
        challenge: proof.spec.challenge.to_string(),
        covers,
    };
    ctx.backups.accepted.put(uid_of(proof), accepted);
    ctx.queues.nodes.touch(&name_of(node).to_owned());
    Ok(true)
}

async fn refuse_proof(
    proof: &TesseraBackupProof,
    node: &TesseraNode,
    why: String,
    ctx: &Context,
) -> Result<(), String> {
    ctx.backups.accepted.forget(uid_of(proof));
    let text = format!("proof {} of {} is refused: {why}", name_of(proof), proof.spec.custodian);
    let record = EventRecord::warning("CustodyRefused", text);
    conclude(proof, node, JudgedState::Refused, why, record, ctx).await
}

/// Gives keys back to the node.
async fn take_back(
    restore: &TesseraKeyRestore,
    node: &TesseraNode,
    network: &TesseraNetwork,
    ctx: &Context,
) -> Result<(), String> {
    let restored = judge::restored(&restore.spec);
    let recipients: Vec<_> = restored.keys.iter().flat_map(|key| key.recipients.clone()).collect();
    let address = recipient(node, &recipients, ctx).ok_or("the node does not answer")?;
    let (client, target) = nodes::reach(node, network, address, ctx).await?;
    let result = check_result(client.restore_keys(&target, &restored).await)?;
    let keys: Vec<_> =
        restore.spec.keys.iter().map(|key| format!("version {} of key {}", key.version, key.name)).collect();
    let keys = keys.join(", ");
    let (state, message, record) = if result.accepted {
        let message = format!("the secret store has {keys}");
        let record = EventRecord::normal("KeyRestored", format!("{message}, by {}", name_of(restore)));
        (JudgedState::Accepted, message, record)
    } else {
        let text = format!("{} brought {keys} and is refused: {}", name_of(restore), result.message);
        (JudgedState::Refused, result.message, EventRecord::warning("KeyRestoreRefused", text))
    };
    conclude(restore, node, state, message, record, ctx).await?;
    // What the node has now it says when it is asked next.
    for pod in ctx.caches.workload_of(uid_of(node)).iter().flat_map(|set| ctx.caches.pods.indexed(set.uid()))
    {
        ctx.queues.pods.touch(&pod.name().to_owned());
    }
    Ok(())
}

/// What the node said. A request that it finds malformed it will find malformed again.
fn check_result(answer: Result<CheckResult, AdminError>) -> Result<CheckResult, String> {
    match answer {
        Ok(result) => Ok(result),
        Err(AdminError::Code(
            code @ (StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY),
        )) => {
            let message = format!(
                "the node cannot read it (HTTP {code}): use kubectl tessera of the operator's version"
            );
            Ok(CheckResult { accepted: false, message })
        }
        Err(error) => Err(chain(&error)),
    }
}

/// Writes the status, and Events for people.
async fn conclude<K: Sent>(
    object: &K,
    node: &TesseraNode,
    state: JudgedState,
    message: String,
    record: EventRecord,
    ctx: &Context,
) -> Result<(), String> {
    let message = message.chars().take(MESSAGE_LIMIT).collect();
    let observed_generation = object.meta().generation;
    let status = JudgedStatus { observed_generation, state: Some(state), message: Some(message) };
    ctx.writer.apply_status(object, &status).await.map_err(|error| chain(&error))?;
    for about in [reference_to(object), reference_to(node)] {
        ctx.events.publish(&about, std::slice::from_ref(&record)).await;
    }
    Ok(())
}

fn backup_of(node: &TesseraNode) -> Option<&KeyBackupStatus> {
    node.status.as_ref()?.key_backup.as_ref()
}

async fn live(node: &TesseraNode, ctx: &Context) -> Result<TesseraNode, String> {
    let api: Api<TesseraNode> = Api::namespaced(ctx.probes.clone(), &ctx.namespace);
    api.get(name_of(node)).await.map_err(|error| chain(&error))
}
