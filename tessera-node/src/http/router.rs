//! A resource is said once: method, path, name and handler. The answers to `OPTIONS`, to a wrong method and to an
//! unknown path follow from the table, and so does the route's label in the metrics.

use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::{ALLOW, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};
use hyper::body::Incoming;

use super::body;
use super::caller::Caller;
use super::path;
use super::problem::Problem;
use super::reply::{self, Hold, Reply};
use crate::config::Limits;
use crate::resources::{MemoryShare, Permit};

/// Bytes of memory for each byte of a body, at the worst moment: the body or the message in it, the encoding for a
/// recipient, the record, and the record's copy in the store's batch.
const BODY_COST: u64 = 4;
/// Bytes of memory for each byte of a record that is read: as it is read, its copy, and the message.
const ANSWER_COST: u64 = 3;
/// Of each answer, outside the budget.
const FREE_ANSWER_BYTES: u64 = 16 << 10;

/// What a listener serves.
pub(crate) trait Api: Sized + Send + Sync + 'static {
    /// The largest body that makes sense here, in bytes.
    const LARGEST_BODY: u64 = 0;

    /// Every method of every resource, once.
    fn routes() -> Vec<Route<Self>>;

    /// Whether this caller may ask at all.
    fn admit(&self, _caller: &Caller) -> Result<(), Problem> {
        Ok(())
    }
}

/// Answers one request.
pub(crate) type Handler<A> = for<'a> fn(&'a A, Call<'a>) -> BoxFuture<'a, Result<Reply, Problem>>;

/// One method of one resource.
pub(crate) struct Route<A> {
    method: Method,
    path: &'static str,
    name: &'static str,
    handler: Handler<A>,
}

impl<A> Route<A> {
    /// `path` is a pattern of `matchit`; `name` is the label of the metrics.
    pub(crate) fn get(path: &'static str, name: &'static str, handler: Handler<A>) -> Self {
        Self { method: Method::GET, path, name, handler }
    }

    /// Like [`Self::get`].
    pub(crate) fn post(path: &'static str, name: &'static str, handler: Handler<A>) -> Self {
        Self { method: Method::POST, path, name, handler }
    }
}

/// An answer, and the name of the route for metrics.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) route: &'static str,
    pub(crate) reply: Reply,
}

impl Answer {
    pub(crate) fn new(route: &'static str, reply: Reply) -> Self {
        Self { route, reply }
    }
}

/// One request on its way to its handler.
pub(crate) struct Call<'a> {
    pub(crate) request: &'a Parts,
    pub(crate) caller: &'a Caller,
    limits: &'a Limits,
    parameter: Option<String>,
    body: Option<Incoming>,
    /// Ends with the request, not with its body, or with the answer if that takes it.
    permit: Permit,
}

impl Call<'_> {
    /// The one parameter of the path, decoded; empty where the pattern has none.
    pub(crate) fn parameter(&self) -> &str {
        self.parameter.as_deref().unwrap_or_default()
    }

    /// The whole body, if it has at most `most` bytes and at most what the listener accepts.
    pub(crate) async fn body(&mut self, most: u64) -> Result<Bytes, Problem> {
        let Some(body) = self.body.take() else { return Ok(Bytes::new()) };
        let limits = Limits { body_bytes: self.limits.body_bytes.min(most), ..self.limits.clone() };
        body::collect(self.request, body, &limits, BODY_COST, &mut self.permit).await
    }

    /// Waits for the memory to read a record of `bytes` and to answer with it. Small ones need no permit.
    pub(crate) async fn reserve_answer(&mut self, bytes: u64) -> Result<(), Problem> {
        if bytes > FREE_ANSWER_BYTES {
            self.permit.grow(bytes.saturating_mul(ANSWER_COST)).await?;
        }
        Ok(())
    }

    /// The memory of the body, for work that may go on after the caller has gone.
    pub(crate) fn take_memory(&mut self) -> Permit {
        self.permit.take()
    }

    /// What the answer holds until it is sent: the memory that was reserved, and a deadline for the reader if that is any.
    pub(crate) fn hold(&mut self, bytes: usize) -> Option<Hold> {
        let permit = self.permit.take();
        (!permit.is_empty()).then(|| Hold::new(permit, self.caller.reading(bytes)))
    }
}

/// Finds the handler of a request.
pub(crate) struct Router<A> {
    api: A,
    limits: Limits,
    share: MemoryShare,
    resources: matchit::Router<Resource<A>>,
}

struct Resource<A> {
    name: &'static str,
    handlers: Vec<(Method, Handler<A>)>,
}

impl<A: Api> Router<A> {
    /// A body is bounded by the configuration, by the largest that makes sense, and by the memory there is.
    pub(crate) fn new(api: A, mut limits: Limits, share: MemoryShare) -> Self {
        limits.body_bytes = limits.body_bytes.min(A::LARGEST_BODY).min(share.bytes() / BODY_COST);
        let mut resources = matchit::Router::new();
        let mut routes = A::routes();
        while let Some(first) = routes.first() {
            let (path, name) = (first.path, first.name);
            let handlers = routes.extract_if(.., |route| route.path == path);
            let handlers = handlers.map(|route| (route.method, route.handler)).collect();
            resources
                .insert(path, Resource { name, handlers })
                .expect("a table of patterns without conflicts");
        }
        Self { api, limits, share, resources }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) async fn answer(&self, request: &Parts, body: Incoming, caller: &Caller) -> Answer {
        let path = match path::canonical(request.uri.path()) {
            Ok(path) => path,
            Err(problem) => return Answer::new("unknown", problem.into_reply(request)),
        };
        let Ok(found) = self.resources.at(&path) else {
            return Answer::new("unknown", Problem::not_found().into_reply(request));
        };
        let resource = found.value;
        if request.method == Method::OPTIONS {
            return Answer::new(resource.name, resource.options());
        }
        let call = Call {
            request,
            caller,
            limits: &self.limits,
            parameter: found.params.iter().next().map(|(_, value)| path::decode(value)),
            body: Some(body),
            permit: self.share.permit(),
        };
        let reply = self.serve(resource, call).await;
        Answer::new(resource.name, reply.unwrap_or_else(|problem| problem.into_reply(request)))
    }

    async fn serve(&self, resource: &Resource<A>, call: Call<'_>) -> Result<Reply, Problem> {
        self.api.admit(call.caller)?;
        resource.handler(&call.request.method)?(&self.api, call).await
    }
}

impl<A> Resource<A> {
    /// `HEAD` goes wherever `GET` does.
    fn handler(&self, method: &Method) -> Result<Handler<A>, Problem> {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let handler = self.handlers.iter().find(|(known, _)| known == method);
        handler.map(|(_, handler)| *handler).ok_or_else(|| Problem::jax_rs("405 Method Not Allowed"))
    }

    /// The answer to `OPTIONS`, which every resource has.
    fn options(&self) -> Reply {
        let mut names: Vec<&str> = self.handlers.iter().map(|(method, _)| method.as_str()).collect();
        if names.contains(&"GET") {
            names.insert(0, "HEAD");
        }
        names.push("OPTIONS");
        let mut reply = reply::of(StatusCode::OK, "", Bytes::new());
        if let Ok(value) = HeaderValue::from_str(&names.join(",")) {
            reply.headers_mut().insert(ALLOW, value);
        }
        reply
    }
}
