//! Listens on the port numbers that the operator must not reach in nodes, also while this process stands by: another operator
//! that reaches them here knows that nothing on its own side keeps it from these ports. Nothing is read and nothing is sent.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpListener;

use super::listen;
use super::tasks::Tasks;
use crate::checklist::stranger::CLOSED_PORTS;

/// After an error, for example of a lack of descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// Listens until the process ends.
pub(super) fn start(tasks: &mut Tasks) -> io::Result<()> {
    for port in CLOSED_PORTS {
        let listener = listen::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port.number)))?;
        tasks.spawn_until_stop(close_each(listener));
    }
    Ok(())
}

async fn close_each(listener: TcpListener) -> String {
    loop {
        match listener.accept().await {
            Ok(connection) => drop(connection),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
