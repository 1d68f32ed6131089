//! The CA state document: what it holds, what it refuses, and that refusing quotes no key.

use tessera_pki::{CaError, CaState, StateError};

use super::{YEAR, node_spec, now, parsed};

fn state() -> CaState {
    CaState::generate("org-a", YEAR, now()).unwrap()
}

#[test]
fn survives_json() {
    let state = state();
    let again = CaState::from_json(&state.to_json()).unwrap();
    assert_eq!(again.generation, 1);
    assert_eq!(again.network.issuing.certificate(), state.network.issuing.certificate());
    assert_eq!(again.admin.issuing.certificate(), state.admin.issuing.certificate());
    let leaf = parsed(&again.admin.issue(&node_spec(), now()).unwrap());
    assert!(leaf.is_issued_by(state.admin.issuing.certificate()));
    assert!(!leaf.is_issued_by(state.network.issuing.certificate()));
}

#[test]
fn writing_twice_gives_the_same_bytes() {
    let state = state();
    assert_eq!(*state.to_json(), *CaState::from_json(&state.to_json()).unwrap().to_json());
}

#[test]
fn refuses_a_newer_version_whatever_its_members() {
    let error = CaState::from_json(br#"{"version": 3, "rollover": {}}"#).unwrap_err();
    assert!(matches!(error, StateError::Version { found: 3 }), "{error}");
}

#[test]
fn refuses_what_is_no_document_without_quoting_it() {
    for document in
        [br#"{"version": 1, "network": "geheim"}"#.as_slice(), b"geheim", b"", br#"{"version": "geheim"}"#]
    {
        let error = CaState::from_json(document).unwrap_err();
        assert!(matches!(error, StateError::Document(_)), "{error}");
        assert!(!format!("{error} {error:?}").contains("geheim"));
    }
}

#[test]
fn refuses_swapped_keys() {
    let (state, other) = (state(), state());
    let mut document: serde_json::Value = serde_json::from_slice(&state.to_json()).unwrap();
    let other: serde_json::Value = serde_json::from_slice(&other.to_json()).unwrap();
    document["admin"]["issuing"]["key"] = other["admin"]["issuing"]["key"].clone();
    let error = CaState::from_json(document.to_string().as_bytes()).unwrap_err();
    assert!(
        matches!(error, StateError::Authority { which: "admin", source: CaError::KeyMismatch { .. } }),
        "{error}"
    );
}

#[test]
fn reads_the_version_before() {
    let state = state();
    let stored = |authority: &tessera_pki::Authority| {
        let ca = &authority.issuing;
        serde_json::json!({"certificate": ca.certificate_pem(), "key": ca.private_key_pem().expose()})
    };
    let (network, admin) = (stored(&state.network), stored(&state.admin));
    let document = serde_json::json!({"version": 1, "generation": 1, "network": network, "admin": admin});
    let again = CaState::from_json(document.to_string().as_bytes()).unwrap();
    assert_eq!(*again.to_json(), *state.to_json());
}
