//! The probes: one question, one line of answer, over a Unix socket, since a kubelet has no client certificate.
//!
//! - `live`: the event loop runs. Nothing else: a node that merely cannot serve must not be killed for that.
//! - `startup`: the process is up and has read its configuration. The socket exists only after that.
//! - `ready`: every readiness gate is satisfied.

use std::convert::Infallible;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::args::ProbeArgs;
use crate::readiness::Readiness;
use crate::tasks::Tasks;

/// A probe that is not answered by then has failed.
const TIMEOUT: Duration = Duration::from_secs(2);
/// After a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Questions and answers are one short line.
const LINE_BYTES: u64 = 4096;
const YES: &str = "yes";

/// The probe socket cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("probe socket {path} cannot be bound: its directory must exist and be writable")]
pub struct BindError {
    path: PathBuf,
    source: io::Error,
}

/// The listening socket.
#[derive(Debug)]
pub struct ProbeSocket(UnixListener);

impl ProbeSocket {
    /// Binds `path`; a socket that an earlier run left there is replaced.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let failed = |source| BindError { path: path.to_owned(), source };
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        UnixListener::bind(path).map(Self).map_err(failed)
    }

    /// Answers as long as it is polled.
    pub async fn run(self, readiness: Readiness, tasks: Tasks) -> Result<(), Infallible> {
        loop {
            let Ok((stream, _)) = self.0.accept().await else {
                // The kubelet asks again. Out of descriptors, the next try would fail at once as well.
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let readiness = readiness.clone();
            tasks.job(async move {
                // A client that goes away is no error.
                let _ = tokio::time::timeout(TIMEOUT, answer(stream, &readiness)).await;
            });
        }
    }
}

async fn answer(mut stream: UnixStream, readiness: &Readiness) -> io::Result<()> {
    let mut question = String::new();
    let (read, mut write) = stream.split();
    tokio::io::BufReader::new(read.take(LINE_BYTES)).read_line(&mut question).await?;
    let line = match question.trim() {
        "live" | "startup" => YES.to_owned(),
        "ready" if readiness.is_ready() => YES.to_owned(),
        "ready" => readiness.awaiting().join("; "),
        _ => "unknown question".to_owned(),
    };
    write.write_all(format!("{line}\n").as_bytes()).await
}

/// Asks a running node; the error says why the answer is no.
pub fn ask(args: &ProbeArgs) -> Result<(), String> {
    let answer =
        exchange(args).map_err(|error| format!("no answer on {}: {error}", args.socket.display()))?;
    if answer.trim() == YES { Ok(()) } else { Err(answer.trim().to_owned()) }
}

fn exchange(args: &ProbeArgs) -> io::Result<String> {
    let mut stream = BlockingStream::connect(&args.socket)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(format!("{}\n", args.question.as_str()).as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream.take(LINE_BYTES)).read_line(&mut answer)?;
    Ok(answer)
}
