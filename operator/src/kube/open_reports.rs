//! [IO, write] Writes the OpenReports `Report`s of the checklist, where the API server serves that API.
//!
//! ```text
//! now and then: is the API served? ──► no: nothing is planned, asked or logged
//!                                 └──► yes: a reconcile's report ── as last written ──► nothing
//!                                                               └── another ──► GET ──► POST | PUT at resourceVersion
//! ```
//!
//! A report repeats the status for dashboards, so it fails no reconcile, and no watch or cache keeps it: of each report this
//! process remembers a hash. A report that somebody changes or deletes is written again with the next change of a line.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::Client;
use tessera_crds::condition::Reason;

use super::planned::Planned;
use super::writer::{WriteError, Writer};
use crate::memory::backoff::jittered;
use crate::memory::per_object::{PerObject, Registry};
use crate::process::tasks::Tasks;
use crate::report::error::chain;
use crate::report::open_report::{API_VERSION, PLURAL};

/// How often the API server is asked whether it serves the API; also how long a namespace waits after a write that failed.
const ASK_AGAIN: Duration = Duration::from_secs(20);

/// The reports of all namespaces.
pub struct OpenReports {
    client: Client,
    writer: Arc<Writer>,
    /// How often the API came or went: odd while it is served. What was written before it went is gone.
    changes: AtomicU64,
    /// Hashes of what was last written, by the UID of the owner.
    written: Arc<PerObject<u64>>,
    /// What failed, by namespace.
    failures: Mutex<HashMap<String, Failures>>,
}

#[derive(Default)]
struct Failures {
    paused_until: Option<Instant>,
    logged: Vec<Reason>,
}

/// Asks now and then whether the API is served.
pub fn start(reports: &Arc<OpenReports>, tasks: &mut Tasks) {
    let reports = Arc::clone(reports);
    tasks.spawn_until_stop(async move {
        loop {
            reports.ask().await;
            tokio::time::sleep(jittered(ASK_AGAIN)).await;
        }
    });
}

impl OpenReports {
    /// Writes nothing before [`start`].
    pub fn new(client: Client, writer: Arc<Writer>, registry: &Registry) -> Self {
        Self {
            client,
            writer,
            changes: AtomicU64::new(0),
            written: registry.per_object(),
            failures: Mutex::default(),
        }
    }

    /// Writes the report that `plan` makes for the object with this UID, unless it is as it was last written.
    pub async fn write(&self, uid: &str, namespace: &str, plan: impl FnOnce() -> Option<Planned> + Send) {
        let changes = self.changes();
        if !is_served(changes) || self.is_paused(namespace) {
            return;
        }
        let Some(planned) = plan() else { return };
        let content = hash(changes, &planned.hash);
        if self.written.get(uid) == Some(content) {
            return;
        }
        match self.writer.ensure_live(&planned, false).await {
            Ok(_) => self.written.put(uid, content),
            // The next reconcile tries again.
            Err(
                WriteError::Conflict { .. } | WriteError::Terminating { .. } | WriteError::LeftOver { .. },
            ) => {}
            // All others of the namespace would fail the same way.
            Err(error @ (WriteError::PermissionDenied { .. } | WriteError::Api { .. })) => {
                let until = Instant::now() + ASK_AGAIN;
                self.failures().entry(namespace.to_owned()).or_default().paused_until = Some(until);
                self.log_once(namespace, changes, &error).await;
            }
            // The report is refused as it is: the next one may not be.
            Err(error) => {
                self.written.put(uid, content);
                self.log_once(namespace, changes, &error).await;
            }
        }
    }

    /// Logs the first failure of each reason in each namespace, unless it is that the API went.
    async fn log_once(&self, namespace: &str, changes: u64, error: &WriteError) {
        self.ask().await;
        if self.changes() != changes {
            return;
        }
        let reason = error.reason();
        let is_new = {
            let mut failures = self.failures();
            let logged = &mut failures.entry(namespace.to_owned()).or_default().logged;
            let is_new = !logged.contains(&reason);
            logged.extend(is_new.then_some(reason));
            is_new
        };
        if is_new {
            tracing::warn!(namespace, error = chain(error), "a report for dashboards cannot be written");
        }
    }

