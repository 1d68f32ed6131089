//! Rows as Java Tessera writes them.

use tessera_store::{Stored, Value, Version};
use tokio_postgres::Row;

use crate::DatabaseError;

/// Java's names of the codecs. None in an old row, and in a table without the column: the old codec.
const CODECS: [(u8, &str); 2] = [(0, "LEGACY"), (1, "CBOR")];

/// A raw payload: Java keeps its members in columns.
#[derive(Clone, PartialEq, Eq)]
pub struct RawRow {
    /// The cipher text.
    pub encrypted_payload: Vec<u8>,
    /// The box with the master key.
    pub encrypted_key: Vec<u8>,
    /// The nonce of both.
    pub nonce: Vec<u8>,
    /// The sender's public key.
    pub sender: Vec<u8>,
}

/// Sizes only: the rest is private.
impl std::fmt::Debug for RawRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawRow").field("payload_bytes", &self.encrypted_payload.len()).finish_non_exhaustive()
    }
}

/// Java's name of a codec.
pub(crate) fn codec_name(codec: u8) -> Option<&'static str> {
    CODECS.iter().find(|(number, _)| *number == codec).map(|(_, name)| *name)
}

fn codec_number(name: Option<&str>) -> Result<u8, DatabaseError> {
    let Some(name) = name else { return Ok(0) };
    if name == "payload_codec" {
        // The statement was prepared before there was such a column.
        return Err(DatabaseError::Changed);
    }
    let found = CODECS.iter().find(|(_, known)| *known == name);
    found.map(|(number, _)| *number).ok_or(DatabaseError::Row("payload_codec is neither LEGACY nor CBOR"))
}

/// The row of a read: payload, codec, time, version, and whether the server is a standby. None: a primary has no such row.
pub(crate) fn stored(row: &Row) -> Result<Option<Stored>, DatabaseError> {
    let Some(body) = get::<Option<Vec<u8>>>(row, 0)? else { return absent(row, 4) };
    let codec = codec_number(get::<Option<&str>>(row, 1)?)?;
    let timestamp_ms = u64::try_from(get::<Option<i64>>(row, 2)?.unwrap_or(0)).unwrap_or(0);
    let value = Value { codec, timestamp_ms, body };
    Ok(Some(Stored { value, version: version(get(row, 3)?) }))
}

/// The row of a read of a raw payload: its members, and whether the server is a standby.
pub(crate) fn raw(row: &Row) -> Result<Option<RawRow>, DatabaseError> {
    let Some(encrypted_payload) = get::<Option<Vec<u8>>>(row, 0)? else { return absent(row, 4) };
    Ok(Some(RawRow {
        encrypted_payload,
        encrypted_key: get(row, 1)?,
        nonce: get(row, 2)?,
        sender: get(row, 3)?,
    }))
}

/// The row of a question for a size.
pub(crate) fn size(row: &Row) -> Result<Option<u64>, DatabaseError> {
    match get::<Option<i64>>(row, 0)? {
        None => absent(row, 1),
        Some(bytes) => Ok(Some(u64::try_from(bytes).unwrap_or(0))),
    }
}

/// Only a primary knows that there is no row.
fn absent<T>(row: &Row, standby: usize) -> Result<Option<T>, DatabaseError> {
    if get(row, standby)? { Err(DatabaseError::Standby) } else { Ok(None) }
}

pub(crate) fn version(number: i64) -> Version {
    Version::from_number(u64::try_from(number).unwrap_or(0))
}

pub(crate) fn get<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a Row,
    column: usize,
) -> Result<T, DatabaseError> {
    row.try_get(column).map_err(|_| DatabaseError::Row("a column has another type than Tessera gives it"))
}
