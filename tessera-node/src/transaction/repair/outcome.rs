//! How a repair ends: a sentence for a person, and an exit code for a script.

use std::fmt;

use http::StatusCode;
use tessera_database::DatabaseError;
use tessera_enclave::TxHash;
use tessera_node_api::identity::Identity;
use tessera_store::WriteError;

use crate::peers::ResendError;
use crate::peers::directory::Peer;
use crate::transaction::Error;

/// Peers that are named in one sentence.
const MAX_NAMED: usize = 10;
/// The exit code of a payload that is readable and lacks boxes.
const INCOMPLETE: u8 = 5;

const NOTHING: &str = "has no such payload for this node's keys, or cannot give it now";
const SILENT: &str = "has not announced itself since this node started";

/// What one peer answered for all of our keys.
#[derive(Debug)]
pub(super) struct Asked {
    peer: String,
    /// None: it never announced itself.
    identity: Option<Identity>,
    /// A person named it as the one to ask.
    is_named: bool,
    /// It gave the payload for one of our keys at least.
    pub(super) gave: bool,
    /// Why it gave nothing for another one.
    failed: Option<String>,
    missing: Missing,
}

/// What an answer to all questions may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Missing {
    Nothing,
    /// The peer refused a key, as a Java node does where the key is no party.
    Refused,
    /// The peer may have boxes that it did not give.
    Boxes,
}

impl Asked {
    pub(super) fn of(peer: &Peer, is_named: bool) -> Self {
        let identity = Some(peer.identity().clone());
        Self { identity, is_named, ..Self::new(peer.authority()) }
    }

    /// A configured peer that this node has not heard of.
    pub(super) fn silent(authority: &str) -> Self {
        let mut asked = Self::new(authority);
        asked.fail(SILENT);
        asked
    }

    fn new(authority: &str) -> Self {
        Self {
            peer: authority.to_owned(),
            identity: None,
            is_named: false,
            gave: false,
            failed: None,
            missing: Missing::Nothing,
        }
    }

    /// Notes that an answer for a key is missing.
    pub(super) fn fail(&mut self, why: impl Into<String>) {
        self.failed = Some(why.into());
        self.missing = Missing::Boxes;
    }

    /// Notes a refusal for a key. A Java node answers 500 where the key is no party.
    pub(super) fn refuse(&mut self, why: &ResendError) {
        if matches!(why, ResendError::Refused(StatusCode::INTERNAL_SERVER_ERROR, _)) {
            self.missing = self.missing.max(Missing::Refused);
            self.failed.get_or_insert_with(|| why.to_string());
        } else {
            self.fail(why.to_string());
        }
    }

    /// Whether the peer may have boxes that it did not give: a recipient's are with the sender, and a recipient's node gives all of its
    /// boxes at once for the sender's key. `holds` says of a peer whether it holds the sender's key.
    pub(super) fn may_have_more(&self, is_ours: bool, holds: impl Fn(&Identity) -> bool) -> bool {
        let is_sender = || self.identity.as_ref().is_some_and(holds);
        let concerns = if is_ours { !self.gave } else { self.is_named || is_sender() };
        let most = if self.gave { Missing::Refused } else { Missing::Nothing };
        concerns && self.missing > most
    }
}

/// How a repair ended that changed what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The damaged payload can be read.
    Repaired,
    /// A payload that could be read has more boxes.
    Added,
    /// A payload that could be read has all boxes that the peer gave.
    NothingMissing,
}

/// A payload that can be read.
#[derive(Debug)]
pub(crate) struct Repaired {
    pub(super) hash: TxHash,
    pub(super) asked: Vec<Asked>,
    pub(super) ending: Ending,
    /// No peer that was asked may have more of it.
    pub(super) is_complete: bool,
    /// Known peers that were not asked and may have more.
    pub(super) left_out: usize,
}

impl Repaired {
    /// As `tessera-node repair --help` documents it.
    pub(crate) fn exit_code(&self) -> u8 {
        if self.is_complete { 0 } else { INCOMPLETE }
    }
}

/// Why a payload is not repaired. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RepairError {
    /// The store is certain that it has no such payload.
    #[error("this node has no payload {0}: check the hash")]
    Unknown(TxHash),
    /// The record is whole, and no peer is named.
    #[error(
        "the payload {0} is not damaged: there is nothing to repair; after an incomplete repair, ask a peer for its part with --peer"
    )]
    Whole(TxHash),
    /// The record is whole, and the named peer gave nothing.
    #[error("the payload {0} can be read, and nothing is added: {1}")]
    NothingAdded(TxHash, Answers),
    /// The record is whole, and the named peer gave something else.
    #[error(
        "the payload {0} can be read, and nothing is added: what the peer gave differs from it in sender, nonce or privacy: {1}"
    )]
    Differs(TxHash, Answers),
    /// Only the sending client has it.
    #[error(
        "{0} is damaged and is a raw payload that was never sent, so no peer has it: let the client store its payload again"
    )]
    Raw(TxHash),
    /// Nobody can be asked.
    #[error("the payload {0} stays damaged: {1}")]
    NobodyToAsk(TxHash, &'static str),
    /// All were asked.
    #[error("the payload {0} stays damaged: no peer gave it: {1}")]
    NotGiven(TxHash, Answers),
    /// One of them lies, and the hash does not say which.
    #[error(
        "the payload {0} stays damaged: peers gave payloads with this hash that differ in sender, nonce or privacy: find out which one is right, and ask it alone with --peer: {1}"
    )]
    Contradiction(TxHash, Answers),
    /// A rule of the privacy modes forbids it.
    #[error("the payload {0} stays damaged: what peers gave is not kept: {1}")]
    NotKept(TxHash, String),
    /// The disk is full.
    #[error(
        "the payload {0} stays damaged: the store's disk is full or its quota is used up: add space, then run this again"
    )]
    DiskFull(TxHash),
    /// The record was written and cannot be read.
    #[error("the payload {0} was written again and still cannot be read: check the disk")]
    NotReadBack(TxHash),
    /// The node cannot say or do it now.
    #[error("the payload {0} was not repaired: {1}")]
    Failed(TxHash, String),
}