    async fn ask(&self) {
        let known = self.changes();
        let found = match self.client.list_api_group_resources(API_VERSION).await {
            Ok(list) => list.resources.iter().any(|resource| resource.name == PLURAL),
            Err(kube::Error::Api(status)) if status.code == 404 => false,
            // The API server is away: what was known stays.
            Err(_) => return,
        };
        if found == is_served(known) {
            return;
        }
        // Another that asked at the same time may have been first.
        if self.changes.compare_exchange(known, known + 1, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.failures().clear();
            tracing::info!(api = API_VERSION, served = found, "the API for reports came or went");
        }
    }

    fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    fn is_paused(&self, namespace: &str) -> bool {
        let until = self.failures().get(namespace).and_then(|failures| failures.paused_until);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<String, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_served(changes: u64) -> bool {
    changes % 2 == 1
}

fn hash(changes: u64, plan: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (changes, plan).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use http::{Method, Request, Response};
    use http_body_util::BodyExt as _;
    use kube::client::Body;
    use serde_json::{Value, json};
    use tessera_crds::names;

    use super::*;
    use crate::fixtures::{node, node_json, now};
    use crate::kube::fault::Faults;
    use crate::kube::meta::{Owner, node_labels};
    use crate::report::open_report::Report;

    /// As much of an API server as reports need.
    #[derive(Default)]
    struct Server {
        is_served: bool,
        refuses: Option<u16>,
        stored: BTreeMap<String, Value>,
        requests: Vec<String>,
    }

    type Shared = Arc<Mutex<Server>>;

    fn status(code: u16) -> (u16, Value) {
        let message = if code == 403 { "reports is forbidden: User \"o\" cannot get resource" } else { "" };
        let reason = if code == 404 { "NotFound" } else { "" };
        (
            code,
            json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}),
        )
    }

    impl Server {
        fn answer(&mut self, method: &Method, path: &str, mut body: Value) -> (u16, Value) {
            self.requests.push(format!("{method} {path}"));
            if !self.is_served {
                return status(404);
            }
            if path == "/apis/openreports.io/v1alpha1" {
                let reports = json!({"name": "reports", "singularName": "", "namespaced": true, "kind": "Report", "verbs": []});
                let list =
                    json!({"kind": "APIResourceList", "groupVersion": API_VERSION, "resources": [reports]});
                return (200, list);
            }
            if let Some(code) = self.refuses {
                return status(code);
            }
            if *method == Method::GET {
                return self.stored.get(path).map_or_else(|| status(404), |found| (200, found.clone()));
            }
            let name = body["metadata"]["name"].as_str().unwrap().to_owned();
            let path = if *method == Method::POST { format!("{path}/{name}") } else { path.to_owned() };
            body["metadata"]["uid"] = json!(name);
            body["metadata"]["resourceVersion"] = json!(self.requests.len().to_string());
            self.stored.insert(path, body.clone());
            (200, body)
        }
    }

