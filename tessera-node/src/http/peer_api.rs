//! P2P: what other transaction managers ask for.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::ready;
use http::HeaderMap;
use tessera_enclave::codec::party_info::PartyInfo;
use tessera_enclave::codec::versions::ApiVersions;
use tessera_node_api::identity::Identity;

use super::caller::Caller;
use super::common;
use super::media::{self, Media};
use super::problem::Problem;
use super::reply::{self, Reply, ReplyBody};
use super::resend_request::ResendRequest;
use super::router::{Api, Call, Route};
use crate::log_limiter::LogLimiter;
use crate::peers::{Announcement, LearnError, VERSIONS};
use crate::tasks;
use crate::transaction::{Error, MAX_RECORD_BYTES, TransactionManager};

/// Party info: about 200 bytes for each key of the network.
const PARTY_INFO_BYTES: u64 = 4 << 20;
/// An encoded payload with one recipient and a UUID in it.
const CHALLENGE_BYTES: u64 = 16 << 10;
/// A key and a hash.
const RESEND_BYTES: u64 = 4 << 10;

/// The API for other nodes.
#[derive(Debug)]
pub(crate) struct PeerApi {
    manager: Arc<TransactionManager>,
    white_list: bool,
    notices: LogLimiter<(Identity, &'static str)>,
}

impl Api for PeerApi {
    /// A payload with one recipient is a record.
    const LARGEST_BODY: u64 = MAX_RECORD_BYTES as u64;

    fn routes() -> Vec<Route<Self>> {
        let mut routes = common::routes();
        routes.extend([
            Route::get("/partyinfo", "partyinfo", |api: &Self, _| ready(Ok(api.party_info())).boxed()),
            Route::post("/partyinfo", "partyinfo", |api: &Self, call| api.learn(call).boxed()),
            Route::post("/partyinfo/validate", "partyinfo_validate", |api: &Self, call| {
                api.validate(call).boxed()
            }),
            Route::post("/push", "push", |api: &Self, call| api.push(call).boxed()),
            Route::post("/resend", "resend", |api: &Self, call| api.resend(call).boxed()),
        ]);
        routes
    }

    fn admit(&self, caller: &Caller) -> Result<(), Problem> {
        self.check_white_list(caller)
    }
}

impl PeerApi {
    pub(crate) fn new(manager: Arc<TransactionManager>, white_list: bool) -> Self {
        Self { manager, white_list, notices: LogLimiter::default() }
    }

    async fn push(&self, mut call: Call<'_>) -> Result<Reply, Problem> {
        let body = octets(&mut call, u64::MAX).await?;
        let headers = &call.request.headers;
        let hash =
            self.manager.accept_push(body, versions(headers).preferred_codec(), call.take_memory()).await?;
        Ok(reply::created(push_answer_type(headers), hash.to_string()))
    }

    /// Raw bytes under the type of a text, as Java answers.
    async fn resend(&self, mut call: Call<'_>) -> Result<Reply, Problem> {
        media::content(&call.request.headers, &[Media::Json])?;
        media::accepted(&call.request.headers, &[Media::Text])?;
        let asked = ResendRequest::parse(&call.body(RESEND_BYTES).await?)?;
        // Before any memory is taken for the answer.
        self.manager.check_holds(&call.caller.identity, &asked.key)?;
        let stored = self.manager.stored_bytes(&asked.hash, false).await;
        // Memory that is in use must not tell a large payload of others from none: only reading it tells whose it is.
        let reserved = match stored {
            Ok(bytes) => call.reserve_answer(bytes).await.is_ok(),
            // The database is away: that says nothing of the hash.
            Err(error @ Error::Database(_)) => return Err(error.into()),
            Err(_) => false,
        };
        if !reserved {
            return Err(self.manager.not_given(&asked.hash).into());
        }
        let payload = self.manager.resend(asked.key, &asked.hash).await?;
        let hold = call.hold(payload.len());
        Ok(reply::ok(Media::Text.as_str(), ReplyBody::octets(payload, hold)))
    }

