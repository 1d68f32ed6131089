//! One test per reason, and one for no reason. Each starts from a leaf that may stay and breaks one thing.

use jiff::{SignedDuration, Timestamp};
use tessera_node_api::identity::Identity;
use tessera_pki::policy::{Reason, Stored, Wanted, check};
use tessera_pki::{Ca, Certificate, Leaf, LeafSpec};

use super::{DAY, DOMAIN, ca, client_spec, node_identity, node_spec, now};

const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(8);

struct Case {
    ca: Ca,
    spec: LeafSpec,
    leaf: Leaf,
}

impl Case {
    fn good() -> Self {
        let ca = ca();
        let leaf = ca.issue(&node_spec(), now()).unwrap();
        Self { ca, spec: node_spec(), leaf }
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted { spec: &self.spec, ca: self.ca.certificate(), cross_signer: None, renew_before: RENEW_BEFORE }
    }

    fn stored(&self) -> Stored<'_> {
        Stored {
            certificate: Some(self.leaf.certificate_pem.as_bytes()),
            private_key: Some(self.leaf.private_key_pem.expose().as_bytes()),
        }
    }

    fn reason_at(&self, at: Timestamp) -> Option<Reason> {
        check(&self.wanted(), &self.stored(), at).err()
    }

    fn reason_of(&self, stored: &Stored<'_>) -> Option<Reason> {
        check(&self.wanted(), stored, now()).err()
    }
}

#[test]
fn a_good_leaf_stays_until_it_is_due() {
    let case = Case::good();
    let current = check(&case.wanted(), &case.stored(), now()).unwrap();
    assert_eq!(current.certificate, Certificate::parse(case.leaf.certificate_pem.as_bytes()).unwrap());
    assert_eq!(case.reason_at(current.due_at - SignedDuration::from_secs(1)), None);
    let not_after = now() + DAY;
    assert_eq!(case.reason_at(current.due_at), Some(Reason::RenewalDue { not_after }));
}

#[test]
fn missing() {
    let case = Case::good();
    let good = case.stored();
    for stored in [
        Stored { certificate: None, ..good },
        Stored { private_key: None, ..good },
        Stored { certificate: Some(b""), ..good },
        Stored { certificate: None, private_key: None },
    ] {
        assert_eq!(case.reason_of(&stored), Some(Reason::Missing));
    }
}

#[test]
fn unparsable() {
    let case = Case::good();
    let good = case.stored();
    let certificate = Stored { certificate: Some(b"garbage"), ..good };
    assert_eq!(case.reason_of(&certificate), Some(Reason::Unparsable { item: "tls.crt" }));
    for garbage in [b"garbage".as_slice(), b"\xff\xfe"] {
        let key = Stored { private_key: Some(garbage), ..good };
        assert_eq!(case.reason_of(&key), Some(Reason::Unparsable { item: "tls.key" }));
    }
}

#[test]
fn key_mismatch() {
    let case = Case::good();
    let other = case.ca.issue(&case.spec, now()).unwrap();
    let stored = Stored { private_key: Some(other.private_key_pem.expose().as_bytes()), ..case.stored() };
    assert_eq!(case.reason_of(&stored), Some(Reason::KeyMismatch));
}

#[test]
fn wrong_issuer() {
    let case = Case { ca: ca(), ..Case::good() };
    assert_eq!(case.reason_at(now()), Some(Reason::WrongIssuer));
}

#[test]
fn wrong_names() {
    let names = node_spec().dns_names().to_vec();
    let neighbour = Identity::node(DOMAIN, "node-b").unwrap();
    for spec in [
        LeafSpec::node(neighbour, names.clone(), DAY),
        LeafSpec::node(node_identity(), names[1..].to_vec(), DAY),
        LeafSpec::node_admin(node_identity(), names, DAY),
        client_spec(),
    ] {
        let case = Case { spec, ..Case::good() };
        assert_eq!(case.reason_at(now()), Some(Reason::WrongNames));
    }
}

#[test]
fn the_order_of_dns_names_is_no_reason() {
    let mut names = node_spec().dns_names().to_vec();
    names.reverse();
    let case = Case { spec: LeafSpec::node(node_identity(), names, DAY), ..Case::good() };
    assert_eq!(case.reason_at(now()), None);
}

#[test]
fn expired() {
    let not_after = now() + DAY;
    assert_eq!(Case::good().reason_at(not_after), Some(Reason::Expired { not_after }));
}

#[test]
fn lifetime_reduced() {
    let spec =
        LeafSpec::node(node_identity(), node_spec().dns_names().to_vec(), SignedDuration::from_hours(1));
    let case = Case { spec, ..Case::good() };
    assert_eq!(case.reason_at(now()), Some(Reason::LifetimeReduced { not_after: now() + DAY }));
}

#[test]
fn a_clock_set_back_is_no_reason() {
    assert_eq!(Case::good().reason_at(now() - SignedDuration::from_mins(4)), None);
}

#[test]
fn only_a_leaf_that_still_serves_is_no_outage() {
    let not_after = now();
    let outages = [
        Reason::Missing,
        Reason::Unparsable { item: "tls.crt" },
        Reason::KeyMismatch,
        Reason::WrongIssuer,
        Reason::WrongNames,
        Reason::Expired { not_after },
    ];
    assert!(outages.iter().all(Reason::is_outage));
    assert!(!Reason::RenewalDue { not_after }.is_outage());
    assert!(!Reason::LifetimeReduced { not_after }.is_outage());
}

#[test]
fn in_the_last_hours_of_the_authority_a_leaf_is_issued_once_to_its_end() {
    let mut case = Case::good();
    let end = case.ca.certificate().not_after();
    let begin = end - SignedDuration::from_hours(6);
    case.leaf = case.ca.issue(&case.spec, begin).unwrap();
    let mut issued = 0;
    for minute in 0..6 * 60 {
        let now = begin + SignedDuration::from_mins(minute);
        if case.reason_at(now).is_some() {
            issued += 1;
            case.leaf = case.ca.issue(&case.spec, now).unwrap();
        }
    }
    assert_eq!(issued, 0, "another would last no longer");
    let current = check(&case.wanted(), &case.stored(), begin).unwrap();
    assert_eq!((current.due_at, current.certificate.not_after()), (end, end));
    assert_eq!(case.reason_at(end), Some(Reason::Expired { not_after: end }));
}
