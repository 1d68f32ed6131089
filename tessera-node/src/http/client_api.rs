//! Q2T: what ledger nodes ask for.

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use tessera_enclave::{NameError, PrivacyMode, PublicKey, SealBuffer, TxHash, base64};

use super::common;
use super::media::{self, Media};
use super::members::{self, Members, not_base64};
use super::problem::{Problem, Violation};
use super::reply::{self, Reply, ReplyBody, with_location};
use super::router::{Api, Call, Route};
use super::{path, wire};
use crate::resources::Permit;
use crate::tasks;
use crate::transaction::{
    MAX_RECORD_BYTES, PrivacyRequest, SendRequest, SendSignedRequest, TransactionManager,
};

const FROM: HeaderName = HeaderName::from_static("c11n-from");
const TO: HeaderName = HeaderName::from_static("c11n-to");
const KEY: HeaderName = HeaderName::from_static("c11n-key");

/// The API for ledger nodes.
#[derive(Debug)]
pub(crate) struct ClientApi {
    manager: Arc<TransactionManager>,
}

impl Api for ClientApi {
    /// The largest record in base64, and room for the other members.
    const LARGEST_BODY: u64 = MAX_RECORD_BYTES as u64 / 3 * 4 + (1 << 20);

    fn routes() -> Vec<Route<Self>> {
        let mut routes = common::routes();
        routes.extend([
            Route::post("/send", "send", |api: &Self, call| api.send(call).boxed()),
            Route::post("/sendsignedtx", "sendsignedtx", |api: &Self, call| api.send_signed(call).boxed()),
            Route::post("/sendraw", "sendraw", |api: &Self, call| api.send_raw(call).boxed()),
            Route::post("/storeraw", "storeraw", |api: &Self, call| api.store_raw(call).boxed()),
            Route::get("/transaction/{hash}", "transaction", |api: &Self, call| {
                api.transaction(call).boxed()
            }),
            Route::get("/transaction/{hash}/isSender", "transaction_is_sender", |api: &Self, call| {
                api.is_sender(call).boxed()
            }),
            Route::get("/transaction/{hash}/participants", "transaction_participants", |api: &Self, call| {
                api.participants(call).boxed()
            }),
            Route::get("/transaction/{hash}/mandatory", "transaction_mandatory", |api: &Self, call| {
                api.mandatory(call).boxed()
            }),
            Route::get("/receiveraw", "receiveraw", |api: &Self, call| api.receive_raw(call).boxed()),
        ]);
        routes
    }
}

impl ClientApi {
    pub(crate) fn new(manager: Arc<TransactionManager>) -> Self {
        Self { manager }
    }

    async fn send(&self, mut call: Call<'_>) -> Result<Reply, Problem> {
        let (request, body) = (call.request, call.body(u64::MAX).await?);
        let (consumed, produced) = negotiate(request, &[Media::Json, Media::V21, Media::V30, Media::V40])?;
        // The body ends here: it may be large, and the pushes take their time.
        let wanted = offload(body.len(), move || send_request(&body, consumed)).await?;
        let sent = self.manager.send(wanted, call.take_memory()).await?;
        Ok(with_location(
            reply::created(produced.as_str(), wire::sent(produced, &sent)),
            &location(request, &sent.hash),
        ))
    }

    async fn send_signed(&self, mut call: Call<'_>) -> Result<Reply, Problem> {
        let (request, body) = (call.request, call.body(u64::MAX).await?);
        let consumed = media::content(
            &request.headers,
            &[Media::Octets, Media::Json, Media::V21, Media::V30, Media::V40],
        )?;
        if consumed == Media::Octets {
            return self.send_signed_octets(request, &body, call.take_memory()).await;
        }
        let produced = media::accepted(&request.headers, consumed.family())?;
        let signed = offload(body.len(), move || send_signed_request(&body, consumed)).await?;
        let sent = self.manager.send_signed(signed, call.take_memory()).await?;
        Ok(with_location(
            reply::created(produced.as_str(), wire::sent(produced, &sent)),
            &location(request, &sent.hash),
        ))
    }

