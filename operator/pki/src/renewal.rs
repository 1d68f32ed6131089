//! When a certificate is renewed.

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use tessera_node_api::identity::Identity;

/// When a certificate valid from `not_before` to `not_after` is due.
///
/// It is never later than `renew_before` its end, and up to a tenth of the time until then earlier, by an amount that
/// depends on the identity alone: a fleet issued in one minute is not renewed in one minute, and asking twice gives
/// one answer.
///
/// A `renew_before` of more than two thirds of the lifetime counts as two thirds, else a new certificate would be due
/// at once, permanently. (A leaf cut short by the end of its CA has such a lifetime.)
pub fn due_at(
    identity: &Identity,
    not_before: Timestamp,
    not_after: Timestamp,
    renew_before: SignedDuration,
) -> Timestamp {
    let lifetime = not_after.duration_since(not_before).max(SignedDuration::ZERO);
    let renew_before = renew_before.clamp(SignedDuration::ZERO, lifetime / 3 * 2);
    not_after - renew_before - jitter(identity, (lifetime - renew_before) / 10)
}

/// A duration in `[0, window)` that depends on the identity alone.
pub fn jitter(identity: &Identity, window: SignedDuration) -> SignedDuration {
    let digest = Sha256::digest(identity.to_string());
    let part = u16::from_be_bytes([digest[0], digest[1]]);
    window.max(SignedDuration::ZERO) / 65_536 * i32::from(part)
}
