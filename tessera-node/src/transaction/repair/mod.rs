//! A payload whose record is damaged on disk is fetched from peers.
//!
//! ```text
//!   damaged? ─► ask each peer for each of our keys ─► check ─► combine ─► privacy rules ─► one durable write ─► read it back
//!               [bounded: time, memory]               [hash, box]        [as of a push]    [if still damaged]
//! ```
//!
//! Each peer that is asked learns that this node takes part in the transaction, so the operator may name the one to ask. Nodes of
//! our own trust domain are asked first.
//!
//! What the hash does not bind, the sender above all, is believed of a peer as far as [`answers`] says. A recipient that asks
//! all peers believes a peer that it is the sender itself, as it believes a push; when the real sender answers as well, the two
//! contradict each other, and neither is believed.
//!
//! What does not come back:
//!
//! - a payload with enhanced privacy, which no node resends;
//! - a payload of an archived key, since a node proves only keys that it announces;
//! - at a sender, the boxes of recipients whose nodes do not answer, and of other keys of its own.
//!
//! A repair that lacks the answer of a peer that may have more ends as incomplete. With `--peer`, that peer is asked again, and what
//! it gives is added to the record, which is whole by then.

mod answers;
mod ask;
mod outcome;

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use tessera_enclave::{EncodedPayload, TxHash, open};
use tessera_store::Version;
use tokio::time::Instant;

use self::answers::Parts;
use self::ask::Question;
use self::outcome::{Answers, Asked, Ending, RepairError, Repaired};
use super::payloads::Condition;
use super::privacy::{self, PushDecision};
use super::{Error, MAX_RECORD_BYTES, TransactionManager, affected, compute};
use crate::keyring::Keys;
use crate::peers::NodeUrl;
use crate::verify;

/// For asking all peers.
pub(crate) const TIME: Duration = Duration::from_mins(1);
/// Peers that are asked at one time.
const AT_ONCE: u64 = 8;
/// What a peer's answer may have beyond the size of our damaged record: another codec, more boxes.
const SLACK_BYTES: u64 = 64 << 10;
/// Bytes of memory for each byte of an answer: as it is read, and the message that is opened for the check.
const ANSWER_COST: u64 = 3;
/// The part of the share of lookups that all questions together hold, unless one alone needs more.
const SHARE_PART: u64 = 4;
/// The unit in which memory is counted.
const UNIT: u64 = 1 << 10;
/// Writes that are tried while other writes come in between.
const MAX_WRITES: usize = 5;

/// What this node has of the payload.
struct Found {
    stored: Option<EncodedPayload>,
    version: Option<Version>,
}

/// What peers gave.
struct Given {
    parts: Parts,
    asked: Vec<Asked>,
    /// Known peers that were not asked, since another one was named.
    left_out: usize,
}

/// Bounds of the questions of one repair.
struct Bounds {
    /// Bytes of one answer.
    largest: u64,
    at_once: usize,
}

impl Bounds {
    /// For a record of `stored` bytes, 0 if that is not known, within `share` bytes. A repair holds one payload, and each question
    /// [`ANSWER_COST`] times as much while it is under way.
    fn new(stored: u64, share: u64) -> Self {
        // Without a size, half of the share is left to lookups.
        let (expected, share_for_one) =
            if stored == 0 { (MAX_RECORD_BYTES as u64, share / 2) } else { (stored, share) };
        // Whole units, so that the two permits fit beside each other.
        let fits = share_for_one / (ANSWER_COST + 1) / UNIT * UNIT;
        let largest = (expected + SLACK_BYTES).min(fits).max(1);
        let at_once = (share / SHARE_PART / (largest * ANSWER_COST)).clamp(1, AT_ONCE);
        Self { largest, at_once: usize::try_from(at_once).unwrap_or(1) }
    }
}

impl TransactionManager {
    /// The damaged payloads that are known, each as `tessera-node verify` names it.
    pub(crate) async fn damaged(&self) -> Result<Vec<String>, Error> {
        let damaged = self.payloads.damaged().await?;
        Ok(damaged.iter().map(|(kind, hash)| verify::named(*kind, hash)).collect())
    }

