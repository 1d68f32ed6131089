//! An HTTP client with a certificate.

use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tessera_node_api::identity::Identity;
use tessera_tls::{AllowedPeers, ClientTls, Credentials, CredentialsReceiver, Expectation, Usage};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::PATIENCE;

pub struct Client {
    port: u16,
    tls: ClientTls,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Client {
    /// Shows the certificate of `directory`, which is `own`'s, and wants to speak with `server`.
    pub fn new(port: u16, directory: &Path, own: &Identity, server: &Identity) -> Self {
        let expectation = Expectation { identity: own.clone(), usage: Usage::Client };
        let credentials = CredentialsReceiver::fixed(Credentials::load(directory, &expectation).unwrap());
        Self { port, tls: ClientTls::new(credentials, AllowedPeers::Exactly(server.clone())) }
    }

    /// A handshaken connection for bytes of one's own.
    pub async fn connect(&self) -> Option<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
        Some(self.tls.connect("127.0.0.1", stream).await.ok()?.stream)
    }

    pub async fn try_send(&self, request: Request<Full<Bytes>>) -> Option<Answer> {
        let stream = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await.ok()?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        connection.abort();
        Some(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    pub async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request =
            Request::builder().method(method).uri(path).header("host", format!("127.0.0.1:{}", self.port));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        self.try_send(request).await.expect("an answer")
    }

    pub async fn try_post_json(&self, path: &str, body: impl Into<Bytes>) -> Option<Answer> {
        let request = Request::builder().method("POST").uri(path).header("host", "127.0.0.1");
        let request =
            request.header("content-type", "application/json").body(Full::new(body.into())).unwrap();
        self.try_send(request).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], Bytes::new()).await
    }

    pub async fn try_get(&self, path: &str) -> Option<Answer> {
        let request = Request::builder().uri(path).header("host", "127.0.0.1").body(Full::default()).unwrap();
        self.try_send(request).await
    }

    pub async fn post_json(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.request("POST", path, &[("content-type", "application/json")], body).await
    }

    /// Sends a payload; the base64 hash.
    pub async fn send(&self, message: &[u8], to: &[&str]) -> String {
        let payload = tessera_enclave::base64::encode(message);
        let request = json!({"payload": payload, "to": to}).to_string();
        let began = Instant::now();
        loop {
            let answer = self.post_json("/send", request.clone()).await;
            // A peer or a disk that was too slow for once, on a busy machine.
            if [410, 503].contains(&answer.status) && began.elapsed() < PATIENCE {
                continue;
            }
            assert_eq!(answer.status, 201, "{}", answer.text());
            return answer.json()["key"].as_str().unwrap().to_owned();
        }
    }

    /// Reads a transaction: the status, and the message if there is one.
    pub async fn receive(&self, hash: &str) -> (u16, Vec<u8>) {
        let answer = self.get(&format!("/transaction/{}", segment(hash))).await;
        if answer.status != u16::from(StatusCode::OK) {
            return (answer.status, answer.body.to_vec());
        }
        let payload = answer.json()["payload"].as_str().unwrap().to_owned();
        (200, tessera_enclave::base64::decode_strict(&payload).unwrap())
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

/// A hash in a path, as Go clients write it.
pub fn segment(hash: &str) -> String {
    hash.replace('/', "%2F")
}
