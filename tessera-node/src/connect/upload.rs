//! A request's body on its way to the node, frame by frame.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::activity::Activity;

/// The body; none for a request without.
#[derive(Debug)]
pub(super) struct Upload {
    body: Option<Incoming>,
    activity: Activity,
}

impl Upload {
    pub(super) fn new(body: Incoming, activity: Activity) -> Self {
        Self { body: Some(body).filter(|body| !body.is_end_stream()), activity }
    }

    /// A copy, if there is nothing to copy.
    pub(super) fn copy_of_none(&self) -> Option<Self> {
        self.body.is_none().then(|| Self { body: None, activity: self.activity.clone() })
    }

    /// Reads to the end, and forgets what it reads.
    pub(super) async fn drain(self) {
        let Some(mut body) = self.body else { return };
        while let Some(Ok(_)) = body.frame().await {}
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self { body, activity } = self.get_mut();
        let Some(body) = body else { return Poll::Ready(None) };
        loop {
            let frame = ready!(Pin::new(&mut *body).poll_frame(context));
            activity.touch();
            match frame {
                // Trailers are of one connection.
                Some(Ok(frame)) if !frame.is_data() => {}
                frame => return Poll::Ready(frame),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
