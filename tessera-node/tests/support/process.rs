//! A node as a process of its own.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::Spec;

/// Killed when dropped.
pub struct Process(Child);

pub fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tessera-node"))
}

impl Process {
    pub fn start(node: &Spec) -> Self {
        Self::start_with(node, &[])
    }

    pub fn start_with(node: &Spec, arguments: &[&str]) -> Self {
        let mut command = binary();
        command.arg("run").arg("--configfile").arg(node.config_file()).args(arguments);
        Self(command.stdout(Stdio::null()).spawn().unwrap())
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Its exit status, if it ends by then.
    pub fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return Some(status);
            }
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already cannot be killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the binary to its end: exit code, standard output, standard error.
pub fn run_to_end(arguments: &[&str]) -> (i32, String, String) {
    let mut child = binary().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (child.wait().unwrap().code().unwrap_or(-1), out, err)
}
