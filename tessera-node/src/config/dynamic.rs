//! The dynamic configuration: peers, clients, scrapers, keys. Verified whole before any of it is used.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tessera_node_api::dynamic_config::{
    DynamicConfig, Egress, Logging, MAX_MUST_NOT_REACH, Partners, PeerList, VERSION,
};
use tessera_node_api::identity::{Identity, IdentityError, Role};
use tessera_node_api::paths::{EGRESS_FILE, LOGGING_FILE, PARTNERS_FILE, PEERS_FILE};

use tessera_backup::Recipients;
use tessera_store::{InvalidStoreId, StoreId};

use super::key_backup::{self, KeyBackupError};
use super::partners::{self, Partner, PartnersError};
use crate::logs::{Collector, Endpoint};
use crate::peers::{NodeUrl, NodeUrlError};

/// A verified dynamic configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dynamic {
    /// SHA-256 of the file, lower-case hex.
    pub sha256: String,
    /// The P2P URLs to poll.
    pub peers: Vec<NodeUrl>,
    /// Who Q2T serves.
    pub clients: Vec<Identity>,
    /// Who the metrics port serves.
    pub monitoring: Vec<Identity>,
    /// The keys that exist.
    pub keys: Vec<tessera_node_api::dynamic_config::Key>,
    /// The payload store that was accepted as the successor of lost ones.
    pub accepted_payload_store: Option<StoreId>,
    /// Where the node ships its logs.
    pub collector: Option<Collector>,
    /// How often the node tries its own listeners and its egress.
    pub probe_every_seconds: Option<u32>,
    /// What the node must not reach, beside what the egress guard has.
    pub must_not_reach: Vec<String>,
    /// Other organisations.
    pub partners: Vec<Partner>,
    /// To whom the node seals backups of its keys; none: to nobody.
    pub backup_recipients: Option<Arc<Recipients>>,
}

