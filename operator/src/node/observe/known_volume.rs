//! The memory of what was read of volumes, by the UID of their claim.

use std::time::Instant;

/// What was read of a volume.
#[derive(Debug, Clone)]
pub struct KnownVolume {
    pub(super) claim_version: Option<String>,
    pub(super) reclaim_policy: String,
    pub(super) read_at: Instant,
}
