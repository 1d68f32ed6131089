//! Where requests to one node go: what every request to it repeats, built once.

use http::uri::PathAndQuery;
use http::{HeaderValue, Uri};

use super::node_url::NodeUrl;

/// A resource of other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resource {
    PartyInfo,
    Validate,
    Push,
    Resend,
}

impl Resource {
    /// The type of a request's body.
    pub(super) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Resend => "application/json",
            Self::PartyInfo | Self::Validate | Self::Push => "application/octet-stream",
        })
    }
}

/// The address of a node, ready for requests.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) url: NodeUrl,
    pub(super) host: HeaderValue,
    party_info: Uri,
    validate: Uri,
    push: Uri,
    resend: Uri,
}

impl Endpoint {
    pub(super) fn new(url: NodeUrl) -> Self {
        let uri = |path: &str| {
            // From a parsed URL.
            let path = PathAndQuery::try_from(url.path(path)).unwrap_or(PathAndQuery::from_static("/"));
            Uri::from(path)
        };
        Self {
            host: HeaderValue::from_str(url.authority()).unwrap_or(HeaderValue::from_static("")),
            party_info: uri("partyinfo"),
            validate: uri("partyinfo/validate"),
            push: uri("push"),
            resend: uri("resend"),
            url,
        }
    }

    pub(super) fn uri(&self, resource: Resource) -> &Uri {
        match resource {
            Resource::PartyInfo => &self.party_info,
            Resource::Validate => &self.validate,
            Resource::Push => &self.push,
            Resource::Resend => &self.resend,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_keep_a_path_prefix() {
        for (url, host, push) in [
            ("https://h:9001", "h:9001", "/push"),
            ("https://h:9001/", "h:9001", "/push"),
            ("https://h:9001/tm", "h:9001", "/tm/push"),
            ("https://[::1]:9001/tm/", "[::1]:9001", "/tm/push"),
        ] {
            let endpoint = Endpoint::new(url.parse().unwrap());
            assert_eq!((endpoint.host.to_str().unwrap(), endpoint.uri(Resource::Push).path()), (host, push));
        }
    }
}
