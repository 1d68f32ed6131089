//! Text that is encoded as base64 in other text. Pure.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, GeneralPurpose as Standard};
use regex::bytes::Regex;

static RUN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?-u)[A-Za-z0-9+/]{20,}={0,2}").expect("a test compiles the pattern"));

/// With or without padding, and with whatever a cut leaves in the last bits.
static ENGINE: Standard = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Each run that decodes to text, with where it starts: all of them, or ordinary words in front would hide one. What all give
/// together is shorter than `text`.
pub(crate) fn texts(text: &str) -> impl Iterator<Item = (usize, String)> {
    RUN.find_iter(text.as_bytes()).filter_map(|run| Some((run.start(), decode(run.as_bytes())?)))
}

/// The text that `encoded` stands for; `None`: it stands for no text.
pub(crate) fn decode(encoded: &[u8]) -> Option<String> {
    let text = String::from_utf8(ENGINE.decode(encoded).ok()?).ok()?;
    let is_printable = |c: char| !c.is_control() || c.is_ascii_whitespace();
    text.chars().all(is_printable).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_is_decoded() {
        assert_eq!(decode(b"dXNlcjpwYXNz").as_deref(), Some("user:pass"));
        assert_eq!(decode(b"AAECAwQFBgc="), None);
        assert_eq!(
            texts("x dXNlcjpwYXNzd29yZDEyMw== y").collect::<Vec<_>>(),
            [(2, "user:password123".into())]
        );
    }
}
