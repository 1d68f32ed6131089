//! Paths and queries as clients spell them: Go leaves `+` and `=` raw and writes `/` as `%2F`, Besu form-encodes all
//! three, old scripts add a slash at the end.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::problem::Problem;

/// A path without matrix parameters and without a slash at its end; its segments are not decoded yet.
pub(crate) fn canonical(path: &str) -> Result<Cow<'_, str>, Problem> {
    let rest = path.strip_prefix('/').ok_or_else(Problem::bad_request)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.is_empty() {
        return Ok(Cow::Borrowed("/"));
    }
    let names = rest.split('/').map(|segment| segment.split(';').next().unwrap_or_default());
    if names.clone().any(str::is_empty) {
        return Err(Problem::ambiguous_path());
    }
    if rest.contains(';') {
        return Ok(Cow::Owned(names.flat_map(|name| ["/", name]).collect()));
    }
    Ok(Cow::Borrowed(&path[..=rest.len()]))
}

/// A segment of a path as text. `+` stays a plus.
pub(crate) fn decode(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
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

    fn hash_of(path: &str) -> String {
        let path = canonical(path).unwrap();
        decode(path.strip_prefix("/transaction/").expect("a transaction's path"))
    }

    #[test]
    fn all_clients_spellings_are_one_hash() {
        for path in ["/transaction/a%2Fb+c==", "/transaction/a%2fb%2Bc%3D%3D", "/transaction/a%2Fb+c==;v=1/"]
        {
            assert_eq!(hash_of(path), "a/b+c==", "{path}");
        }
        assert_eq!(canonical("/").unwrap(), "/");
        assert_eq!(canonical("/upcheck/").unwrap(), "/upcheck");
    }

    #[test]
    fn an_empty_segment_is_refused() {
        for path in ["//upcheck", "/transaction/;v=1"] {
            assert_eq!(canonical(path).unwrap_err(), Problem::ambiguous_path(), "{path}");
        }
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
            proptest::prop_assert_eq!(hash_of(&path), text);
        }
    }
}
