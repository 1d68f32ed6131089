//! The stacks that are programs of their own: `e2e/stacks`, built by `hack/tools stacks`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::files::SERVER_NAME;
use crate::stack::Party;

/// A JVM needs a second to start, more on a busy machine.
const START_PATIENCE: Duration = Duration::from_mins(1);
const END_PATIENCE: Duration = Duration::from_secs(10);

/// A server. Ended when dropped.
pub(crate) struct Process(Child);

impl Process {
    /// Starts a server, and waits for its port.
    pub(crate) fn serve(program: &str, party: &Party, log: &Path) -> (u16, Self) {
        let output = log.with_extension("out");
        let child = command(program, "server", party)
            .args(["--listen", "127.0.0.1:0"])
            .stdin(Stdio::piped())
            .stdout(File::create(&output).unwrap())
            .stderr(File::create(log).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let process = Self(child);
        let began = Instant::now();
        loop {
            if let Some(port) = port(&fs::read_to_string(&output).unwrap()) {
                return (port, process);
            }
            let said = || fs::read_to_string(log).unwrap();
            assert!(began.elapsed() < START_PATIENCE, "{program} does not listen: {}", said());
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    /// The end of its input ends the program and what it started; a kill would leave that behind.
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let began = Instant::now();
        while began.elapsed() < END_PATIENCE {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            sleep(Duration::from_millis(5));
        }
        // One that has ended already cannot be killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One handshake by a client.
pub(crate) fn connect(program: &str, port: u16, party: &Party) -> Result<(), String> {
    let output = command(program, "client", party)
        .args(["--address", &format!("127.0.0.1:{port}"), "--name", SERVER_NAME, "--count", "1"])
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match said.trim() {
        r#"{"handshakes":1,"failed":0}"# if output.status.success() => Ok(()),
        r#"{"handshakes":1,"failed":1}"# if output.status.code() == Some(1) => {
            Err(complained.trim().to_owned())
        }
        _ => panic!("{program} ends with {}: {said}{complained}", output.status),
    }
}

fn command(program: &str, mode: &str, party: &Party) -> Command {
    let directory = std::env::var_os("STACKS_DIR").map(PathBuf::from).unwrap_or_default();
    assert!(
        !directory.as_os_str().is_empty(),
        "STACKS_DIR must name the folder of foreign TLS stacks: run `hack/tools stacks`, which prints it"
    );
    let mut command = Command::new(directory.join(program));
    command.arg(mode);
    command.arg("--ca").arg(&party.roots).arg("--cert").arg(&party.certificate).arg("--key").arg(&party.key);
    command
}

fn port(output: &str) -> Option<u16> {
    let line = output.lines().find_map(|line| line.strip_prefix("listening "))?;
    // A line that is half written has no end yet.
    if output.ends_with('\n') { line.parse().ok() } else { None }
}
