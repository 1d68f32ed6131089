//! Where a collector is. Pure.

use url::Url;

/// The port of a URL without one.
const DEFAULT_PORT: u16 = 443;

/// The base URL of a collector, always `https`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    text: String,
    host: String,
    port: u16,
    path: String,
}

/// A collector of logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    /// Where it is.
    pub endpoint: Endpoint,
    /// The certificates, in PEM, that its own must chain to. Whether they can be used is for the connection to say: a bad
    /// bundle must not keep the rest of a configuration from being used.
    pub ca_bundle: String,
}

impl Endpoint {
    /// Reads `https://host[:port][/path]`, and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if url.scheme() != "https" || !plain {
            return None;
        }
        let host = url.host_str().filter(|host| !host.is_empty())?;
        Some(Self {
            text: text.to_owned(),
            // An address of version 6 stands in brackets in a URL, and nowhere else.
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: url.port().unwrap_or(DEFAULT_PORT),
            path: format!("{}/v1/logs", url.path().trim_end_matches('/')),
        })
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Host name, or IP literal without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where log records go.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The header `host`.
    pub fn authority(&self) -> String {
        let port = self.port;
        if self.host.contains(':') {
            format!("[{}]:{port}", self.host)
        } else {
            format!("{}:{port}", self.host)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_go_to_v1_logs_under_the_base_url() {
        let parts = |text: &str| {
            let endpoint = Endpoint::parse(text).unwrap();
            (endpoint.host().to_owned(), endpoint.port(), endpoint.path().to_owned(), endpoint.authority())
        };
        let expected = |host: &str, port, path: &str, authority: &str| {
            (host.to_owned(), port, path.to_owned(), authority.to_owned())
        };
        assert_eq!(parts("https://otel:4318"), expected("otel", 4318, "/v1/logs", "otel:4318"));
        assert_eq!(parts("https://otel/base/"), expected("otel", 443, "/base/v1/logs", "otel:443"));
        assert_eq!(parts("https://[fd00::1]:4318"), expected("fd00::1", 4318, "/v1/logs", "[fd00::1]:4318"));
    }
}
