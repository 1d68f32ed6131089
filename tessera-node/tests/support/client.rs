//! An HTTP client with a certificate. Each request goes out once: an answer other than the wanted one is a failure of the
//! node, never a reason to ask again.

use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tessera_node_api::identity::Identity;
use tessera_tls::{AllowedPeers, ClientTls, Credentials, CredentialsReceiver, Expectation, Usage};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;

/// Opens a connection for each request; [`Client::session`] keeps one.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    tls: ClientTls,
}

/// One connection, for one request after the other.
pub struct Session {
    sender: SendRequest<Full<Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Client {
    /// Shows the certificate of `directory`, which is `own`'s, and wants to speak with `server`.
    pub fn new(address: SocketAddr, directory: &Path, own: &Identity, server: &Identity) -> Self {
        let expectation = Expectation { identity: own.clone(), usage: Usage::Client };
        let credentials = CredentialsReceiver::fixed(Credentials::load(directory, &expectation).unwrap());
        Self { address, tls: ClientTls::new(credentials, AllowedPeers::Exactly(server.clone())) }
    }

    /// A handshaken connection for bytes of one's own.
    pub async fn connect(&self) -> Option<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        Some(self.tls.connect("127.0.0.1", stream).await.ok()?.stream)
    }

    /// A handshaken connection for requests.
    pub async fn session(&self) -> Option<Session> {
        let (sender, connection) = http1::handshake(TokioIo::new(self.connect().await?)).await.ok()?;
        Some(Session { sender, connection: tokio::spawn(connection) })
    }

    pub async fn try_send(&self, request: Request<Full<Bytes>>) -> Option<Answer> {
        self.session().await?.try_send(request).await
    }

    pub async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        self.try_send(request(method, path, headers, body)).await.expect("an answer")
    }

    pub async fn try_post_json(&self, path: &str, body: impl Into<Bytes>) -> Option<Answer> {
        self.try_send(request("POST", path, &JSON, body)).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], Bytes::new()).await
    }

    pub async fn try_get(&self, path: &str) -> Option<Answer> {
        self.try_send(request("GET", path, &[], Bytes::new())).await
    }

    pub async fn post_json(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.request("POST", path, &JSON, body).await
    }

    /// Sends a payload; the base64 hash.
    pub async fn send(&self, message: &[u8], to: &[&str]) -> String {
        hash_of(&self.post_json("/send", send_body(message, to)).await)
    }

    /// Reads a transaction: the status, and the message if there is one.
    pub async fn receive(&self, hash: &str) -> (u16, Vec<u8>) {
        message_of(&self.get(&format!("/transaction/{}", segment(hash))).await)
    }
}

impl Session {
    /// Over an open connection, without TLS.
    pub async fn over<S>(stream: S) -> Option<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        Some(Self { sender, connection: tokio::spawn(connection) })
    }

    /// Whether it takes no further request.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    pub async fn try_send(&mut self, request: Request<Full<Bytes>>) -> Option<Answer> {
        self.sender.ready().await.ok()?;
        let response = self.sender.send_request(request).await.ok()?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        Some(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.try_send(request("GET", path, &[], Bytes::new())).await.expect("an answer")
    }

    pub async fn post_json(&mut self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.try_send(request("POST", path, &JSON, body)).await.expect("an answer")
    }

    /// Sends a payload; the base64 hash.
    pub async fn send(&mut self, message: &[u8], to: &[&str]) -> String {
        hash_of(&self.post_json("/send", send_body(message, to)).await)
    }

    /// Reads a transaction: the status, and the message if there is one.
    pub async fn receive(&mut self, hash: &str) -> (u16, Vec<u8>) {
        message_of(&self.get(&format!("/transaction/{}", segment(hash))).await)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
pub const OCTETS: (&str, &str) = ("content-type", "application/octet-stream");

pub fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path).header("host", "node");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body.into())).unwrap()
}

/// The body of a `POST /send`.
pub fn send_body(message: &[u8], to: &[&str]) -> String {
    json!({"payload": tessera_enclave::base64::encode(message), "to": to}).to_string()
}

fn hash_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["key"].as_str().unwrap().to_owned()
}

pub fn message_of(answer: &Answer) -> (u16, Vec<u8>) {
    if answer.status != u16::from(StatusCode::OK) {
        return (answer.status, answer.body.to_vec());
    }
    let payload = answer.json()["payload"].as_str().unwrap().to_owned();
    (200, tessera_enclave::base64::decode_strict(&payload).unwrap())
}

/// A hash in a path, as Go clients write it.
pub fn segment(hash: &str) -> String {
    hash.replace('/', "%2F")
}
