//! One peer is asked for each of our keys.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tessera_enclave::{PublicKey, TxHash};
use tokio::time::Instant;

use super::ANSWER_COST;
use super::answers::{self, Giver, Parts};
use super::outcome::Asked;
use crate::keyring::Keys;
use crate::peers::ResendError;
use crate::peers::directory::{Directory, Peer};
use crate::resources::Permit;
use crate::transaction::{TransactionManager, compute};

/// For all answers of one peer.
const PEER_TIME: Duration = Duration::from_secs(10);

const NOT_ASKED: &str = "was not asked, since the time for all peers is over: ask it alone with --peer";

/// What one peer is asked.
pub(super) struct Question {
    pub(super) peer: Arc<Peer>,
    /// A person named it as the one to ask.
    pub(super) is_named: bool,
    pub(super) directory: Arc<Directory>,
    pub(super) keys: Arc<Keys>,
    pub(super) hash: TxHash,
    /// A larger answer is none.
    pub(super) largest: u64,
    /// For all peers.
    pub(super) deadline: Instant,
}

/// What one peer gave, and the memory of that.
pub(super) struct Answer {
    pub(super) asked: Asked,
    pub(super) parts: Parts,
    /// Held until the parts are joined with those of others.
    pub(super) memory: Permit,
}

impl TransactionManager {
    /// Asks one peer for each of our keys; a peer that does not answer is asked no more.
    pub(super) async fn ask(&self, question: Question) -> Answer {
        let Question { peer, largest, deadline, .. } = &question;
        let asked = Asked::of(peer, question.is_named);
        let mut answer = Answer { asked, parts: Parts::default(), memory: self.lookup_memory.permit() };
        if *deadline <= Instant::now() {
            answer.asked.fail(NOT_ASKED);
            return answer;
        }
        if let Err(error) = answer.memory.grow(largest * ANSWER_COST).await {
            answer.asked.fail(format!("was not asked: {error}"));
            return answer;
        }
        let by = (*deadline).min(Instant::now() + PEER_TIME);
        let largest = usize::try_from(*largest).unwrap_or(usize::MAX);
        let own: Vec<PublicKey> = question.keys.ring().public_keys().copied().collect();
        for key in own {
            match self.peers.resend(peer, &key, &question.hash, largest, by).await {
                Ok(body) => self.take(&question, key, body, &mut answer).await,
                Err(ResendError::Unknown) => {}
                Err(refused @ ResendError::Refused(..)) => answer.asked.refuse(&refused),
                Err(offline @ ResendError::Offline(_)) => {
                    answer.asked.fail(offline.to_string());
                    break;
                }
            }
        }
        answer
    }

    /// Checks what a peer gave for one key.
    async fn take(&self, question: &Question, key: PublicKey, body: Bytes, answer: &mut Answer) {
        let (ring, hash, size) = (Arc::clone(question.keys.ring()), question.hash, body.len());
        let (directory, peer) = (Arc::clone(&question.directory), Arc::clone(&question.peer));
        let is_named = question.is_named;
        let checked = compute(size, move || {
            let holds = |key: &PublicKey| directory.is_holder(peer.identity(), key);
            answers::check(&ring, &hash, &key, &body, &Giver { holds, is_named })
        });
        match checked.await {
            Ok(Ok(given)) => match answer.parts.add(given) {
                Ok(()) => answer.asked.gave = true,
                Err(error) => answer.asked.fail(error.to_string()),
            },
            Ok(Err(untrue)) => answer.asked.fail(untrue.to_string()),
            Err(error) => answer.asked.fail(error.to_string()),
        }
    }
}
