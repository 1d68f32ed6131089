//! Alone in its process, since the locked region is the process's: what other tests hold of it would count.

use tessera_enclave::KeyPair;

#[test]
fn a_private_key_lives_in_the_installed_region() {
    tessera_sys::install(tessera_sys::MAX_ARENA_BYTES).expect("48 KiB may be locked");
    let region = tessera_sys::installed().expect("it was installed");
    let before = region.used();
    let pair = KeyPair::generate();
    assert_eq!(region.used() - before, pair.private().expose().len());
    drop(pair);
    assert_eq!(region.used(), before, "a dropped key leaves the region");
}
