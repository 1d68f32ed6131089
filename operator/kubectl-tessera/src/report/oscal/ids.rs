//! UUIDs that follow from the network's UID: the same subject has the same one in every report. Pure.

use uuid::Uuid;

/// What UUIDs of one network are derived from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ids(Uuid);

impl Ids {
    /// Of the network with `uid`.
    pub(super) fn new(uid: &str) -> Self {
        // An API server gives UUIDs. Any other text is taken as a name.
        Self(uid.parse().unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, uid.as_bytes())))
    }

    /// Of the thing that `parts` name within the network.
    pub(super) fn of(self, parts: &[&str]) -> Uuid {
        Uuid::new_v5(&self.0, parts.join("/").as_bytes())
    }
}
