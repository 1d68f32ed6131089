//! A rollover's changes of an authority, with real certificates. Whom its phases await is explored in `../explore`.

use jiff::SignedDuration;
use tessera_pki::policy::{self, Reason, Stored, Wanted};
use tessera_pki::rollover::View;
use tessera_pki::{Authority, CaState, Certificate, Leaf, Phase, Role};

use super::{DAY, YEAR, client_spec, node_spec, now};

fn authority() -> Authority {
    Authority::generate(Role::Network, "org-a", YEAR, now()).unwrap()
}

fn begun(authority: &Authority) -> Authority {
    authority.begin(&Role::Network.spec("org-a", authority.ordinal + 1, YEAR), 1, now()).unwrap()
}

fn fingerprints(authority: &Authority) -> Vec<String> {
    authority.roots().into_iter().map(|root| root.fingerprint().to_owned()).collect()
}

fn chain(leaf: &Leaf) -> Vec<Certificate> {
    Certificate::parse_all(leaf.certificate_pem.as_bytes()).unwrap()
}

#[test]
fn each_phase_signs_trusts_and_shows_what_the_table_says() {
    let stable = authority();
    let old = stable.issuing.certificate().clone();
    let trusting = begun(&stable);
    let new = trusting.rollover.as_ref().unwrap().other.certificate().clone();
    let (old_id, new_id) = (old.fingerprint().to_owned(), new.fingerprint().to_owned());
    let reissuing = trusting.advance(now());
    let retiring = reissuing.advance(now());
    let done = retiring.advance(now());
    let phases = [
        (&stable, None, vec![&old_id], &old, 1),
        (&trusting, Some(Phase::Trusting), vec![&old_id, &new_id], &old, 1),
        (&reissuing, Some(Phase::Reissuing), vec![&new_id, &old_id], &new, 2),
        (&retiring, Some(Phase::Retiring), vec![&new_id], &new, 2),
        (&done, None, vec![&new_id], &new, 1),
    ];
    for (authority, phase, roots, signer, shown) in phases {
        assert_eq!(authority.phase(), phase);
        assert_eq!(fingerprints(authority).iter().collect::<Vec<_>>(), roots, "{phase:?}");
        let leaf = authority.issue(&node_spec(), now()).unwrap();
        let chain = chain(&leaf);
        assert!(chain[0].is_issued_by(signer), "{phase:?}");
        assert_eq!(chain.len(), shown, "{phase:?}");
        if let [leaf, cross] = chain.as_slice() {
            assert!(leaf.is_issued_by(cross) && cross.is_issued_by(&old) && cross.is_same_entity(&new));
            assert_eq!(cross.not_after(), leaf.not_after(), "it ends with the leaf");
            assert!(!cross.may_sign_authorities());
        }
    }
    assert_ne!(old.subject(), new.subject(), "each has a name of its own");
    assert!(!old.is_same_entity(&new));
    assert_eq!((done.ordinal, done.trigger, done.founded), (2, 1, stable.founded));
}

#[test]
fn a_state_in_the_midst_of_a_rollover_survives_json_and_stays_wiped() {
    let first = CaState::generate("org-a", YEAR, now()).unwrap();
    let mut state = first.clone();
    for authority in [begun(&first.network), begun(&first.network).advance(now())] {
        state.network = authority;
        let again = CaState::from_json(&state.to_json()).unwrap();
        assert_eq!(*again.to_json(), *state.to_json());
        assert_eq!(View::of(&again.network), View::of(&state.network));
        let shown = format!("{again:?}");
        assert!(!shown.contains("PRIVATE"), "{shown}");
    }
}

#[test]
fn a_leaf_lasts_no_longer_than_the_longest_that_the_authority_admits() {
    let mut authority = authority();
    let long = tessera_pki::LeafSpec::client(client_spec().identity().clone(), DAY * 30);
    let end = |authority: &Authority| chain(&authority.issue(&long, now()).unwrap())[0].not_after();
    assert_eq!(end(&authority), now() + DAY);
    authority.longest_leaf = DAY * 7;
    assert_eq!(end(&authority), now() + DAY * 7);
}

