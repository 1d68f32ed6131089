//! `tessera-node repair HASH`: one line to a running node over its Unix socket, and one line back.
//!
//! ```text
//!   repair <hash> [<URL of the only peer to ask>] ─► <exit code> <sentence>
//!   repair list                                   ─► <exit code> <words>
//! ```
//!
//! The node does it, since no second process may open its store.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tessera_enclave::TxHash;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::args::RepairArgs;
use crate::peers::{NodeUrl, printable};
use crate::probe;
use crate::telemetry::chain;
use crate::transaction::{REPAIR_TIME, TransactionManager};

/// The word on the socket.
pub(crate) const COMMAND: &str = "repair ";
/// What follows it for a list.
const LIST: &str = "list";
/// Damaged payloads in one line.
const MAX_LISTED: usize = 70;
/// Characters of a sentence: less than the line that the command reads.
const MAX_SENTENCE: usize = 7900;
/// What follows a sentence that is longer.
const TRUNCATED: &str = " ... (truncated)";
/// Between two of them.
const SEPARATOR: &str = ", ";
/// For reading, checking and writing, beside the peers' time.
const GRACE: Duration = Duration::from_secs(30);
/// Bytes of SHA3-512.
const HASH_BYTES: usize = 64;
/// The exit code of a node that cannot do it now.
const UNABLE: u8 = 2;

/// How a repair ended: its exit code and its sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// 0 is repaired; `tessera-node repair --help` documents the others.
    pub code: u8,
    /// What happened, and what to do.
    pub sentence: String,
}

impl Answer {
    fn unable(sentence: impl Into<String>) -> Self {
        Self { code: UNABLE, sentence: sentence.into() }
    }
}

/// The repairs of a running node, one at a time. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Repairs(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Weak: the socket answers to the end of the drain, and the node's parts end before.
    manager: OnceLock<Weak<TransactionManager>>,
    turn: Semaphore,
    draining: CancellationToken,
}

impl Repairs {
    /// Of a node that does not serve yet.
    pub(crate) fn new(draining: CancellationToken) -> Self {
        Self(Arc::new(Shared { manager: OnceLock::new(), turn: Semaphore::new(1), draining }))
    }

    /// From now on the node serves.
    pub(crate) fn serve(&self, manager: &Arc<TransactionManager>) {
        // Called once: a node starts once.
        let _ = self.0.manager.set(Arc::downgrade(manager));
    }

    /// Answers what follows [`COMMAND`], in one line.
    pub(crate) async fn answer(&self, question: &str) -> String {
        let Answer { code, sentence } = self.repair(question).await;
        format!("{code} {}", one_line(&sentence))
    }

    async fn repair(&self, question: &str) -> Answer {
        if question.trim() == LIST {
            return match self.manager() {
                Ok(manager) => list(&manager).await,
                Err(unable) => unable,
            };
        }
        let mut words = question.split_whitespace();
        let hash = words.next().and_then(|word| parse_hash(word).ok());
        let only = words.next().map(str::parse::<NodeUrl>).transpose();
        let (Some(hash), Ok(only)) = (hash, only) else {
            return Answer::unable(
                "the command is malformed: use `tessera-node repair` of the node's own version",
            );
        };
        let manager = match self.manager() {
            Ok(manager) => manager,
            Err(unable) => return unable,
        };
        let Ok(_turn) = self.0.turn.try_acquire() else {
            return Answer::unable("another repair is running: wait for its end");
        };
        let repaired = async {
            match manager.repair(hash, only.as_ref()).await {
                Ok(repaired) => Answer { code: repaired.exit_code(), sentence: repaired.to_string() },
                Err(error) => Answer { code: error.exit_code(), sentence: error.to_string() },
            }
        };
        tokio::select! {
            ended = tokio::time::timeout(REPAIR_TIME + GRACE, repaired) => {
                ended.unwrap_or_else(|_| Answer::unable("the repair did not end in time: run it again"))
            }
            () = self.0.draining.cancelled() => Answer::unable("the node is shutting down"),
        }
    }

