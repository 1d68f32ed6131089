//! A node as a process of its own.

use std::io::Read;
use std::path::Path;
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
        Self::spawn(command)
    }

    /// Runs another build of the node.
    pub fn start_binary(binary: &Path, node: &Spec) -> Self {
        let mut command = Command::new(binary);
        command.arg("run").arg("--configfile").arg(node.config_file());
        Self::spawn(command)
    }

    pub fn spawn(mut command: Command) -> Self {
        Self(command.stdout(Stdio::null()).spawn().unwrap())
    }

    /// Its standard output goes to `log`.
    pub fn spawn_logging(mut command: Command, log: &Path) -> Self {
        Self(command.stdout(std::fs::File::create(log).unwrap()).spawn().unwrap())
    }

    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Processor time of all its threads, in the kernel's ticks of 10 ms.
    pub fn cpu(&self) -> Duration {
        cpu_of(&std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap())
    }

    /// How often its threads were put aside so far, of their own will or not. A thread that has ended counts no more.
    pub fn context_switches(&self) -> u64 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.0.id())).unwrap();
        let statuses =
            threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("status")).ok());
        statuses.map(|status| switches_of(&status)).sum()
    }

    /// A number of kibibytes in the process's status: `VmHWM` is the most memory that it had so far.
    pub fn kib(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// What the kernel says that it does: `R (running)`, `S (sleeping)`, `Z (zombie)`.
    pub fn state(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let state = status.lines().find_map(|line| line.strip_prefix("State:"));
        state.unwrap_or("gone").trim().to_owned()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// The most memory that it has had, its program file left out.
    pub fn peak_bytes(&self) -> usize {
        // The pages of the program file are the system's to drop, and grow with the program.
        usize::try_from((self.kib("VmHWM") - self.kib("RssFile")) << 10).unwrap()
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

/// As many descriptors as the system allows this process, for tests that open very many connections.
pub fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

/// Context switches in the text of a thread's `status`.
fn switches_of(status: &str) -> u64 {
    let fields = status.lines().filter_map(|line| line.split_once("_ctxt_switches:"));
    fields.filter_map(|(_, count)| count.trim().parse::<u64>().ok()).sum()
}

/// User and system time in the text of a process's `stat`.
pub fn cpu_of(stat: &str) -> Duration {
    // The second field is the name, in parentheses; the times are the 14th and 15th.
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// Runs the binary to its end: exit code, standard output, standard error.
pub fn run_to_end(arguments: &[&str]) -> (i32, String, String) {
    let mut child = binary().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (child.wait().unwrap().code().unwrap_or(-1), out, err)
}
