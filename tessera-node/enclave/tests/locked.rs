//! Alone in its process, since the locked region is the process's: what other tests hold of it would count.

use std::iter;
use std::sync::Arc;

use tessera_enclave::keyring::DefaultKey;
use tessera_enclave::seal::{self, SealRequest};
use tessera_enclave::{ArenaError, KeyPair, KeyRing, PrivacyMetadata, PrivateKey, PrivateKeyError, open};

#[test]
fn a_private_key_lives_in_the_locked_region_or_nowhere() {
    let region = tessera_sys::install(tessera_sys::MAX_ARENA_BYTES).expect("48 KiB may be locked");
    let before = region.used();
    let pair = KeyPair::generate().expect("there is room");
    assert_eq!(region.used() - before, pair.private().expose().len());
    let peer = *KeyPair::generate().expect("there is room").public();

    let full: Vec<_> = iter::from_fn(|| region.secret::<32>().ok()).collect();
    assert!(matches!(KeyPair::generate(), Err(ArenaError::Full { .. })), "a generated key");
    let read = PrivateKey::from_slice(pair.private().expose());
    assert!(matches!(read, Err(PrivateKeyError::Memory(ArenaError::Full { .. }))), "a key that was read");
    drop(full);

    let key = *pair.public();
    let ring = KeyRing::new([Arc::new(pair)], &DefaultKey::AsJava).expect("a ring");
    let privacy = PrivacyMetadata::default();
    let send = || {
        let recipients = vec![peer, key];
        let request = SealRequest { sender: key, recipients, privacy: privacy.clone() };
        seal::seal(&ring, b"message"[..].into(), request).expect("sealed")
    };

    // Requests at once leave the second half of the region to private keys, and go on without the first half.
    let half: Vec<_> =
        iter::from_fn(|| (region.used() < region.capacity() / 2).then(|| region.secret::<32>())).collect();
    let used = region.used();
    let payload = send();
    assert_eq!(open::open(&ring, &payload, &key).expect("opened"), b"message");
    assert_eq!(region.used(), used, "nothing that was derived for the request is kept");
    drop(half);

    let used = region.used();
    send();
    assert_eq!(region.used() - used, 2 * 32, "the shared keys of both recipients are kept");
    drop(ring);
    assert_eq!(region.used(), before, "dropped keys leave the region");
}
