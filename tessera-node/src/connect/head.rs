//! What of a message's head passes. [pure]

use http::header::{CONNECTION, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

/// Headers of one connection, beside those that `Connection` names (RFC 9110, 7.6.1).
static HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-authorization"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// A request that is not carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// The sidecar is no proxy: it leads to one node.
    #[error("only paths are carried: no CONNECT, no absolute address, no *")]
    Target,
    /// Nothing but HTTP/1.1 is spoken.
    #[error("upgrades are not carried")]
    Upgrade,
    /// Two parties could read it as two requests to different servers.
    #[error("a request has one Host")]
    Host,
}

/// The head as the node `host` gets it.
pub(super) fn carried(mut head: Parts, host: &HeaderValue) -> Result<Parts, Refused> {
    if head.method == Method::CONNECT || head.uri.authority().is_some() || !head.uri.path().starts_with('/') {
        return Err(Refused::Target);
    }
    if head.headers.contains_key(UPGRADE) {
        return Err(Refused::Upgrade);
    }
    if head.headers.get_all(HOST).iter().count() > 1 {
        return Err(Refused::Host);
    }
    let path = head.uri.path_and_query().cloned().ok_or(Refused::Target)?;
    head.uri = Uri::from(path);
    head.version = http::Version::HTTP_11;
    strip(&mut head.headers);
    // Answered here, where the ledger waits: the body is asked for as soon as the node takes it.
    head.headers.remove(EXPECT);
    head.headers.insert(HOST, host.clone());
    Ok(head)
}

/// Takes out the headers of one connection.
pub(super) fn strip(headers: &mut HeaderMap) {
    let named: Vec<_> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn carry(method: &str, uri: &str, headers: &[(&str, &str)]) -> Result<Parts, Refused> {
        carried(head(method, uri, headers), &HeaderValue::from_static("a.org-a.svc:8080"))
    }

    #[test]
    fn a_request_passes_with_its_path_as_it_is_and_the_nodes_host() {
        let raw = "/transaction/a%2Fb+c%3D%3D?isRaw=false&to=x%2By";
        let passed = carry("GET", raw, &[("host", "c"), ("accept", "x"), ("content-length", "3")]).unwrap();
        assert_eq!(passed.uri.to_string(), raw);
        assert_eq!(passed.headers[HOST], "a.org-a.svc:8080");
        assert_eq!(passed.headers["accept"], "x");
        assert_eq!(passed.headers["content-length"], "3");
        assert_eq!(carry("GET", "/", &[]).unwrap().headers[HOST], "a.org-a.svc:8080");
    }

    #[test]
    fn the_sidecar_is_no_proxy() {
        for (method, uri) in [
            ("GET", "http://evil.example/upcheck"),
            ("GET", "https://a.org-a.svc:8080/upcheck"),
            ("CONNECT", "evil.example:443"),
            ("CONNECT", "/upcheck"),
            ("OPTIONS", "*"),
        ] {
            assert_eq!(carry(method, uri, &[]).unwrap_err(), Refused::Target, "{method} {uri}");
        }
        assert_eq!(carry("GET", "/", &[("upgrade", "h2c")]).unwrap_err(), Refused::Upgrade);
        assert_eq!(carry("GET", "/", &[("host", "a"), ("host", "b")]).unwrap_err(), Refused::Host);
    }

    fn name() -> impl Strategy<Value = String> {
        let hop: Vec<_> = HOP_BY_HOP.iter().map(|name| name.as_str().to_owned()).collect();
        let hop = proptest::sample::select(hop);
        prop_oneof![3 => hop, 2 => "x-[a-z]{1,3}", 1 => Just("Keep-Alive".to_owned())]
    }

    proptest! {
        /// Whatever `Connection` names, in whatever spelling and however often, does not pass; everything else does.
        #[test]
        fn no_hop_by_hop_header_passes(
            sent in proptest::collection::vec((name(), "[a-z]{0,4}"), 0..12),
            named in proptest::collection::vec((name(), any::<bool>(), " {0,2}"), 0..6),
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in &sent {
                headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
            }
            for pair in named.chunks(2) {
                let spell = |(name, upper, space): &(String, bool, String)| {
                    let name = if *upper { name.to_uppercase() } else { name.clone() };
                    format!("{space}{name}{space}")
                };
                let value = pair.iter().map(spell).collect::<Vec<_>>().join(",");
                headers.append(CONNECTION, value.parse().unwrap());
            }
            let before = headers.clone();
            strip(&mut headers);
            let is_hop = |name: &HeaderName| {
                let in_value = |value: &HeaderValue| {
                    value.to_str().unwrap().split(',').any(|word| word.trim().eq_ignore_ascii_case(name.as_str()))
                };
                HOP_BY_HOP.contains(name) || before.get_all(CONNECTION).iter().any(in_value)
            };
            for name in before.keys() {
                let passed = headers.get_all(name).iter().count();
                let expected = if is_hop(name) { 0 } else { before.get_all(name).iter().count() };
                prop_assert_eq!(passed, expected, "{}", name);
            }
        }
    }
}
