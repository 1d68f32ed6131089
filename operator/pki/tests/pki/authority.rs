//! Making, loading and refusing authorities; what a certificate of theirs says.

use jiff::SignedDuration;
use tessera_node_api::identity::Identity;
use tessera_pki::{BACKDATE, Ca, CaError, CaSpec, Certificate, InspectError, LeafSpec, PrivateKeyPem, Usage};

use super::{DAY, DOMAIN, YEAR, ca, node_identity, node_spec, now, parsed};

#[test]
fn a_leaf_says_what_was_asked_for() {
    let ca = ca();
    let leaf = parsed(&ca.issue(&node_spec(), now()).unwrap());
    assert_eq!(leaf.identity(), Some(&node_identity()));
    assert_eq!(leaf.dns_names(), node_spec().dns_names());
    assert_eq!(leaf.usage(), Some(Usage::ServerAndClient));
    assert_eq!(leaf.not_before(), now() - BACKDATE);
    assert_eq!(leaf.not_after(), now() + DAY);
    assert!(!leaf.is_authority());
    assert!(leaf.is_issued_by(ca.certificate()));
    assert!(!leaf.is_issued_by(&leaf));
}

#[test]
fn an_authority_says_that_it_is_one() {
    let ca = ca();
    assert!(ca.certificate().is_authority());
    assert_eq!(ca.certificate().usage(), None);
    assert_eq!(ca.certificate().not_after(), now() + YEAR);
    assert!(ca.certificate().is_issued_by(ca.certificate()));
}

#[test]
fn serials_are_long_positive_and_new_each_time() {
    let ca = ca();
    let serials: std::collections::BTreeSet<String> =
        (0..20).map(|_| parsed(&ca.issue(&node_spec(), now()).unwrap()).serial().to_owned()).collect();
    assert_eq!(serials.len(), 20);
    assert!(
        serials
            .iter()
            .all(|serial| serial.len() == 32 && ('4'..='7').contains(&serial.chars().next().unwrap()))
    );
}

#[test]
fn a_leaf_does_not_outlive_its_authority() {
    let ca = Ca::generate(&CaSpec::network("org-a", 1, SignedDuration::from_hours(3)), now()).unwrap();
    let leaf = parsed(&ca.issue(&node_spec(), now()).unwrap());
    assert_eq!(leaf.not_after(), ca.certificate().not_after());
}

#[test]
fn an_expired_authority_issues_nothing() {
    let ca = ca();
    let error = ca.issue(&node_spec(), now() + YEAR).map(drop).unwrap_err();
    assert!(matches!(error, CaError::Expired { .. }), "{error}");
}

#[test]
fn a_name_too_long_for_a_common_name_still_gets_a_leaf() {
    let identity = Identity::client(DOMAIN, &"n".repeat(40), &"c".repeat(40)).unwrap();
    let leaf = parsed(&ca().issue(&LeafSpec::client(identity.clone(), DAY), now()).unwrap());
    assert_eq!(leaf.identity(), Some(&identity));
}

#[test]
fn a_name_outside_ascii_is_refused() {
    let spec = LeafSpec::node(node_identity(), vec!["knöten.example".to_owned()], DAY);
    let error = ca().issue(&spec, now()).map(drop).unwrap_err();
    assert!(matches!(error, CaError::Name { ref name, .. } if name == "knöten.example"), "{error}");
}

#[test]
fn a_lifetime_beyond_the_calendar_is_refused() {
    let error = Ca::generate(&CaSpec::network("org-a", 1, SignedDuration::MAX), now()).unwrap_err();
    assert!(matches!(error, CaError::Lifetime(_)), "{error}");
}

#[test]
fn an_authority_survives_pem() {
    let ca = ca();
    let again = Ca::from_pem(ca.certificate_pem(), &ca.private_key_pem()).unwrap();
    assert_eq!(again.certificate(), ca.certificate());
    assert!(parsed(&again.issue(&node_spec(), now()).unwrap()).is_issued_by(ca.certificate()));
}

#[test]
fn an_authority_with_another_s_key_is_refused() {
    let error = Ca::from_pem(ca().certificate_pem(), &ca().private_key_pem()).unwrap_err();
    assert!(matches!(error, CaError::KeyMismatch { .. }), "{error}");
}

#[test]
fn an_authority_with_garbage_for_a_key_is_refused_without_quoting_it() {
    let error = Ca::from_pem(ca().certificate_pem(), &PrivateKeyPem::new("geheim".to_owned())).unwrap_err();
    assert!(matches!(error, CaError::Key { .. }), "{error}");
    assert!(!format!("{error:?}").contains("geheim"));
}

#[test]
fn garbage_is_no_certificate() {
    assert!(matches!(Certificate::parse(b"garbage"), Err(InspectError::Pem)));
    let garbage = "-----BEGIN CERTIFICATE-----\nZ2FyYmFnZQ==\n-----END CERTIFICATE-----\n";
    assert!(matches!(Certificate::parse(garbage.as_bytes()), Err(InspectError::Der)));
}

#[test]
fn printing_an_authority_shows_no_key() {
    let ca = ca();
    let key = ca.private_key_pem();
    let body: String = key.expose().lines().filter(|line| !line.starts_with('-')).collect();
    let printed = format!("{ca:?}");
    assert!(printed.contains(ca.certificate().fingerprint()));
    assert!(!printed.contains(&body[..16]));
}
