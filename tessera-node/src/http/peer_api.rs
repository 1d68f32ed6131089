//! P2P: what other transaction managers ask for.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method};
use hyper::body::Incoming;
use serde_json::json;
use tessera_enclave::codec::party_info::PartyInfo;
use tessera_enclave::codec::versions::ApiVersions;

use super::body::{self, BodyPart, BodyRoom};
use super::common::{self, Common};
use super::media::{self, Media};
use super::path;
use super::problem::Problem;
use super::reply::{self, Reply};
use super::server::{Answer, Api, Caller};
use crate::config::Limits;
use crate::peers::directory::LearnError;
use crate::peers::{NodeUrl, VERSIONS};
use crate::transaction::TransactionManager;

/// Party info: about 200 bytes for each key of the network.
const PARTY_INFO_BYTES: u64 = 4 << 20;
/// An encoded payload with one recipient and a UUID in it.
const CHALLENGE_BYTES: u64 = 16 << 10;

/// The API for other nodes.
#[derive(Debug)]
pub(crate) struct PeerApi {
    manager: Arc<TransactionManager>,
    limits: Limits,
    room: BodyRoom,
    white_list: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resource {
    Common(Common),
    PartyInfo,
    Validate,
    Push,
}

impl Resource {
    fn find(segments: &[&str]) -> Option<Self> {
        Some(match segments {
            ["partyinfo"] => Self::PartyInfo,
            ["partyinfo", "validate"] => Self::Validate,
            ["push"] => Self::Push,
            other => Self::Common(Common::find(other)?),
        })
    }

    fn route(self) -> &'static str {
        match self {
            Self::Common(common) => common.route(),
            Self::PartyInfo => "partyinfo",
            Self::Validate => "partyinfo_validate",
            Self::Push => "push",
        }
    }

    /// Only a payload may be as large as the configuration allows: the rest is decoded, and a challenge even decrypted,
    /// where a large one would keep other requests waiting.
    fn limits(self, configured: &Limits) -> Limits {
        let most = match self {
            Self::Push | Self::Common(_) => u64::MAX,
            Self::PartyInfo => PARTY_INFO_BYTES,
            Self::Validate => CHALLENGE_BYTES,
        };
        Limits { body_bytes: configured.body_bytes.min(most), ..configured.clone() }
    }

    fn methods(self) -> &'static [Method] {
        match self {
            Self::Common(_) => &[Method::GET],
            Self::PartyInfo => &[Method::GET, Method::POST],
            Self::Validate | Self::Push => &[Method::POST],
        }
    }
}

impl Api for PeerApi {
    async fn answer(&self, request: &Parts, body: Incoming, caller: &Caller) -> Answer {
        let resource = match path::segments(request.uri.path()) {
            Ok(segments) => Resource::find(&segments.iter().map(|segment| &**segment).collect::<Vec<_>>()),
            Err(problem) => return Answer::new("unknown", problem.into_reply(request)),
        };
        let Some(resource) = resource else {
            return Answer::new("unknown", Problem::not_found().into_reply(request));
        };
        if request.method == Method::OPTIONS {
            return Answer::new(resource.route(), common::options(resource.methods()));
        }
        let reply = self
            .serve(request, body, caller, resource)
            .await
            .unwrap_or_else(|problem| problem.into_reply(request));
        Answer::new(resource.route(), reply)
    }
}

impl PeerApi {
    pub(crate) fn new(manager: Arc<TransactionManager>, limits: Limits, white_list: bool) -> Self {
        let room = BodyRoom::new(limits.body_bytes);
        Self { manager, limits, room, white_list }
    }

    async fn serve(
        &self,
        request: &Parts,
        body: Incoming,
        caller: &Caller,
        resource: Resource,
    ) -> Result<Reply, Problem> {
        self.check_white_list(caller)?;
        common::only(request, resource.methods())?;
        let limits = resource.limits(&self.limits);
        let mut part = self.room.part();
        let body = async |part: &mut BodyPart| {
            media::content(&request.headers, &[Media::Octets])?;
            body::collect(request, body, &limits, part).await
        };
        match resource {
            Resource::Common(common) => common.answer(request),
            Resource::PartyInfo if request.method == Method::POST => {
                self.learn(request, caller, &body(&mut part).await?).await
            }
            Resource::PartyInfo => Ok(self.party_info()),
            Resource::Validate => self.validate(&body(&mut part).await?),
            Resource::Push => self.push(request, &body(&mut part).await?).await,
        }
    }

