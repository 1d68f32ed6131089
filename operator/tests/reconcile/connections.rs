//! The watches of one namespace share one connection to the API server, where it speaks HTTP/2; few of them start at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http_body_util::BodyExt;
use kube::config::Kubeconfig;
use kube::{Client, Config};
use tessera_operator::kube::watch_clients::WatchClients;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, broadcast};

use crate::operator::Operator;
use crate::world::{DEADLINE, World};

/// One connection of the namespace's watches, one of the backups' watch, and a few of other requests.
const FEW: usize = 8;
/// Fewer than one namespace has watches.
const WATCHES: usize = 20;
/// How many requests of all watches may wait for an answer's head.
const LIMIT: usize = 16;

#[tokio::test]
async fn the_watches_of_a_namespace_share_one_connection() {
    let world = World::new("connections").await;
    let operator = Operator::start(&world);
    operator.until_ready().await;
    let count = operator.connections();
    assert!((1..=FEW).contains(&count), "{count} connections");
    world.create_fleet(&["a", "b"]).await;
    world.until_brought_up(&["a", "b"]).await;
}

#[tokio::test]
async fn behind_a_proxy_without_http2_each_watch_has_a_connection_of_its_own() {
    let mut world = World::new("http1").await;
    let directory = tempfile::tempdir().unwrap();
    world.kubeconfig = proxied(&world.client, &directory).await;
    let operator = Operator::start(&world);
    operator.until_ready().await;
    assert!(operator.connections() > WATCHES, "the control: {} connections", operator.connections());
    world.create_fleet(&["a", "b"]).await;
    world.until_brought_up(&["a", "b"]).await;
}

/// The API server goes away, with all connections, and comes back.
#[tokio::test]
async fn watches_go_on_over_another_connection_after_the_first_is_lost() {
    let mut world = World::new("cut").await;
    let directory = tempfile::tempdir().unwrap();
    let (kubeconfig, cut) = through_tcp(&world.kubeconfig, &directory).await;
    world.kubeconfig = kubeconfig;
    let operator = Operator::start(&world);
    operator.until_ready().await;
    assert!(cut.send(()).unwrap() > 0, "connections were open");
    world.create_fleet(&["a"]).await;
    world.until_brought_up(&["a"]).await;
    let count = operator.connections();
    assert!((1..=FEW + WATCHES / 2).contains(&count), "{count} connections after the loss");
}

/// A kubeconfig that leads through a proxy of TCP, and what cuts all connections through it.
async fn through_tcp(kubeconfig: &str, directory: &tempfile::TempDir) -> (String, broadcast::Sender<()>) {
    let mut config = serde_json::to_value(Kubeconfig::read_from(kubeconfig).unwrap()).unwrap();
    let server = &mut config["clusters"][0]["cluster"]["server"];
    let target: http::Uri = server.as_str().unwrap().parse().unwrap();
    let address = target.authority().unwrap().to_string();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    *server = format!("https://{}", listener.local_addr().unwrap()).into();
    let path = directory.path().join("kubeconfig");
    std::fs::write(&path, config.to_string()).unwrap();
    let cut = broadcast::Sender::new(1);
    let cuts = cut.clone();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let (address, mut lost) = (address.clone(), cuts.subscribe());
            tokio::spawn(async move {
                let mut far = TcpStream::connect(address).await.unwrap();
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    _ = lost.recv() => {}
                }
            });
        }
    });
    (path.to_str().unwrap().to_owned(), cut)
}

/// Requests that wait for an answer.
#[derive(Clone)]
struct Waiting {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    may_end: Arc<Semaphore>,
}

/// Many namespaces start at once: an API server would refuse that many requests, and the lease's among them.
#[tokio::test]
async fn few_requests_of_all_watches_wait_for_an_answer_at_a_time() {
    let waiting = Waiting { now: Arc::default(), most: Arc::default(), may_end: Arc::new(Semaphore::new(0)) };
    let (listener, free) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), "free");
    let server = format!("http://{}", listener.local_addr().unwrap());
    let serve = Router::new()
        .route("/free", axum::routing::get(async move || free))
        .fallback(wait_for_the_end)
        .with_state(waiting.clone());
    tokio::spawn(async move { axum::serve(listener, serve).await });
    let config = Config::new(server.parse().unwrap());
    let clients = WatchClients::new(&config).await.unwrap();
    let requests: Vec<_> = (0..3 * LIMIT)
        .map(|number| {
            let client = clients.client().unwrap();
            let request = http::Request::get(format!("/{number}")).body(Vec::new()).unwrap();
            tokio::spawn(async move { client.request_text(request).await })
        })
        .collect();
    let end = Instant::now() + DEADLINE;
    while waiting.now.load(Ordering::SeqCst) < LIMIT {
        assert!(Instant::now() < end, "{:?} requests wait", waiting.now);
        tokio::task::yield_now().await;
    }
    // A request of another client takes longer than those that are held back would.
    let other = Client::try_from(config).unwrap();
    for _ in 0..LIMIT {
        let request = http::Request::get("/free").body(Vec::new()).unwrap();
        assert_eq!(other.request_text(request).await.unwrap(), free);
    }
    waiting.may_end.add_permits(Semaphore::MAX_PERMITS);
    for request in requests {
        request.await.unwrap().unwrap();
    }
    assert_eq!(waiting.most.load(Ordering::SeqCst), LIMIT);
}

async fn wait_for_the_end(State(waiting): State<Waiting>) -> &'static str {
    let now = waiting.now.fetch_add(1, Ordering::SeqCst) + 1;
    waiting.most.fetch_max(now, Ordering::SeqCst);
    let _may = waiting.may_end.acquire().await.unwrap();
    waiting.now.fetch_sub(1, Ordering::SeqCst);
    "done"
}

/// The path of a kubeconfig that leads to a proxy which speaks HTTP/1.1 only.
async fn proxied(client: &Client, directory: &tempfile::TempDir) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let proxy = Router::new().fallback(pass_on).with_state(client.clone());
    tokio::spawn(async move { axum::serve(listener, proxy).await });
    let path = directory.path().join("kubeconfig");
    let kubeconfig = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
        "clusters": [{"name": "proxy", "cluster": {"server": server}}],
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": ""}}],
    });
    std::fs::write(&path, kubeconfig.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

async fn pass_on(State(client): State<Client>, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    head.headers.remove(http::header::HOST);
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    let answer = client.send(http::Request::from_parts(head, body.into())).await.unwrap();
    let (head, body) = answer.into_parts();
    Response::from_parts(head, Body::new(body))
}
