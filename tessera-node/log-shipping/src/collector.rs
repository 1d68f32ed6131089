//! One request to the collector, on a connection of its own or on the one before.

use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use prost::Message;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use tessera_node_api::plain_words::{chain, root_cause};
use tessera_node_api::secret_store::lookup_name;
use tessera_node_api::tls_client;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Collector, Endpoint, Source};

/// For a whole request, with its connection.
const DEADLINE: Duration = Duration::from_secs(10);
/// An answer says how many records were rejected, and why.
const ANSWER_BYTES: usize = 64 << 10;
/// Of what the collector says in its answer, at most so much is repeated.
const MAX_REASON: usize = 200;
const HTTP_1_1: &[u8] = b"http/1.1";
const PROTOBUF: &str = "application/x-protobuf";

/// What came of one request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// 2xx; so many records were rejected, for this reason.
    Answered { rejected: u64, reason: String },
    /// The collector will not take this request, however often it is sent.
    Refused(String),
    /// It may take it later.
    Failed(String),
}

/// Sends requests. Its connection ends with [`Self::close`], and when the certificate or the collector is another.
pub(super) struct Client {
    user_agent: String,
    connection: Option<Connection>,
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Moves the bytes; runs while a request is in progress, and in no task of its own.
    driver: Driver,
    collector: Collector,
    /// What was shown.
    certificate: Arc<CertifiedKey>,
}

type Driver = http1::Connection<TokioIo<TlsStream<TcpStream>>, Full<Bytes>>;

impl Client {
    pub(super) fn new(user_agent: String) -> Self {
        Self { user_agent, connection: None }
    }

    /// Sends one request and reads the answer.
    pub(super) async fn send(&mut self, collector: &Collector, source: &impl Source, body: Bytes) -> Outcome {
        let done = timeout(DEADLINE, self.exchange(collector, source, body)).await;
        let outcome = done.unwrap_or_else(|_| {
            Outcome::Failed(format!("it did not answer within {} seconds", DEADLINE.as_secs()))
        });
        if !matches!(outcome, Outcome::Answered { .. }) {
            self.close();
        }
        outcome
    }

    /// Ends the connection.
    pub(super) fn close(&mut self) {
        self.connection = None;
    }

    async fn exchange(&mut self, collector: &Collector, source: &impl Source, body: Bytes) -> Outcome {
        let request = match request(&collector.endpoint, &self.user_agent, body) {
            Ok(request) => request,
            Err(error) => return Outcome::Refused(error.to_string()),
        };
        match self.connected(collector, source).await {
            Ok(connection) => connection.exchange(request).await,
            Err(why) => Outcome::Failed(why),
        }
    }

    async fn connected(
        &mut self,
        collector: &Collector,
        source: &impl Source,
    ) -> Result<&mut Connection, String> {
        let certificate = source.certificate()?;
        let usable = self.connection.take().filter(|open| {
            open.collector == *collector
                && open.certificate.cert == certificate.cert
                && !open.sender.is_closed()
        });
        let open = match usable {
            Some(open) => open,
            None => Connection::open(collector, certificate).await?,
        };
        Ok(self.connection.insert(open))
    }
}

impl Connection {
    async fn open(collector: &Collector, certificate: Arc<CertifiedKey>) -> Result<Self, String> {
        let roots = tls_client::roots(collector.ca_bundle.as_bytes())
            .map_err(|error| format!("its CA bundle cannot be used: {}", chain(&error)))?;
        let mut config = tls_client::with_certified_key(roots, Arc::clone(&certificate));
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        let host = collector.endpoint.host();
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| format!("{host:?} is no name of a host"))?;
        let stream = dial(&collector.endpoint).await.map_err(|error| root_cause(&error))?;
        let stream = connector.connect(name, stream).await.map_err(|error| root_cause(&error))?;
        let opened = http1::handshake(TokioIo::new(stream)).await;
        let (sender, driver) = opened.map_err(|error| root_cause(&error))?;
        Ok(Self { sender, driver, collector: collector.clone(), certificate })
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Outcome {
        let sender = &mut self.sender;
        let answer = async move {
            sender.ready().await?;
            Ok::<_, hyper::Error>(read(sender.send_request(request).await?).await)
        };
        let mut answer = pin!(answer);
        let outcome = tokio::select! {
            biased;
            outcome = &mut answer => outcome,
            // The collector has closed the connection, perhaps right behind its answer.
            ended = &mut self.driver => match ended {
                Ok(()) => answer.await,
                Err(error) => Err(error),
            },
        };
        outcome.unwrap_or_else(|error| Outcome::Failed(root_cause(&error)))
    }
}

/// By the absolute name, so that no Service of the process's own namespace answers for the collector.
async fn dial(endpoint: &Endpoint) -> io::Result<TcpStream> {
    // Absent outside of Linux and of containers: then there is no search domain either.
    let resolv_conf = tokio::fs::read_to_string("/etc/resolv.conf").await.unwrap_or_default();
    let host = match endpoint.host().parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => lookup_name(endpoint.host(), &resolv_conf),
    };
    let addresses: Vec<_> = lookup_host((host.as_str(), endpoint.port())).await?.collect();
    TcpStream::connect(addresses.as_slice()).await
}

fn request(endpoint: &Endpoint, user_agent: &str, body: Bytes) -> http::Result<Request<Full<Bytes>>> {
    Request::post(endpoint.path())
        .header(HOST, endpoint.authority())
        .header(CONTENT_TYPE, PROTOBUF)
        .header(USER_AGENT, user_agent)
        .body(Full::new(body))
}

async fn read(response: Response<Incoming>) -> Outcome {
    let status = response.status();
    let body = match Limited::new(response.into_body(), ANSWER_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Outcome::Failed("its answer broke off or is too long".to_owned()),
    };
    judge(status, &body)
}

/// What OTLP says of an answer: 429, 502, 503 and 504 may be repeated, other errors must not be.
fn judge(status: StatusCode, body: &[u8]) -> Outcome {
    if !status.is_success() {
        let why = format!("it answered {}", status.as_u16());
        let passes = matches!(status.as_u16(), 429 | 502 | 503 | 504);
        return if passes { Outcome::Failed(why) } else { Outcome::Refused(why) };
    }
    match ExportLogsServiceResponse::decode(body) {
        Err(_) => Outcome::Refused("its answer is not OTLP".to_owned()),
        Ok(answer) => {
            let partial = answer.partial_success.unwrap_or_default();
            let rejected = u64::try_from(partial.rejected_log_records).unwrap_or(0);
            Outcome::Answered { rejected, reason: printable(&partial.error_message) }
        }
    }
}

/// The collector's words, without what a terminal would obey.
fn printable(words: &str) -> String {
    words.chars().filter(|character| !character.is_control()).take(MAX_REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsPartialSuccess;

    #[test]
    fn an_answer_is_read_as_otlp_says() {
        let judged = |status, body: &[u8]| judge(StatusCode::from_u16(status).unwrap(), body);
        assert_eq!(judged(200, b""), Outcome::Answered { rejected: 0, reason: String::new() });
        let partial =
            ExportLogsPartialSuccess { rejected_log_records: 2, error_message: "no\u{1b}[31m".into() };
        let body = ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        assert_eq!(judged(200, &body), Outcome::Answered { rejected: 2, reason: "no[31m".into() });
        assert!(matches!(judged(200, b"<html>"), Outcome::Refused(_)));
        assert!(matches!(judged(400, b""), Outcome::Refused(_)));
        for passes in [429, 502, 503, 504] {
            assert!(matches!(judged(passes, b""), Outcome::Failed(_)), "{passes}");
        }
    }
}
