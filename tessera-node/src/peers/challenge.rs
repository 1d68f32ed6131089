//! What a node must open to prove that it holds a key.
//!
//! A node opens a challenge for any peer that asks. So a peer could pass on a challenge to the true holder and return the
//! holder's answer as its own. Our challenges therefore name the node that is asked:
//!
//! ```text
//! UUID version 8:  random (60 bits) ‖ SHA-256(domain ‖ random ‖ identity of the node that is asked) (62 bits)
//! ```
//!
//! The UUID is sealed for the key, so a peer that passes it on can neither read nor change it. Java's are random, of
//! version 4, and are answered as Java does: any UUID is.

use sha2::{Digest, Sha256};
use tessera_node_api::identity::Identity;
use uuid::{Builder, Uuid};

/// Separates this use of the digest from every other.
const DOMAIN: &[u8] = b"tessera-node key challenge";
/// The bytes that are random but for the version.
const RANDOM: usize = 8;

/// A challenge for the node `asked`.
pub(super) fn for_node(asked: &Identity) -> Uuid {
    bound(Uuid::new_v4().into_bytes(), asked)
}

/// Whether a node named `own` may answer `challenge`.
pub(crate) fn is_for(challenge: Uuid, own: &Identity) -> bool {
    challenge.get_version_num() != 8 || challenge == bound(challenge.into_bytes(), own)
}

fn bound(mut bytes: [u8; 16], asked: &Identity) -> Uuid {
    // The version first: the digest covers it.
    bytes = Builder::from_custom_bytes(bytes).into_uuid().into_bytes();
    let digest = Sha256::new()
        .chain_update(DOMAIN)
        .chain_update(&bytes[..RANDOM])
        .chain_update(asked.to_string())
        .finalize();
    bytes[RANDOM..].copy_from_slice(&digest[..RANDOM]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_answered_by_the_node_that_is_asked() {
        let [a, b] = ["a", "b"].map(|name| Identity::node("org.test", name).unwrap());
        let challenge = for_node(&a);
        assert!(is_for(challenge, &a));
        assert!(!is_for(challenge, &b), "b would prove a's key");
        assert_ne!(challenge, for_node(&a));
        assert!(is_for(Uuid::new_v4(), &b), "Java's");
    }
}
