//! Paths and queries as clients spell them: Go leaves `+` and `=` raw and writes `/` as `%2F`, Besu form-encodes all
//! three, old scripts add a slash at the end.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::problem::Problem;

/// The segments of a path, decoded, without matrix parameters. `+` stays a plus.
pub(crate) fn segments(path: &str) -> Result<Vec<Cow<'_, str>>, Problem> {
    let path = path.strip_prefix('/').ok_or_else(Problem::bad_request)?;
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(Vec::new());
    }
    path.split('/')
        .map(|segment| match segment.split(';').next() {
            None | Some("") => Err(Problem::ambiguous_path()),
            Some(name) => Ok(percent_decode_str(name).decode_utf8_lossy()),
        })
        .collect()
}

/// The first value of a query parameter, form-decoded: a raw `+` is a space.
pub(crate) fn query<'a>(query: Option<&'a str>, name: &str) -> Option<Cow<'a, str>> {
    url::form_urlencoded::parse(query?.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value)
}

/// A hash as one segment of a `Location`, form-encoded.
pub(crate) fn encode_segment(text: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*');
    utf8_percent_encode(text, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_clients_spellings_are_one_hash() {
        for path in ["/transaction/a%2Fb+c==", "/transaction/a%2fb%2Bc%3D%3D", "/transaction/a%2Fb+c==;v=1/"]
        {
            assert_eq!(segments(path).unwrap(), ["transaction", "a/b+c=="], "{path}");
        }
        assert!(segments("/").unwrap().is_empty());
    }

    #[test]
    fn an_empty_segment_is_refused() {
        assert_eq!(segments("//upcheck").unwrap_err(), Problem::ambiguous_path());
    }

    #[test]
    fn queries_are_form_decoded() {
        assert_eq!(query(Some("isRaw=true&to=a%2Bb+c"), "to").unwrap(), "a+b c");
        assert_eq!(query(Some("to"), "isRaw"), None);
    }

    #[test]
    fn a_location_is_form_encoded() {
        assert_eq!(encode_segment("a/b+c="), "a%2Fb%2Bc%3D");
    }

    proptest::proptest! {
        #[test]
        fn a_location_leads_back_to_its_hash(hash in proptest::collection::vec(proptest::num::u8::ANY, 1..80)) {
            let text = tessera_enclave::base64::encode(&hash);
            let path = format!("/transaction/{}", encode_segment(&text));
            proptest::prop_assert_eq!(segments(&path).unwrap(), ["transaction", &*text]);
        }
    }
}
