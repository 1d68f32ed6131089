//! The address of a node, which is also its name: equality of nodes is equality of these strings.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// A node's P2P address, normalised as every Tessera node does it: an empty path becomes `/`, and nothing else changes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeUrl {
    text: String,
    https: bool,
    host: String,
    port: u16,
}

/// Why a text is not the address of a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeUrlError {
    /// Not a URL.
    #[error("{0:?} is not a URL")]
    Malformed(String),
    /// A URL, and none that can be connected to.
    #[error("{0:?} is not of the form https://host:port/")]
    Form(String),
}

impl NodeUrl {
    /// The normalised text, as it goes over the wire.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is `https`: only such a node is ever connected to.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// Host name, or IP literal without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port, as the address has them. What logs name a node by: the rest of an address may be any text.
    pub(crate) fn authority(&self) -> &str {
        let rest = self.text.split_once("://").map_or(&*self.text, |(_, rest)| rest);
        rest.split_once('/').map_or(rest, |(authority, _)| authority)
    }

    /// The path of a resource of that node; `resource` has no leading slash.
    pub(super) fn path(&self, resource: &str) -> String {
        let rest = self.text.split_once("://").map_or(&*self.text, |(_, rest)| rest);
        let prefix = rest.split_once('/').map_or("", |(_, prefix)| prefix).trim_end_matches('/');
        if prefix.is_empty() { format!("/{resource}") } else { format!("/{prefix}/{resource}") }
    }
}

impl FromStr for NodeUrl {
    type Err = NodeUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text).map_err(|_| NodeUrlError::Malformed(text.to_owned()))?;
        let form = || NodeUrlError::Form(text.to_owned());
        let anonymous = url.username().is_empty() && url.password().is_none();
        let plain = anonymous && url.query().is_none() && url.fragment().is_none();
        let https = url.scheme() == "https";
        // `Url` skips tabs and line breaks, and reads a backslash as a slash.
        let as_read = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        if !plain || !as_read || !(https || url.scheme() == "http") || !is_name_or_address(&url) {
            return Err(form());
        }
        let host = url.host_str().ok_or_else(form)?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = url.port_or_known_default().ok_or_else(form)?;
        let authority_only = text.matches('/').count() == 2;
        let text = if authority_only { format!("{text}/") } else { text.to_owned() };
        Ok(Self { text, https, host, port })
    }
}

/// Whether the host has the characters of a host name, or is an IP address: `Url` takes many more.
fn is_name_or_address(url: &Url) -> bool {
    url.domain()
        .is_none_or(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)))
}

impl fmt::Display for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_path_changes() {
        for (text, normal) in [
            ("https://h:9001", "https://h:9001/"),
            ("https://h:9001/", "https://h:9001/"),
            ("https://h:9001/x", "https://h:9001/x"),
            ("https://H:443", "https://H:443/"),
        ] {
            assert_eq!(text.parse::<NodeUrl>().unwrap().as_str(), normal);
        }
    }

    #[test]
    fn what_cannot_be_connected_to_is_refused() {
        for text in [
            "",
            "h:9001",
            "unix:/x",
            "https://u@h:1/",
            "https://:hunter2@h:1/",
            "https://h:1/?q",
            "ftp://h:1/",
            "https://password=hunter2:1/",
            "https://h\t:1/",
            "https:\\\\h:1/",
            "https://h:1/a b",
        ] {
            assert!(text.parse::<NodeUrl>().is_err(), "{text}");
        }
    }
}
