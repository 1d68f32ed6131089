//! [pure] Which versions each key should have: those that exist, those that `rotation.trigger` asks for, and the one that
//! `rotation.every` asks for.
//!
//! ```text
//! versions that exist ──► newest trigger that they answer ──► below rotation.trigger? ──► one more for each step
//!                    └──► age of the newest ───────────────── above rotation.every?   ──► one more
//! ```
//!
//! The secret store is where versions and the triggers that they answer are on record; status is what the nodes report of it.
//! A version that is asked for and not there yet is asked for again in the same words, so neither a restart nor another leader
//! makes a second one.

use jiff::{SignedDuration, Timestamp};
use tessera_crds::api::node::{Key, KeyImport, KeyRestore, KeyStatus};

use super::leaf::signed;

/// Versions of all keys of a node together: the list in the status has no more places.
const MAX_VERSIONS: u32 = 256;

/// A key as its node is asked to have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedKey {
    /// Its name.
    pub name: String,
    /// Whether sends that name no key use it.
    pub default: bool,
    /// How many versions it should have.
    pub versions: u32,
    /// The `rotation.trigger` that the newest of them answers.
    pub trigger: u32,
    /// Versions that a person archives, ascending.
    pub archived: Vec<u32>,
    /// How old its newest version may be.
    pub every: Option<SignedDuration>,
    /// Where its version 1 comes from; `None`: the node generates it.
    pub import: Option<KeyImport>,
    /// The versions that custodians bring back; `None`: the node generates each.
    pub restore: Option<KeyRestore>,
    /// Why a version is asked for that does not exist yet.
    pub rotates: Option<Cause>,
}

/// Why a key gets another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It is the first.
    First,
    /// `rotation.trigger` was raised.
    Trigger,
    /// The newest is older than `rotation.every`.
    Age,
}

impl PlannedKey {
    /// An entry of `archive` that has no effect, and why.
    pub fn useless_archive(&self, known: &[KeyStatus]) -> Option<String> {
        let newest = newest(&self.name, known)?;
        let of_default = |version: &&u32| self.default && **version == newest;
        if let Some(version) = self.archived.iter().find(of_default) {
            return Some(format!(
                "spec.keys[{}].archive names version {version}, the newest of the default key, which sends need: rotate the key first",
                self.name
            ));
        }
        let absent = self.archived.iter().find(|version| **version > newest)?;
        Some(format!(
            "spec.keys[{}].archive names version {absent}, and there are {newest}: take it out",
            self.name
        ))
    }
}

/// The keys of `spec`. `known`: the versions that exist. `node_time`: what the clock of the node says, whose keys are stamped by
/// it; `None`: nobody knows, and nothing is too old.
pub fn plan(spec: &[Key], known: &[KeyStatus], node_time: Option<Timestamp>) -> Vec<PlannedKey> {
    let asked: Vec<_> = spec.iter().map(|key| by_trigger(key, known)).collect();
    let mut total: u32 = asked.iter().map(|key| key.versions).sum();
    let with_schedule = |mut key: PlannedKey| {
        if key.rotates.is_none() && total < MAX_VERSIONS && is_too_old(&key, known, node_time) {
            total += 1;
            key.versions += 1;
            key.rotates = Some(Cause::Age);
        }
        key
    };
    asked.into_iter().map(with_schedule).collect()
}

fn by_trigger(key: &Key, known: &[KeyStatus]) -> PlannedKey {
    let asked = u32::try_from(key.rotation.trigger).unwrap_or(0);
    let name = key.name.to_string();
    let (versions, trigger, rotates) = if let Some(restored) = awaited(key, known) {
        // Nothing is generated before all of them are back. The newest of them answers no more than is asked, so that a later step of the
        // trigger makes another.
        let versions = newest(&name, known).unwrap_or(0).max(restored);
        (versions, asked.min(versions - 1), Some(Cause::First))
    } else {
        by_existing(&name, asked, known)
    };
    let mut archived: Vec<_> =
        key.archive.iter().filter_map(|version| u32::try_from(*version).ok()).collect();
    archived.sort_unstable();
    archived.dedup();
    let every = key.rotation.every.as_ref().map(|every| signed(every.as_std()));
    PlannedKey {
        name,
        default: key.default,
        versions,
        trigger,
        archived,
        every,
        import: key.import.clone(),
        restore: key.restore.clone(),
        rotates,
    }
}