    async fn push(&self, request: &Parts, body: &Bytes) -> Result<Reply, Problem> {
        let codec = versions(&request.headers).preferred_codec();
        let hash = self.manager.accept_push(body, codec).await?;
        Ok(reply::created(push_answer_type(&request.headers), hash.to_string()))
    }

    fn validate(&self, body: &Bytes) -> Result<Reply, Problem> {
        let secret = self.manager.prove_key(body)?.ok_or_else(Problem::empty_bad_request)?;
        Ok(reply::ok("text/plain", secret))
    }

    async fn learn(&self, request: &Parts, caller: &Caller, body: &Bytes) -> Result<Reply, Problem> {
        let mut said = PartyInfo::decode(body).map_err(|error| Problem::internal(error.to_string()))?;
        let url: NodeUrl = said
            .url
            .parse()
            .map_err(|error: crate::peers::NodeUrlError| Problem::internal(error.to_string()))?;
        // Whoever announces an address gets the payloads for its keys, so the certificate must be for that address.
        if !caller.speaks_for(url.host()) {
            tracing::warn!(caller = %caller.identity, %url, "a peer announced an address that its certificate is not for");
            return Err(Problem::forbidden(format!("{url} is not an address of this certificate")));
        }
        let validated = self.manager.policy().remote_key_validation;
        if validated {
            self.keep_proven_keys(&url, &mut said).await?;
        }
        let peers = self.manager.peers();
        let news =
            peers.directory().learn(&said, versions(&request.headers)).map_err(|error| match error {
                LearnError::UnknownPeer(_) => Problem::forbidden(error.to_string()),
                LearnError::Url(_) => Problem::internal(error.to_string()),
            })?;
        if news {
            tracing::info!(peer = %url, keys = said.recipients.len(), "peer announced itself");
            peers.announce();
        }
        let own = PartyInfo { url: peers.directory().own().to_string(), ..PartyInfo::default() };
        let answer = if validated { Vec::new() } else { own.encode() };
        Ok(reply::ok("application/octet-stream", answer))
    }

    async fn keep_proven_keys(&self, url: &NodeUrl, said: &mut PartyInfo) -> Result<(), Problem> {
        let keys = self.manager.keys()?;
        let mut proven = Vec::new();
        for (key, at) in said.recipients.drain(..) {
            let theirs = at.parse::<NodeUrl>().is_ok_and(|at| at == *url);
            if theirs && self.manager.peers().holds_key(keys.ring(), url, &key).await {
                proven.push((key, at));
            }
        }
        if proven.is_empty() {
            tracing::warn!(peer = %url, "no validated keys found for peer");
            return Err(Problem::security());
        }
        said.recipients = proven;
        Ok(())
    }

    fn party_info(&self) -> Reply {
        let directory = self.manager.peers().directory();
        let peers: Vec<_> = directory.parties().iter().map(|url| json!({"url": url.as_str()})).collect();
        let keys: Vec<_> = directory
            .keys()
            .iter()
            .map(|(key, url)| json!({"key": key.to_string(), "url": url.as_str()}))
            .collect();
        let body = json!({"url": directory.own().as_str(), "peers": peers, "keys": keys});
        reply::ok("application/json", body.to_string())
    }

    fn check_white_list(&self, caller: &Caller) -> Result<(), Problem> {
        if !self.white_list {
            return Ok(());
        }
        let allowed = self.manager.peers().directory().configured_hosts();
        let local = allowed.contains("localhost") || allowed.contains("127.0.0.1");
        if allowed.contains(&caller.address.to_string()) || (local && caller.address.is_loopback()) {
            Ok(())
        } else {
            Err(Problem::not_whitelisted())
        }
    }
}

fn versions(headers: &HeaderMap) -> ApiVersions {
    ApiVersions::parse(headers.get_all(&VERSIONS).iter().filter_map(|line| line.to_str().ok()))
}

/// Java declares no type, so its server takes the first that the caller names.
fn push_answer_type(headers: &HeaderMap) -> &'static str {
    let accept = headers.get(http::header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    if accept.trim_start().starts_with("text/html") { "text/html" } else { "text/plain" }
}
