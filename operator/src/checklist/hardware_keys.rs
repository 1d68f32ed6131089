//! `HardwareKeys`: encryption keys live in HSM-class storage. Pure.
//!
//! - Enforced by: the secret store's administrator, who chooses its seal.
//! - Observed by: the secret store, which says what unseals it. A seal protects the store's disk; whoever may read the path
//!   in the store, and the node's own memory, have the key in plain.

use jiff::Timestamp;
use tessera_crds::checklist::{Line, Observer};

use super::facts::NetworkFacts;
use super::finding::Finding;
use super::{EVIDENCE_LASTS, NetworkLine};

pub(super) const OF_NETWORK: NetworkLine =
    NetworkLine { id: Line::HardwareKeys, evidence_lasts: EVIDENCE_LASTS, judge };

/// Seals whose key is in a hardware module or in a cloud's key service (Vault 1.x, OpenBao 2.x: `seal` stanza).
const HARDWARE_SEALS: [&str; 7] =
    ["alicloudkms", "awskms", "azurekeyvault", "gcpckms", "kmip", "ocikms", "pkcs11"];

fn judge(facts: &NetworkFacts<'_>, _: Timestamp) -> Finding {
    let Some(store) = &facts.store else {
        let remedy = "kubectl describe the TesseraNetwork: SecretStoreReady says why";
        return Finding::unknown("StoreSilent", "the secret store did not say what seals it", remedy);
    };
    let seal = store.seal_type.as_str();
    if HARDWARE_SEALS.contains(&seal) {
        let observed = format!(
            "the secret store is sealed by {seal}: its disk is protected; the key is plain to who may read its path, and in the node's memory"
        );
        return Finding::verified(Observer::Store, observed);
    }
    let remedy = "migrate the store to a seal of a hardware module or of a cloud's key service (Vault: seal stanza, then `vault operator unseal -migrate`)";
    if seal == "transit" {
        let observed =
            "the secret store is sealed by another store (transit), and nobody knows what seals that one";
        return Finding::unknown("SealedByAnotherStore", observed, remedy);
    }
    Finding::violated(
        "SoftwareSeal",
        Observer::Store,
        format!("the secret store's seal is {seal}: software"),
        remedy,
    )
}
