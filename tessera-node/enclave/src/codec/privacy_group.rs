//! Privacy groups: their encoding, and the id that every member computes for itself.

use bytes::Bytes;
use sha3::{Digest, Keccak256};

use super::DecodeError;
use super::binary::{NUMBER, Reader, Writer};
use crate::java;
use crate::key::PublicKey;

/// The seed under which groups are found by their members.
const LOOKUP_SEED: [u8; 20] = [
    0x53, 0x75, 0xba, 0x87, 0x1e, 0x5c, 0x3d, 0x0f, 0x1d, 0x05, 0x5b, 0x5d, 0xa0, 0xac, 0x02, 0xea, 0x03,
    0x5b, 0xed, 0x38,
];

/// How a group came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupType {
    /// Implied by a send without a group.
    Legacy,
    /// Created by a client.
    Pantheon,
    /// Configured: the keys of one tenant of this node.
    Resident,
}

/// Whether a group may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupState {
    /// It may.
    Active,
    /// It was deleted; its id stays taken.
    Deleted,
}

/// A privacy group: the body of `/pushPrivacyGroup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivacyGroup {
    /// Free text.
    pub name: String,
    /// Free text.
    pub description: String,
    /// The members' keys.
    pub members: Vec<PublicKey>,
    /// Makes ids of groups with the same members differ.
    pub seed: Bytes,
    /// How it came to be.
    pub kind: GroupType,
    /// Whether it may be used.
    pub state: GroupState,
}

impl PrivacyGroup {
    /// Writes the group. The id is left out: the receiver computes it.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::new());
        out.bytes(self.name.as_bytes());
        out.bytes(self.description.as_bytes());
        out.array(self.members.iter().map(PublicKey::as_bytes));
        out.bytes(&self.seed);
        out.bytes(self.kind.name().as_bytes());
        out.bytes(self.state.name().as_bytes());
        out.0
    }

    /// Reads a group.
    pub fn decode(input: &Bytes) -> Result<Self, DecodeError> {
        let mut input = Reader::new(input);
        Ok(Self {
            name: text(&mut input)?,
            description: text(&mut input)?,
            members: input.array(NUMBER, |input| Ok(PublicKey::from_bytes(&input.bytes()?)))?,
            seed: Bytes::copy_from_slice(&input.bytes()?),
            kind: GroupType::from_name(&text(&mut input)?)?,
            state: GroupState::from_name(&text(&mut input)?)?,
        })
    }

    /// The group's id.
    pub fn id(&self) -> Bytes {
        match self.kind {
            GroupType::Legacy => members_id(&self.members, None),
            GroupType::Pantheon => members_id(&self.members, Some(&self.seed)),
            GroupType::Resident => Bytes::copy_from_slice(self.name.as_bytes()),
        }
    }

    /// The id under which groups of these members are found.
    pub fn lookup_id(members: &[PublicKey]) -> Bytes {
        members_id(members, Some(&LOOKUP_SEED))
    }
}

impl GroupType {
    /// The name on the wire; clients see it too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Legacy => "LEGACY",
            Self::Pantheon => "PANTHEON",
            Self::Resident => "RESIDENT",
        }
    }

    /// The type of a name on the wire.
    pub fn from_name(name: &str) -> Result<Self, DecodeError> {
        [Self::Legacy, Self::Pantheon, Self::Resident]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| unknown("Type", name))
    }
}

impl GroupState {
    fn name(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Deleted => "DELETED",
        }
    }

    fn from_name(name: &str) -> Result<Self, DecodeError> {
        [Self::Active, Self::Deleted]
            .into_iter()
            .find(|state| state.name() == name)
            .ok_or_else(|| unknown("State", name))
    }
}

fn unknown(class: &str, name: &str) -> DecodeError {
    DecodeError::UnknownName(format!("com.quorum.tessera.enclave.PrivacyGroup.{class}.{name}"))
}

fn text(input: &mut Reader<'_>) -> Result<String, DecodeError> {
    let bytes = input.bytes()?;
    std::str::from_utf8(&bytes).map(str::to_owned).map_err(|_| DecodeError::Utf8)
}

fn members_id(members: &[PublicKey], seed: Option<&[u8]>) -> Bytes {
    Bytes::copy_from_slice(&Keccak256::digest(rlp_list(members, seed)))
}

/// The distinct members in the order of their Java hash codes, then the seed.
fn rlp_list(members: &[PublicKey], seed: Option<&[u8]>) -> Vec<u8> {
    let mut distinct: Vec<&PublicKey> = Vec::with_capacity(members.len());
    for member in members {
        if !distinct.contains(&member) {
            distinct.push(member);
        }
    }
    distinct.sort_by_key(|member| java::array_hash(member.as_bytes()));
    let mut body = Vec::new();
    for element in distinct.into_iter().map(PublicKey::as_bytes).chain(seed) {
        rlp_element(element, &mut body);
    }
    let mut list = Vec::with_capacity(body.len() + 3);
    rlp_head(0xc0, body.len(), &mut list);
    list.append(&mut body);
    list
}

fn rlp_element(element: &[u8], out: &mut Vec<u8>) {
    if !matches!(element, [0..0x80]) {
        rlp_head(0x80, element.len(), out);
    }
    out.extend_from_slice(element);
}

/// RLP with Tessera's quirk: long lengths are little-endian and end at the first zero byte. Equal to RLP up to 255.
fn rlp_head(base: u8, length: usize, out: &mut Vec<u8>) {
    if let Ok(short @ ..=55) = u8::try_from(length) {
        out.push(base + short);
        return;
    }
    let digits = length.to_le_bytes();
    let digits = digits.into_iter().take_while(|&digit| digit != 0);
    let head = out.len();
    out.push(base + 55);
    for digit in digits {
        out.push(digit);
        out[head] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        rlp_element(bytes, &mut out);
        out
    }

    #[test]
    fn short_elements_are_plain_rlp() {
        assert_eq!(element(&[]), [0x80]);
        assert_eq!(element(&[0x7f]), [0x7f]);
        assert_eq!(element(&[0x80]), [0x81, 0x80]);
        assert_eq!(element(b"dog"), *b"\x83dog");
        assert_eq!(element(&[1; 255])[..2], [0xb8, 0xff]);
    }

    #[test]
    fn long_lengths_are_little_endian_up_to_a_zero() {
        assert_eq!(element(&[1; 300])[..4], [0xb9, 0x2c, 0x01, 0x01]);
        assert_eq!(element(&[2; 256])[..2], [0xb7, 0x02]);
    }

    #[test]
    fn a_member_named_twice_counts_once() {
        let (a, b) = (PublicKey::from([1; 32]), PublicKey::from([2; 32]));
        assert_eq!(
            PrivacyGroup::lookup_id(&[a.clone(), b.clone(), a.clone()]),
            PrivacyGroup::lookup_id(&[b, a])
        );
    }

    #[test]
    fn unknown_names_are_refused() {
        let kind = GroupType::from_name("ONION").expect_err("no such type");
        assert_eq!(kind.to_string(), "No enum constant com.quorum.tessera.enclave.PrivacyGroup.Type.ONION");
        let state = GroupState::from_name("ASLEEP").expect_err("no such state");
        assert_eq!(
            state.to_string(),
            "No enum constant com.quorum.tessera.enclave.PrivacyGroup.State.ASLEEP"
        );
    }
}