#[test]
fn a_stored_leaf_is_checked_with_what_is_shown_beside_it() {
    let trusting = begun(&authority());
    let reissuing = trusting.advance(now());
    let done = reissuing.advance(now()).advance(now());
    let spec = node_spec();
    let check = |authority: &Authority, leaf: &Leaf, at| {
        let wanted = Wanted {
            spec: &spec,
            ca: authority.issuing.certificate(),
            cross_signer: authority.cross_signer().map(tessera_pki::Ca::certificate),
            renew_before: SignedDuration::from_hours(8),
        };
        let (certificate, key) = (leaf.certificate_pem.as_bytes(), leaf.private_key_pem.expose().as_bytes());
        let stored = Stored { certificate: Some(certificate), private_key: Some(key) };
        policy::check(&wanted, &stored, at).map(drop)
    };
    let old = trusting.issue(&spec, now()).unwrap();
    let crossed = reissuing.issue(&spec, now()).unwrap();
    let alone = done.issue(&spec, now()).unwrap();
    assert_eq!(check(&trusting, &old, now()), Ok(()));
    assert_eq!(check(&reissuing, &old, now()), Err(Reason::WrongIssuer));
    assert_eq!(check(&reissuing, &crossed, now()), Ok(()));
    assert_eq!(check(&reissuing, &alone, now()), Err(Reason::WrongChain));
    assert_eq!(check(&done, &crossed, now()), Err(Reason::WrongChain));
    assert_eq!(check(&done, &alone, now()), Ok(()));
    // Another rollover's cross certificate is none.
    let other = begun(&authority()).advance(now()).issue(&spec, now()).unwrap();
    let mut mixed = reissuing.issue(&spec, now()).unwrap();
    let foreign = chain(&other)[1].der().clone();
    mixed.certificate_pem = alone.certificate_pem.clone();
    assert!(!foreign.is_empty() && check(&reissuing, &mixed, now()) == Err(Reason::KeyMismatch));
    // Once the old CA has ended nothing is shown beside a leaf, and what was shown is no fault of the leaf.
    assert_eq!(check(&reissuing, &alone, now() + YEAR + DAY), Err(Reason::Expired { not_after: now() + DAY }));
}

#[test]
fn what_is_distrusted_goes_at_once_and_what_is_left_signs() {
    let stable = authority();
    let trusting = begun(&stable);
    let reissuing = trusting.advance(now());
    let replacement = Role::Network.spec("org-a", 9, YEAR);
    let id = |certificate: &Certificate| certificate.fingerprint().to_owned();
    let old = id(stable.issuing.certificate());
    let new = id(reissuing.issuing.certificate());
    let without = |authority: &Authority, bad: &[&String]| {
        authority.without(|ca| bad.iter().any(|bad| **bad == *ca.fingerprint()), &replacement, now()).unwrap()
    };
    for (authority, bad, left) in [
        (&trusting, &old, &new),
        (&trusting, &new, &old),
        (&reissuing, &old, &new),
        (&reissuing, &new, &old),
        (&reissuing.advance(now()), &old, &new),
        (&reissuing.advance(now()), &new, &old),
    ] {
        let after = without(authority, &[bad]).unwrap();
        assert_eq!(fingerprints(&after), [left.as_str()]);
        assert!(after.rollover.is_none() && after.cross_signer().is_none());
    }
    for (authority, bad) in [(&stable, vec![&old]), (&reissuing, vec![&old, &new])] {
        let after = without(authority, &bad).unwrap();
        assert!(after.rollover.is_none() && !bad.contains(&&fingerprints(&after)[0]));
        assert_eq!(after.issuing.certificate().subject(), "CN=org-a network CA 9");
    }
    assert!(without(&stable, &[&new]).is_none());
}
