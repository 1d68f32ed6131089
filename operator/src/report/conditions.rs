//! Conditions: computed anew each time, transition times kept. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use tessera_crds::condition::{ConditionType, Reason};

/// The API bounds a message at 32 KiB; the longest of ours names every object of a node.
const MESSAGE_LIMIT: usize = 4096;

/// The value of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It is so.
    True,
    /// It is not so.
    False,
    /// Not known now.
    Unknown,
}

impl ConditionStatus {
    fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for ConditionStatus {
    fn from(truth: bool) -> Self {
        if truth { Self::True } else { Self::False }
    }
}

/// Status, reason and message of a condition.
pub type ConditionValue = (ConditionStatus, Reason, String);

/// The value of the condition of this type, as an earlier reconcile set it.
pub fn value(conditions: &[Condition], type_: ConditionType) -> Option<ConditionValue> {
    let condition = find(conditions, type_)?;
    let status = match condition.status.as_str() {
        "True" => ConditionStatus::True,
        "False" => ConditionStatus::False,
        _ => ConditionStatus::Unknown,
    };
    let reason = condition.reason.parse().ok()?;
    Some((status, reason, condition.message.clone()))
}

/// Collects the conditions of one object.
pub struct Conditions<'a> {
    previous: &'a [Condition],
    generation: Option<i64>,
    now: Timestamp,
    list: Vec<Condition>,
}

impl<'a> Conditions<'a> {
    /// Starts from the previous conditions, for their transition times.
    pub fn new(previous: &'a [Condition], generation: Option<i64>, now: Timestamp) -> Self {
        Self { previous, generation, now, list: Vec::new() }
    }

    /// Adds one.
    pub fn set(
        &mut self,
        type_: ConditionType,
        truth: ConditionStatus,
        reason: Reason,
        message: impl Into<String>,
    ) {
        let status = truth.as_str();
        let before = find(self.previous, type_).filter(|condition| condition.status == status);
        let since =
            before.map_or_else(|| whole_second(self.now), |condition| condition.last_transition_time.0);
        self.list.push(Condition {
            type_: type_.as_str().to_owned(),
            status: status.to_owned(),
            reason: reason.as_str().to_owned(),
            message: bounded(message.into()),
            observed_generation: self.generation,
            last_transition_time: Time(since),
        });
    }

    /// Adds one as it was before, with the generation that it was set for; `otherwise`, if there was none.
    pub fn keep(&mut self, type_: ConditionType, otherwise: ConditionValue) {
        match find(self.previous, type_) {
            Some(before) => self.list.push(before.clone()),
            None => self.set(type_, otherwise.0, otherwise.1, otherwise.2),
        }
    }

    /// Adds one that is present only while true.
    pub fn set_while(&mut self, type_: ConditionType, holds: Option<(Reason, String)>) {
        if let Some((reason, message)) = holds {
            self.set(type_, ConditionStatus::True, reason, message);
        }
    }

    /// One that was looked at before and is not now: what it was is no longer known.
    pub fn set_unknown(&mut self, type_: ConditionType) {
        if find(self.previous, type_).is_some() {
            let message = "not looked at: Ready says why";
            self.set(type_, ConditionStatus::Unknown, Reason::Waiting, message);
        }
    }

    /// All of them, in the order in which they were added.
    pub fn into_list(self) -> Vec<Condition> {
        self.list
    }
}

/// The condition of this type.
pub fn find(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == type_.as_str())
}

/// Whether the condition of this type is there and true.
pub fn is_true(conditions: &[Condition], type_: ConditionType) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == "True")
}

/// `metav1.Time` has whole seconds.
fn whole_second(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

fn bounded(mut message: String) -> String {
    if message.len() > MESSAGE_LIMIT {
        let end = (0..=MESSAGE_LIMIT).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
        message.truncate(end);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ready(previous: &[Condition], truth: ConditionStatus, now: i64) -> Condition {
        let mut conditions = Conditions::new(previous, Some(2), at(now));
        conditions.set(ConditionType::Ready, truth, Reason::Ready, "message");
        conditions.into_list().remove(0)
    }

    #[test]
    fn the_transition_time_is_kept_until_the_value_changes() {
        let first = ready(&[], ConditionStatus::False, 10);
        let same = ready(std::slice::from_ref(&first), ConditionStatus::False, 20);
        let other = ready(std::slice::from_ref(&same), ConditionStatus::True, 30);
        assert_eq!(first.last_transition_time.0, at(10));
        assert_eq!(same.last_transition_time.0, at(10));
        assert_eq!(other.last_transition_time.0, at(30));
        assert_eq!(other.observed_generation, Some(2));
    }

    #[test]
    fn what_is_not_looked_at_is_unknown_if_it_ever_was_known() {
        let before = [ready(&[], ConditionStatus::True, 10)];
        let mut conditions = Conditions::new(&before, None, at(20));
        conditions.set_unknown(ConditionType::Ready);
        conditions.set_unknown(ConditionType::KeysReady);
        let list = conditions.into_list();
        assert_eq!(list.len(), 1);
        assert_eq!((list[0].status.as_str(), list[0].last_transition_time.0), ("Unknown", at(20)));
    }

    #[test]
    fn what_does_not_hold_is_absent() {
        let mut conditions = Conditions::new(&[], None, at(0));
        conditions.set_while(ConditionType::Stalled, None);
        conditions.set_while(ConditionType::Reconciling, Some((Reason::Progressing, "on its way".into())));
        let list = conditions.into_list();
        assert_eq!(list.len(), 1);
        assert!(is_true(&list, ConditionType::Reconciling));
    }
}
