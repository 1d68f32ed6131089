//! One interface to the four stacks.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::files::{Files, Shown, Side, Trust};
use crate::process::Process;
use crate::{process, rustls_stack};

/// A server tells of a refusal within milliseconds of it.
const LOG_PATIENCE: Duration = Duration::from_secs(5);

/// A TLS library as its usual users have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stack {
    Go,
    Jdk,
    OpenSsl,
    Rustls,
}

/// What a party has against the certificate of its peer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Problem {
    UnknownAuthority,
    NoCertificate,
}

/// A server that requires a client certificate. Ended when dropped.
pub(crate) struct Server {
    port: u16,
    log: PathBuf,
    _running: Running,
}

/// The files that a party is started with.
pub(crate) struct Party {
    pub(crate) roots: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

enum Running {
    Process { _process: Process },
    Rustls { _server: rustls_stack::Server },
}

impl Stack {
    pub(crate) const ALL: [Self; 4] = [Self::Go, Self::Jdk, Self::OpenSsl, Self::Rustls];

    /// One handshake, request and answer, or why there was no answer.
    pub(crate) fn connect(
        self,
        server: &Server,
        files: &Files,
        trust: Trust,
        shown: Shown,
    ) -> Result<(), String> {
        let party = Party::new(files, Side::Client, trust, shown);
        match self.program() {
            Some(program) => process::connect(program, server.port, &party),
            None => rustls_stack::connect(server.port, &party),
        }
    }

    /// Whether the stack's own words, as server or as client, speak of this problem.
    pub(crate) fn says(self, problem: Problem, text: Option<&String>) -> bool {
        let words = match (problem, self) {
            (Problem::UnknownAuthority, Self::Go) => "x509: certificate signed by unknown authority",
            (Problem::UnknownAuthority, Self::Jdk) => "unable to find valid certification path",
            (Problem::UnknownAuthority, Self::OpenSsl) => "unable to get local issuer certificate",
            (Problem::UnknownAuthority, Self::Rustls) => "UnknownIssuer",
            (Problem::NoCertificate, Self::Go) => "client didn't provide a certificate",
            (Problem::NoCertificate, Self::Jdk) => "Empty client certificate chain",
            (Problem::NoCertificate, Self::OpenSsl) => "peer did not return a certificate",
            (Problem::NoCertificate, Self::Rustls) => "peer sent no certificates",
        };
        text.is_some_and(|text| text.contains(words))
    }

    /// Whether the stack shows no certificate to a server that names none of its issuers.
    pub(crate) fn omits_strangers(self) -> bool {
        self == Self::Jdk
    }

    fn program(self) -> Option<&'static str> {
        match self {
            Self::Go => Some("stack-go"),
            Self::Jdk => Some("stack-java"),
            Self::OpenSsl => Some("stack-openssl"),
            Self::Rustls => None,
        }
    }
}

impl Server {
    pub(crate) fn start(stack: Stack, files: &Files, trust: Trust, shown: Shown) -> Self {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let log = files.directory().join(format!("server-{number}.log"));
        let party = Party::new(files, Side::Server, trust, shown);
        let (port, running) = if let Some(program) = stack.program() {
            let (port, process) = Process::serve(program, &party, &log);
            (port, Running::Process { _process: process })
        } else {
            let server = rustls_stack::Server::start(&party, &log);
            (server.port(), Running::Rustls { _server: server })
        };
        Self { port, log, _running: running }
    }

    /// All that the server has said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// What the server said after `before`. Waits until it says that it refused a connection.
    pub(crate) fn log_after(&self, before: &str) -> String {
        let began = Instant::now();
        loop {
            let log = self.log();
            let said = &log[before.len()..];
            // OpenSSL's server has its own format.
            if said.contains("refused: ") || said.contains("error:") || began.elapsed() > LOG_PATIENCE {
                return said.to_owned();
            }
            sleep(Duration::from_millis(10));
        }
    }
}

impl Party {
    fn new(files: &Files, side: Side, trust: Trust, shown: Shown) -> Self {
        let (certificate, key) = files.pair(side, shown);
        Self { roots: files.roots(trust), certificate, key }
    }
}
