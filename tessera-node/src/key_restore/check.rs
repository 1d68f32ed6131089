//! What is right about keys that custodians bring back. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tessera_backup::{Identity, SealedError};
use tessera_enclave::{KeyPair, PublicKey};
use tessera_node_api::admin::{RestoreState, RestoreStatus};
use tessera_node_api::dynamic_config::Key;
use tessera_node_api::key_backup::{CheckResult, RestoredKeys, SealedKey};

use super::NotTaken;
use crate::key_backups::custody::{check_result, shown};
use crate::loaded_keys::{Loaded, LoadedKeys, Version};
use crate::volume::UNKNOWN_STORE;

/// A version that is awaited, sealed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Brought {
    pub(crate) version: Version,
    /// The `rotation.trigger` that it answers.
    pub(crate) trigger: u32,
    sealed: SealedKey,
}

/// A version that is awaited, opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) version: Version,
    pub(crate) trigger: u32,
    pub(crate) pair: Arc<KeyPair>,
}

/// Opens all, or says which do not open.
pub(super) fn open_all(
    brought: Vec<Brought>,
    identity: &Identity,
) -> Result<Result<Vec<Opened>, CheckResult>, NotTaken> {
    let (mut opened, mut problems) = (Vec::new(), Vec::new());
    for Brought { version, trigger, sealed } in brought {
        match tessera_backup::open(&sealed, identity) {
            Ok(pair) => opened.push(Opened { version, trigger, pair: Arc::new(pair) }),
            Err(SealedError::Memory(error)) => return Err(NotTaken::Opening(error.to_string())),
            Err(error) => problems.push(format!("{}: {}", shown((&version.0, version.1)), advice(&error))),
        }
    }
    Ok(if problems.is_empty() { Ok(opened) } else { Err(check_result(&problems)) })
}

fn advice(error: &SealedError) -> String {
    match error {
        SealedError::OtherRecipients => {
            "it is not sealed to this process of the node, which may have restarted: run `kubectl tessera backup restore` again"
                .to_owned()
        }
        other => other.to_string(),
    }
}

/// The key that `version` of `key` must be; none: the node may generate it.
pub(crate) fn expected(key: &Key, version: u32) -> Option<PublicKey> {
    let index = usize::try_from(version.checked_sub(1)?).ok()?;
    // Verified with the configuration.
    key.restore.as_ref()?.public_keys.get(index)?.parse().ok()
}

pub(super) fn expected_of(wanted: &[Key], (name, version): &Version) -> Option<PublicKey> {
    wanted.iter().find(|key| key.name == *name).and_then(|key| expected(key, *version))
}

/// The keys that are to be opened, without those that are in memory already; or what is wrong with them.
pub(crate) fn check(
    keys: RestoredKeys,
    wanted: &[Key],
    loaded: &LoadedKeys,
) -> Result<Vec<Brought>, CheckResult> {
    let (mut seen, mut brought, mut problems) = (BTreeSet::new(), Vec::new(), Vec::new());
    if keys.keys.is_empty() {
        problems.push("no key was brought".to_owned());
    }
    for sealed in keys.keys {
        let version = (sealed.name.clone(), sealed.version);
        let name = shown((&version.0, version.1));
        let key = wanted.iter().find(|key| key.name == sealed.name);
        let Some((key, public)) = key.and_then(|key| Some((key, expected(key, sealed.version)?))) else {
            problems.push(format!(
                "{name} is not awaited: spec.keys[].restore of the TesseraNode does not name it"
            ));
            continue;
        };
        if !seen.insert(version.clone()) {
            problems.push(format!("{name} was brought twice"));
            continue;
        }
        if sealed.public_key.parse() != Ok(public) {
            problems.push(format!("{name} must have the public key {public}, and another one was brought"));
            continue;
        }
        match loaded.get(&version) {
            Some(found) if *found.pair.public() == public => {}
            Some(found) => problems.push(another_is_loaded(&version, &public, found)),
            None => brought.push(Brought { trigger: key.trigger_of(version.1), version, sealed }),
        }
    }
    if problems.is_empty() { Ok(brought) } else { Err(check_result(&problems)) }
}

