//! Strings with a meaning, as they appear in specs: each type carries its own rule for the API server.
//!
//! Values of these types come from objects that the API server has admitted, so converting from text is not checked
//! again; only [`Duration`] is parsed, since code needs its value.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A text type: transparent in JSON, with a schema of its own.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $schema:tt) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

text! {
    /// The name of a network, node, key, client or scraper: it becomes part of names of Services and labels, hence a
    /// DNS label that starts with a letter, and short enough to leave room for what is added to it.
    Name, {
        "type": "string",
        "minLength": 1,
        "maxLength": 40,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "message": "must be a DNS label: lower-case letters, digits and '-', starting with a letter, ending with a letter or digit",
        }],
    }
}

text! {
    /// The name of a namespace.
    NamespaceName, {
        "type": "string",
        "minLength": 1,
        "maxLength": 63,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            "message": "must be the name of a namespace: lower-case letters, digits and '-', starting and ending with a letter or digit",
        }],
    }
}

text! {
    /// The name of another Kubernetes object, for example of a ConfigMap.
    ObjectName, {
        "type": "string",
        "minLength": 1,
        "maxLength": 253,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
            "message": "must be the name of an object: lower-case letters, digits, '-' and '.', starting and ending with a letter or digit",
        }],
    }
}

text! {
    /// A key in the data of a ConfigMap.
    ConfigKey, {
        "type": "string",
        "minLength": 1,
        "maxLength": 253,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[-._a-zA-Z0-9]+$')",
            "message": "must be a key of a ConfigMap: letters, digits, '-', '_' and '.'",
        }],
    }
}

text! {
    /// A SPIFFE trust domain.
    TrustDomain, {
        "type": "string",
        "minLength": 1,
        "maxLength": 63,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
            "message": "must be a DNS name in lower case, for example org-a.example",
        }],
    }
}

text! {
    /// DNS names that an organisation may speak for: one, or those of exactly one more label.
    DnsPattern, {
        "type": "string",
        "minLength": 1,
        "maxLength": 253,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^([*][.][a-z0-9]([-a-z0-9]*[a-z0-9])?[.])?([a-z0-9]([-a-z0-9]*[a-z0-9])?[.])*[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "message": "must be a DNS name in lower case, or *. before one of at least two labels, for example *.tm.org-b.example",
        }],
    }
}

text! {
    /// A container image that is pinned by its digest, so that what runs is what was reviewed.
    ImageDigest, {
        "type": "string",
        "maxLength": 512,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[a-zA-Z0-9][-a-zA-Z0-9._:/]*@sha256:[0-9a-f]{64}$')",
            "message": "must be pinned by digest, as in registry/name@sha256:<64 hex digits>: a tag can be moved",
        }],
    }
}

text! {
    /// The SHA-256 of a certificate's DER.
    Fingerprint, {
        "type": "string",
        "minLength": 64,
        "maxLength": 64,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[0-9a-f]{64}$')",
            "message": "must be the SHA-256 of a certificate: 64 hexadecimal digits in lower case, as in status.cas",
        }],
    }
}

text! {
    /// Who is meant by an acknowledgement: an identity URI, or the address of a server.
    PartyUri, {
        "type": "string",
        "minLength": 9,
        "maxLength": 300,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^(spiffe|https)://[^ ]+$')",
            "message": "must be a client's identity (spiffe://...) or a server's address (https://...), as status.rollover.waitingFor names it",
        }],
    }
}

text! {
    /// The address of a secret store. It is also the audience of every token sent there, hence one spelling: no user
    /// information, no path, no query.
    HttpsUrl, {
        "type": "string",
        "minLength": 9,
        "maxLength": 300,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^https://([a-z0-9]([-a-z0-9.]*[a-z0-9])?|[[][0-9a-f:]+[]])(:[0-9]{1,5})?$')",
            "message": "must be https://host or https://host:port, in lower case, without path or trailing slash",
        }],
    }
}

text! {
    /// A part of a path in the secret store: segments joined by '/', none of them empty.
    StorePath, {
        "type": "string",
        "minLength": 1,
        "maxLength": 128,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[a-zA-Z0-9][-_a-zA-Z0-9]*(/[a-zA-Z0-9][-_a-zA-Z0-9]*)*$')",
            "message": "must be segments of letters, digits, '-' and '_', joined by single slashes, none at either end",
        }],
    }
}

text! {
    /// The name of a login role in the secret store.
    StoreRole, {
        "type": "string",
        "minLength": 1,
        "maxLength": 128,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[a-zA-Z0-9][-._a-zA-Z0-9]*$')",
            "message": "must be the name of a role: letters, digits, '-', '_' and '.', starting with a letter or digit",
        }],
    }
}