    /// Fetches a damaged payload from peers, or from the one at `only`, which is asked for its part of a whole one as well.
    pub(crate) async fn repair(&self, hash: TxHash, only: Option<&NodeUrl>) -> Result<Repaired, RepairError> {
        let failed = |error: Error| RepairError::of(hash, &error);
        let keys = self.keys().map_err(failed)?;
        if !keys.is_complete() {
            // A payload that only the missing key opens would be refused.
            return Err(failed(Error::KeysIncomplete));
        }
        let stored = self.payloads.stored_bytes(&hash, false).await.map_err(failed)?;
        let bounds = Bounds::new(stored, self.lookup_memory.bytes());
        let mut held = self.lookup_memory.permit();
        held.grow(bounds.largest).await.map_err(|error| failed(error.into()))?;
        let found = self.find(hash, only.is_some()).await?;
        let is_whole = found.stored.is_some();

        let Given { parts, asked, left_out } = self.fetch(&keys, &hash, only, &bounds).await?;
        let contradiction = if is_whole { RepairError::Differs } else { RepairError::Contradiction };
        if parts.contradict() {
            return Err(contradiction(hash, Answers::of(&asked)));
        }
        let not_given = if is_whole { RepairError::NothingAdded } else { RepairError::NotGiven };
        let Some(given) = parts.all().cloned() else { return Err(not_given(hash, Answers::of(&asked))) };
        drop(parts);
        // The rules of a push, except that a key that is archived keeps what it has received.
        affected::check_count(given.privacy.affected.len()).map_err(|error| failed(error.into()))?;
        let known = self.known(given.privacy.affected.keys()).await.map_err(failed)?;
        match privacy::check_push(&given, &known).map_err(|error| failed(error.into()))? {
            PushDecision::Ignore(reason) => return Err(RepairError::NotKept(hash, reason.to_owned())),
            PushDecision::Accept => {}
        }
        let invalid = self.invalid_claims(keys.ring(), &given, &known, &hash).await.map_err(failed)?;
        // Writing and reading back take copies, as an answer does.
        held.grow(bounds.largest * ANSWER_COST).await.map_err(|error| failed(error.into()))?;
        let given = given.without_affected(&invalid);
        if found.stored.as_ref().is_some_and(|stored| !answers::is_of(stored, &given)) {
            return Err(RepairError::Differs(hash, Answers::of(&asked)));
        }
        let is_ours = keys.ring().contains(&given.sender);
        let sender = given.sender;
        let changed = self.add(&keys, &hash, found, given).await?;
        self.read_back(&keys, &hash).await?;

        let directory = Arc::clone(&self.peers.directory());
        let left_out = if is_ours && !is_whole { left_out } else { 0 };
        let is_complete = left_out == 0
            && !asked
                .iter()
                .any(|asked| asked.may_have_more(is_ours, |peer| directory.is_holder(peer, &sender)));
        let ending = match (is_whole, changed) {
            (false, _) => Ending::Repaired,
            (true, true) => Ending::Added,
            (true, false) => Ending::NothingMissing,
        };
        match ending {
            Ending::Repaired => tracing::info!(%hash, is_complete, "a damaged payload is repaired"),
            Ending::Added => {
                tracing::info!(%hash, is_complete, "a payload has more of its recipients' parts");
            }
            Ending::NothingMissing => {}
        }
        Ok(Repaired { hash, asked, ending, is_complete, left_out })
    }

    /// What is stored. A whole payload is repaired further only if a peer is named for that.
    async fn find(&self, hash: TxHash, is_peer_named: bool) -> Result<Found, RepairError> {
        let failed = |error: Error| RepairError::of(hash, &error);
        Ok(match self.payloads.condition(&hash).await.map_err(failed)? {
            Condition::Absent => return Err(RepairError::Unknown(hash)),
            Condition::Whole if !is_peer_named => return Err(RepairError::Whole(hash)),
            Condition::Whole => match self.payloads.get_for_write(&hash).await.map_err(failed)? {
                (Some(stored), version) => Found { stored: Some(stored), version },
                // A raw payload that was never sent.
                (None, _) => return Err(RepairError::Whole(hash)),
            },
            Condition::RawDamaged => return Err(RepairError::Raw(hash)),
            Condition::Damaged(version) => Found { stored: None, version: Some(version) },
            Condition::Lost => Found { stored: None, version: None },
        })
    }

