//! Strings with a meaning, as they appear in specs: each type carries its own rule for the API server.
//!
//! Values of these types come from objects that the API server has admitted, so converting from text is not checked
//! again; only [`Duration`] is parsed, since code needs its value.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

pub use super::duration::{Duration, DurationError};

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
    /// A key in the data of a ConfigMap or a Secret.
    ConfigKey, {
        "type": "string",
        "minLength": 1,
        "maxLength": 253,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[-._a-zA-Z0-9]+$')",
            "message": "must be a key of a ConfigMap or a Secret: letters, digits, '-', '_' and '.'",
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
    /// The public part of an age identity.
    AgeRecipient, {
        "type": "string",
        "minLength": 62,
        "maxLength": 62,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^age1[02-9ac-hj-np-z]{58}$')",
            "message": "must be an age recipient, as age-keygen -y prints it: age1 and 58 letters and digits",
        }],
    }
}

text! {
    /// 32 bytes in lower-case hexadecimal.
    Hex32, {
        "type": "string",
        "minLength": 64,
        "maxLength": 64,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[0-9a-f]{64}$')",
            "message": "must be 64 hexadecimal digits in lower case",
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
    /// The class of a load balancer.
    LoadBalancerClass, {
        "type": "string",
        "minLength": 1,
        "maxLength": 317,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$')",
            "message": "must be a class as the controller documents it, for example service.k8s.aws/nlb",
        }],
    }
}

text! {
    /// The address that a node announces to other organisations.
    AdvertisedUrl, {
        "type": "string",
        "minLength": 9,
        "maxLength": 267,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^https://([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?[.])+[a-z]([-a-z0-9]{0,61}[a-z0-9])?(:[1-9][0-9]{0,4})?$')",
            "message": "must be https://host or https://host:port with a DNS name of two labels or more, in lower case, without path or trailing slash",
        }, {
            "rule": "size(self.split(':')[1]) <= 255 && (self.split(':').size() < 3 || int(self.split(':')[2]) <= 65535)",
            "message": "must have a host of at most 253 characters and a port of 1 to 65535",
        }, {
            "rule": "!self.matches('[.](svc[.:]|svc$|cluster[.]local)')",
            "message": "must be a name that partners can resolve, and none of the cluster's own",
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
