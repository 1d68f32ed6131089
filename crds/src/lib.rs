//! The published API of the operator: group `tessera.rs`, version `v1alpha1`.
//!
//! ```text
//! api/network.rs   TesseraNetwork  one trust domain: an organisation's part in a consortium
//! api/node.rs      TesseraNode     one logical transaction manager of a network
//! api/attestation.rs  TesseraAttestation  a person's statement about a line of the checklist
//! api/key_backup.rs   TesseraBackupProof, TesseraKeyRestore  what custodians of backups send
//!        │
//!        ├─► generate ─► generated/*.yaml   what `cargo run -p tessera-crds` writes and a cluster installs
//!        └─► operator, e2e, the plug-in     what Rust code reads and writes
//! names.rs         the name of every object and label that follows from a network or a node
//! ```
//!
//! What may not happen here: IO (but for the generator's `main`), behaviour, a field whose behaviour is not built.

pub mod api;
pub mod generate;
pub mod names;

pub use api::attestation::{TesseraAttestation, TesseraAttestationSpec};
pub use api::key_backup::{
    TesseraBackupProof, TesseraBackupProofSpec, TesseraKeyRestore, TesseraKeyRestoreSpec,
};
pub use api::name::{
    AddressAndPort, Cidr, ConfigKey, Duration, HttpsUrl, ImageDigest, Name, ObjectName, StorageSize,
    Timestamp,
};
pub use api::network::{TesseraNetwork, TesseraNetworkSpec, TesseraNetworkStatus};
pub use api::node::{TesseraNode, TesseraNodeSpec, TesseraNodeStatus};
pub use api::{checklist, condition};