    fn lock(server: &Shared) -> MutexGuard<'_, Server> {
        server.lock().unwrap()
    }

    fn take(server: &Shared) -> Vec<String> {
        let methods = std::mem::take(&mut lock(server).requests);
        methods.iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    }

    fn reports(server: &Shared) -> OpenReports {
        let shared = Arc::clone(server);
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = Arc::clone(&shared);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                let (code, answer) = lock(&server).answer(&head.method, head.uri.path(), body);
                let answer = Body::from(answer.to_string().into_bytes());
                Ok::<_, Infallible>(Response::builder().status(code).body(answer).unwrap())
            }
        });
        let client = Client::new(service, "org-a");
        let registry = Registry::default();
        let writer = Writer::new(client.clone(), Faults::new(None), &registry);
        OpenReports::new(client, Arc::new(writer), &registry)
    }

    fn plan(name: &str, label: &str) -> Planned {
        let owner = Owner::new(&node(node_json(name)), node_labels(label, name));
        Planned::new(&Report::new(&owner, names::node::report(name), &[], now()))
    }

    #[tokio::test]
    async fn where_the_api_is_not_served_nothing_is_planned_or_asked() {
        let server = Shared::default();
        let reports = reports(&server);
        reports.write("a", "org-a", || panic!("planned before anybody asked")).await;
        reports.ask().await;
        assert_eq!(take(&server), ["GET"]);
        reports.write("a", "org-a", || panic!("planned")).await;
        assert!(take(&server).is_empty());
    }

    #[tokio::test]
    async fn a_report_is_written_when_it_differs_from_the_last_one() {
        let server = Shared::default();
        lock(&server).is_served = true;
        let reports = reports(&server);
        reports.ask().await;
        take(&server);
        for (label, expected) in
            [("x", vec!["GET", "POST"]), ("x", vec![]), ("y", vec!["GET", "PUT"]), ("y", vec![])]
        {
            reports.write("a", "org-a", || Some(plan("a", label))).await;
            assert_eq!(take(&server), expected, "{label}");
        }
        // A new process finds it as it is.
        let restarted = self::reports(&server);
        restarted.ask().await;
        take(&server);
        restarted.write("a", "org-a", || Some(plan("a", "y"))).await;
        assert_eq!(take(&server), ["GET"]);
    }

    #[tokio::test]
    async fn what_went_with_the_api_is_written_again_when_it_is_back() {
        let server = Shared::default();
        lock(&server).is_served = true;
        let reports = reports(&server);
        reports.ask().await;
        reports.write("a", "org-a", || Some(plan("a", "x"))).await;
        *lock(&server) = Server::default();
        // The write is the first to notice.
        reports.write("a", "org-a", || Some(plan("a", "y"))).await;
        assert_eq!(take(&server), ["GET", "POST", "GET"]);
        reports.write("a", "org-a", || panic!("planned")).await;
        lock(&server).is_served = true;
        reports.ask().await;
        take(&server);
        reports.write("a", "org-a", || Some(plan("a", "x"))).await;
        assert_eq!(take(&server), ["GET", "POST"]);
    }

    #[tokio::test]
    async fn a_namespace_that_refuses_is_left_alone_for_a_while_and_no_other_is() {
        let server = Shared::default();
        lock(&server).is_served = true;
        let reports = reports(&server);
        reports.ask().await;
        for code in [403, 500] {
            lock(&server).refuses = Some(code);
            reports.failures().clear();
            take(&server);
            reports.write("a", "org-a", || Some(plan("a", "x"))).await;
            // The second is for what is served.
            assert_eq!(take(&server), ["GET", "GET"], "{code}");
            reports.write("b", "org-a", || panic!("tried another")).await;
            reports.write("c", "org-b", || Some(plan("c", "x"))).await;
            assert_eq!(take(&server), ["GET", "GET"], "{code}");
        }
    }

    #[tokio::test]
    async fn a_report_of_somebody_else_is_left_as_it_is_until_ours_differs() {
        let server = Shared::default();
        let path = "/apis/openreports.io/v1alpha1/namespaces/org-a/reports/tessera-node-a";
        let theirs = json!({
            "apiVersion": API_VERSION, "kind": "Report", "metadata": {"name": "tessera-node-a", "namespace": "org-a", "uid": "t"},
        });
        lock(&server).is_served = true;
        lock(&server).stored.insert(path.to_owned(), theirs.clone());
        let reports = reports(&server);
        reports.ask().await;
        take(&server);
        reports.write("a", "org-a", || Some(plan("a", "x"))).await;
        assert_eq!(take(&server), ["GET", "GET"]);
        reports.write("a", "org-a", || Some(plan("a", "x"))).await;
        assert!(take(&server).is_empty());
        assert_eq!(lock(&server).stored[path], theirs);
    }
}
