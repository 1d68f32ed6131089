//! Text files as Java's JSON reader takes them: UTF-8 or UTF-16, with or without a byte-order mark.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use zeroize::Zeroizing;

/// Reads a text file that may hold a secret.
pub fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    decode(Zeroizing::new(std::fs::read(path)?)).ok_or_else(not_text)
}

/// The same of a file of at most so many bytes; none: the file is longer.
pub fn read_up_to(path: &Path, most: usize) -> io::Result<Option<Zeroizing<String>>> {
    // Capacity for the whole file at once: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most + 1));
    File::open(path)?.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Ok(None);
    }
    decode(bytes).map(Some).ok_or_else(not_text)
}

fn not_text() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "neither UTF-8 nor UTF-16")
}

fn decode(mut bytes: Zeroizing<Vec<u8>>) -> Option<Zeroizing<String>> {
    match bytes.as_slice() {
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        // The first character of JSON is ASCII, so half of its two bytes is zero.
        [0, 1..=u8::MAX, ..] => utf16(&bytes, u16::from_be_bytes),
        [1..=u8::MAX, 0, ..] => utf16(&bytes, u16::from_le_bytes),
        all => {
            std::str::from_utf8(all).ok()?;
            let mark = if all.starts_with(&[0xEF, 0xBB, 0xBF]) { 3 } else { 0 };
            bytes.drain(..mark);
            // The bytes become the text where they are.
            String::from_utf8(std::mem::take(&mut *bytes)).ok().map(Zeroizing::new)
        }
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<Zeroizing<String>> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units = Zeroizing::new(pairs.iter().copied().map(unit).collect::<Vec<_>>());
    // Room for all of it at once: a text that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(3 * units.len()));
    for character in char::decode_utf16(units.iter().copied()) {
        text.push(character.ok()?);
    }
    rest.is_empty().then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_of_java_is_one_text() {
        let text = "{\"key\":\"ä€𝄞\"}";
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let marked = |mark: &[u8], bytes: &[u8]| [mark, bytes].concat();
        for bytes in [
            text.as_bytes().to_vec(),
            marked(b"\xEF\xBB\xBF", text.as_bytes()),
            marked(b"\xFE\xFF", &big),
            marked(b"\xFF\xFE", &little),
            big,
            little,
        ] {
            assert_eq!(decode(Zeroizing::new(bytes.clone())).unwrap().as_str(), text, "{bytes:?}");
        }
        for bad in [&b"\xFF"[..], b"\xFE\xFF\x00", b"\xFE\xFF\xD8\x00"] {
            assert!(decode(Zeroizing::new(bad.to_vec())).is_none(), "{bad:?}");
        }
        assert_eq!(decode(Zeroizing::default()).unwrap().as_str(), "");
    }
}