/// Why a dynamic configuration is not used.
#[derive(Debug, thiserror::Error)]
pub enum DynamicError {
    /// The file cannot be read.
    #[error("dynamic configuration {path} cannot be read")]
    Read {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not JSON, a member unknown, or one of the wrong type.
    #[error("dynamic configuration is malformed")]
    Json(#[source] serde_json::Error),
    /// A version of the document that this node does not know.
    #[error("dynamic configuration has version {0}, and this node knows only {VERSION}")]
    Version(u32),
    /// `acceptedPayloadStore` is no store's identifier.
    #[error("dynamic configuration: acceptedPayloadStore {text:?} cannot be used")]
    PayloadStore {
        /// What it is.
        text: String,
        /// What is wrong with it.
        source: InvalidStoreId,
    },
    /// The collector's URL cannot be used.
    #[error("dynamic configuration: the collector's endpoint {0:?} must be https://host[:port][/path]")]
    Collector(String),
    /// More targets than a node tries.
    #[error("dynamic configuration: mustNotReach has {0} entries, and {MAX_MUST_NOT_REACH} are the most")]
    MustNotReach(usize),
    /// The partners cannot be used.
    #[error("dynamic configuration: partners")]
    Partners(#[source] PartnersError),
    /// The recipients of backups, or the keys that custodians bring back, cannot be used.
    #[error("dynamic configuration")]
    KeyBackup(#[from] KeyBackupError),
    /// A peer's URL cannot be used.
    #[error("dynamic configuration: one of peers cannot be used")]
    Peer(#[source] NodeUrlError),
    /// A peer's URL is of plain HTTP.
    #[error("dynamic configuration: peers: {0:?} must start with https://")]
    PlainPeer(String),
    /// A URI is no identity.
    #[error("dynamic configuration: one of {member} cannot be used")]
    Identity {
        /// `clients` or `monitoring`.
        member: &'static str,
        /// Why.
        source: IdentityError,
    },
    /// An identity, and not that of a client.
    #[error("dynamic configuration: {member}: {uri:?} is not the identity of a client")]
    NotAClient {
        /// `clients` or `monitoring`.
        member: &'static str,
        /// The identity.
        uri: String,
    },
    /// A key's name stands there twice.
    #[error("dynamic configuration: keys: {0:?} is listed twice")]
    KeyTwice(String),
    /// A key's name cannot be part of a path.
    #[error("dynamic configuration: keys: {0:?} is not a DNS label")]
    KeyName(String),
    /// A key has no version, or too many.
    #[error("dynamic configuration: keys: {0:?} must have 1 to {MOST_VERSIONS} versions")]
    KeyVersions(String),
    /// Not exactly one key is the default.
    #[error("dynamic configuration: keys: exactly one must be the default, and {0} are")]
    DefaultKeys(usize),
}

/// Versions of one key, at most.
const MOST_VERSIONS: u32 = 10_000;

/// The texts of a dynamic configuration: the node's own, and those of its network where there are any.
#[derive(Debug, Clone, Copy, Default)]
pub struct Texts<'a> {
    /// The node's own.
    pub own: &'a [u8],
    /// The list of peers.
    pub peers: Option<&'a [u8]>,
    /// The collector of logs.
    pub logging: Option<&'a [u8]>,
    /// What the node must not reach.
    pub egress: Option<&'a [u8]>,
    /// Other organisations.
    pub partners: Option<&'a [u8]>,
}

/// Reads the file and those of the network beside it, and checks all of them.
pub fn load(path: &Path) -> Result<Dynamic, DynamicError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| DynamicError::Read { path: path.to_owned(), source })
    };
    let optional = |name: &str| match read(&path.with_file_name(name)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(DynamicError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    let (own, peers) = (read(path)?, optional(PEERS_FILE)?);
    let (logging, egress) = (optional(LOGGING_FILE)?, optional(EGRESS_FILE)?);
    let partners = optional(PARTNERS_FILE)?;
    let (peers, logging, egress) = (peers.as_deref(), logging.as_deref(), egress.as_deref());
    parse(Texts { own: &own, peers, logging, egress, partners: partners.as_deref() })
}

/// Checks the texts of a dynamic configuration.
pub fn parse(texts: Texts<'_>) -> Result<Dynamic, DynamicError> {
    let file: DynamicConfig = serde_json::from_slice(texts.own).map_err(DynamicError::Json)?;
    let list = texts.peers.map(serde_json::from_slice::<PeerList>).transpose().map_err(DynamicError::Json)?;
    let logging = texts.logging.map(serde_json::from_slice::<Logging>).transpose();
    let logging = logging.map_err(DynamicError::Json)?;
    let egress =
        texts.egress.map(serde_json::from_slice::<Egress>).transpose().map_err(DynamicError::Json)?;
    let partners = texts.partners.map(serde_json::from_slice::<Partners>).transpose();
    let partners = partners.map_err(DynamicError::Json)?;
    let of_network = [
        list.as_ref().map(|list| list.version),
        logging.as_ref().map(|logging| logging.version),
        egress.as_ref().map(|egress| egress.version),
        partners.as_ref().map(|partners| partners.version),
    ];
    for version in of_network.into_iter().flatten().chain([file.version]) {
        if version != VERSION {
            return Err(DynamicError::Version(version));
        }
    }
    check_keys(&file)?;
    let all = file.peers.iter().chain(list.iter().flat_map(|list| &list.peers));
    let mut hash = Sha256::new_with_prefix(texts.own);
    hash.update(texts.peers.unwrap_or_default());
    hash.update(texts.logging.unwrap_or_default());
    hash.update(texts.egress.unwrap_or_default());
    hash.update(texts.partners.unwrap_or_default());
    let partners = partners.map(partners::parse).transpose().map_err(DynamicError::Partners)?;
    Ok(Dynamic {
        sha256: hex::encode(hash.finalize()),
        peers: all.map(|peer| peer_url(&peer.url)).collect::<Result<_, _>>()?,
        clients: clients("clients", &file.clients)?,
        monitoring: clients("monitoring", &file.monitoring)?,
        keys: file.keys,
        accepted_payload_store: file.accepted_payload_store.as_deref().map(store_id).transpose()?,
        probe_every_seconds: file.probe_every_seconds,
        must_not_reach: egress.map(must_not_reach).transpose()?.unwrap_or_default(),
        collector: logging.map(collector).transpose()?,
        partners: partners.unwrap_or_default(),
        backup_recipients: file.key_backup.as_ref().map(key_backup::recipients).transpose()?.map(Arc::new),
    })
}

fn collector(logging: Logging) -> Result<Collector, DynamicError> {
    let endpoint = Endpoint::parse(&logging.endpoint).ok_or(DynamicError::Collector(logging.endpoint))?;
    Ok(Collector { endpoint, ca_bundle: logging.ca_bundle })
}

fn must_not_reach(egress: Egress) -> Result<Vec<String>, DynamicError> {
    let count = egress.must_not_reach.len();
    if count > MAX_MUST_NOT_REACH {
        Err(DynamicError::MustNotReach(count))
    } else {
        Ok(egress.must_not_reach)
    }
}

fn store_id(text: &str) -> Result<StoreId, DynamicError> {
    text.parse().map_err(|source| DynamicError::PayloadStore { text: text.to_owned(), source })
}

fn peer_url(text: &str) -> Result<NodeUrl, DynamicError> {
    let url = text.parse::<NodeUrl>().map_err(DynamicError::Peer)?;
    if url.is_https() { Ok(url) } else { Err(DynamicError::PlainPeer(text.to_owned())) }
}

fn clients(member: &'static str, uris: &[String]) -> Result<Vec<Identity>, DynamicError> {
    let parse = |uri: &String| match uri.parse::<Identity>() {
        Ok(identity) if identity.role() == Role::Client => Ok(identity),
        Ok(_) => Err(DynamicError::NotAClient { member, uri: uri.clone() }),
        Err(source) => Err(DynamicError::Identity { member, source }),
    };
    uris.iter().map(parse).collect()
}

fn check_keys(file: &DynamicConfig) -> Result<(), DynamicError> {
    let mut names = HashSet::new();
    for key in &file.keys {
        let name = || key.name.clone();
        if !names.insert(&key.name) {
            return Err(DynamicError::KeyTwice(name()));
        }
        let path_safe = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if key.name.is_empty() || key.name.len() > 63 || !key.name.bytes().all(path_safe) {
            return Err(DynamicError::KeyName(name()));
        }
        if key.versions == 0 || key.versions > MOST_VERSIONS {
            return Err(DynamicError::KeyVersions(name()));
        }
        key_backup::check_restore(key)?;
    }
    match file.keys.iter().filter(|key| key.default).count() {
        1 => Ok(()),
        0 if file.keys.is_empty() => Ok(()),
        defaults => Err(DynamicError::DefaultKeys(defaults)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"version":1,"peers":[{"url":"https://node-b-p2p.org-a.svc:9000"}],
        "clients":["spiffe://org-a.example/client/node-a.quorum-a"],"monitoring":[],
        "keys":[{"name":"main","versions":2,"default":true}]}"#;

    fn own(text: &str) -> Result<Dynamic, DynamicError> {
        parse(Texts { own: text.as_bytes(), ..Texts::default() })
    }

    fn good() -> Texts<'static> {
        Texts { own: GOOD.as_bytes(), ..Texts::default() }
    }

    #[test]
    fn a_good_one_is_normalised_and_hashed() {
        let dynamic = own(GOOD).unwrap();
        assert_eq!(dynamic.peers[0].as_str(), "https://node-b-p2p.org-a.svc:9000/");
        assert_eq!(dynamic.sha256.len(), 64);
    }

    #[test]
    fn the_list_of_peers_beside_it_is_part_of_it() {
        let list = |url: &str| format!(r#"{{"version":1,"peers":[{{"url":"{url}"}}]}}"#);
        let with = |url| parse(Texts { peers: Some(list(url).as_bytes()), ..good() });
        let urls: Vec<_> =
            with("https://c:9000").unwrap().peers.iter().map(|url| url.as_str().to_owned()).collect();
        assert_eq!(urls, ["https://node-b-p2p.org-a.svc:9000/", "https://c:9000/"]);
        let hash = |url| with(url).unwrap().sha256;
        assert_ne!(hash("https://c:9000"), hash("https://d:9000"));
        assert!(with("http://c:9000").is_err());

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dynamic.json");
        std::fs::write(&path, GOOD).unwrap();
        assert_eq!(load(&path).unwrap().peers.len(), 1, "it may be absent");
        std::fs::write(directory.path().join(PEERS_FILE), list("https://c:9000")).unwrap();
        assert_eq!(load(&path).unwrap().peers.len(), 2);
    }

    #[test]
    fn each_bad_one_differs_in_one_place_and_says_where() {
        for (good, bad, says) in [
            ("\"version\":1", "\"version\":2", "version 2"),
            ("https:", "http:", "https"),
            ("/client/", "/node/", "not the identity of a client"),
            ("spiffe://", "spiffe:", "spiffe"),
            ("\"versions\":2", "\"versions\":0", "1 to 10000"),
            ("\"default\":true", "\"default\":false", "exactly one"),
            ("\"main\"", "\"../x\"", "DNS label"),
            ("\"monitoring\"", "\"scrapers\"", "malformed"),
        ] {
            let text = GOOD.replacen(good, bad, 1);
            assert!(crate::telemetry::chain(&own(&text).unwrap_err()).contains(says), "{bad}");
        }
    }

    #[test]
    fn what_it_must_not_reach_is_part_of_it_and_bounded() {
        let with = |count: usize| {
            let targets = vec!["192.0.2.7:443"; count];
            let egress = serde_json::json!({"version": 1, "mustNotReach": targets}).to_string();
            parse(Texts { egress: Some(egress.as_bytes()), ..good() })
        };
        assert_eq!(with(1).unwrap().must_not_reach, ["192.0.2.7:443"]);
        assert_ne!(with(1).unwrap().sha256, with(2).unwrap().sha256);
        assert!(with(33).unwrap_err().to_string().contains("mustNotReach has 33"));
        assert!(own(GOOD).unwrap().must_not_reach.is_empty(), "it may be absent");
    }

    #[test]
    fn partners_are_part_of_it() {
        let with = |domain: &str| {
            let partners = format!(
                r#"{{"version":1,"partners":[{{"name":"b","trustDomain":"{domain}","dnsNames":["{domain}"],"urls":[],"caBundle":""}}]}}"#
            );
            parse(Texts { partners: Some(partners.as_bytes()), ..good() })
        };
        assert_eq!(with("b.example").unwrap().partners[0].name, "b");
        assert_ne!(with("b.example").unwrap().sha256, with("c.example").unwrap().sha256);
        assert!(crate::telemetry::chain(&with("*").unwrap_err()).contains("partners"));
        assert!(own(GOOD).unwrap().partners.is_empty(), "they may be absent");
    }

    #[test]
    fn a_collector_has_an_https_endpoint_and_any_text_as_its_bundle() {
        let with = |endpoint: &str| {
            let logging = format!(r#"{{"version":1,"endpoint":"{endpoint}","caBundle":"no PEM"}}"#);
            parse(Texts { logging: Some(logging.as_bytes()), ..good() })
        };
        let collector = with("https://otel.logs.svc:4318").unwrap().collector.unwrap();
        assert_eq!(collector.endpoint.as_str(), "https://otel.logs.svc:4318");
        assert_ne!(with("https://a").unwrap().sha256, with("https://b").unwrap().sha256);
        for bad in ["http://otel:4318", "otel:4318", "https://", "https://u@otel", "https://otel?x=1"] {
            assert!(with(bad).unwrap_err().to_string().contains("endpoint"), "{bad}");
        }
    }
}
