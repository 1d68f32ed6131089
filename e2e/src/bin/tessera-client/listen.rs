//! Accepts TCP connections and greets each with a text, as an SSH server does first.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A client that keeps its connection open for longer is cut off.
const LONGEST: Duration = Duration::from_secs(10);

pub(crate) async fn serve(listen: SocketAddr, greeting: &str) -> Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("listening on {listen}"))?;
    loop {
        let (stream, from) = listener.accept().await?;
        println!("connection from {from}");
        // One that fails, or ends early, concerns nobody else.
        drop(timeout(LONGEST, greet(stream, greeting)).await);
    }
}

/// Until the client closes the connection.
async fn greet(mut stream: TcpStream, greeting: &str) -> Result<()> {
    stream.write_all(greeting.as_bytes()).await?;
    while stream.read(&mut [0; 64]).await? > 0 {}
    Ok(())
}
