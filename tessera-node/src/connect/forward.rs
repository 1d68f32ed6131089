//! Carries one request to the node and its answer back; both bodies pass part by part.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, timeout};

use super::activity::Activity;
use super::connections::InUse;
use super::head;
use super::node_client::{self, Failed, NodeClient, QUIET};
use super::pool::Lease;
use super::problem::Problem;
use super::upload::Upload;
use crate::log_limiter::LogLimiter;
use crate::peers::NodeUrl;
use crate::telemetry;

/// How long a refused ledger may go on sending before the answer. A connection that is closed with unread bytes is reset, and
/// the ledger would see that instead of the answer.
const LINGER: Duration = Duration::from_secs(1);

/// Carries requests to one node.
#[derive(Debug)]
pub(super) struct Forwarder {
    node: Arc<NodeClient>,
    host: HeaderValue,
    problems: LogLimiter<(&'static str, String)>,
}

impl Forwarder {
    pub(super) fn new(node: Arc<NodeClient>, url: &NodeUrl) -> Self {
        Self { node, host: node_client::host_header(url), problems: LogLimiter::default() }
    }

    /// The answer: the node's, or why there is none.
    pub(super) async fn answer(&self, request: Request<Incoming>, in_use: InUse) -> Response<Answer> {
        let method = request.method().clone();
        let answer = match self.carry(request).await {
            Ok((response, lease)) => {
                let (mut head, body) = response.into_parts();
                head::strip(&mut head.headers);
                Response::from_parts(head, Answer::carried(body, lease, in_use))
            }
            Err(problem) => self.refusal(&method, &problem, in_use),
        };
        tracing::debug!(%method, status = answer.status().as_u16(), "answered");
        answer
    }

    async fn carry(&self, request: Request<Incoming>) -> Result<(Response<Incoming>, Lease), Problem> {
        let (head, body) = request.into_parts();
        let activity = Activity::new();
        let head = match head::carried(head, &self.host) {
            Ok(head) => head,
            Err(refused) => {
                linger(Upload::new(body, activity)).await;
                return Err(refused.into());
            }
        };
        let request = node_client::request(head, body, activity.clone());
        match self.node.send(request, &activity).await {
            Ok(answered) => Ok(answered),
            Err(Failed { problem, unsent }) => {
                if let Some(request) = unsent {
                    linger(request.into_body()).await;
                }
                Err(problem)
            }
        }
    }

    fn refusal(&self, method: &Method, problem: &Problem, in_use: InUse) -> Response<Answer> {
        let text = problem.text(self.node.name());
        let error = telemetry::chain(problem);
        if let Some(suppressed) = self.problems.admit((problem.kind(), error.clone())) {
            let node = self.node.name();
            tracing::warn!(node, %method, reason = problem.kind(), error, suppressed, "a request has no answer of the node");
        }
        let mut response = Response::new(Answer::text(text, in_use));
        *response.status_mut() = problem.status();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        response
    }
}

async fn linger(body: Upload) {
    let _ = timeout(LINGER, body.drain()).await;
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Answer {
    content: Content,
    /// The ledger's connection is in use until the whole answer is sent.
    _in_use: InUse,
}

#[derive(Debug)]
enum Content {
    Text(Option<Bytes>),
    Carried(Box<Carried>),
}

#[derive(Debug)]
struct Carried {
    body: Incoming,
    ended: bool,
    /// None once the connection waits for the next request.
    lease: Option<Lease>,
    quiet: Pin<Box<Sleep>>,
}

/// Why an answer ends in the middle.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    /// The node's connection broke.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    /// Nothing came.
    #[error("the rest of the node's answer did not come within {} s", QUIET.as_secs())]
    Quiet,
}

impl Answer {
    fn text(text: String, in_use: InUse) -> Self {
        Self { content: Content::Text(Some(text.into())), _in_use: in_use }
    }

    fn carried(body: Incoming, lease: Lease, in_use: InUse) -> Self {
        let quiet = Box::pin(tokio::time::sleep(QUIET));
        let carried = Carried { body, ended: false, lease: Some(lease), quiet };
        Self { content: Content::Carried(Box::new(carried)), _in_use: in_use }
    }
}

type NextFrame = Poll<Option<Result<Frame<Bytes>, AnswerError>>>;

impl Carried {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> NextFrame {
        loop {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.quiet.as_mut().reset(Instant::now() + QUIET);
                    // Trailers are of one connection.
                    if frame.is_data() {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Ready(None) => {
                    self.ended = true;
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    return match self.quiet.as_mut().poll(context) {
                        Poll::Ready(()) => Poll::Ready(Some(Err(AnswerError::Quiet))),
                        Poll::Pending => Poll::Pending,
                    };
                }
            }
        }
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        // Else the connection is closed: the rest of the answer would come before the next one.
        if (self.ended || self.body.is_end_stream())
            && let Some(lease) = self.lease.take()
        {
            lease.give_back();
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> NextFrame {
        match &mut self.get_mut().content {
            Content::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Content::Carried(carried) => carried.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Text(text) => text.is_none(),
            Content::Carried(carried) => carried.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Content::Carried(carried) => carried.body.size_hint(),
        }
    }
}
