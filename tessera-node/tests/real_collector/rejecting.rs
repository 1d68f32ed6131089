//! A collector that answers 200 and rejects what it is sent: a fault that the real one shows only behind a broken exporter.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use prost::Message;
use tessera_node_api::identity::Identity;
use tessera_tls::{AllowedPeers, Credentials, CredentialsReceiver, Expectation, ServerTls, Usage};
use tokio::net::TcpListener;

use crate::support::ca::wish;
use crate::support::{Net, TRUST_DOMAIN};

/// Starts it with a certificate of the network's CA; its URL.
pub(crate) async fn start(net: &Net) -> String {
    let listener = TcpListener::bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)).await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    let tls = server_tls(net);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                let Ok(connection) = tls.accept(stream).await else { return };
                let io = TokioIo::new(connection.stream);
                // The node ends its connections as it likes.
                let _ = http1::Builder::new().serve_connection(io, service_fn(reject)).await;
            });
        }
    });
    endpoint
}

fn server_tls(net: &Net) -> ServerTls {
    let identity = Identity::node(TRUST_DOMAIN, "collector").unwrap();
    let mut wished = wish(&identity.to_string());
    wished.names = vec!["127.0.0.1".to_owned()];
    let issued = net.ca.issue(&wished);
    let expected = Expectation { identity, usage: Usage::Server };
    let (certificate, key, roots) = (&issued.certificate, &issued.key, &issued.roots);
    let credentials =
        Credentials::from_pem(certificate.as_bytes(), key.as_bytes(), roots.as_bytes(), &expected).unwrap();
    ServerTls::new(CredentialsReceiver::fixed(credentials), AllowedPeers::nodes(TRUST_DOMAIN))
}

/// Rejects every record.
async fn reject(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let sent = ExportLogsServiceRequest::decode(body).unwrap();
    let records = sent.resource_logs.iter().flat_map(|logs| &logs.scope_logs);
    let rejected_log_records = records.map(|scope| i64::try_from(scope.log_records.len()).unwrap()).sum();
    let partial = ExportLogsPartialSuccess { rejected_log_records, error_message: "quota".to_owned() };
    let answer = ExportLogsServiceResponse { partial_success: Some(partial) };
    Ok(Response::new(Full::new(answer.encode_to_vec().into())))
}
