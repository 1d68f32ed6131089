//! DNS names that an organisation may speak for: exact names, or names of one more label (`*.tm.org-b.example`).

use std::fmt;
use std::str::FromStr;

/// One entry of a scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DnsPattern {
    /// This name alone.
    Exact(String),
    /// Every name of exactly one label before `.` and this suffix: `tm.org-b.example` for `*.tm.org-b.example`.
    Below(String),
}

/// A set of names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsScope(Vec<DnsPattern>);

/// Why a text is no entry of a scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} must be a DNS name in lower case, or *. before a name of at least two labels, and no IP address"
)]
pub struct DnsPatternError(String);

impl DnsPattern {
    /// Whether `name`, a DNS name or a wildcard of a certificate in lower case, lies inside.
    pub fn holds(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => name == exact,
            Self::Below(suffix) => name
                .split_once('.')
                .is_some_and(|(first, rest)| rest == suffix && (first == "*" || is_host_label(first))),
        }
    }

    /// Whether some name lies inside of both.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(name), pattern) | (pattern, Self::Exact(name)) => pattern.holds(name),
            (Self::Below(suffix), Self::Below(other)) => suffix == other,
        }
    }
}

impl FromStr for DnsPattern {
    type Err = DnsPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let suffix = text.strip_prefix("*.");
        let name = suffix.unwrap_or(text);
        let labels: Vec<_> = name.split('.').collect();
        // No top-level domain is a number, and the last part of an IPv4 address is one.
        let is_number = |label: &&str| label.bytes().all(|byte| byte.is_ascii_digit());
        let fits = name.len() <= 253 && labels.iter().copied().all(is_label);
        let is_narrow = suffix.is_none() || labels.len() >= 2;
        if !fits || !is_narrow || labels.last().is_none_or(is_number) {
            return Err(DnsPatternError(text.chars().take(260).collect()));
        }
        let name = name.to_owned();
        Ok(if suffix.is_some() { Self::Below(name) } else { Self::Exact(name) })
    }
}

impl fmt::Display for DnsPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Below(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

impl DnsScope {
    /// Parses all entries.
    pub fn parse<T: AsRef<str>>(names: &[T]) -> Result<Self, DnsPatternError> {
        names.iter().map(|name| name.as_ref().parse()).collect::<Result<_, _>>().map(Self)
    }

    /// Its entries.
    pub fn patterns(&self) -> &[DnsPattern] {
        &self.0
    }

    /// Whether `name`, a DNS name or a wildcard of a certificate in any case, lies inside. A final dot is not part of a name.
    pub fn holds(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        self.0.iter().any(|pattern| pattern.holds(name))
    }

    /// An entry of this one and one of `other` that have a name in common.
    pub fn overlap<'a>(&'a self, other: &'a Self) -> Option<(&'a DnsPattern, &'a DnsPattern)> {
        let pairs = self.0.iter().flat_map(|mine| other.0.iter().map(move |theirs| (mine, theirs)));
        pairs.into_iter().find(|(mine, theirs)| mine.overlaps(theirs))
    }
}

fn is_label(label: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&label.len())
        && label.bytes().all(fits)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Certificates also hold names with underscores.
fn is_host_label(label: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    (1..=63).contains(&label.len()) && label.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(names: &[&str]) -> DnsScope {
        DnsScope::parse(names).unwrap()
    }

    #[test]
    fn a_name_lies_inside_of_an_exact_entry_or_one_label_below_a_wildcard() {
        let scope = scope(&["gate.org-b.example", "*.tm.org-b.example"]);
        for inside in [
            "gate.org-b.example",
            "GATE.org-b.example",
            "a.tm.org-b.example",
            "a.tm.org-b.example.",
            "*.tm.org-b.example",
        ] {
            assert!(scope.holds(inside), "{inside}");
        }
        for outside in [
            "",
            "tm.org-b.example",
            ".tm.org-b.example",
            "a.b.tm.org-b.example",
            "*.b.tm.org-b.example",
            "a*.tm.org-b.example",
            "a.tm.org-b.example..",
            "a\0.tm.org-b.example",
            "x.gate.org-b.example",
            "*.gate.org-b.example",
            "*.org-b.example",
            "evil.example",
            "a.tm.org-b.example.evil.example",
            "atm.org-b.example",
        ] {
            assert!(!scope.holds(outside), "{outside}");
        }
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        for text in [
            "",
            "*",
            "*.",
            "*.example",
            "a.*.example",
            "*.*.example",
            "A.example",
            "a..example",
            "-a.example",
            "a-.example",
            "a_b.example",
            "10.0.0.1",
            "*.0.0.1",
            "a.example.",
            "a b.example",
        ] {
            assert!(text.parse::<DnsPattern>().is_err(), "{text}");
        }
        for text in ["localhost", "a.example", "*.org-b.svc", "1.a.example"] {
            assert_eq!(text.parse::<DnsPattern>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn entries_overlap_if_a_name_lies_in_both() {
        for (one, other, overlap) in [
            ("a.example", "a.example", true),
            ("*.b.example", "a.b.example", true),
            ("*.b.example", "*.b.example", true),
            ("*.b.example", "b.example", false),
            ("*.b.example", "a.a.b.example", false),
            ("*.a.b.example", "*.b.example", false),
            ("a.example", "b.example", false),
        ] {
            let (one, other) = (scope(&[one]), scope(&[other]));
            assert_eq!(one.overlap(&other).is_some(), overlap, "{one:?} {other:?}");
            assert_eq!(other.overlap(&one).is_some(), overlap, "{other:?} {one:?}");
        }
    }
}
