//! One TCP connect, and what its failure says of the network between.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

/// A policy that drops packets answers nothing.
const CONNECT: Duration = Duration::from_secs(3);

/// How a connect ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Connect {
    /// It was made.
    Made,
    /// It was refused, or nothing answered in time.
    Denied,
    /// This machine did not send it, for this reason.
    NotSent(String),
}

pub(super) async fn connect(address: SocketAddr) -> Connect {
    match open(address).await {
        Ok(_) => Connect::Made,
        Err(other) => other,
    }
}

/// The connection; how it ended otherwise.
pub(super) async fn open(address: SocketAddr) -> Result<TcpStream, Connect> {
    match timeout(CONNECT, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(failed(&error)),
        Err(_) => Err(Connect::Denied),
    }
}

/// A policy rejects with a reset or with an unreachable address. Any other error, for example of a lack of descriptors or
/// of a firewall on this side, says nothing of the other side.
fn failed(error: &Error) -> Connect {
    match error.kind() {
        ErrorKind::ConnectionRefused
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::TimedOut
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable => Connect::Denied,
        _ => Connect::NotSent(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpSocket};

    #[tokio::test]
    async fn a_listener_is_reached_and_a_port_that_does_not_listen_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        assert_eq!(connect(listener.local_addr().unwrap()).await, Connect::Made);
        // Bound, so that nobody else is given its port, and not listening.
        let silent = TcpSocket::new_v4().unwrap();
        silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_eq!(connect(silent.local_addr().unwrap()).await, Connect::Denied);
    }

    #[test]
    fn an_error_of_this_side_says_nothing_of_the_other() {
        assert!(matches!(failed(&ErrorKind::PermissionDenied.into()), Connect::NotSent(_)));
        assert_eq!(failed(&ErrorKind::HostUnreachable.into()), Connect::Denied);
    }
}
