//! [pure] Who can open the backups of a network's keys.

use jiff::{SignedDuration, Timestamp};
use tessera_backup::Recipients;
use tessera_crds::TesseraNetwork;
use tessera_crds::api::key_backup::{CustodianStatus, KeyBackup as Spec};
use tessera_crds::api::node::KeyStatus;
use tessera_node_api::dynamic_config::{BackupRecipient, KeyBackup};

use crate::issue::leaf::signed;

/// How far a clock may have been set back since a challenge was made.
const CLOCK_STEP: SignedDuration = SignedDuration::from_mins(5);

/// The custodians of a network.
#[derive(Debug, Clone)]
pub struct Custodians {
    /// Those whose recipient can be used, by name.
    usable: Vec<BackupRecipient>,
    /// The names of the others: admission cannot compute the checksum in a recipient.
    malformed: Vec<String>,
    recipients: Option<Recipients>,
    /// How many must have proven custody.
    pub threshold: usize,
    /// How long a proof counts.
    pub challenge_every: SignedDuration,
}

impl Custodians {
    /// Those of `network`; `None`: it asks for no backup.
    pub fn of(network: &TesseraNetwork) -> Option<Self> {
        network.spec.key_backup.as_ref().map(Self::of_spec)
    }

    fn of_spec(spec: &Spec) -> Self {
        let mut all: Vec<_> = spec
            .recipients
            .iter()
            .map(|custodian| BackupRecipient {
                name: custodian.name.to_string(),
                age: custodian.age.to_string(),
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        let (usable, malformed): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|one| Recipients::parse([one.age.as_str()]).is_ok());
        Self {
            recipients: Recipients::parse(usable.iter().map(|one| one.age.as_str())).ok(),
            usable,
            malformed: malformed.into_iter().map(|one| one.name).collect(),
            threshold: usize::try_from(spec.threshold).unwrap_or(1).max(1),
            challenge_every: signed(spec.challenge_every.as_std()),
        }
    }

    /// Those to whom a node seals, by name.
    pub fn usable(&self) -> &[BackupRecipient] {
        &self.usable
    }

    /// The names of those whose recipient is no age recipient.
    pub fn malformed(&self) -> &[String] {
        &self.malformed
    }

    /// What the nodes' configuration has; `None`: nobody could open a backup.
    pub fn for_nodes(&self) -> Option<KeyBackup> {
        self.recipients.is_some().then(|| KeyBackup { recipients: self.usable.clone() })
    }

    /// Names the set of usable recipients, as nodes do.
    pub fn sha256(&self) -> Option<String> {
        self.recipients.as_ref().map(Recipients::sha256)
    }

    /// The names of those that can open what is sealed to `recipients`.
    pub fn names_of(&self, recipients: &[String]) -> Vec<String> {
        let can_open = |one: &&BackupRecipient| recipients.contains(&one.age);
        self.usable.iter().filter(can_open).map(|one| one.name.clone()).collect()
    }

    /// Until when the proof of the custodian `name` counts for all of `keys`; `None`: it does not count at `now`.
    pub fn proven_until(
        &self,
        name: &str,
        known: &[CustodianStatus],
        keys: &[KeyStatus],
        now: Timestamp,
    ) -> Option<Timestamp> {
        let custodian = self.usable.iter().find(|one| one.name == name)?;
        let status = known.iter().find(|one| one.name == custodian.name && one.age == custodian.age)?;
        let confirmed_at: Timestamp = status.confirmed_at.as_deref()?.parse().ok()?;
        let is_covered = |key: &KeyStatus| {
            status.covers.iter().any(|covered| covered.key == key.name && covered.version >= key.version)
        };
        let until = confirmed_at.checked_add(self.challenge_every).ok()?;
        let counts = confirmed_at.duration_since(now) <= CLOCK_STEP && now < until;
        (counts && !keys.is_empty() && keys.iter().all(is_covered)).then_some(until)
    }

    /// The names of those whose proof counts, and of those whose does not.
    pub fn proven<'c>(
        &'c self,
        known: &[CustodianStatus],
        keys: &[KeyStatus],
        now: Timestamp,
    ) -> (Vec<&'c str>, Vec<&'c str>) {
        let names = self.usable.iter().map(|one| one.name.as_str());
        names.partition(|name| self.proven_until(name, known, keys, now).is_some())
    }
}

/// `a`, `a and b`, `a, b and c`.
pub fn listed(names: &[&str]) -> String {
    match names {
        [] => "nobody".to_owned(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
