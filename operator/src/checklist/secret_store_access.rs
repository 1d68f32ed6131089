//! `SecretStoreAccess`: the secret store lets in allow-listed addresses only, and asks people for a second factor. Pure.
//!
//! - Enforced by: the login role, which `kubectl tessera store-setup` binds to `vault.sourceCIDRs`.
//! - Observed by: nobody yet. The role is not read back, and no login from elsewhere is tried.

use jiff::Timestamp;
use tessera_crds::checklist::{Line, Observer};

use super::facts::NetworkFacts;
use super::finding::Finding;
use super::{EVIDENCE_LASTS, NetworkLine};

pub(super) const OF_NETWORK: NetworkLine =
    NetworkLine { id: Line::SecretStoreAccess, evidence_lasts: EVIDENCE_LASTS, judge };

fn judge(facts: &NetworkFacts<'_>, _: Timestamp) -> Finding {
    if facts.vault.is_none_or(|vault| vault.source_cidrs.is_empty()) {
        return Finding::violated(
            "NoSourceCIDRs",
            Observer::ApiServer,
            "secretStore.vault.sourceCIDRs is empty: a login may be used from any address",
            "set secretStore.vault.sourceCIDRs to the networks of nodes and operator, then run kubectl tessera store-setup again",
        );
    }
    Finding::unknown(
        "RoleNotRead",
        "sourceCIDRs are set; whether the store's role has them, and whether people need a second factor, nobody reads",
        "compare the role with `kubectl tessera store-setup --dry-run`; this version does not read it itself",
    )
}
