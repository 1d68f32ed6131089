//! The CBOR payload: one map of eleven text-keyed entries.
//!
//! We write exactly what Java Tessera writes. We read more: any order, tags, indefinite lengths, missing entries; and,
//! like Java, nothing behind a key that is not known.

use std::collections::BTreeMap;
use std::convert::Infallible;

use bytes::Bytes;
use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

use super::{DecodeError, MAX_ITEMS};
use crate::base64;
use crate::hash::{SecurityHash, TxHash};
use crate::key::{Nonce, PublicKey};
use crate::payload::{EncodedPayload, PayloadParts, PrivacyMode};

const ENTRIES: u64 = 11;
/// Room for the keys, the heads and the fields of fixed size.
const OVERHEAD: usize = 384;
/// Room for one recipient: box, key and their heads.
const PER_RECIPIENT: usize = 84;

/// The input that a list item must come with, as in the legacy format. An empty item takes one byte on the wire and a
/// few dozen in memory: without a bound, a push would cost many times its size.
const INPUT_PER_ITEM: usize = 8;

pub(super) fn encode(payload: &EncodedPayload) -> Vec<u8> {
    let capacity = OVERHEAD + payload.cipher_text.len() + PER_RECIPIENT * payload.recipient_keys.len();
    let mut out = Encoder::new(Vec::with_capacity(capacity));
    write(payload, &mut out).expect("a vector takes every write");
    out.into_writer()
}

fn write(
    payload: &EncodedPayload,
    out: &mut Encoder<Vec<u8>>,
) -> Result<(), minicbor::encode::Error<Infallible>> {
    let privacy = &payload.privacy;
    out.map(ENTRIES)?;
    out.str("sender")?.bytes(payload.sender.as_bytes())?;
    out.str("cipherText")?.bytes(&payload.cipher_text)?;
    out.str("nonce")?.bytes(payload.cipher_text_nonce.as_bytes())?;
    out.str("recipientNonce")?.bytes(payload.recipient_nonce.as_bytes())?;
    let boxes = payload.recipient_boxes.iter().map(|sealed| &**sealed);
    write_array("recipientBoxes", boxes, out)?;
    let keys = payload.recipient_keys.iter().map(PublicKey::as_bytes);
    write_array("recipients", keys, out)?;
    out.str("privacyFlag")?.u8(privacy.mode.flag())?;
    out.str("affected")?.map(privacy.affected.len() as u64)?;
    for (hash, security_hash) in &privacy.affected {
        out.str(&hash.to_string())?.bytes(security_hash.as_bytes())?;
    }
    out.str("execHash")?.bytes(&privacy.exec_hash)?;
    let mandatory = privacy.mandatory_recipients.iter().map(PublicKey::as_bytes);
    write_array("mandatoryFor", mandatory, out)?;
    out.str("privacyGroupId")?.bytes(privacy.privacy_group_id.as_deref().unwrap_or_default())?;
    Ok(())
}

fn write_array<'b>(
    key: &str,
    items: impl ExactSizeIterator<Item = &'b [u8]>,
    out: &mut Encoder<Vec<u8>>,
) -> Result<(), minicbor::encode::Error<Infallible>> {
    out.str(key)?.array(items.len() as u64)?;
    for item in items {
        out.bytes(item)?;
    }
    Ok(())
}

pub(super) fn decode(input: &Bytes) -> Result<EncodedPayload, DecodeError> {
    let mut reader = Reader { input, cbor: Decoder::new(input) };
    let fields = read(&mut reader)?;
    Ok(EncodedPayload::new(fields.into_parts()?)?)
}

/// What Java leaves null until it is read.
#[derive(Default)]
struct Fields {
    sender: Option<PublicKey>,
    cipher_text: Option<Bytes>,
    cipher_text_nonce: Option<Nonce>,
    recipient_nonce: Option<Nonce>,
    rest: PayloadParts,
}

impl Fields {
    fn into_parts(self) -> Result<PayloadParts, DecodeError> {
        let missing = DecodeError::Missing;
        Ok(PayloadParts {
            sender: self.sender.ok_or_else(|| missing("sender"))?,
            cipher_text: self.cipher_text.ok_or_else(|| missing("cipherText"))?,
            cipher_text_nonce: self.cipher_text_nonce.ok_or_else(|| missing("nonce"))?,
            recipient_nonce: self.recipient_nonce.ok_or_else(|| missing("recipientNonce"))?,
            ..self.rest
        })
    }
}

fn read(reader: &mut Reader<'_>) -> Result<Fields, DecodeError> {
    let mut fields = Fields::default();
    let mut entries = reader.map()?;
    while reader.next(&mut entries)? {
        let key = reader.text()?;
        if !read_entry(&key, reader, &mut fields)? {
            break;
        }
    }
    Ok(fields)
}