    async fn send_signed_octets(
        &self,
        request: &Parts,
        body: &Bytes,
        held: Permit,
    ) -> Result<Reply, Problem> {
        media::accepted(&request.headers, &[Media::Text])?;
        if body.is_empty() {
            return Err(violated(Violation::empty("TransactionResource.sendSignedTransaction.arg1")));
        }
        let signed = SendSignedRequest {
            hash: TxHash::from_bytes(body)?,
            to: header_keys(request)?,
            privacy: PrivacyRequest::default(),
            privacy_group: None,
        };
        let sent = self.manager.send_signed(signed, held).await?;
        Ok(with_location(reply::ok("text/plain", sent.hash.to_string()), &location(request, &sent.hash)))
    }

    async fn send_raw(&self, mut call: Call<'_>) -> Result<Reply, Problem> {
        let (request, body) = (call.request, call.body(u64::MAX).await?);
        media::content(&request.headers, &[Media::Octets])?;
        media::accepted(&request.headers, &[Media::Text])?;
        if body.is_empty() {
            return Err(violated(Violation::empty("TransactionResource.sendRaw.arg2")));
        }
        // An empty one is none.
        let from = header(request, &FROM)
            .filter(|text| !text.is_empty())
            .map(|text| sender(&text, |_| violated(Violation::base64("TransactionResource.sendRaw.arg0"))))
            .transpose()?;
        let to = header_keys(request)?;
        let message = offload(body.len(), move || Ok(SealBuffer::from(&body[..]))).await?;
        let privacy = PrivacyRequest::default();
        let wanted = SendRequest { message, from, to, privacy, privacy_group: None };
        let sent = self.manager.send(wanted, call.take_memory()).await?;
        Ok(with_location(reply::ok("text/plain", sent.hash.to_string()), &location(request, &sent.hash)))
    }

    async fn store_raw(&self, mut call: Call<'_>) -> Result<Reply, Problem> {
        let (request, body) = (call.request, call.body(u64::MAX).await?);
        let consumed = media::content(&request.headers, &[Media::Json, Media::V21])?;
        let produced = media::accepted(&request.headers, &[consumed])?;
        let (message, from) = offload(body.len(), move || {
            let members = Members::parse(&body)?;
            let message = message(members.payload.as_deref(), "RawTransactionResource.store.arg0.payload")?;
            Ok((message, members.from.as_deref().map(|text| sender(text, Problem::from)).transpose()?))
        })
        .await?;
        let hash = self.manager.store_raw(message, from).await?;
        Ok(reply::ok(produced.as_str(), wire::stored(&hash)))
    }

    async fn transaction(&self, mut call: Call<'_>) -> Result<Reply, Problem> {
        let request = call.request;
        let produced = media::accepted(&request.headers, &[Media::Json, Media::V21, Media::V30])?;
        let hash: TxHash = checked(call.parameter(), "TransactionResource.receive.arg0")?;
        let query = request.uri.query();
        let to = path::query(query, "to")
            .filter(|text| !text.is_empty())
            .map(|text| parse::<PublicKey>(&text))
            .transpose()?;
        let raw = match path::query(query, "isRaw").as_deref() {
            None => false,
            Some(text) if text.eq_ignore_ascii_case("true") => true,
            Some(text) if text.eq_ignore_ascii_case("false") => false,
            Some(_) => return Err(violated(Violation::not_boolean("TransactionResource.receive.arg2"))),
        };
        call.reserve_answer(self.manager.stored_bytes(&hash, raw).await?).await?;
        let received = if raw {
            self.manager.receive_raw(&hash).await?
        } else {
            self.manager.receive(&hash, to).await?
        };
        let hold = call.hold(received.message.len());
        Ok(reply::ok(produced.as_str(), wire::received(produced, received, hold)))
    }

    async fn receive_raw(&self, mut call: Call<'_>) -> Result<Reply, Problem> {
        let request = call.request;
        media::optional_content(&request.headers, Media::Octets)?;
        media::accepted(&request.headers, &[Media::Octets])?;
        let key = header(request, &KEY)
            .ok_or_else(|| violated(Violation::missing("TransactionResource.receiveRaw.arg0")))?;
        let hash: TxHash = checked(&key, "TransactionResource.receiveRaw.arg0")?;
        let to = header(request, &TO)
            .map(|text| checked(&text, "TransactionResource.receiveRaw.arg1"))
            .transpose()?;
        call.reserve_answer(self.manager.stored_bytes(&hash, false).await?).await?;
        let received = self.manager.receive(&hash, to).await?;
        let hold = call.hold(received.message.len());
        Ok(reply::ok("application/octet-stream", ReplyBody::octets(received.message, hold)))
    }