    fn manager(&self) -> Result<Arc<TransactionManager>, Answer> {
        let starting = "the node does not serve yet: `tessera-node probe ready` says what it waits for";
        let manager = self.0.manager.get().ok_or_else(|| Answer::unable(starting))?;
        manager.upgrade().ok_or_else(|| Answer::unable("the node is shutting down"))
    }
}

/// The sentence as it fits one line of the socket, whatever peers put into it.
fn one_line(sentence: &str) -> String {
    let mut line: String = sentence.chars().map(printable).take(MAX_SENTENCE).collect();
    if sentence.chars().nth(MAX_SENTENCE).is_some() {
        line.push_str(TRUNCATED);
    }
    line
}

async fn list(manager: &TransactionManager) -> Answer {
    let mut named = match manager.damaged().await {
        Ok(named) => named,
        Err(error) => return Answer::unable(chain(&error)),
    };
    if named.is_empty() {
        named.push("no damaged payload is known".to_owned());
    }
    let more = named.len().saturating_sub(MAX_LISTED);
    named.truncate(MAX_LISTED);
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    Answer { code: 0, sentence: named.join(SEPARATOR) }
}

/// A hash as `tessera-node verify` prints it.
pub(crate) fn parse_hash(text: &str) -> Result<TxHash, String> {
    let hash: TxHash = text.parse().map_err(|error| format!("not a payload's hash in base64: {error}"))?;
    match hash.as_bytes().len() {
        HASH_BYTES => Ok(hash),
        bytes => Err(format!("a payload's hash has {HASH_BYTES} bytes, and this has {bytes}")),
    }
}

/// Asks the running node, and waits for the end of the repair.
pub fn ask(args: &RepairArgs) -> Answer {
    let only = args.peer.as_ref().map_or_else(String::new, |url| format!(" {url}"));
    let what = args.hash.map_or_else(|| LIST.to_owned(), |hash| hash.to_string());
    let question = format!("{COMMAND}{what}{only}");
    let answer = probe::exchange(&args.socket, &question, REPAIR_TIME + 2 * GRACE);
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Answer::unable(format!("no answer on {}: {error}", args.socket.display())),
    };
    let parsed = answer.trim().split_once(' ').and_then(|(code, sentence)| {
        let sentence = if args.list { sentence.replace(SEPARATOR, "\n") } else { sentence.to_owned() };
        Some(Answer { code: code.parse().ok()?, sentence })
    });
    parsed.unwrap_or_else(|| Answer::unable("the node does not know this command: it is of another version"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_node_that_does_not_serve_says_so() {
        let repairs = Repairs::new(CancellationToken::new());
        let hash = TxHash::of(b"text").to_string();
        assert!(repairs.answer(&hash).await.starts_with("2 the node does not serve yet"));
        for question in ["", "AAAA", &format!("{hash} nowhere")] {
            assert!(repairs.answer(question).await.starts_with("2 the command is malformed"), "{question}");
        }
    }

    #[test]
    fn a_sentence_is_one_short_line_of_printable_characters() {
        assert_eq!(one_line("no\r\n0 repaired \u{1b}[2J\u{e9}"), "no  0 repaired  [2J ");
        let whole = "x".repeat(MAX_SENTENCE);
        assert_eq!(one_line(&whole), whole);
        let line = one_line(&format!("{whole}{whole}"));
        assert!(line.ends_with("x ... (truncated)") && line.len() + "2 \n".len() < 8192, "{}", line.len());
    }

    #[test]
    fn a_hash_has_64_bytes() {
        let hash = TxHash::of(b"text");
        assert_eq!(parse_hash(&hash.to_string()), Ok(hash));
        assert!(parse_hash("AAAA").unwrap_err().contains("and this has 3"));
        assert!(parse_hash("?").unwrap_err().starts_with("not a payload's hash in base64"));
    }
}
