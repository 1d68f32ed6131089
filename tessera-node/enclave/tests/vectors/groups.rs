//! Privacy groups.

use serde_json::Value;
use tessera_enclave::PublicKey;
use tessera_enclave::codec::privacy_group::{GroupState, GroupType, PrivacyGroup};

use crate::{base64, hex, key, list, text, vectors};

fn group(members: Vec<PublicKey>, kind: GroupType, seed: Vec<u8>) -> PrivacyGroup {
    PrivacyGroup {
        name: String::new(),
        description: String::new(),
        members,
        seed: seed.into(),
        kind,
        state: GroupState::Active,
    }
}

/// Members are given by name.
fn members(vectors: &Value, names: &Value) -> Vec<PublicKey> {
    list(names).map(|name| key(&vectors["privacy_group_ids"]["members"][text(name)])).collect()
}

#[test]
fn ids() {
    let vectors = vectors();
    let cases: Vec<_> = list(&vectors["privacy_group_ids"]["cases"]).collect();
    let [legacy, pantheon, lookup, large] = cases[..] else { panic!("{} cases", cases.len()) };

    let id = group(members(&vectors, &legacy["members"]), GroupType::Legacy, Vec::new()).id();
    assert_eq!(id, base64(&legacy["id_base64"]));

    let seed = base64(&pantheon["seed_base64"]);
    let id = group(members(&vectors, &pantheon["members"]), GroupType::Pantheon, seed).id();
    assert_eq!(id, base64(&pantheon["id_base64"]));

    let id = PrivacyGroup::lookup_id(&members(&vectors, &lookup["members"]));
    assert_eq!(id, base64(&lookup["id_base64"]));

    let eight = list(&large["members_hex"]).map(|key| PublicKey::from_bytes(&hex(key))).collect();
    let id = group(eight, GroupType::Legacy, Vec::new()).id();
    assert_eq!(id, base64(&large["id_base64_with_quirk"]));
}

#[test]
fn a_resident_group_is_named_by_itself() {
    let mut resident = group(Vec::new(), GroupType::Resident, Vec::new());
    resident.name = "tenant".to_owned();
    assert_eq!(resident.id(), "tenant");
}

#[test]
fn encoding() {
    let vectors = vectors();
    let entry = &vectors["privacy_group_encoding"];
    let group = PrivacyGroup {
        name: text(&entry["name"]).to_owned(),
        description: text(&entry["description"]).to_owned(),
        members: members(&vectors, &entry["members"]),
        seed: text(&entry["seed_utf8"]).to_owned().into(),
        kind: GroupType::Pantheon,
        state: GroupState::Active,
    };
    let bytes = hex(&entry["encoded_hex"]);
    assert_eq!(group.encode(), bytes);
    assert_eq!(PrivacyGroup::decode(&bytes), Ok(group.clone()));
    assert_eq!(group.id(), base64(&entry["id_base64"]));
}