    async fn is_sender(&self, mut call: Call<'_>) -> Result<Reply, Problem> {
        media::accepted(&call.request.headers, &[Media::Text])?;
        // Java decodes this one with a decoder of its own, whose complaint is the caller's error.
        let hash: TxHash =
            call.parameter().parse().map_err(|error| unless_long(error, Problem::bad_base64))?;
        call.reserve_answer(self.manager.stored_bytes(&hash, false).await?).await?;
        let own = self.manager.is_sender(&hash).await?;
        Ok(reply::ok("text/plain", own.to_string()))
    }

    async fn participants(&self, mut call: Call<'_>) -> Result<Reply, Problem> {
        media::accepted(&call.request.headers, &[Media::Text])?;
        let hash: TxHash = parse(call.parameter())?;
        call.reserve_answer(self.manager.stored_bytes(&hash, false).await?).await?;
        Ok(reply::ok("text/plain", wire::keys(&self.manager.participants(&hash).await?)))
    }

    async fn mandatory(&self, mut call: Call<'_>) -> Result<Reply, Problem> {
        media::accepted(&call.request.headers, &[Media::Text])?;
        let hash: TxHash = parse(call.parameter())?;
        call.reserve_answer(self.manager.stored_bytes(&hash, false).await?).await?;
        Ok(reply::ok("text/plain", wire::keys(&self.manager.mandatory_recipients(&hash).await?)))
    }
}

fn send_request(body: &[u8], consumed: Media) -> Result<SendRequest, Problem> {
    let members = Members::parse(body)?;
    let at = format!("{}.send.arg0", resource_class(consumed));
    Ok(SendRequest {
        message: message(members.payload.as_deref(), &format!("{at}.payload"))?,
        privacy: privacy(&members, consumed, "Send request not valid", &at)?,
        from: members.from.as_deref().map(|text| sender(text, Problem::from)).transpose()?,
        to: parse_all(&members.to)?,
        privacy_group: members.privacy_group_id.map(Cow::into_owned),
    })
}

fn send_signed_request(body: &[u8], consumed: Media) -> Result<SendSignedRequest, Problem> {
    let members = Members::parse(body)?;
    let at = format!("{}.sendSignedTransaction.arg0", resource_class(consumed));
    let hash = required_bytes(members.hash.as_deref(), &format!("{at}.hash"))?;
    Ok(SendSignedRequest {
        hash: TxHash::from_bytes(&hash)?,
        privacy: privacy(&members, consumed, "SendSigned request not valid", &at)?,
        to: parse_all(&members.to)?,
        privacy_group: members.privacy_group_id.map(Cow::into_owned),
    })
}

/// Parses a body: off the event loop if it is large.
async fn offload<T: Send + 'static>(
    bytes: usize,
    parse: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tasks::compute(bytes, parse).await.unwrap_or_else(|| Err(Problem::unexplained()))
}

/// The class of Java's resource, which its constraint messages name.
fn resource_class(consumed: Media) -> &'static str {
    match consumed {
        Media::V21 | Media::V30 => "TransactionResource3",
        Media::V40 => "TransactionResource4",
        Media::Json | Media::Octets | Media::Text => "TransactionResource",
    }
}

/// What the body is, and what the answer will be: each consumer writes its own family only.
fn negotiate(request: &Parts, consumed: &[Media]) -> Result<(Media, Media), Problem> {
    let consumed = media::content(&request.headers, consumed)?;
    let produced = media::accepted(&request.headers, consumed.family())?;
    Ok((consumed, produced))
}

fn violated(violation: Violation) -> Problem {
    Problem::Violations(vec![violation])
}

