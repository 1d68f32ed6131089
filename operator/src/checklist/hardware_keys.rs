//! `HardwareKeys`: encryption keys live in HSM-class storage, at least at the level that the network demands. Pure.
//!
//! - Enforced by: the secret store's administrator, who chooses its seal.
//! - Observed by: the secret store, which says what unseals it. A seal protects the store's disk. The key is plain to a client that
//!   may read its path, and in the node's memory. So a store reaches `SealedStore` at most, and this version keeps keys in no other
//!   place: `TpmSealed` and `NonExtractable` are out of reach, whatever seals the store.

use jiff::Timestamp;
use tessera_crds::checklist::{HardwareLevel, Line, Observer};

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
/// What no seal changes.
const PLAIN: &str =
    "a seal protects the store's disk; the key is plain to readers of its path, and in the node's memory";

fn judge(facts: &NetworkFacts<'_>, _: Timestamp) -> Finding {
    let minimum = facts.hardware_minimum;
    match &facts.store {
        StoreAnswer::NotAskedYet => Finding::not_asked_yet("the secret store"),
        StoreAnswer::Shows(store) => of_seal(&store.seal_type, minimum),
        // Where the keys are is known without the store.
        StoreAnswer::Silent if minimum > HardwareLevel::SealedStore => below(
            Observer::ApiServer,
            &format!("keys are in the secret store, which reaches {} at most", HardwareLevel::SealedStore),
            minimum,
        ),
        StoreAnswer::Silent => {
            let remedy = "kubectl describe the TesseraNetwork: SecretStoreReady says why";
            Finding::unknown("StoreSilent", "the secret store did not say what seals it", remedy)
        }
    }
}

fn of_seal(seal: &str, minimum: HardwareLevel) -> Finding {
    if SOFTWARE_SEALS.contains(&seal) {
        return Finding::violated(
            "SoftwareSeal",
            Observer::Store,
            format!(
                "the secret store's seal is {seal}: the level reached is none (software), the minimum is {minimum}"
            ),
            &migrate(minimum),
        );
    }
    if minimum > HardwareLevel::SealedStore {
        let reached = format!(
            "keys are in a secret store with the seal {seal}, which reaches {} at most: {PLAIN}",
            HardwareLevel::SealedStore
        );
        return below(Observer::Store, &reached, minimum);
    }
    if CLOUD_SEALS.contains(&seal) {
        return Finding::verified(
            Observer::Store,
            format!(
                "the secret store is sealed by {seal}: the level reached is {}, the minimum is {minimum}; {PLAIN}",
                HardwareLevel::SealedStore
            ),
        );
    }
    if MODULE_SEALS.contains(&seal) {
        return Finding::enforced(
            "ModuleNotSeen",
            format!(
                "the secret store is sealed by way of {seal}: {} if the module behind it is hardware, which the store does not say; {PLAIN}",
                HardwareLevel::SealedStore
            ),
            "look at the module's own certificate and keep it for the auditor",
        );
    }
    // Among them transit: sealed by another store, and nobody knows what seals that one.
    Finding::unknown(
        "SealNotKnown",
        format!("the secret store's seal is {seal}: that may be hardware or software"),
        &migrate(minimum),
    )
}

fn below(observer: Observer, reached: &str, minimum: HardwareLevel) -> Finding {
    Finding::violated(
        "BelowMinimum",
        observer,
        format!("{reached}; the minimum is {minimum}"),
        "this version keeps keys in the secret store alone: set checklist.hardware.minimum to SealedStore, or accept the violation for a time",
    )
}

fn migrate(minimum: HardwareLevel) -> String {
    let first = "migrate the store to a seal of a hardware module or of a cloud's key service (Vault: seal stanza, then `vault operator unseal -migrate`)";
    if minimum > HardwareLevel::SealedStore {
        return format!("{first}; {minimum} is more than a store reaches");
    }
    first.to_owned()
}