/// The store has another key, and no key is replaced.
pub(crate) fn another(
    (name, version): &Version,
    expected: &PublicKey,
    found: &PublicKey,
    store_path: &str,
) -> String {
    format!(
        "spec.keys[{name}].restore.publicKeys: version {version} must be {expected}, and the secret store has {found} at {store_path}, \
         and no key is replaced: correct publicKeys, or give the restored key a name of its own"
    )
}

fn another_is_loaded(version: &Version, expected: &PublicKey, found: &Loaded) -> String {
    another(version, expected, found.pair.public(), &found.store_path)
}

/// How far the restores of `wanted` are; `failed`: of versions that are not in memory.
pub(super) fn statuses(
    wanted: &[Key],
    loaded: &LoadedKeys,
    failed: &BTreeMap<Version, String>,
    recipient: &str,
) -> Vec<RestoreStatus> {
    let one = |key: &Key, version: u32| {
        let public = expected(key, version)?;
        let of = (key.name.clone(), version);
        let (state, message) = match (loaded.get(&of), failed.get(&of)) {
            (Some(found), _) if *found.pair.public() == public => (RestoreState::Restored, String::new()),
            (Some(found), _) => (RestoreState::Failed, another_is_loaded(&of, &public, found)),
            (None, Some(why)) => (RestoreState::Failed, why.clone()),
            (None, None) => (RestoreState::Awaited, String::new()),
        };
        let recipient = (state == RestoreState::Awaited).then(|| recipient.to_owned());
        let (key, public_key) = (of.0, public.to_string());
        Some(RestoreStatus { key, version, public_key, state, recipient, message })
    };
    wanted.iter().flat_map(|key| (1..=key.versions).map_while(move |version| one(key, version))).collect()
}

