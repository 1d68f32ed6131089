//! The ledger's side: accepts, bounds, and ends connections.

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio_io_timeout::TimeoutStream;

use super::connections::{Connection, Connections};
use super::forward::Forwarder;
use crate::tasks::Tasks;

/// Of a request's head, as the node has it. Larger ones are answered with 431.
const HEAD_BYTES: usize = 8 << 10;
/// The longest that a connection waits for its next request, a request for the rest of its head, and an answer for the ledger to
/// read on.
const IDLE: Duration = Duration::from_mins(2);
/// Before the next try to accept, when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where ledgers connect.
#[derive(Debug)]
pub(super) enum Listener {
    Unix(UnixListener),
    Loopback(TcpListener),
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// What a connection needs.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) forwarder: Arc<Forwarder>,
    pub(super) connections: Connections,
    pub(super) tasks: Tasks,
}

/// Binds the port of 127.0.0.1, never of another address.
pub(super) async fn bind_loopback(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
}

impl Listener {
    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
            Self::Loopback(listener) => {
                let (stream, _) = listener.accept().await?;
                // Answers are small and awaited.
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
        }
    }
}

impl Server {
    /// Accepts until the sidecar drains.
    pub(super) async fn run(self, listener: Listener) -> Result<(), Infallible> {
        let server = Arc::new(self);
        let draining = server.tasks.draining().clone();
        loop {
            // The next connection's, before it is there.
            let connection = tokio::select! {
                () = draining.cancelled() => return Ok(()),
                connection = server.connections.admit() => connection,
            };
            let accepted = tokio::select! {
                () = draining.cancelled() => return Ok(()),
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(stream) => server.tasks.job(Arc::clone(&server).serve(stream, connection)),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(self: Arc<Self>, stream: Box<dyn Stream>, connection: Connection) {
        let connection = Arc::new(connection);
        let mut stream = TimeoutStream::new(stream);
        // A ledger that stops reading must release its slot.
        stream.set_write_timeout(Some(IDLE));
        let service = service_fn(|request| {
            let (forwarder, in_use) = (Arc::clone(&self.forwarder), connection.begin());
            async move { Ok::<_, Infallible>(forwarder.answer(request, in_use).await) }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(Box::pin(stream)), service);
        tokio::pin!(served);
        tokio::select! {
            // Ledgers end their connections as they like.
            _ = &mut served => return,
            () = connection.superseded() => {
                served.as_mut().graceful_shutdown();
                // A request that has arrived begins now, and ends well.
                if served.as_mut().now_or_never().is_none() && connection.is_in_use() {
                    let _ = served.await;
                }
                return;
            }
            () = self.tasks.draining().cancelled() => served.as_mut().graceful_shutdown(),
        }
        // The drain's own deadline ends this.
        let _ = served.await;
    }
}