/// By versions that exist, the trigger that they answer, and the one that is asked for.
fn by_existing(name: &str, asked: u32, known: &[KeyStatus]) -> (u32, u32, Option<Cause>) {
    match (newest(name, known), answered(name, known)) {
        (Some(newest), Some(answered)) if asked > answered => {
            (newest.saturating_add(asked - answered), asked, Some(Cause::Trigger))
        }
        (Some(newest), Some(answered)) => (newest, answered, None),
        _ => (asked.saturating_add(1), asked, Some(Cause::First)),
    }
}

/// How many versions custodians bring back, while one of them is not there.
fn awaited(key: &Key, known: &[KeyStatus]) -> Option<u32> {
    let restored = u32::try_from(key.restore.as_ref()?.public_keys.len()).ok()?;
    let has = |version| of(&key.name, known).any(|status| u32::try_from(status.version) == Ok(version));
    (!(1..=restored).all(has)).then_some(restored)
}

fn is_too_old(key: &PlannedKey, known: &[KeyStatus], node_time: Option<Timestamp>) -> bool {
    let newest = of(&key.name, known).max_by_key(|status| status.version);
    let born = newest.and_then(|status| status.born_at.as_deref()?.parse::<Timestamp>().ok());
    let (Some(every), Some(born), Some(now)) = (key.every, born, node_time) else { return false };
    now.duration_since(born) >= every
}

fn newest(name: &str, known: &[KeyStatus]) -> Option<u32> {
    of(name, known).filter_map(|status| u32::try_from(status.version).ok()).max()
}

/// The largest trigger that a version answers. Versions of before there were schedules answer one after the other.
fn answered(name: &str, known: &[KeyStatus]) -> Option<u32> {
    let answers = |status: &KeyStatus| status.trigger.unwrap_or(status.version.saturating_sub(1));
    of(name, known).filter_map(|status| u32::try_from(answers(status)).ok()).max()
}