/// The payload store that the record of a restored key names. `of_others`: it keeps anything but samples of keys in memory.
pub(crate) fn payload_store(own: &str, of_others: bool) -> String {
    if of_others { own } else { UNKNOWN_STORE }.to_owned()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tessera_backup::Recipients;
    use tessera_keys::VaultKey;
    use tessera_node_api::dynamic_config::KeyRestore;

    use super::*;

    /// A key of which custodians bring back these versions, and a person asked for one more.
    fn awaiting(pairs: &[KeyPair]) -> Vec<Key> {
        let public_keys: Vec<_> = pairs.iter().map(|pair| pair.public().to_string()).collect();
        vec![Key {
            name: "main".to_owned(),
            versions: u32::try_from(pairs.len()).unwrap() + 1,
            default: true,
            archived: Vec::new(),
            trigger: None,
            import: None,
            restore: Some(KeyRestore { public_keys }),
        }]
    }

    fn pairs() -> [KeyPair; 2] {
        [KeyPair::generate().unwrap(), KeyPair::generate().unwrap()]
    }

    fn sealed(version: u32, pair: &KeyPair, to: &Identity) -> SealedKey {
        let to = Recipients::parse([to.recipient().as_str()]).unwrap();
        tessera_backup::seal("main", version, pair, &to).unwrap()
    }

    fn copy(pair: &KeyPair) -> KeyPair {
        let private = tessera_enclave::PrivateKey::from_slice(pair.private().expose()).unwrap();
        KeyPair::from_private(private)
    }

    fn loaded(version: u32, pair: KeyPair) -> LoadedKeys {
        let mut all = LoadedKeys::default();
        let key = VaultKey {
            pair: Arc::new(pair),
            born_at: Timestamp::UNIX_EPOCH,
            store_path: "secret/keys/main/1".to_owned(),
            payload_store: None,
            trigger: None,
            sample: None,
            imported: false,
            backup: None,
            new: false,
        };
        all.insert(("main".to_owned(), version), key.into());
        all
    }

    fn bring(keys: Vec<SealedKey>, wanted: &[Key], loaded: &LoadedKeys) -> Result<Vec<Brought>, CheckResult> {
        check(RestoredKeys { keys }, wanted, loaded)
    }

    #[test]
    fn the_versions_that_are_named_are_taken_and_those_in_memory_are_right_already() {
        let (pairs, node) = (pairs(), Identity::generate());
        let wanted = awaiting(&pairs);
        let both = || vec![sealed(1, &pairs[0], &node), sealed(2, &pairs[1], &node)];
        let brought = bring(both(), &wanted, &LoadedKeys::default()).unwrap();
        let opened = open_all(brought, &node).unwrap().unwrap();
        let found: Vec<_> =
            opened.iter().map(|one| (one.version.1, one.trigger, *one.pair.public())).collect();
        assert_eq!(found, [(1, 0, *pairs[0].public()), (2, 1, *pairs[1].public())]);
        let again = bring(both(), &wanted, &loaded(1, copy(&pairs[0]))).unwrap();
        assert_eq!(again.iter().map(|one| one.version.1).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn what_is_not_awaited_or_another_key_is_refused_by_name() {
        let (pairs, node) = (pairs(), Identity::generate());
        let wanted = awaiting(&pairs);
        let other = KeyPair::generate().unwrap();
        let nothing = LoadedKeys::default();
        let first = || sealed(1, &pairs[0], &node);
        let named = |name: &str| SealedKey { name: name.to_owned(), ..first() };
        for (keys, loaded, says) in [
            (vec![], &nothing, "no key was brought"),
            (vec![first(), first()], &nothing, "key main version 1 was brought twice"),
            (vec![sealed(3, &other, &node)], &nothing, "key main version 3 is not awaited"),
            (vec![sealed(0, &other, &node)], &nothing, "key main version 0 is not awaited"),
            (vec![named("spare")], &nothing, "key spare version 1 is not awaited"),
            (vec![sealed(1, &other, &node)], &nothing, "key main version 1 must have the public key"),
            (vec![first()], &loaded(1, copy(&other)), "and no key is replaced"),
        ] {
            let result = bring(keys, &wanted, loaded).unwrap_err();
            assert!(!result.accepted && result.message.contains(says), "{says}: {}", result.message);
        }
    }

    #[test]
    fn what_does_not_open_is_named_with_what_to_do() {
        let (pairs, node) = (pairs(), Identity::generate());
        let wanted = awaiting(&pairs);
        let damaged = SealedKey { ciphertext: "damaged".to_owned(), ..sealed(2, &pairs[1], &node) };
        // A cover that names the right key, and another inside.
        let other = sealed(1, &KeyPair::generate().unwrap(), &node);
        let covered = SealedKey { public_key: pairs[0].public().to_string(), ..other };
        for (keys, says) in [
            (vec![sealed(1, &pairs[0], &Identity::generate())], "run `kubectl tessera backup restore` again"),
            (vec![sealed(1, &pairs[0], &node), damaged], "key main version 2: it is no age file"),
            (vec![covered], "key main version 1: the private key inside is not that of"),
        ] {
            let brought = bring(keys, &wanted, &LoadedKeys::default()).unwrap();
            let result = open_all(brought, &node).unwrap().unwrap_err();
            assert!(!result.accepted && result.message.contains(says), "{says}: {}", result.message);
        }
    }

    #[test]
    fn each_version_that_is_named_has_a_status_and_the_recipient_while_it_is_awaited() {
        let pairs = pairs();
        let wanted = awaiting(&pairs);
        let status = |loaded: &LoadedKeys, failed: &BTreeMap<Version, String>| {
            let all = statuses(&wanted, loaded, failed, "age1node");
            all.into_iter()
                .map(|one| (one.version, one.state, one.recipient, one.message))
                .collect::<Vec<_>>()
        };
        let awaited = |version| (version, RestoreState::Awaited, Some("age1node".to_owned()), String::new());
        let none = BTreeMap::new();
        assert_eq!(status(&LoadedKeys::default(), &none), [awaited(1), awaited(2)]);
        let restored = (1, RestoreState::Restored, None, String::new());
        assert_eq!(status(&loaded(1, copy(&pairs[0])), &none), [restored, awaited(2)]);
        let failed = BTreeMap::from([(("main".to_owned(), 2), "why".to_owned())]);
        let late = status(&loaded(1, KeyPair::generate().unwrap()), &failed);
        assert_eq!((late[0].1, late[0].3.contains("no key is replaced")), (RestoreState::Failed, true));
        assert_eq!(late[1], (2, RestoreState::Failed, None, "why".to_owned()));
    }

    #[test]
    fn a_new_volume_is_not_taken_for_the_one_of_a_restored_key() {
        let own = "a".repeat(32);
        assert_eq!(payload_store(&own, true), own);
        assert_ne!(payload_store(&own, false), own);
        assert!(UNKNOWN_STORE.parse::<tessera_store::StoreId>().is_ok());
    }
}
