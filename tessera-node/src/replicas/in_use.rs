//! [pure] Which keys may be used, from what the database says of all replicas.

use std::collections::BTreeSet;

use tessera_database::{Replica, Shared};
use tessera_enclave::PublicKey;

/// What came of the last look at the database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct InUse {
    /// Keys of this process that may be default and advertised.
    pub(crate) keys: BTreeSet<PublicKey>,
    /// Keys of this process that may not yet, and the replicas that lack them, by name.
    pub(crate) waits_for: Vec<(PublicKey, Vec<String>)>,
    /// Keys that another replica uses and this process lacks.
    pub(crate) missing: BTreeSet<PublicKey>,
    /// How many other replicas live.
    pub(crate) others: usize,
}

impl InUse {
    /// Whether no replica is awaited that will be there soon.
    pub(super) fn is_settled(&self) -> bool {
        self.missing.is_empty() && self.waits_for.iter().all(|(_, replicas)| replicas.is_empty())
    }

    /// Seen from the replica with the number `own`, which has `loaded` in memory.
    pub(super) fn of(shared: &Shared, own: i32, loaded: &BTreeSet<PublicKey>) -> Self {
        let in_use = parsed(&shared.in_use);
        let others = || shared.live.iter().filter(|replica| replica.number != own);
        let elsewhere: BTreeSet<_> = others().flat_map(keys).collect();
        let lack = |key: &PublicKey| others().filter(|other| !keys(other).contains(key)).map(name).collect();
        Self {
            waits_for: loaded.difference(&in_use).map(|key| (*key, lack(key))).collect(),
            missing: in_use.intersection(&elsewhere).filter(|key| !loaded.contains(key)).copied().collect(),
            keys: in_use.intersection(loaded).copied().collect(),
            others: others().count(),
        }
    }
}

/// Keys of `loaded` that every replica has. Before any key is in use, a replica that is late keeps nobody waiting: no payload is
/// for it yet, and it loads the same keys before it serves.
pub(super) fn free_to_use(shared: &Shared, own: i32, loaded: &BTreeSet<PublicKey>) -> BTreeSet<PublicKey> {
    let in_use = parsed(&shared.in_use);
    let is_first = in_use.is_disjoint(loaded);
    let others: Vec<_> = shared.live.iter().filter(|replica| replica.number != own).map(keys).collect();
    let everywhere = |key: &&PublicKey| is_first || others.iter().all(|keys| keys.contains(*key));
    loaded.difference(&in_use).filter(everywhere).copied().collect()
}

fn keys(replica: &Replica) -> BTreeSet<PublicKey> {
    replica.keys.as_deref().map(parsed).unwrap_or_default()
}

fn name(replica: &Replica) -> String {
    if replica.name.is_empty() { format!("number {}", replica.number) } else { replica.name.clone() }
}

fn parsed(keys: &[Vec<u8>]) -> BTreeSet<PublicKey> {
    keys.iter().filter_map(|key| PublicKey::from_bytes(key).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> PublicKey {
        [number; 32].into()
    }

    fn set(keys: &[u8]) -> BTreeSet<PublicKey> {
        keys.iter().map(|number| key(*number)).collect()
    }

    fn shared(live: &[(i32, Option<&[u8]>)], in_use: &[u8]) -> Shared {
        let bytes = |keys: &[u8]| keys.iter().map(|number| vec![*number; 32]).collect();
        let replica = |(number, keys): &(i32, Option<&[u8]>)| Replica {
            number: *number,
            name: format!("pod-{number}"),
            keys: keys.map(bytes),
        };
        Shared { live: live.iter().map(replica).collect(), in_use: bytes(in_use) }
    }

    #[test]
    fn a_key_waits_for_every_replica_that_lives() {
        let shared = shared(&[(1, Some(&[1, 2])), (2, Some(&[1])), (3, None)], &[1]);
        assert_eq!(free_to_use(&shared, 1, &set(&[1, 2])), set(&[]));
        let seen = InUse::of(&shared, 1, &set(&[1, 2]));
        assert_eq!(seen.keys, set(&[1]));
        assert_eq!(seen.waits_for, [(key(2), vec!["pod-2".to_owned(), "pod-3".to_owned()])]);
        assert_eq!(seen.missing, set(&[]));
    }

    #[test]
    fn a_key_that_all_have_is_free() {
        let shared = shared(&[(1, Some(&[1, 2])), (2, Some(&[1, 2]))], &[1]);
        assert_eq!(free_to_use(&shared, 2, &set(&[1, 2])), set(&[2]));
    }

    #[test]
    fn the_first_keys_wait_for_nobody() {
        let shared = shared(&[(1, Some(&[1])), (2, None)], &[]);
        assert_eq!(free_to_use(&shared, 1, &set(&[1])), set(&[1]));
    }

    #[test]
    fn a_key_is_missing_only_as_long_as_a_replica_that_lives_has_it() {
        let used = shared(&[(1, Some(&[1])), (2, Some(&[1, 2]))], &[1, 2]);
        assert_eq!(InUse::of(&used, 1, &set(&[1])).missing, set(&[2]));
        // Keys of a node that was deleted, on a database that was kept.
        let former = shared(&[(1, Some(&[1]))], &[1, 2]);
        assert_eq!(InUse::of(&former, 1, &set(&[1])).missing, set(&[]));
    }
}