/// Reads the value of one entry; false if the key is not known.
fn read_entry(key: &str, reader: &mut Reader<'_>, fields: &mut Fields) -> Result<bool, DecodeError> {
    let rest = &mut fields.rest;
    match key {
        "sender" => fields.sender = Some(reader.public_key()?),
        "cipherText" => fields.cipher_text = Some(reader.bytes()?),
        "nonce" => fields.cipher_text_nonce = Some(reader.nonce()?),
        "recipientNonce" => fields.recipient_nonce = Some(reader.nonce()?),
        "recipientBoxes" => rest.recipient_boxes = reader.array(Reader::bytes)?,
        "recipients" => rest.recipient_keys = reader.array(Reader::public_key)?,
        "privacyFlag" => rest.privacy.mode = reader.mode()?,
        "affected" => rest.privacy.affected = reader.affected()?,
        "execHash" => rest.privacy.exec_hash = reader.small_bytes()?,
        "mandatoryFor" => {
            rest.privacy.mandatory_recipients = reader.array(Reader::public_key)?.into_iter().collect();
        }
        "privacyGroupId" => {
            rest.privacy.privacy_group_id = Some(reader.small_bytes()?).filter(|id| !id.is_empty());
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// A pull reader that steps over tags and takes definite and indefinite lengths alike. Nothing is allocated ahead of
/// what was read.
struct Reader<'a> {
    input: &'a Bytes,
    cbor: Decoder<'a>,
}

/// How many items a container still has; `None`: until the break.
type ItemsLeft = Option<u64>;

impl Reader<'_> {
    /// The type of the next value, behind its tags.
    fn peek(&mut self) -> Result<Type, DecodeError> {
        while self.cbor.datatype()? == Type::Tag {
            self.cbor.tag()?;
        }
        Ok(self.cbor.datatype()?)
    }

    fn map(&mut self) -> Result<ItemsLeft, DecodeError> {
        self.peek()?;
        Ok(self.cbor.map()?)
    }

    /// Whether the container goes on.
    fn next(&mut self, left: &mut ItemsLeft) -> Result<bool, DecodeError> {
        match left {
            Some(0) => Ok(false),
            Some(count) => {
                *count -= 1;
                Ok(true)
            }
            None if self.cbor.datatype()? == Type::Break => {
                self.cbor.set_position(self.cbor.position() + 1);
                Ok(false)
            }
            None => Ok(true),
        }
    }

    fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        match self.peek()? {
            Type::BytesIndef => {
                let chunks: Vec<&[u8]> = self.cbor.bytes_iter()?.collect::<Result<_, _>>()?;
                Ok(chunks.concat().into())
            }
            _ => Ok(self.input.slice_ref(self.cbor.bytes()?)),
        }
    }

    /// A byte string that may outlive the input.
    fn small_bytes(&mut self) -> Result<Bytes, DecodeError> {
        self.bytes().map(|bytes| Bytes::copy_from_slice(&bytes))
    }

    fn public_key(&mut self) -> Result<PublicKey, DecodeError> {
        Ok(PublicKey::from_bytes(&self.bytes()?)?)
    }

    fn nonce(&mut self) -> Result<Nonce, DecodeError> {
        self.bytes().map(|bytes| Nonce::from_bytes(&bytes))
    }

    fn text(&mut self) -> Result<String, DecodeError> {
        match self.peek()? {
            Type::StringIndef => Ok(self.cbor.str_iter()?.collect::<Result<String, _>>()?),
            _ => Ok(self.cbor.str()?.to_owned()),
        }
    }

    fn array<T>(&mut self, read: fn(&mut Self) -> Result<T, DecodeError>) -> Result<Vec<T>, DecodeError> {
        self.peek()?;
        let mut left = self.cbor.array()?;
        let mut items = Vec::new();
        while self.next(&mut left)? {
            if items.len() == MAX_ITEMS.min(self.input.len() / INPUT_PER_ITEM) {
                return Err(DecodeError::TooManyItems);
            }
            items.push(read(self)?);
        }
        Ok(items)
    }

    /// Java reads what is no integer as 0.
    fn mode(&mut self) -> Result<PrivacyMode, DecodeError> {
        let flag = match self.peek()? {
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => self.cbor.u64()?,
            _ => {
                self.cbor.skip()?;
                0
            }
        };
        Ok(PrivacyMode::from_flag(flag))
    }

    fn affected(&mut self) -> Result<BTreeMap<TxHash, SecurityHash>, DecodeError> {
        let mut left = self.map()?;
        let mut affected = BTreeMap::new();
        while self.next(&mut left)? {
            if affected.len() == MAX_ITEMS {
                return Err(DecodeError::TooManyItems);
            }
            let hash = TxHash::from_bytes(&base64::decode_strict(&self.text()?)?)?;
            affected.insert(hash, SecurityHash::from_bytes(&self.bytes()?));
        }
        Ok(affected)
    }
}

impl From<minicbor::decode::Error> for DecodeError {
    fn from(error: minicbor::decode::Error) -> Self {
        Self::Cbor(error.to_string())
    }
}
