use std::collections::HashSet;

use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1 as client;
use tessera_tls::{AllowedPeers, ClientTls, Credentials, CredentialsReceiver, Expectation, Usage};

use super::*;
use crate::config::Limits;
use crate::http::reply;
use crate::http::router::Route;
use crate::listener_trials::OwnTrials;

#[path = "../../../tests/support/ca.rs"]
#[allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)] // A helper of the integration tests.
mod ca;

/// Panics on demand.
struct Fragile;

impl Api for Fragile {
    fn routes() -> Vec<Route<Self>> {
        vec![Route::get("/{what}", "fine", |_, call| {
            async move {
                assert_ne!(call.parameter(), "panic", "as demanded");
                Ok(reply::ok("text/plain", "fine"))
            }
            .boxed()
        })]
    }
}

#[tokio::test]
async fn a_panic_is_one_requests_500_and_the_connection_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let authority = ca::Ca::new("test");
    let node = Identity::node("org.test", "a").unwrap();
    let caller = Identity::client("org.test", "a", "quorum").unwrap();
    let credentials = |identity: &Identity| {
        authority.issue(&ca::wish(&identity.to_string())).write(directory.path());
        let expectation = Expectation { identity: identity.clone(), usage: Usage::Both };
        CredentialsReceiver::fixed(Credentials::load(directory.path(), &expectation).unwrap())
    };
    let allowed = AllowedPeers::fixed_clients(HashSet::from([caller.clone()]));
    let tls = ServerTls::new(credentials(&node), allowed);
    let (tasks, _watch) = Tasks::new();
    let metrics = Arc::new(Metrics::new());
    let address = "127.0.0.1:0".parse().unwrap();
    let resources = Resources::of_process(Some(512 << 20), 1);
    let router = Router::new(Fragile, Limits::default(), resources.budget.share());
    let common = Common {
        tasks: tasks.clone(),
        metrics: Arc::clone(&metrics),
        resources,
        own_trials: OwnTrials::default(),
        callers: Callers::default(),
    };
    let server = Server::bind(address, Port::Q2t, tls, router, common).unwrap();
    let address = server.listener.local_addr().unwrap();
    tasks.service("server", server.run());

    let stream = TcpStream::connect(address).await.unwrap();
    let tls = ClientTls::new(credentials(&caller), AllowedPeers::Exactly(node));
    let stream = tls.connect("127.0.0.1", stream).await.unwrap().stream;
    let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await.unwrap();
    tasks.job(async move { connection.await.unwrap_or_default() });
    for (path, status) in [("/panic", 500), ("/fine", 200), ("/panic", 500), ("/fine", 200)] {
        let request =
            http::Request::get(path).header("host", "node").body(Full::<bytes::Bytes>::default()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{path}");
        response.into_body().collect().await.unwrap();
    }
    assert!(metrics.text().contains(r#"route="panicked",status="5xx"} 2"#), "{}", metrics.text());
}