impl RepairError {
    /// As `tessera-node repair --help` documents it.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NobodyToAsk(..)
            | Self::NotGiven(..)
            | Self::NothingAdded(..)
            | Self::Differs(..)
            | Self::Contradiction(..)
            | Self::NotKept(..) => 1,
            Self::DiskFull(_) | Self::NotReadBack(_) | Self::Failed(..) => 2,
            Self::Unknown(_) | Self::Whole(_) | Self::Raw(_) => 3,
        }
    }

    pub(super) fn of(hash: TxHash, error: &Error) -> Self {
        match error {
            Error::Write(WriteError::Full) | Error::Database(DatabaseError::Full) => Self::DiskFull(hash),
            Error::Refused(_) => Self::NotKept(hash, error.to_string()),
            other => Self::Failed(hash, crate::telemetry::chain(other)),
        }
    }
}

impl fmt::Display for Repaired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (gave, asked) = (self.asked.iter().filter(|asked| asked.gave).count(), self.asked.len());
        let ending = match self.ending {
            Ending::Repaired => "is repaired",
            Ending::Added => "can be read, and has more recipients' boxes now",
            Ending::NothingMissing => "can be read, and has all that the peer gave",
        };
        let incomplete = if self.is_complete { "" } else { ", incomplete" };
        write!(f, "the payload {} {ending}{incomplete}: {gave} of {asked} peers gave it", self.hash)?;
        if gave < asked || !self.is_complete {
            write!(f, ": {}", Answers::of(&self.asked))?;
        }
        if self.left_out > 0 {
            write!(f, "; {} other peers were not asked", self.left_out)?;
        }
        if self.is_complete {
            return Ok(());
        }
        f.write_str("; ask each peer that may have more alone, with --peer")
    }
}

/// The answers of peers, in one line.
#[derive(Debug)]
pub(crate) struct Answers(String);

impl Answers {
    pub(super) fn of(all: &[Asked]) -> Self {
        let one = |Asked { peer, gave, failed, .. }: &Asked| match (gave, failed.as_deref()) {
            (true, None) => format!("{peer} gave it"),
            (true, Some(failed)) => format!("{peer} gave it, but not for each of this node's keys: {failed}"),
            (false, failed) => format!("{peer} {}", failed.unwrap_or(NOTHING)),
        };
        let mut named: Vec<_> = all.iter().take(MAX_NAMED).map(one).collect();
        if all.len() > MAX_NAMED {
            named.push(format!("and {} more peers", all.len() - MAX_NAMED));
        }
        Self(named.join("; "))
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: StatusCode) -> ResendError {
        ResendError::Refused(status, String::new())
    }

    /// What a peer of that name may still have: for our own payload, for one that it sent, and for one of another sender.
    fn may_have_more(gave: bool, answers: impl Fn(&mut Asked)) -> [bool; 3] {
        let identity = Identity::node("org.test", "b").unwrap();
        let mut asked = Asked { identity: Some(identity), gave, ..Asked::new("b:9000") };
        answers(&mut asked);
        [(true, false), (false, true), (false, false)]
            .map(|(is_ours, holds)| asked.may_have_more(is_ours, |_| holds))
    }

    #[test]
    fn a_repair_is_incomplete_only_for_a_peer_that_may_have_more() {
        let none = [false; 3];
        assert_eq!(may_have_more(true, |_| {}), none);
        assert_eq!(may_have_more(false, |_| {}), none, "it has nothing");
        let offline = |asked: &mut Asked| asked.fail("did not answer");
        assert_eq!(may_have_more(false, offline), [true, true, false]);
        assert_eq!(may_have_more(true, offline), [false, true, false], "for another key of ours");
        let forbidden = |asked: &mut Asked| asked.refuse(&refused(StatusCode::FORBIDDEN));
        assert_eq!(may_have_more(true, forbidden), [false, true, false]);
        // A Java node, of which another key of ours is no party; and one that may have failed.
        let java = |asked: &mut Asked| asked.refuse(&refused(StatusCode::INTERNAL_SERVER_ERROR));
        assert_eq!(may_have_more(true, java), none);
        assert_eq!(may_have_more(false, java), [true, true, false]);

        let mut named = Asked { is_named: true, ..Asked::new("b:9000") };
        named.fail("did not answer");
        assert!(named.may_have_more(false, |_| false));
        assert!(Asked::silent("b:9000").may_have_more(true, |_| false));
        assert!(!Asked::silent("b:9000").may_have_more(false, |_| true));
    }
}
