//! Media types: which body a request has, and which answer it takes. The rules are those of JAX-RS: `Content-Type` picks
//! the consumer, `Accept` the producer.

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};

use super::problem::Problem;

/// A media type that this node reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    Json,
    /// API 2.1: multi-tenancy.
    V21,
    /// API 3.0: privacy groups.
    V30,
    /// API 4.0: mandatory recipients.
    V40,
    Octets,
    Text,
}

impl Media {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::V21 => "application/vnd.tessera-2.1+json",
            Self::V30 => "application/vnd.tessera-3.0+json",
            Self::V40 => "application/vnd.tessera-4.0+json",
            Self::Octets => "application/octet-stream",
            Self::Text => "text/plain",
        }
    }

    /// The types that one consumer writes, its own first: the vendor types 2.1 and 3.0 share a resource.
    pub(crate) fn family(self) -> &'static [Self] {
        match self {
            Self::Json => &[Self::Json],
            Self::V21 => &[Self::V21, Self::V30],
            Self::V30 => &[Self::V30, Self::V21],
            Self::V40 => &[Self::V40],
            Self::Octets => &[Self::Octets],
            Self::Text => &[Self::Text],
        }
    }
}

/// Which of `consumed` the body is.
pub(crate) fn content(headers: &HeaderMap, consumed: &[Media]) -> Result<Media, Problem> {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = given.split(';').next().unwrap_or("").trim();
    consumed
        .iter()
        .copied()
        .find(|media| media.as_str().eq_ignore_ascii_case(essence))
        .ok_or_else(|| Problem::jax_rs("415 Unsupported Media Type"))
}

/// The same where a body may be absent, and then its type too.
pub(crate) fn optional_content(headers: &HeaderMap, consumed: Media) -> Result<(), Problem> {
    if headers.contains_key(CONTENT_TYPE) { content(headers, &[consumed]).map(drop) } else { Ok(()) }
}

/// Which of `produced` the caller likes best; the first when it takes anything.
pub(crate) fn accepted(headers: &HeaderMap, produced: &[Media]) -> Result<Media, Problem> {
    let lines: Vec<_> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let ranges: Vec<_> = lines.iter().flat_map(|line| line.split(',')).filter_map(Range::parse).collect();
    if ranges.is_empty() {
        return Ok(produced[0]);
    }
    let best = produced
        .iter()
        .enumerate()
        .filter_map(|(place, media)| Some((rank(&ranges, *media)?, std::cmp::Reverse(place), *media)))
        .max_by_key(|(rank, place, _)| (*rank, *place));
    best.map(|(_, _, media)| media).ok_or_else(|| Problem::jax_rs("406 Not Acceptable"))
}

/// Quality in thousandths, then how exactly it is named; none if it is not accepted.
fn rank(ranges: &[Range<'_>], media: Media) -> Option<(u16, u8)> {
    let matching =
        ranges.iter().filter_map(|range| Some((range.specificity(media.as_str())?, range.quality)));
    let (specificity, quality) = matching.max()?;
    (quality > 0).then_some((quality, specificity))
}

struct Range<'a> {
    name: &'a str,
    quality: u16,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty())?;
        let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(1000, thousandths);
        Some(Self { name, quality })
    }

    fn specificity(&self, media: &str) -> Option<u8> {
        let subtype_free = self.name.strip_suffix("/*").zip(media.split_once('/'));
        match self.name {
            // `*` alone is what the HTTP client of the JDK sends.
            "*/*" | "*" => Some(0),
            _ if subtype_free.is_some_and(|(range, (kind, _))| range.eq_ignore_ascii_case(kind)) => Some(1),
            name if name.eq_ignore_ascii_case(media) => Some(2),
            _ => None,
        }
    }
}

/// `0.25` as 250. What is no number counts as 1.
fn thousandths(text: &str) -> u16 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.get(..fraction.len().min(3)).unwrap_or("");
    match (whole, format!("{digits:0<3}").parse::<u16>()) {
        ("0", Ok(thousandths)) => thousandths,
        _ => 1000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn accept(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))])
    }

    const RECEIVED: &[Media] = &[Media::Json, Media::V21, Media::V30];

    #[test]
    fn the_caller_chooses() {
        for (value, media) in [
            ("*/*", Media::Json),
            ("application/*", Media::Json),
            ("application/vnd.tessera-2.1+json", Media::V21),
            ("application/json;q=0.2, application/vnd.tessera-3.0+json;q=0.9", Media::V30),
            ("text/html, image/gif, image/jpeg, */*; q=0.2", Media::Json),
        ] {
            assert_eq!(accepted(&accept(value), RECEIVED), Ok(media), "{value}");
        }
        assert_eq!(accepted(&HeaderMap::new(), RECEIVED), Ok(Media::Json));
    }

    #[test]
    fn what_is_not_produced_is_a_500() {
        for value in ["application/vnd.tessera-4.0+json", "text/plain", "application/json;q=0"] {
            let problem = accepted(&accept(value), RECEIVED).unwrap_err();
            assert_eq!(problem, Problem::jax_rs("406 Not Acceptable"), "{value}");
        }
    }

    #[test]
    fn content_ignores_parameters_and_case() {
        let headers = HeaderMap::from_iter([(
            CONTENT_TYPE,
            HeaderValue::from_static("Application/JSON; charset=utf-8"),
        )]);
        assert_eq!(content(&headers, &[Media::V21, Media::Json]), Ok(Media::Json));
        assert!(content(&HeaderMap::new(), &[Media::Json]).is_err());
        assert!(optional_content(&headers, Media::Octets).is_err());
        assert!(optional_content(&HeaderMap::new(), Media::Octets).is_ok());
    }
}
