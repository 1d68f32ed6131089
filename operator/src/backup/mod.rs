//! Offline backups of keys: the operator carries ciphertext, proofs and keys that come back. It never has a key.
//!
//! ```text
//! node ── sealed keys ──► carry ──► ConfigMap in the operator's namespace ──► custodians copy it
//! TesseraBackupProof ──► sent ──► node: right? ──► status of the node: another challenge ──► status of the proof
//! TesseraKeyRestore ───► sent ──► node: taken? ──► status of the restore
//! ```
//!
//! [`custodians`], [`stored`], [`challenge`] and [`judge`] are pure; [`carry`] and [`sent`] work beside all reconciles, so that a node that
//! does not answer keeps no reconcile waiting.

pub mod carry;
pub mod challenge;
pub mod custodians;
pub mod judge;
pub mod memory;
pub mod sent;
pub mod stored;

#[cfg(test)]
pub(crate) mod fixtures;