fn of<'a>(name: &'a str, known: &'a [KeyStatus]) -> impl Iterator<Item = &'a KeyStatus> {
    known.iter().filter(move |status| status.name == name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tessera_crds::api::node::KeyState;

    use super::*;

    const BORN: &str = "2027-01-01T00:00:00Z";

    fn key(trigger: i32, every: Option<&str>, archive: &[i32]) -> Key {
        let mut rotation = json!({ "trigger": trigger });
        if let Some(every) = every {
            rotation["every"] = json!(every);
        }
        let key = json!({"name": "main", "default": true, "type": "Vault", "rotation": rotation, "archive": archive});
        serde_json::from_value(key).unwrap()
    }

    fn version(version: i32, trigger: impl Into<Option<i32>>, born: &str) -> KeyStatus {
        KeyStatus {
            name: "main".into(),
            version,
            public_key: format!("key-{version}"),
            state: KeyState::Receiving,
            imported: None,
            born_at: Some(born.into()),
            store: None,
            trigger: trigger.into(),
            last_push_at: None,
            backup: None,
        }
    }

    fn at(text: &str) -> Option<Timestamp> {
        text.parse().ok()
    }

    fn planned(spec: &Key, known: &[KeyStatus], node_time: Option<Timestamp>) -> (u32, u32, Option<Cause>) {
        let plan = plan(std::slice::from_ref(spec), known, node_time);
        (plan[0].versions, plan[0].trigger, plan[0].rotates)
    }

    #[test]
    fn a_new_key_has_a_version_for_its_birth_and_one_for_each_step_of_the_trigger() {
        assert_eq!(planned(&key(0, None, &[]), &[], None), (1, 0, Some(Cause::First)));
        assert_eq!(planned(&key(2, Some("24h"), &[]), &[], at(BORN)), (3, 2, Some(Cause::First)));
    }

    #[test]
    fn a_raised_trigger_adds_its_steps_to_what_exists_whatever_made_that() {
        let known = [version(1, 0, BORN), version(2, 0, BORN), version(3, 1, BORN)];
        assert_eq!(planned(&key(1, None, &[]), &known, None), (3, 1, None));
        assert_eq!(planned(&key(2, None, &[]), &known, None), (4, 2, Some(Cause::Trigger)));
        assert_eq!(planned(&key(4, None, &[]), &known, None), (6, 4, Some(Cause::Trigger)));
        // Lowered: what exists stays.
        assert_eq!(planned(&key(0, None, &[]), &known, None), (3, 1, None));
    }

    #[test]
    fn versions_of_before_schedules_answer_one_after_the_other() {
        let known = [version(1, None, BORN), version(2, None, BORN)];
        assert_eq!(planned(&key(1, None, &[]), &known, None), (2, 1, None));
        assert_eq!(planned(&key(2, None, &[]), &known, None), (3, 2, Some(Cause::Trigger)));
    }

    #[test]
    fn age_by_the_node_s_clock_adds_one_version_until_it_exists() {
        let daily = key(0, Some("24h"), &[]);
        let known = vec![version(1, 0, BORN)];
        assert_eq!(planned(&daily, &known, at("2027-01-01T23:59:59Z")), (1, 0, None));
        let due = at("2027-01-02T00:00:00Z");
        assert_eq!(planned(&daily, &known, due), (2, 0, Some(Cause::Age)));
        assert_eq!(planned(&daily, &known, at("2027-02-02T00:00:00Z")), (2, 0, Some(Cause::Age)));
        assert_eq!(planned(&daily, &known, None), (1, 0, None), "no node says what time it is");
        let rotated = [known, vec![version(2, 0, "2027-01-02T00:00:00Z")]].concat();
        assert_eq!(planned(&daily, &rotated, due), (2, 0, None));
    }

    #[test]
    fn a_trigger_and_a_schedule_that_fall_together_make_one_version_and_a_later_trigger_another() {
        let known = vec![version(1, 0, BORN)];
        let due = at("2027-03-01T00:00:00Z");
        assert_eq!(planned(&key(1, Some("24h"), &[]), &known, due), (2, 1, Some(Cause::Trigger)));
        // The node made the version by schedule before it read of the trigger.
        let made = [known, vec![version(2, 0, "2027-03-01T00:00:00Z")]].concat();
        assert_eq!(planned(&key(1, Some("24h"), &[]), &made, due), (3, 1, Some(Cause::Trigger)));
    }

    #[test]
    fn a_schedule_stops_where_the_status_has_no_more_places() {
        let known: Vec<_> = (1..=256).map(|number| version(number, 0, BORN)).collect();
        assert_eq!(planned(&key(0, Some("24h"), &[]), &known, at("2028-01-01T00:00:00Z")), (256, 0, None));
    }

    #[test]
    fn nothing_is_generated_before_all_restored_versions_are_back() {
        let restored = |trigger, count: usize| {
            let mut key = key(trigger, Some("24h"), &[]);
            key.restore = Some(KeyRestore { public_keys: vec!["k".to_owned(); count] });
            key
        };
        let long_ago = at("2030-01-01T00:00:00Z");
        let plan = |trigger, known: &[KeyStatus]| planned(&restored(trigger, 3), known, long_ago);
        for known in [&[][..], &[version(1, 0, BORN)], &[version(1, 0, BORN), version(3, 1, BORN)]] {
            assert_eq!(plan(0, known), (3, 0, Some(Cause::First)));
            assert_eq!(plan(2, known), (3, 2, Some(Cause::First)));
            assert_eq!(plan(7, known), (3, 2, Some(Cause::First)));
        }
        // All are back: trigger and age make what they always make.
        let all: Vec<_> = (1..=3).map(|number| version(number, 2, BORN)).collect();
        assert_eq!(plan(2, &all), (4, 2, Some(Cause::Age)));
        assert_eq!(plan(4, &all), (5, 4, Some(Cause::Trigger)));
    }

    #[test]
    fn what_archive_cannot_do_is_said() {
        let known = [version(1, 0, BORN), version(2, 1, BORN)];
        let says = |archive: &[i32]| {
            plan(&[key(1, None, archive)], &known, None)[0].useless_archive(&known).unwrap_or_default()
        };
        assert_eq!(says(&[1]), "");
        assert!(says(&[1, 2]).contains("version 2, the newest of the default key"), "{}", says(&[1, 2]));
        assert!(says(&[3]).contains("version 3, and there are 2"), "{}", says(&[3]));
    }
}