text! {
    /// The size of a volume, a Kubernetes quantity.
    StorageSize, {
        "type": "string",
        "minLength": 1,
        "maxLength": 32,
        "x-kubernetes-validations": [{
            "rule": "isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))",
            "message": "must be a positive quantity, for example 10Gi",
        }],
    }
}

text! {
    /// A network in CIDR notation. Its rule compares texts: Kubernetes 1.31 sees no bound for the cost of comparing networks.
    Cidr, {
        "type": "string",
        "minLength": 1,
        "maxLength": 43,
        "x-kubernetes-validations": [{
            "rule": "isCIDR(self) && string(cidr(self).masked()) == self.lowerAscii()",
            "message": "must be a network in canonical CIDR notation whose host bits are zero, for example 203.0.113.0/28 or 2001:db8::/32",
        }],
    }
}

text! {
    /// An address and a TCP port. Not a name: whether its connect failed would depend on DNS.
    AddressAndPort, {
        "type": "string",
        "minLength": 1,
        "maxLength": 47,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^([0-9.]+|[[][0-9a-f:]+[]]):[1-9][0-9]{0,4}$') && isIP(self.substring(0, self.lastIndexOf(':')).replace('[', '').replace(']', '')) && int(self.substring(self.lastIndexOf(':') + 1)) <= 65535",
            "message": "must be an address and a port, for example 192.0.2.7:5432 or [2001:db8::7]:5432",
        }],
    }
}

text! {
    /// A time as its source wrote it (RFC 3339, UTC). Kept as text: what is computed then equals what is stored,
    /// whatever its precision, and nothing is written when nothing changed.
    Timestamp, { "type": "string", "format": "date-time", "maxLength": 35 }
}

/// A span of time as Go writes it, in hours, minutes and seconds: `24h`, `90m`, `1h30m`.
#[derive(Debug, Clone)]
pub struct Duration {
    text: String,
    value: std::time::Duration,
}

/// Why a text is not a [`Duration`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("duration {0:?} is not of the form 24h, 90m or 1h30m")]
pub struct DurationError(String);

impl Duration {
    /// So many hours; `hours` is above zero and at most 99,999.
    pub(crate) fn from_hours(hours: u64) -> Self {
        Self { text: format!("{hours}h"), value: std::time::Duration::from_secs(hours * 3600) }
    }

    /// So many minutes; `minutes` is above zero and at most 99,999.
    pub(crate) fn from_mins(minutes: u64) -> Self {
        Self { text: format!("{minutes}m"), value: std::time::Duration::from_secs(minutes * 60) }
    }

    /// The span of time.
    pub fn as_std(&self) -> std::time::Duration {
        self.value
    }

    /// The text as the user wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let seconds = seconds_of(text).filter(|seconds| *seconds > 0);
        let seconds = seconds.ok_or_else(|| DurationError(text.to_owned()))?;
        Ok(Self { text: text.to_owned(), value: std::time::Duration::from_secs(seconds) })
    }
}

/// Hours, then minutes, then seconds, each at most once and of at most five digits, so that the sum cannot overflow.
fn seconds_of(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut seconds = 0;
    for (unit, factor) in [('h', 3600), ('m', 60), ('s', 1)] {
        let Some((digits, tail)) = rest.split_once(unit) else { continue };
        if digits.is_empty() || digits.len() > 5 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        seconds += digits.parse::<u64>().ok()? * factor;
        rest = tail;
    }
    (rest.is_empty() && !text.is_empty()).then_some(seconds)
}

/// Two durations are equal if they are the same span, however written.
impl PartialEq for Duration {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for Duration {}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 2,
            "maxLength": 18,
            "x-kubernetes-validations": [{
                // The second half refuses 0h, 0m and 0h0s.
                "rule": "self.matches('^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,5}s)?$') && self.matches('[1-9]')",
                "message": "must be a duration of hours, minutes and seconds above zero, for example 24h, 90m or 1h30m",
            }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_parse_as_go_writes_them() {
        for (text, seconds) in
            [("24h", 86_400), ("90m", 5_400), ("1h30m", 5_400), ("45s", 45), ("8760h", 31_536_000)]
        {
            assert_eq!(text.parse::<Duration>().unwrap().as_std().as_secs(), seconds, "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_by_name() {
        for text in ["", "h", "24", "1d", "-1h", "1.5h", "30m1h", "1h1h", "0h", "123456h", "1h "] {
            let error = text.parse::<Duration>().unwrap_err();
            assert_eq!(error, DurationError(text.to_owned()));
        }
    }

    #[test]
    fn a_duration_is_written_back_as_it_was_read() {
        let duration: Duration = serde_json::from_str("\"1h30m\"").unwrap();
        assert_eq!(serde_json::to_string(&duration).unwrap(), "\"1h30m\"");
    }
}
