//! `HardwareKeys`: encryption keys live in HSM-class storage. Pure.
//!
//! - Enforced by: the secret store's administrator, who chooses its seal.
//! - Observed by: the secret store, which says what unseals it. A seal protects the store's disk. The key is plain to a client that
//!   may read its path, and in the node's memory.

use jiff::Timestamp;
use tessera_crds::checklist::{Line, Observer};

use super::facts::{NetworkFacts, StoreAnswer};
use super::finding::Finding;
use super::{EVIDENCE_LASTS, NetworkLine};

pub(super) const OF_NETWORK: NetworkLine =
    NetworkLine { id: Line::HardwareKeys, evidence_lasts: EVIDENCE_LASTS, judge };

/// Seals whose key is in a cloud's key service (Vault 1.x, OpenBao 2.x: `seal` stanza).
const CLOUD_SEALS: [&str; 5] = ["alicloudkms", "awskms", "azurekeyvault", "gcpckms", "ocikms"];
/// Seals by way of a module that may be hardware, and may be a program that behaves like one.
const MODULE_SEALS: [&str; 2] = ["kmip", "pkcs11"];
/// Seals whose key is a file or in people's heads.
const SOFTWARE_SEALS: [&str; 2] = ["shamir", "static"];

fn judge(facts: &NetworkFacts<'_>, _: Timestamp) -> Finding {
    let store = match &facts.store {
        StoreAnswer::Shows(store) => store,
        StoreAnswer::NotAskedYet => return Finding::not_asked_yet("the secret store"),
        StoreAnswer::Silent => {
            let remedy = "kubectl describe the TesseraNetwork: SecretStoreReady says why";
            return Finding::unknown("StoreSilent", "the secret store did not say what seals it", remedy);
        }
    };
    let seal = store.seal_type.as_str();
    if CLOUD_SEALS.contains(&seal) {
        let observed = format!(
            "the secret store is sealed by {seal}: its disk is protected; the key is plain to who may read its path, and in the node's memory"
        );
        return Finding::verified(Observer::Store, observed);
    }
    let remedy = "migrate the store to a seal of a hardware module or of a cloud's key service (Vault: seal stanza, then `vault operator unseal -migrate`)";
    if MODULE_SEALS.contains(&seal) {
        let observed = format!(
            "the secret store is sealed by way of {seal}; whether the module behind it is hardware, the store does not say"
        );
        return Finding::enforced(
            "ModuleNotSeen",
            observed,
            "look at the module's own certificate and keep it for the auditor",
        );
    }
    if SOFTWARE_SEALS.contains(&seal) {
        let observed = format!("the secret store's seal is {seal}: software");
        return Finding::violated("SoftwareSeal", Observer::Store, observed, remedy);
    }
    // Among them transit: sealed by another store, and nobody knows what seals that one.
    Finding::unknown(
        "SealNotKnown",
        format!("the secret store's seal is {seal}: that may be hardware or software"),
        remedy,
    )
}
