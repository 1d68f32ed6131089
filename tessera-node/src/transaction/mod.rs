//! What the node does, one use case per file.
//!
//! ```text
//! client: send ────────┐                       ┌─► push to each remote recipient ─► all 201 ─► one durable insert ─► answer
//!         send_signed ─┴─ privacy ─ enclave ───┘
//!         store_raw ────────────────────────────────────────────────────────────────────────► durable insert ─► answer
//!         receive ◄── enclave ◄── payloads
//! person: repair ──────────────────────────────────────── ask peers ─ check ─ merge ────────► durable ─► read back
//! peer:   resend ◄── enclave ◄── payloads
//!         accept_push ─ privacy ─ merge ────────────────────────────────────────────────────► durable ─► 201
//! ```
//!
//! What a send costs, step by step: [`hot_path`].
//!
//! A ledger node takes "not found" as "not a party", permanently. So it is answered only when the store says so and every
//! configured key is in memory; every uncertain case is a 503, and a payload that is damaged on disk a 500.

mod accept_push;
mod affected;
mod distribute;
mod error;
pub mod hot_path;
mod in_flight;
mod inspect;
mod payloads;
mod privacy;
mod receive;
mod repair;
mod resend;
mod sample;
mod send;
mod send_signed;
mod store_raw;
mod validate_key;

use std::sync::Arc;

use bytes::Bytes;
use tessera_enclave::{EncodedPayload, KeyRing, PayloadCodec, PublicKey, TxHash};
use tokio::sync::{Semaphore, watch};

pub(crate) use error::{Error, Refusal};
pub use payloads::Payloads;
pub(crate) use payloads::cipher_text;
pub(crate) use privacy::PrivacyRequest;
pub(crate) use receive::Received;
pub(crate) use repair::TIME as REPAIR_TIME;
pub(crate) use send::SendRequest;
pub(crate) use send_signed::SendSignedRequest;

use self::in_flight::InFlight;
use crate::keyring::Keys;
use crate::peers::Peers;
use crate::replicas::Others;
use crate::resources::{MemoryShare, Permit};
use crate::tasks::{self, LARGE, Tasks};

/// The largest payload that is kept, boxes included: it must fit a segment of the store's log.
pub(crate) const MAX_RECORD_BYTES: usize = 60 << 20;

/// The use cases, and what they need.
#[derive(Debug)]
pub struct TransactionManager {
    keys: watch::Receiver<Option<Arc<Keys>>>,
    payloads: Payloads,
    peers: Arc<Peers>,
    policy: Policy,
    tasks: Tasks,
    /// The other replicas of this node, if it can have some.
    others: Option<Others>,
    in_flight: Arc<InFlight>,
    /// Lookups of affected transactions at one time: each reads and hashes a whole payload.
    affected_lookups: Semaphore,
    /// What those lookups hold.
    lookup_memory: MemoryShare,
}

/// Enough that a large one does not hold up all others.
const AFFECTED_LOOKUPS: usize = 2;

/// What the configuration decides about transactions.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Keys that every payload also goes to.
    pub always_send_to: Vec<PublicKey>,
    /// Modes 1 to 3 are offered.
    pub privacy_enhancements: bool,
    /// A peer must prove that it holds the keys it announces.
    pub remote_key_validation: bool,
}

/// A transaction that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) hash: TxHash,
    pub(crate) sender: PublicKey,
    /// Our own keys among the recipients.
    pub(crate) managed: Vec<PublicKey>,
}

impl TransactionManager {
    /// Puts the parts together. Affected transactions are looked up within `lookup_memory`.
    pub(crate) fn new(
        keys: watch::Receiver<Option<Arc<Keys>>>,
        payloads: Payloads,
        peers: Arc<Peers>,
        policy: Policy,
        lookup_memory: MemoryShare,
        tasks: Tasks,
        others: Option<Others>,
    ) -> Arc<Self> {
        Arc::new(Self {
            keys,
            payloads,
            peers,
            policy,
            tasks,
            others,
            in_flight: Arc::default(),
            affected_lookups: Semaphore::new(AFFECTED_LOOKUPS),
            lookup_memory,
        })
    }

    /// Other nodes.
    pub(crate) fn peers(&self) -> &Arc<Peers> {
        &self.peers
    }

    /// What the configuration decides.
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Our keys as they are now. A node serves only once it has them.
    pub(crate) fn keys(&self) -> Result<Arc<Keys>, Error> {
        self.keys.borrow().clone().ok_or(Error::NoKeys)
    }

    /// Runs `work` to its end, even if the caller stops waiting, and keeps the request's memory that long.
    async fn finish<T: Send + 'static>(
        &self,
        held: Permit,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let work = async move {
            let done = work.await;
            drop(held);
            done
        };
        self.tasks.finish(work).await.ok_or(Error::Panicked("a request"))?
    }
}

impl TransactionManager {
    /// This error, unless another replica uses a key that is not here and that could make it untrue.
    async fn certain(&self, error: Error, keys: &Keys) -> Error {
        let error = error.unless_incomplete(keys);
        if !error.depends_on_own_keys() {
            return error;
        }
        self.check_keys(keys).await.err().unwrap_or(error)
    }

    /// Fails if another replica uses a key that is not here. A replica that was paused asks before it answers for the lack of a key.
    async fn check_keys(&self, keys: &Keys) -> Result<(), Error> {
        let Some(others) = &self.others else { return Ok(()) };
        if others.replicas.lacks_keys(keys.ring()).await.map_err(Error::Database)? {
            return Err(Error::KeysIncomplete);
        }
        Ok(())
    }

    /// One of our keys: the one asked for, or the default.
    async fn sender_of(&self, keys: &Keys, from: Option<&PublicKey>) -> Result<PublicKey, Error> {
        match sender_of(keys, from) {
            Ok(key) => Ok(key),
            Err(error) => Err(self.certain(error, keys).await),
        }
    }
}

/// One of our keys: the one asked for, or the default.
fn sender_of(keys: &Keys, from: Option<&PublicKey>) -> Result<PublicKey, Error> {
    let ring = keys.ring();
    match from {
        None => Ok(*ring.default_key()),
        Some(key) if keys.is_archived(key) => Err(Error::KeyArchived(*key)),
        Some(key) if ring.contains(key) => Ok(*key),
        Some(key) => Err(Error::SenderUnknown(*key)),
    }
}

/// Our own keys among `keys`, in their order.
fn managed(ring: &KeyRing, keys: &[PublicKey]) -> Vec<PublicKey> {
    keys.iter().filter(|key| ring.contains(key)).copied().collect()
}

/// Runs work over `size` bytes: here if that is quick, else off the event loop.
async fn compute<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    tasks::compute(size, work).await.ok_or(Error::Panicked("a computation"))
}

/// Encodes a payload. Its parts are shared, so the copy of it is small.
async fn encode(codec: PayloadCodec, payload: &EncodedPayload) -> Result<Vec<u8>, Error> {
    if payload.cipher_text.len() < LARGE {
        return Ok(codec.encode(payload));
    }
    let payload = payload.clone();
    compute(payload.cipher_text.len(), move || codec.encode(&payload)).await
}

/// The hash of a payload.
async fn hash_of(cipher_text: &Bytes) -> Result<TxHash, Error> {
    let cipher_text = cipher_text.clone();
    compute(cipher_text.len(), move || TxHash::of(&cipher_text)).await
}
