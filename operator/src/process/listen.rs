//! Binds a listener.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use rustix::io::Errno;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that wait in the kernel.
const BACKLOG: u32 = 64;

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
    // A restarted operator must not wait for the connections of its last run.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn is_every_address(address: SocketAddr) -> bool {
    address.is_ipv6() && address.ip().is_unspecified()
}

fn lacks_ipv6(error: &io::Error) -> bool {
    let errors = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL].map(|errno| Some(errno.raw_os_error()));
    errors.contains(&error.raw_os_error())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv6Addr};

    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn the_address_of_all_is_of_both_families() {
        let listener = bind("[::]:0".parse().unwrap()).unwrap();
        let bound = listener.local_addr().unwrap();
        let v6 = bound.is_ipv6().then_some(IpAddr::V6(Ipv6Addr::LOCALHOST));
        for host in [Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), v6].into_iter().flatten() {
            let connected = TcpStream::connect((host, bound.port())).await;
            assert!(connected.is_ok(), "{host}: {connected:?}");
        }
    }

    #[tokio::test]
    async fn an_address_of_one_family_is_of_that_one() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        assert!(listener.local_addr().unwrap().is_ipv4());
    }
}
