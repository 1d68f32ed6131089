//! When a certificate is due, and that a fleet is not due at once.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use tessera_node_api::identity::Identity;
use tessera_pki::renewal::{due_at, jitter};

use super::{DAY, DOMAIN, now};

fn fleet() -> impl Iterator<Item = Identity> {
    (0..200).map(|i| Identity::node(DOMAIN, &format!("node-{i}")).unwrap())
}

fn due(identity: &Identity, renew_before: SignedDuration) -> Timestamp {
    due_at(identity, now(), now() + DAY, renew_before)
}

#[test]
fn due_never_later_than_asked_and_at_most_a_tenth_earlier() {
    let asked = now() + SignedDuration::from_hours(16);
    for identity in fleet() {
        let due = due(&identity, SignedDuration::from_hours(8));
        assert!(due <= asked && due > asked - SignedDuration::from_mins(96), "{identity}: {due}");
    }
}

#[test]
fn a_fleet_is_spread_and_each_member_is_steady() {
    let renew_before = SignedDuration::from_hours(8);
    let minutes: BTreeSet<i64> =
        fleet().map(|identity| due(&identity, renew_before).as_second() / 60).collect();
    assert!(minutes.len() > 60, "200 nodes fall into {} of 96 minutes", minutes.len());
    assert!(fleet().all(|identity| due(&identity, renew_before) == due(&identity, renew_before)));
}

/// Otherwise a new certificate would be due at once, and the operator would issue without end.
#[test]
fn a_new_certificate_is_never_due() {
    for renew_before in [DAY, DAY * 10, SignedDuration::MAX, SignedDuration::ZERO, -DAY] {
        for identity in fleet() {
            let due = due(&identity, renew_before);
            assert!(due > now() + SignedDuration::from_hours(7), "{renew_before:#}: {due}");
            assert!(due <= now() + DAY);
        }
    }
}

#[test]
fn jitter_stays_in_its_window() {
    let window = SignedDuration::from_secs(90);
    assert!(fleet().all(|identity| (SignedDuration::ZERO..window).contains(&jitter(&identity, window))));
    assert!(fleet().all(|identity| jitter(&identity, -window) == SignedDuration::ZERO));
}
