//! The probes: one question, one line of answer, over a Unix socket, since a kubelet has no client certificate. The socket also
//! takes the one command for a running node, [`crate::repair`], so only the node's own user may connect.
//!
//! - `live`: the event loop runs. Nothing else: a node that merely cannot serve must not be killed for that.
//! - `startup`: the process is up and has read its configuration. The socket exists only after that.
//! - `ready`: every readiness gate is satisfied.

use std::convert::Infallible;
use std::fs::Permissions;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::time::timeout;

use crate::args::ProbeArgs;
use crate::readiness::Readiness;
use crate::repair::{self, Repairs};
use crate::tasks::Tasks;

/// A probe that is not answered by then has failed.
const TIMEOUT: Duration = Duration::from_secs(2);
/// After a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Questions and answers are one line.
const LINE_BYTES: u64 = 8192;
const YES: &str = "yes";
/// Read and write for the owner.
const MODE: u32 = 0o600;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 128;

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
    /// Binds `path`, for this process's user alone; a socket that an earlier run left there is replaced.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let failed = |source| BindError { path: path.to_owned(), source };
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        Self::listen(path).map(Self).map_err(failed)
    }

    fn listen(path: &Path) -> io::Result<UnixListener> {
        let socket = UnixSocket::new_stream()?;
        socket.bind(path)?;
        // Set before the socket listens, so that no client connects under the mode that the process's umask gives.
        std::fs::set_permissions(path, Permissions::from_mode(MODE))?;
        socket.listen(BACKLOG)
    }

    /// Answers as long as it is polled.
    pub async fn run(self, readiness: Readiness, tasks: Tasks) -> Result<(), Infallible> {
        self.serve(readiness, None, tasks).await
    }

    /// As [`Self::run`], and takes the command of [`crate::repair`].
    pub(crate) async fn run_with(
        self,
        readiness: Readiness,
        repairs: Repairs,
        tasks: Tasks,
    ) -> Result<(), Infallible> {
        self.serve(readiness, Some(repairs), tasks).await
    }

    async fn serve(
        self,
        readiness: Readiness,
        repairs: Option<Repairs>,
        tasks: Tasks,
    ) -> Result<(), Infallible> {
        loop {
            let Ok((stream, _)) = self.0.accept().await else {
                // The kubelet asks again. Out of descriptors, the next try would fail at once as well.
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let (readiness, repairs) = (readiness.clone(), repairs.clone());
            tasks.job(async move {
                // A client that goes away is no error.
                let _ = answer(stream, &readiness, repairs.as_ref()).await;
            });
        }
    }
}

async fn answer(mut stream: UnixStream, readiness: &Readiness, repairs: Option<&Repairs>) -> io::Result<()> {
    let mut question = String::new();
    let (read, mut write) = stream.split();
    let mut read = tokio::io::BufReader::new(read.take(LINE_BYTES));
    timeout(TIMEOUT, read.read_line(&mut question)).await??;
    let line = match (question.trim(), repairs) {
        ("live" | "startup", _) => YES.to_owned(),
        ("ready", _) if readiness.is_ready() => YES.to_owned(),
        ("ready", _) => readiness.awaiting().join("; "),
        (command, Some(repairs)) if command.starts_with(repair::COMMAND) => {
            repairs.answer(&command[repair::COMMAND.len()..]).await
        }
        _ => "unknown question".to_owned(),
    };
    timeout(TIMEOUT, write.write_all(format!("{line}\n").as_bytes())).await?
}

/// Asks a running node; the error says why the answer is no.
pub fn ask(args: &ProbeArgs) -> Result<(), String> {
    let answer = exchange(&args.socket, args.question.as_str(), TIMEOUT)
        .map_err(|error| format!("no answer on {}: {error}", args.socket.display()))?;
    if answer.trim() == YES { Ok(()) } else { Err(answer.trim().to_owned()) }
}

/// Writes one line, and reads one line within `patience`.
pub(crate) fn exchange(socket: &Path, question: &str, patience: Duration) -> io::Result<String> {
    let mut stream = BlockingStream::connect(socket)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(format!("{question}\n").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream.take(LINE_BYTES)).read_line(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_owner_may_connect() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("probe.sock");
        // Twice: the second replaces the socket that the first left.
        for _ in 0..2 {
            let socket = ProbeSocket::bind(&path).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
            let (connected, accepted) = tokio::join!(UnixStream::connect(&path), socket.0.accept());
            assert!(connected.is_ok() && accepted.is_ok());
        }
        // An entry that is not replaced is left as it is.
        let taken = directory.path().join("directory");
        std::fs::create_dir(&taken).unwrap();
        assert!(ProbeSocket::bind(&taken).is_err());
    }
}
