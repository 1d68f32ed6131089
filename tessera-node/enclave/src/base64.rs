//! Base64 as Java's two decoders read it.
//!
//! Keys and hashes go through [`decode_strict`] (`Base64.getDecoder()`), payloads through [`decode_lenient`]
//! (`Base64.getMimeDecoder()`): clients rely on what these accept, and see the texts of what they refuse. Well-formed
//! input takes the fast decoder; only the rest walks Java's algorithm.

use std::fmt;

use ::base64::Engine;
use ::base64::display::Base64Display;
use ::base64::engine::general_purpose::{GeneralPurpose, STANDARD};

/// Java's texts.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[non_exhaustive]
pub enum Base64Error {
    /// The character as Java prints it: hexadecimal of the signed byte.
    #[error("Illegal base64 character {}", SignedHex(*.0))]
    IllegalCharacter(u8),
    /// A single character carries no byte.
    #[error("Input byte[] should at least have 2 bytes for base64 bytes")]
    TooShort,
    /// One character is left over: six bits are no byte.
    #[error("Last unit does not have enough valid bits")]
    DanglingCharacter,
    /// Padding where none can be, or too little of it.
    #[error("Input byte array has wrong 4-byte ending unit")]
    WrongEnding,
    /// Something follows the padding.
    #[error("Input byte array has incorrect ending byte at {0}")]
    TrailingByte(usize),
}

struct SignedHex(u8);

impl fmt::Display for SignedHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0.cast_signed();
        let sign = if value < 0 { "-" } else { "" };
        write!(f, "{sign}{:x}", value.unsigned_abs())
    }
}

/// Base64 with padding.
pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Base64 with padding, without a string in between.
pub(crate) fn display(bytes: &[u8]) -> Base64Display<'_, '_, GeneralPurpose> {
    Base64Display::new(bytes, &STANDARD)
}

/// Reads a key or a hash: no foreign character; padding may be missing.
pub fn decode_strict(text: &str) -> Result<Vec<u8>, Base64Error> {
    let mut out = Vec::new();
    decode_into(text, Alphabet::Strict, &mut out)?;
    Ok(out)
}

/// Reads a payload: foreign characters are skipped; padding may be missing.
pub fn decode_lenient(text: &str) -> Result<Vec<u8>, Base64Error> {
    let mut out = Vec::new();
    decode_lenient_into(text, &mut out)?;
    Ok(out)
}

/// [`decode_lenient`] behind what `out` already holds. After an error `out` is as it was.
pub(crate) fn decode_lenient_into(text: &str, out: &mut Vec<u8>) -> Result<(), Base64Error> {
    decode_into(text, Alphabet::Lenient, out)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Alphabet {
    Strict,
    Lenient,
}

fn decode_into(text: &str, alphabet: Alphabet, out: &mut Vec<u8>) -> Result<(), Base64Error> {
    let start = out.len();
    if STANDARD.decode_vec(text, out).is_ok() {
        return Ok(());
    }
    out.truncate(start);
    let input = latin1(text);
    decode_like_java(&input, alphabet, out).inspect_err(|_| out.truncate(start))
}

/// Java takes a string's characters as ISO 8859-1 bytes, `?` for those that have none.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect()
}

fn decode_like_java(input: &[u8], alphabet: Alphabet, out: &mut Vec<u8>) -> Result<(), Base64Error> {
    if input.len() == 1 && alphabet == Alphabet::Strict {
        return Err(Base64Error::TooShort);
    }
    let mut bits = 0_u32;
    let mut sextets = 0_u8;
    let mut rest = input.len();
    for (position, &byte) in input.iter().enumerate() {
        match sextet(byte) {
            Some(value) => {
                bits = bits << 6 | u32::from(value);
                sextets += 1;
            }
            None if byte == b'=' => {
                rest = after_padding(input, position, sextets)?;
                break;
            }
            None if alphabet == Alphabet::Lenient => {}
            None => return Err(Base64Error::IllegalCharacter(byte)),
        }
        if sextets == 4 {
            out.extend_from_slice(&bits.to_be_bytes()[1..]);
            (bits, sextets) = (0, 0);
        }
    }
    finish(bits, sextets, out)?;
    check_rest(input, rest, alphabet)
}

