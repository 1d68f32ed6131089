//! The tests' mouth and ear in a pod: a ledger node's requests without a ledger node.
//!
//! ```text
//! kubectl exec ledger-a -- /tessera-client request GET https://node-a.org-a.svc:8080/upcheck
//!                          /tessera-client connect node-a.org-a.svc:8080
//! pod's own command:       /tessera-client wait        idle until SIGTERM
//!                          /tessera-client capture     write down what is sent to a fake store
//!                          /tessera-client listen      accept TCP connections and greet
//! ```
//!
//! It is the whole of its image, which has no shell, so what a test needs to know it must print or say by its exit code:
//! 0 as asked, 6 the name is not known, 7 no connection or no response, 2 wrong usage.

mod connect;
mod listen;
mod request;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, Parser)]
#[command(name = "tessera-client", version, about = "Speaks to Tessera nodes from inside a pod")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Idle until SIGTERM
    Wait,
    /// Make one request; print the status line, then the body
    Request(Box<request::Request>),
    /// Open one TCP connection; print connected, or why not
    Connect {
        /// host:port
        target: String,
        /// Seconds to wait
        #[arg(long, default_value_t = 3)]
        timeout: u64,
    },
    /// Serve HTTPS, print each request as one line, and answer 503
    Capture {
        /// ip:port
        #[arg(long)]
        listen: SocketAddr,
        /// Directory with tls.crt and tls.key
        #[arg(long)]
        tls_dir: PathBuf,
    },
    /// Accept TCP connections, greet each with a line
    Listen {
        /// ip:port
        #[arg(long)]
        listen: SocketAddr,
        /// Without the end of line
        #[arg(long)]
        greeting: String,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nothing else has installed a provider before the first line of main");
    match run(Args::parse().command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(7)
        }
    }
}

async fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Wait => terminated().await?,
        Command::Request(request) => request.print().await?,
        Command::Connect { target, timeout } => {
            return Ok(connect::probe(&target, Duration::from_secs(timeout)).await);
        }
        Command::Capture { listen, tls_dir } => {
            tokio::select! {
                served = tessera_e2e::capture::serve(listen, &tls_dir) => served?,
                ended = terminated() => ended?,
            }
        }
        Command::Listen { listen, greeting } => {
            let greeting = format!("{greeting}\r\n");
            tokio::select! {
                served = listen::serve(listen, &greeting) => served?,
                ended = terminated() => ended?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The first process of a container has no default action for SIGTERM: unhandled, it would be killed after the grace
/// period.
async fn terminated() -> Result<()> {
    signal(SignalKind::terminate())?.recv().await;
    Ok(())
}
