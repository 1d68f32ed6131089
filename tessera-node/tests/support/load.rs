//! Well-behaved callers: each sends one payload after the other over one connection, and each payload once.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;

use super::client::{Answer, Session, request, segment, send_body};
use super::{PATIENCE, Spec};

/// What the callers do.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub callers: usize,
    /// Bytes of each payload, at least 8.
    pub payload: usize,
}

/// A payload that was acknowledged.
#[derive(Debug, Clone)]
pub struct Sent {
    pub hash: String,
    pub id: u64,
    pub took: Duration,
}

/// What came of a load.
#[derive(Debug, Default)]
pub struct Outcome {
    pub sent: Vec<Sent>,
    /// The answers that were no acknowledgement, and connections that were not made or were lost.
    pub failed: Vec<String>,
    /// From the first send to the last answer.
    pub took: Duration,
}

/// What came of reading payloads back.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ReadBack {
    pub intact: usize,
    /// 404: the node denies a payload that it acknowledged.
    pub denied: usize,
    /// Every other answer than the payload, and no answer.
    pub unreadable: Vec<String>,
}

/// Sends from the ledger node of `node` to the holders of `to`. A caller stops when `enough` says so of its sends and of the
/// time since all began.
pub async fn run(node: &Spec, to: &[&str], load: Load, enough: impl Fn(usize, Duration) -> bool) -> Outcome {
    let callers = join_all((0..load.callers).map(async |_| node.client().session().await)).await;
    let began = Instant::now();
    let outcomes = join_all(callers.into_iter().map(async |session| match session {
        Some(session) => one_caller(session, to, load, |sends| enough(sends, began.elapsed())).await,
        None => Outcome { failed: vec!["no connection".to_owned()], ..Outcome::default() },
    }))
    .await;
    together(outcomes, began.elapsed())
}

fn together(outcomes: Vec<Outcome>, took: Duration) -> Outcome {
    let mut all = Outcome { took, ..Outcome::default() };
    for one in outcomes {
        all.sent.extend(one.sent);
        all.failed.extend(one.failed);
    }
    all
}

/// Sends `per_second` payloads in all at even intervals, whether the ones before are answered or not. A time runs from the
/// moment at which its send was due, so a send that waits for a caller counts the wait.
pub async fn open_loop(node: &Spec, to: &[&str], load: Load, per_second: f64, time: Duration) -> Outcome {
    let callers = join_all((0..load.callers).map(async |_| node.client().session().await)).await;
    let (began, next) = (tokio::time::Instant::now(), AtomicU32::new(0));
    let outcomes = join_all(callers.into_iter().map(async |session| {
        let (mut session, mut outcome) = (session.expect("a connection"), Outcome::default());
        loop {
            let due = Duration::from_secs_f64(f64::from(next.fetch_add(1, Ordering::Relaxed)) / per_second);
            if due > time {
                return outcome;
            }
            tokio::time::sleep_until(began + due).await;
            match send_one(&mut session, to, load).await {
                Ok(sent) => outcome.sent.push(Sent { took: began.elapsed().saturating_sub(due), ..sent }),
                Err(failure) => outcome.failed.push(failure),
            }
        }
    }))
    .await;
    together(outcomes, began.elapsed())
}

async fn one_caller(
    mut session: Session,
    to: &[&str],
    load: Load,
    enough: impl Fn(usize) -> bool,
) -> Outcome {
    let mut outcome = Outcome::default();
    while !enough(outcome.sent.len() + outcome.failed.len()) {
        match send_one(&mut session, to, load).await {
            Ok(sent) => outcome.sent.push(sent),
            Err(failure) => outcome.failed.push(failure),
        }
        if session.is_closed() {
            break;
        }
    }
    outcome
}

/// One payload, once.
async fn send_one(session: &mut Session, to: &[&str], load: Load) -> Result<Sent, String> {
    let id = next_id();
    let body = send_body(&message(id, load.payload), to);
    let asked = Instant::now();
    let request = request("POST", "/send", &[("content-type", "application/json")], body);
    match tokio::time::timeout(PATIENCE, session.try_send(request)).await {
        Ok(Some(answer)) if answer.status == 201 => {
            let hash = answer.json()["key"].as_str().unwrap().to_owned();
            Ok(Sent { hash, id, took: asked.elapsed() })
        }
        Ok(Some(Answer { status, body, .. })) => Err(format!("{status} {}", String::from_utf8_lossy(&body))),
        Ok(None) | Err(_) => Err(format!("no answer within {:?}", asked.elapsed())),
    }
}

/// Reads all payloads at `node`, over so many connections.
pub async fn read_back(node: &Spec, sent: &[Sent], payload: usize, callers: usize) -> ReadBack {
    let shares = sent.chunks(sent.len().div_ceil(callers).max(1));
    let found = join_all(shares.map(async |share| {
        let mut found = ReadBack::default();
        let Some(mut session) = node.client().session().await else {
            found.unreadable.push(format!("{} was not reached for {} payloads", node.name, share.len()));
            return found;
        };
        for Sent { hash, id, .. } in share {
            let path = format!("/transaction/{}", segment(hash));
            let answer =
                tokio::time::timeout(PATIENCE, session.try_send(request("GET", &path, &[], ""))).await;
            match answer.ok().flatten() {
                Some(answer) if is_intact(&answer, *id, payload) => found.intact += 1,
                Some(answer) if answer.status == 404 => found.denied += 1,
                other => found.unreadable.push(format!("{hash} at {}: {other:?}", node.name)),
            }
        }
        found
    }))
    .await;
    found.into_iter().fold(ReadBack::default(), |mut all, one| {
        all.intact += one.intact;
        all.denied += one.denied;
        all.unreadable.extend(one.unreadable);
        all
    })
}

fn is_intact(answer: &Answer, id: u64, payload: usize) -> bool {
    answer.status == 200
        && tessera_enclave::base64::decode_strict(answer.json()["payload"].as_str().unwrap_or_default())
            .is_ok_and(|read| read == message(id, payload))
}

/// The value below which so many of a hundred lie.
pub fn percentile(sent: &[Sent], percent: usize) -> Duration {
    let mut times: Vec<_> = sent.iter().map(|sent| sent.took).collect();
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    times.get(last * percent / 100).copied().unwrap_or_default()
}

/// Of this process; a payload of an earlier process is another transaction all the same, since keys are random.
pub fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The payload of that number: bytes that follow from it.
pub fn message(id: u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    let mut state = id;
    while bytes.len() < length {
        bytes.extend_from_slice(&state.to_be_bytes());
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    }
    bytes.truncate(length);
    bytes
}