/// What follows the padding that begins at `position`, once `sextets` characters of the last unit were read.
fn after_padding(input: &[u8], position: usize, sextets: u8) -> Result<usize, Base64Error> {
    match sextets {
        0 => Err(Base64Error::WrongEnding),
        2 if input.get(position + 1) != Some(&b'=') => Err(Base64Error::WrongEnding),
        2 => Ok(position + 2),
        _ => Ok(position + 1),
    }
}

/// The last, incomplete unit. Its surplus bits are ignored, as Java does.
fn finish(bits: u32, sextets: u8, out: &mut Vec<u8>) -> Result<(), Base64Error> {
    match sextets {
        1 => return Err(Base64Error::DanglingCharacter),
        2 => out.extend_from_slice(&(bits << 12).to_be_bytes()[1..2]),
        3 => out.extend_from_slice(&(bits << 6).to_be_bytes()[1..3]),
        _ => {}
    }
    Ok(())
}

fn check_rest(input: &[u8], rest: usize, alphabet: Alphabet) -> Result<(), Base64Error> {
    let mut trailing = input.iter().enumerate().skip(rest);
    match alphabet {
        Alphabet::Strict => match trailing.next() {
            Some((position, _)) => Err(Base64Error::TrailingByte(position)),
            None => Ok(()),
        },
        Alphabet::Lenient => match trailing.find(|&(_, &byte)| sextet(byte).is_some()) {
            // Java has stepped over the byte when it reports it.
            Some((position, _)) => Err(Base64Error::TrailingByte(position + 1)),
            None => Ok(()),
        },
    }
}

fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strict_error(text: &str) -> String {
        decode_strict(text).expect_err("refused").to_string()
    }

    #[test]
    fn illegal_character() {
        assert_eq!(strict_error("!!!"), "Illegal base64 character 21");
        assert_eq!(strict_error("QUI=, QUI="), "Input byte array has incorrect ending byte at 4");
        assert_eq!(strict_error("QUJD, QUJD"), "Illegal base64 character 2c");
        assert_eq!(strict_error(" QUJD"), "Illegal base64 character 20");
        assert_eq!(strict_error("QUJ\u{e9}"), "Illegal base64 character -17");
        assert_eq!(strict_error("QUJ\u{20ac}"), "Illegal base64 character 3f");
        assert_eq!(strict_error("_-8="), "Illegal base64 character 5f");
    }

    #[test]
    fn too_short() {
        assert_eq!(strict_error("x"), "Input byte[] should at least have 2 bytes for base64 bytes");
        assert_eq!(decode_lenient("!").expect("skipped"), b"");
    }

    #[test]
    fn dangling_character() {
        let text = "Last unit does not have enough valid bits";
        assert_eq!(strict_error("QUJDx"), text);
        assert_eq!(decode_lenient("_-8=").expect_err("refused").to_string(), text);
    }

    #[test]
    fn wrong_ending() {
        for text in ["====", "QUJD=", "QU=", "QU=x"] {
            assert_eq!(decode_strict(text), Err(Base64Error::WrongEnding), "{text}");
        }
    }

    #[test]
    fn trailing_byte() {
        assert_eq!(decode_strict("QUI=QUJD"), Err(Base64Error::TrailingByte(4)));
        assert_eq!(decode_lenient("QUI=\nQUJD"), Err(Base64Error::TrailingByte(6)));
        assert_eq!(decode_lenient("QUI=\n").expect("newline skipped"), b"AB");
    }

    #[test]
    fn padding_may_be_missing_and_surplus_bits_are_ignored() {
        assert_eq!(decode_strict("QUI").expect("unpadded"), b"AB");
        assert_eq!(decode_strict("QQ").expect("unpadded"), b"A");
        assert_eq!(decode_strict("QR==").expect("surplus bits"), b"A");
        assert_eq!(decode_strict("").expect("empty"), b"");
    }

    #[test]
    fn lenient_skips_what_is_not_base64() {
        assert_eq!(decode_lenient("!!!").expect("all skipped"), b"");
        assert_eq!(decode_lenient("QU\r\nJ D\n").expect("line breaks"), b"ABC");
    }

    #[test]
    fn an_error_leaves_the_buffer_alone() {
        let mut out = vec![1, 2];
        decode_lenient_into("QUJDQ", &mut out).expect_err("dangling");
        assert_eq!(out, [1, 2]);
    }
}