    /// Combines what is stored with what peers gave, and writes that. False: all of it is stored already.
    async fn add(
        &self,
        keys: &Arc<Keys>,
        hash: &TxHash,
        found: Found,
        given: EncodedPayload,
    ) -> Result<bool, RepairError> {
        let failed = |error: Error| RepairError::of(*hash, &error);
        let Found { mut stored, mut version } = found;
        for _ in 0..MAX_WRITES {
            let (ring, before, added) = (Arc::clone(keys.ring()), stored.clone(), given.clone());
            let combined =
                compute(given.cipher_text.len(), move || answers::combine(&ring, before, added)).await;
            let combined = combined.and_then(|combined| combined).map_err(failed)?;
            if stored.as_ref() == Some(&combined) {
                return Ok(false);
            }
            if self.write(hash, version, &combined).await.map_err(failed)? {
                return Ok(true);
            }
            // A push came first, and what it brought is kept, if that is of the same transaction.
            (stored, version) = self.payloads.get_for_write(hash).await.map_err(failed)?;
            if stored.as_ref().is_some_and(|stored| !answers::is_of(stored, &given)) {
                let why = "a push of other content came in between: run this again".to_owned();
                return Err(RepairError::Failed(*hash, why));
            }
        }
        Err(RepairError::Failed(*hash, "other writes came in between: run this again".to_owned()))
    }

    async fn fetch(
        &self,
        keys: &Arc<Keys>,
        hash: &TxHash,
        only: Option<&NodeUrl>,
        bounds: &Bounds,
    ) -> Result<Given, RepairError> {
        let directory = Arc::clone(&self.peers.directory());
        let (peers, silent) = directory.all(self.peers.identity().trust_domain());
        let known = peers.len() + silent.len();
        let is_wanted = |authority: &str| only.is_none_or(|only| only.authority() == authority);
        let peers: Vec<_> = peers.into_iter().filter(|peer| is_wanted(peer.authority())).collect();
        let silent = silent.into_iter().filter(|authority| is_wanted(authority));
        let mut asked: Vec<_> = silent.map(Asked::silent).collect();
        if peers.is_empty() && asked.is_empty() {
            let reason = if only.is_some() { "no known peer has this address" } else { "no peer is known" };
            return Err(RepairError::NobodyToAsk(*hash, reason));
        }
        let left_out = known - peers.len() - asked.len();

        let deadline = Instant::now() + TIME;
        // Collected, since the compiler cannot tell that a lazy iterator of them may be sent.
        let questions: Vec<_> = peers
            .into_iter()
            .map(|peer| {
                let (directory, keys) = (Arc::clone(&directory), Arc::clone(keys));
                let (largest, is_named) = (bounds.largest, only.is_some());
                self.ask(Question { peer, is_named, directory, keys, hash: *hash, largest, deadline })
            })
            .collect();
        let mut answers = stream::iter(questions).buffer_unordered(bounds.at_once);
        let mut parts = Parts::default();
        while let Some(answer) = answers.next().await {
            asked.push(answer.asked);
            parts.join(answer.parts).map_err(|error| RepairError::of(*hash, &error))?;
            drop(answer.memory);
        }
        Ok(Given { parts, asked, left_out })
    }

    /// Succeeds if the payload is read from disk and a key of ours opens it.
    async fn read_back(&self, keys: &Arc<Keys>, hash: &TxHash) -> Result<(), RepairError> {
        let failed = |error: Error| RepairError::of(*hash, &error);
        let (Condition::Whole, Some(payload)) = (
            self.payloads.condition(hash).await.map_err(failed)?,
            self.payloads.get(hash).await.map_err(failed)?,
        ) else {
            return Err(RepairError::NotReadBack(*hash));
        };
        let ring = Arc::clone(keys.ring());
        let opens = compute(payload.cipher_text.len(), move || open::open_any(&ring, &payload).is_some());
        if opens.await.map_err(failed)? { Ok(()) } else { Err(RepairError::NotReadBack(*hash)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn questions_hold_a_quarter_of_the_share_unless_one_needs_more() {
        // A container of 128 MiB, and one of 512.
        for share in [42 * MIB, 170 * MIB] {
            for stored in [0, 1 << 10, MIB, 2 * MIB, 10 * MIB, 60 * MIB] {
                let Bounds { largest, at_once } = Bounds::new(stored, share);
                let questions = at_once as u64 * largest * ANSWER_COST;
                assert!(at_once == 1 || questions <= share / 4, "{stored} of {share}: {questions}");
                assert!(largest + questions <= share, "{stored} of {share}");
                if stored == 0 {
                    assert!(largest + questions <= share / 2, "{share}");
                }
            }
        }
        assert_eq!(Bounds::new(1 << 10, 42 * MIB).at_once, 8);
        assert!(Bounds::new(10 * MIB, 42 * MIB).largest > 10 * MIB);
        assert_eq!(Bounds::new(1, 0).largest, 1);
    }
}