    async fn validate(&self, mut call: Call<'_>) -> Result<Reply, Problem> {
        let body = octets(&mut call, CHALLENGE_BYTES).await?;
        let secret = self.manager.prove_key(&body)?.ok_or_else(Problem::empty_bad_request)?;
        Ok(reply::ok("text/plain", secret))
    }

    async fn learn(&self, mut call: Call<'_>) -> Result<Reply, Problem> {
        let body = octets(&mut call, PARTY_INFO_BYTES).await?;
        let (request, caller) = (call.request, call.caller);
        let said = tasks::compute(body.len(), move || PartyInfo::decode(&body))
            .await
            .ok_or_else(Problem::unexplained)?
            .map_err(|error| Problem::internal(error.to_string()))?;
        let mut announcement = Announcement::new(&said, versions(&request.headers))
            .map_err(|error| Problem::internal(error.to_string()))?
            .of_hosts(caller.own_hosts());
        if caller.is_of_partner() {
            announcement.introduce_nobody();
        }
        let (peers, url) = (self.manager.peers(), announcement.url.clone());
        // The payloads for the announced keys go to the announced address, so the certificate must be for that address. A partner's
        // certificate is for names inside of the partner's scope alone, and is no certificate for an IP address.
        if !caller.speaks_for(url.host()) {
            if let Some(suppressed) = self.notices.admit((caller.identity.clone(), "address")) {
                let caller = &caller.identity;
                let address = url.authority();
                tracing::warn!(%caller, address, suppressed, "a peer announced an address that its certificate is not for");
            }
            return Err(Problem::forbidden(format!("{url} is not an address of this certificate")));
        }
        let keys = self.manager.keys()?;
        if self.manager.policy().remote_key_validation {
            let proven = peers.learn_proven(keys.ring(), &caller.identity, announcement).await;
            return if proven.map_err(|error| unknown_peer(&error))? {
                Ok(reply::ok("application/octet-stream", Vec::new()))
            } else {
                Err(Problem::security())
            };
        }
        peers.learn(keys.ring(), &caller.identity, announcement).map_err(|error| unknown_peer(&error))?;
        let own = PartyInfo { url: peers.directory().own().to_string(), ..PartyInfo::default() };
        Ok(reply::ok("application/octet-stream", own.encode()))
    }

    fn party_info(&self) -> Reply {
        reply::ok("application/json", self.manager.peers().directory().party_info())
    }

    /// A configured peer shows it by its certificate. Its address says nothing: peers are named by DNS, and callers come
    /// from behind proxies.
    fn check_white_list(&self, caller: &Caller) -> Result<(), Problem> {
        let configured =
            || self.manager.peers().directory().configured_hosts().any(|host| caller.speaks_for(host));
        if !self.white_list || configured() { Ok(()) } else { Err(Problem::not_whitelisted()) }
    }
}

fn unknown_peer(error: &LearnError) -> Problem {
    Problem::forbidden(error.to_string())
}

/// The body of a request that must be octets. Only a payload may be as large as the configuration allows: other bodies
/// are decoded, and a challenge even decrypted, where a large one would keep other requests waiting.
async fn octets(call: &mut Call<'_>, most: u64) -> Result<Bytes, Problem> {
    media::content(&call.request.headers, &[Media::Octets])?;
    call.body(most).await
}

fn versions(headers: &HeaderMap) -> ApiVersions {
    ApiVersions::parse(headers.get_all(&VERSIONS).iter().filter_map(|line| line.to_str().ok()))
}

/// Java declares no type, so its server takes the first that the caller names.
fn push_answer_type(headers: &HeaderMap) -> &'static str {
    let accept = headers.get(http::header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    if accept.trim_start().starts_with("text/html") { "text/html" } else { "text/plain" }
}
