//! `serverConfigs[]`: where the node listens, and under which address others find it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde_json::{Map, Value};
use tessera_node_api::paths;

use super::section::Section;
use crate::peers::NodeUrl;

/// One server of the node.
#[derive(Debug, Clone)]
pub struct Server {
    /// The address that others use; goes into party info and `Location`.
    pub advertised: NodeUrl,
    /// Where it listens.
    pub bind: SocketAddr,
    /// What it lets a caller take.
    pub limits: Limits,
    /// How often party info goes out (P2P).
    pub party_info_interval: Duration,
}

/// What one caller may take of the node. Members of `properties`; Java ignores them.
#[derive(Debug, Clone)]
pub struct Limits {
    /// `maxBodyBytes`: a larger body is refused. Bounded by the largest record and the process's memory as well.
    pub body_bytes: u64,
    /// `bodyTimeoutMs`: the longest pause within a body.
    pub body_pause: Duration,
    /// `idleTimeoutMs`: the longest a connection waits for its next request, or for its caller to read the answer.
    pub idle: Duration,
    /// `maxConnections`: further ones wait. One identity gets half of them, and all are bounded by the process's memory and
    /// descriptors as well.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 128 << 20,
            body_pause: Duration::from_secs(10),
            idle: Duration::from_mins(1),
            connections: 1024,
        }
    }
}

/// The P2P server and the Q2T servers.
pub(super) fn read(top: Section<'_>, node_tls: Option<&str>) -> Option<(Server, Vec<Server>)> {
    let (mut p2p, mut q2t) = (Vec::new(), Vec::new());
    for (index, value) in top.array("serverConfigs").iter().enumerate() {
        let path = format!("serverConfigs[{index}]");
        let Some(object) = value.as_object() else {
            top.problem(&path, "must be an object");
            continue;
        };
        let section = Section::new(&path, object, top.problems());
        match section.string("app") {
            Some("P2P") => p2p.push(server(section, node_tls)),
            Some("Q2T") => q2t.push(server(section, node_tls)),
            Some(app @ ("ThirdParty" | "ENCLAVE")) => {
                section.problem("app", format_args!("{app:?} is not supported: remove this server"));
            }
            _ => section.problem(
                "app",
                "app must be provided for serverConfig and be one of P2P, Q2T, ThirdParty, ENCLAVE",
            ),
        }
    }
    if p2p.len() != 1 {
        top.problem("serverConfigs", "Exactly one P2P server must be configured.");
    }
    if q2t.is_empty() {
        top.problem("serverConfigs", "At least one Q2T server must be configured or bootstrap mode enabled.");
    }
    let q2t: Option<Vec<_>> = q2t.into_iter().collect();
    Some((p2p.pop()??, q2t?))
}

fn server(section: Section<'_>, node_tls: Option<&str>) -> Option<Server> {
    if section.value("influxConfig").is_some() {
        section.problem("influxConfig", "is not supported: scrape tesseraNode.metrics instead");
    }
    if section.value("cors").is_some() {
        section
            .problem("cors", "Invalid server config. CrossDomainConfig is only allowed in ThirdParty server");
    }
    if section.string("communicationType").is_some_and(|kind| kind != "REST") {
        section.problem("communicationType", "must be REST");
    }
    check_tls(section, node_tls);
    let advertised = address(section, "serverAddress", "Server Address is invalid");
    let bind = bind(section, advertised.as_ref());
    let (limits, party_info_interval) = properties(section);
    Some(Server { advertised: advertised?, bind: bind?, limits, party_info_interval })
}

fn address(section: Section<'_>, member: &str, invalid: &str) -> Option<NodeUrl> {
    let Some(text) = section.string(member) else {
        section.problem(member, "may not be null");
        return None;
    };
    if text.starts_with("unix:") {
        section.problem(member, "a Unix socket is not supported: use https://host:port");
        return None;
    }
    match text.parse::<NodeUrl>() {
        Ok(url) if !url.is_https() => {
            section.problem(member, "must start with https://: every port speaks mutual TLS");
            None
        }
        Ok(url) if explicit_port(text) => Some(url),
        _ => {
            section.problem(member, invalid);
            None
        }
    }
}

