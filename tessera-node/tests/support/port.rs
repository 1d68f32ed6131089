//! A port of a test. The operator includes this file, too.

use std::net::{IpAddr, SocketAddr};

use tokio::net::TcpSocket;

/// A port that the kernel gives to nobody who asks for any port. Who names it can listen on it, since both sides allow
/// the reuse of addresses; until then a connect to it is refused.
#[derive(Debug)]
pub struct Port(TcpSocket);

impl Port {
    pub fn reserve(host: IpAddr) -> Self {
        let socket = if host.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(SocketAddr::new(host, 0)).unwrap();
        Self(socket)
    }

    pub fn number(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }
}
