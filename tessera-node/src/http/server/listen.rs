//! Binds a listener.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that wait in the kernel.
const BACKLOG: u32 = 1024;

/// Binds `address`. `[::]` listens on both address families, and on IPv4 alone where the machine has no IPv6.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    match listen(address) {
        Err(error) if is_every_address(address) && lacks_ipv6(&error) => {
            listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
        }
        bound => bound,
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if is_every_address(address) {
        SockRef::from(&socket).set_only_v6(false)?;
    }
    // A restarted node must not wait for the connections of its last run.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn is_every_address(address: SocketAddr) -> bool {
    address.is_ipv6() && address.ip().is_unspecified()
}

fn lacks_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL]
        .map(Errno::raw_os_error)
        .contains(&error.raw_os_error().unwrap_or(0))
}