/// A parsed URL forgets a port that is the scheme's default, so the text is asked.
fn explicit_port(text: &str) -> bool {
    let authority = text.split("://").nth(1).unwrap_or("").split('/').next().unwrap_or("");
    authority.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok()) && authority.contains(':')
}

/// An IP literal is honoured; Java listens on every address of both families, and so do we when only a name is given.
fn bind(section: Section<'_>, advertised: Option<&NodeUrl>) -> Option<SocketAddr> {
    let own;
    let url = if section.value("bindingAddress").is_some() {
        own = address(section, "bindingAddress", "Binding Address is invalid")?;
        &own
    } else {
        let names_nothing = |url: &NodeUrl| url.host().parse().is_ok_and(|ip: IpAddr| ip.is_unspecified());
        if advertised.is_some_and(names_nothing) {
            section.problem("serverAddress", "Server Address is invalid");
        }
        advertised?
    };
    let literal = section.value("bindingAddress").and_then(|_| url.host().parse::<IpAddr>().ok());
    Some(SocketAddr::new(literal.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)), url.port()))
}

/// The certificates of all ports lie in one directory, which is what can be replaced under a running node. The PEM
/// members of Tessera may say so again, but nothing else.
fn check_tls(section: Section<'_>, node_tls: Option<&str>) {
    let none = Map::new();
    let path = section.path("sslConfig");
    let ssl = Section::new(&path, section.object("sslConfig").unwrap_or(&none), section.problems());
    if ssl.string("tls") != Some("STRICT") {
        ssl.problem("tls", "must be STRICT: every port speaks mutual TLS");
    }
    if matches!(ssl.value("clientAuth"), Some(value) if value.as_bool() == Some(false) || value == "false") {
        ssl.problem("clientAuth", "must not be false: every port asks for a client certificate");
    }
    for member in ["serverTrustMode", "clientTrustMode"] {
        if let Some(mode) = ssl.string(member).filter(|mode| *mode != "CA") {
            ssl.problem(member, format_args!("{mode:?} is not supported: only \"CA\" is"));
        }
    }
    for member in ["serverKeyStore", "clientKeyStore", "serverTrustStore", "clientTrustStore"] {
        if ssl.value(member).is_some() {
            ssl.problem(
                member,
                "is not supported: keystores are replaced by PEM files in tesseraNode.nodeTls",
            );
        }
    }
    if !ssl.array("excludeCipherSuites").is_empty() {
        ssl.problem(
            "excludeCipherSuites",
            "is not supported: only TLS 1.2 and 1.3 suites that are safe are offered",
        );
    }
    let Some(directory) = node_tls.map(|directory| directory.trim_end_matches('/')) else { return };
    let files = [
        ("TlsKeyPath", paths::KEY_FILE),
        ("TlsCertificatePath", paths::CERTIFICATE_FILE),
        ("TrustCertificates", paths::CA_FILE),
    ];
    for (suffix, file) in files {
        let expected = format!("{directory}/{file}");
        for member in [format!("server{suffix}"), format!("client{suffix}")] {
            let agrees = match ssl.value(&member) {
                None => true,
                Some(Value::Array(list)) => list.iter().all(|item| *item == *expected),
                Some(value) => *value == *expected,
            };
            if !agrees {
                ssl.problem(&member, format_args!("must be {expected}, the file in tesseraNode.nodeTls"));
            }
        }
    }
}

fn properties(section: Section<'_>) -> (Limits, Duration) {
    let none = Map::new();
    let path = section.path("properties");
    let properties = Section::new(&path, section.object("properties").unwrap_or(&none), section.problems());
    let millis = |member, default| properties.number(member).map_or(default, Duration::from_millis);
    let default = Limits::default();
    let limits = Limits {
        body_bytes: properties.number("maxBodyBytes").unwrap_or(default.body_bytes),
        body_pause: millis("bodyTimeoutMs", default.body_pause),
        idle: millis("idleTimeoutMs", default.idle),
        connections: properties
            .number("maxConnections")
            .and_then(|n| usize::try_from(n).ok())
            .map_or(default.connections, |n| n.max(1)),
    };
    (limits, millis("partyInfoInterval", Duration::from_secs(5)).max(Duration::from_millis(100)))
}