fn message(text: Option<&str>, path: &str) -> Result<SealBuffer, Problem> {
    let text = text.ok_or_else(|| violated(Violation::missing(path)))?;
    let message = SealBuffer::from_base64(text).map_err(not_base64)?;
    if message.message().is_empty() { Err(violated(Violation::empty(path))) } else { Ok(message) }
}

fn required_bytes(text: Option<&str>, path: &str) -> Result<Vec<u8>, Problem> {
    let text = text.ok_or_else(|| violated(Violation::missing(path)))?;
    let bytes = members::bytes(text)?;
    if bytes.is_empty() { Err(violated(Violation::empty(path))) } else { Ok(bytes) }
}

fn privacy(
    members: &Members<'_>,
    consumed: Media,
    invalid: &'static str,
    at: &str,
) -> Result<PrivacyRequest, Problem> {
    let mode = PrivacyMode::from_flag(members.flag());
    let exec_hash = members.exec_hash.as_deref().unwrap_or("");
    if mode == PrivacyMode::PrivateStateValidation && exec_hash.is_empty() {
        let both = [Violation::plain(invalid, at), Violation::plain("Exec hash missing", at)];
        return Err(Problem::Violations(both.into()));
    }
    // Only the newest media type has mandatory recipients; others ignore the member.
    let mandatory =
        if consumed == Media::V40 { parse_all(&members.mandatory_recipients)? } else { Vec::new() };
    Ok(PrivacyRequest {
        mode,
        affected: parse_all(&members.affected)?.into_iter().collect(),
        // The text as it is: it is never decoded.
        exec_hash: Bytes::copy_from_slice(exec_hash.as_bytes()),
        mandatory_recipients: mandatory.into_iter().collect(),
    })
}

/// Base64 inside a body, a query or a list: bad is the server's error, as in Java.
fn parse<T: FromStr<Err = NameError>>(text: &str) -> Result<T, Problem> {
    Ok(text.parse()?)
}

fn parse_all<T: FromStr<Err = NameError>>(texts: &[Cow<'_, str>]) -> Result<Vec<T>, Problem> {
    texts.iter().map(|text| parse(text)).collect()
}

/// Base64 that is a constraint of the request: bad is the caller's error.
fn checked<T: FromStr<Err = NameError>>(text: &str, path: &str) -> Result<T, Problem> {
    text.parse().map_err(|error| unless_long(error, |_| violated(Violation::base64(path))))
}

/// A key to send from. One that is too long is none of ours.
fn sender(text: &str, bad: impl FnOnce(NameError) -> Problem) -> Result<PublicKey, Problem> {
    text.parse().map_err(|error| match error {
        NameError::LongKey(_) => Problem::unknown_sender(text),
        error => bad(error),
    })
}

/// Base64 that is bad in a way of its own at this place.
fn unless_long(error: NameError, bad: impl FnOnce(String) -> Problem) -> Problem {
    match error {
        NameError::Base64(error) => bad(error.to_string()),
        long => long.into(),
    }
}

fn header<'a>(request: &'a Parts, name: &HeaderName) -> Option<Cow<'a, str>> {
    request.headers.get(name).map(latin1)
}

/// `c11n-to`: comma-separated, no spaces; all lines count.
fn header_keys(request: &Parts) -> Result<Vec<PublicKey>, Problem> {
    let mut keys = Vec::new();
    for line in request.headers.get_all(&TO) {
        for text in latin1(line).split(',').filter(|text| !text.is_empty()) {
            keys.push(parse(text)?);
        }
    }
    Ok(keys)
}

/// A header's value as Java reads it. Dropping one that is not ASCII would drop a recipient, and say nothing.
fn latin1(value: &HeaderValue) -> Cow<'_, str> {
    let text = || value.as_bytes().iter().copied().map(char::from).collect();
    value.to_str().map_or_else(|_| Cow::Owned(text()), Cow::Borrowed)
}

/// Where the transaction can be read: at the address that the caller used.
fn location(request: &Parts, hash: &TxHash) -> String {
    let host =
        request.headers.get(http::header::HOST).and_then(|value| value.to_str().ok()).unwrap_or("localhost");
    format!("https://{host}/transaction/{}", path::encode_segment(&base64::encode(hash.as_bytes())))
}
