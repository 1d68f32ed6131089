//! The sidecar as a process, and a ledger that speaks to it.

use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::support::client::{Answer, Session, request, segment};
use crate::support::process::{Process, binary, run_to_end};
use crate::support::{PATIENCE, Spec, eventually};

pub(super) struct Sidecar {
    pub(super) process: Process,
    pub(super) socket: PathBuf,
    probe: PathBuf,
    pub(super) log: PathBuf,
}

/// The command line of the sidecar of `node`'s ledger; `wanted` is who the node has to be.
pub(super) fn command(node: &Spec, wanted: &str) -> Command {
    let mut command = binary();
    let path = |name: &str| node.dir.join(name);
    command.args(["connect", "--node-url", &format!("https://{}", node.at(node.q2t)), "--node", wanted]);
    command.args(["--client", "quorum", "--tls"]).arg(path("client-tls"));
    command.arg("--socket").arg(path("tm.sock")).arg("--probe-socket").arg(path("connect-probe.sock"));
    command
}

impl Sidecar {
    /// Started, and its socket is there.
    pub(super) async fn start(node: &Spec) -> Self {
        Self::spawn(node, command(node, &node.identity().to_string())).await
    }

    pub(super) async fn spawn(node: &Spec, command: Command) -> Self {
        let path = |name: &str| node.dir.join(name);
        let (socket, probe, log) = (path("tm.sock"), path("connect-probe.sock"), path("connect.log"));
        let process = Process::spawn_logging(command, &log);
        let sidecar = Self { process, socket, probe, log };
        eventually("the sidecar listens", async || sidecar.open().await).await;
        sidecar
    }

    /// The exit code of a probe, and what it says.
    pub(super) fn probe(&self, question: &str) -> (i32, String) {
        let (code, _, err) = run_to_end(&["probe", question, "--socket", self.probe.to_str().unwrap()]);
        (code, err)
    }

    pub(super) async fn open(&self) -> Option<UnixStream> {
        open(&self.socket).await
    }

    pub(super) async fn session(&self) -> Option<Session> {
        Session::over(self.open().await?).await
    }

    /// On a connection of its own.
    pub(super) async fn try_request(
        &self,
        method: &str,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Option<Answer> {
        let json = [("content-type", "application/json")];
        self.session().await?.try_send(request(method, path, &json, body)).await
    }

    pub(super) async fn request(&self, method: &str, path: &str, body: impl Into<Bytes>) -> Answer {
        self.try_request(method, path, body).await.expect("an answer")
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, Bytes::new()).await
    }

    /// All answers to `bytes`, whose last request asks for the end of the connection.
    pub(super) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.open().await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answers = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answers)).await;
        assert!(read.is_ok(), "the connection stays open: {}", String::from_utf8_lossy(&answers));
        String::from_utf8_lossy(&answers).into_owned()
    }

    pub(super) async fn receive(&self, hash: &str) -> (u16, Vec<u8>) {
        let answer = self.get(&format!("/transaction/{}", segment(hash))).await;
        if answer.status != 200 {
            return (answer.status, answer.body.to_vec());
        }
        let payload = answer.json()["payload"].as_str().unwrap().to_owned();
        (200, tessera_enclave::base64::decode_strict(&payload).unwrap())
    }
}

/// A full queue of the socket is no failure: the sidecar takes one after the other.
pub(super) async fn open(socket: &Path) -> Option<UnixStream> {
    loop {
        match UnixStream::connect(socket).await {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            connected => return connected.ok(),
        }
    }
}
