//! Whether a TCP connection opens. An unknown name is another answer: it says nothing about who may connect.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// Prints `connected`, `refused`, `timeout`, `unresolved` or the error, and says it by the exit code.
pub(crate) async fn probe(target: &str, patience: Duration) -> ExitCode {
    let addresses: Vec<SocketAddr> = match lookup_host(target).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            println!("unresolved: {error}");
            return ExitCode::from(6);
        }
    };
    match timeout(patience, TcpStream::connect(addresses.as_slice())).await {
        Ok(Ok(_)) => {
            println!("connected");
            return ExitCode::SUCCESS;
        }
        // NetworkPolicy shows as either of these, depending on who enforces it and on how often one dials.
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => println!("refused"),
        Ok(Err(error)) => println!("failed: {error}"),
        Err(_) => println!("timeout"),
    }
    ExitCode::from(7)
}
