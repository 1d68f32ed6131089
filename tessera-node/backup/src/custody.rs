//! Proof that a custodian's copy of a key opens: an HMAC of the challenge, under a key that only the private key gives.
//!
//! `HMAC-SHA256(HKDF-SHA256(private key, info = "tessera key backup proof v1"), fields)`. Each field is preceded by its length, so
//! that no two lists of fields are the same bytes. Everybody with the private key can answer in the name of each custodian: a proof
//! says that the copy opens, and its sender says who they are.

use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use tessera_enclave::KeyPair;
use tessera_node_api::key_backup::CustodyAnswer;
use zeroize::Zeroizing;

const INFO: &[u8] = b"tessera key backup proof v1";

/// What is proven, and by whom.
#[derive(Debug, Clone, Copy)]
pub struct Challenge<'c> {
    /// The operator's random text.
    pub challenge: &'c str,
    /// The custodian's name in the TesseraNetwork.
    pub custodian: &'c str,
}

/// The answer for `version` of the key `name`.
pub fn answer(challenge: Challenge<'_>, name: &str, version: u32, pair: &KeyPair) -> CustodyAnswer {
    let mac = mac(challenge, name, version, pair).finalize().into_bytes();
    CustodyAnswer { key: name.to_owned(), version, mac: hex::encode(mac) }
}

/// Whether `answer` is that of the private key of `pair`, in constant time.
pub fn verify(challenge: Challenge<'_>, answer: &CustodyAnswer, pair: &KeyPair) -> bool {
    let Ok(bytes) = hex::decode(&answer.mac) else { return false };
    mac(challenge, &answer.key, answer.version, pair).verify_slice(&bytes).is_ok()
}

fn mac(challenge: Challenge<'_>, name: &str, version: u32, pair: &KeyPair) -> Hmac<Sha256> {
    let mut key = Zeroizing::new([0; 32]);
    // 32 bytes are one block of the output: neither call can fail for such a length.
    let expanded = Hkdf::<Sha256>::new(None, pair.private().expose()).expand(INFO, &mut *key);
    debug_assert!(expanded.is_ok(), "one block can be expanded");
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(&*key).expect("HMAC takes a key of any length");
    let version = version.to_string();
    let public = pair.public().to_string();
    for field in [challenge.challenge, challenge.custodian, name, &version, &public] {
        mac.update(&(field.len() as u64).to_be_bytes());
        mac.update(field.as_bytes());
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Challenge<'static> = Challenge { challenge: "c-1", custodian: "alice" };

    #[test]
    fn the_right_key_proves_and_any_other_field_does_not() {
        let (pair, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let right = answer(ASKED, "main", 1, &pair);
        assert!(verify(ASKED, &right, &pair));
        assert!(!verify(ASKED, &right, &other), "another key");
        assert!(!verify(Challenge { challenge: "c-2", ..ASKED }, &right, &pair), "another challenge");
        assert!(!verify(Challenge { custodian: "bob", ..ASKED }, &right, &pair), "another custodian");
        assert!(!verify(ASKED, &CustodyAnswer { version: 2, ..right.clone() }, &pair), "another version");
        assert!(
            !verify(ASKED, &CustodyAnswer { key: "spare".into(), ..right.clone() }, &pair),
            "another name"
        );
        for mac in ["", "00", "zz", &right.mac[2..]] {
            assert!(!verify(ASKED, &CustodyAnswer { mac: mac.into(), ..right.clone() }, &pair), "{mac:?}");
        }
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let pair = KeyPair::generate().unwrap();
        let one = answer(Challenge { challenge: "ab", custodian: "c" }, "main", 1, &pair);
        let other = answer(Challenge { challenge: "a", custodian: "bc" }, "main", 1, &pair);
        assert_ne!(one.mac, other.mac);
    }
}
