//! `OfflineKeyBackup`: encryption keys are backed up in offline, secured locations. Pure.
//!
//! - Enforced by: nothing yet. This version makes no backup of keys beside the secret store's own.

use jiff::Timestamp;
use tessera_crds::checklist::{Line, Observer};

use super::facts::NetworkFacts;
use super::finding::Finding;
use super::{EVIDENCE_LASTS, NetworkLine};

pub(super) const OF_NETWORK: NetworkLine =
    NetworkLine { id: Line::OfflineKeyBackup, evidence_lasts: EVIDENCE_LASTS, judge };

fn judge(_: &NetworkFacts<'_>, _: Timestamp) -> Finding {
    Finding::violated(
        "NoRecipients",
        Observer::ApiServer,
        "the network names nobody who keeps a backup of its keys",
        "back up the secret store and keep its snapshot offline; this version makes no backup of keys itself",
    )
}
