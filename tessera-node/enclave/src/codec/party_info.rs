//! The party list that nodes exchange: who I am, my keys, the other nodes that I know.

use bytes::Bytes;

use super::DecodeError;
use super::binary::{NUMBER, Reader, Writer};
use crate::key::PublicKey;

/// The body of `/partyinfo`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartyInfo {
    /// The sender's own URL.
    pub url: String,
    /// Keys and where they live. Receivers take only those at `url`.
    pub recipients: Vec<(PublicKey, String)>,
    /// URLs of all nodes known to the sender.
    pub parties: Vec<String>,
}

impl PartyInfo {
    /// Writes the list.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::new());
        out.bytes(self.url.as_bytes());
        out.number(self.recipients.len());
        for (key, url) in &self.recipients {
            out.bytes(key.as_bytes());
            out.bytes(url.as_bytes());
        }
        out.array(self.parties.iter().map(String::as_bytes));
        out.0
    }

    /// Reads a list; bytes behind it are ignored. A key that is too long to be one is left out: nodes relay what others
    /// announced, and one such key must not make their own unreadable. Party URLs are normalised, the others are left as they are: it is the
    /// sender's own spelling that its keys are matched by.
    pub fn decode(input: &Bytes) -> Result<Self, DecodeError> {
        let mut input = Reader::new(input);
        Ok(Self {
            url: text(&mut input)?,
            recipients: input.array(2 * NUMBER, recipient)?.into_iter().flatten().collect(),
            parties: input.array(NUMBER, party)?,
        })
    }
}

fn recipient(input: &mut Reader<'_>) -> Result<Option<(PublicKey, String)>, DecodeError> {
    let (key, url) = (input.bytes()?, text(input)?);
    Ok(PublicKey::from_bytes(&key).ok().map(|key| (key, url)))
}

fn party(input: &mut Reader<'_>) -> Result<String, DecodeError> {
    text(input).map(normalise_url)
}

fn text(input: &mut Reader<'_>) -> Result<String, DecodeError> {
    let bytes = input.bytes()?;
    std::str::from_utf8(&bytes).map(str::to_owned).map_err(|_| DecodeError::Utf8)
}

/// A node's name: its URL with the path `/` if it has none. Nothing else is folded; two spellings are two nodes. A name is its
/// own name: nodes relay what they read, and each would make another node of it otherwise.
pub fn normalise_url(mut url: String) -> String {
    let after_scheme = url.find("://").map_or(0, |scheme| scheme + 3);
    let path = url[after_scheme..].find(['/', '?', '#']).map(|end| after_scheme + end);
    match path {
        None => url.push('/'),
        Some(start) if !url[start..].starts_with('/') => url.insert(start, '/'),
        Some(_) => {}
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalised(url: &str) -> String {
        normalise_url(url.to_owned())
    }

    #[test]
    fn a_key_that_is_too_long_hides_no_other_key() {
        let mut out = Writer(Vec::new());
        out.bytes(b"http://a/");
        out.number(2);
        for key in [&[7; 33][..], &[8; 32]] {
            out.bytes(key);
            out.bytes(b"http://a/");
        }
        out.number(0);
        let read = PartyInfo::decode(&out.0.into()).expect("a list");
        assert_eq!(read.recipients, [(PublicKey::from([8; 32]), "http://a/".to_owned())]);
    }

    #[test]
    fn only_an_empty_path_gets_a_slash() {
        assert_eq!(normalised("http://h:9001"), "http://h:9001/");
        assert_eq!(normalised("http://h:9001/"), "http://h:9001/");
        assert_eq!(normalised("http://h:9001/x"), "http://h:9001/x");
        assert_eq!(normalised("HTTPS://H"), "HTTPS://H/");
    }

    #[test]
    fn a_name_is_its_own_name() {
        for url in ["http://h", "http://h?q", "http://h?", "http://h#f", "http://h/x?q", "h", "?", ""] {
            assert_eq!(normalised(&normalised(url)), normalised(url), "{url}");
        }
        assert_eq!(normalised("http://h?q"), "http://h/?q");
    }
}
