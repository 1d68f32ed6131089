//! A real `PostgreSQL` server as a process of its own, on loopback, with TLS.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use super::ca::{Ca, Wish, wish};
use super::{PATIENCE, Port, Spec};

/// Who owns the server's files when root runs the tests: a server refuses to run as root. `nobody` of every system.
const NOBODY: u32 = 65534;
/// The role that owns the databases; it logs in with a certificate.
pub const ROLE: &str = "ledger";

/// A connection of `psql`.
pub struct OpenSession {
    child: Child,
    _input: ChildStdin,
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server's files and port; it outlives the server's runs.
pub struct Server {
    directory: TempDir,
    port: Port,
    pub ca: Arc<Ca>,
    process: Option<Child>,
}

impl Server {
    /// Made and started, with the role [`ROLE`] and a database of the same name.
    pub fn start() -> Self {
        let mut server = Self::empty(Arc::new(Ca::new("database")));
        server
            .run("initdb", &["-D", &server.data(), "-U", "owner", "-A", "trust", "-E", "UTF8", "--no-sync"]);
        server.configure();
        server.resume();
        server.psql("postgres", &format!("CREATE ROLE {ROLE} LOGIN"));
        server.create_database(ROLE);
        server
    }

    /// A synchronous standby of `primary`, running.
    pub fn standby_of(primary: &Self) -> Self {
        let mut server = Self::empty(Arc::clone(&primary.ca));
        let from = primary.directory.path().display().to_string();
        let port = primary.port.number().to_string();
        let data = server.data();
        server.run(
            "pg_basebackup",
            &[
                "-D",
                &data,
                "-R",
                "-h",
                &from,
                "-p",
                &port,
                "-U",
                "owner",
                "-X",
                "stream",
                "-c",
                "fast",
                "--no-sync",
            ],
        );
        server.configure();
        server.resume();
        primary.psql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
        primary.psql("postgres", "SELECT pg_reload_conf()");
        primary.await_sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'", "1");
        server
    }

    fn empty(ca: Arc<Ca>) -> Self {
        let directory = TempDir::new().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let server =
            Self { directory, port: Port::reserve(IpAddr::V4(Ipv4Addr::LOCALHOST)), ca, process: None };
        own(server.directory.path());
        server
    }

    /// Its certificate, whom it lets in, and that it says nothing to files outside of its directory.
    fn configure(&self) {
        let path = |file: &str| self.directory.path().join(file);
        let leaf = Wish { names: vec!["127.0.0.1".to_owned()], ..wish("spiffe://elsewhere/database") };
        self.ca.issue(&leaf).write(&path("tls"));
        fs::set_permissions(path("tls/tls.key"), fs::Permissions::from_mode(0o600)).unwrap();
        for file in ["tls", "tls/tls.key", "tls/tls.crt", "tls/ca.crt"] {
            own(&path(file));
        }
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{}'\nmax_connections = 60\n\
             ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\nssl_ca_file = '{}'\nwal_level = replica\n",
            self.port.number(),
            self.directory.path().display(),
            path("tls/tls.crt").display(),
            path("tls/tls.key").display(),
            path("tls/ca.crt").display(),
        );
        let mut config = fs::read_to_string(path("data/postgresql.conf")).unwrap();
        config.push_str(&settings);
        fs::write(path("data/postgresql.conf"), config).unwrap();
        let rules = format!(
            "local all owner trust\nlocal replication owner trust\n\
             hostssl all secretive 127.0.0.1/32 scram-sha-256\nhostssl all {ROLE} 127.0.0.1/32 cert\n"
        );
        fs::write(path("data/pg_hba.conf"), rules).unwrap();
    }

    /// Runs it again, after [`Self::crash`].
    pub fn resume(&mut self) {
        let log = File::options().create(true).append(true).open(self.directory.path().join("log")).unwrap();
        let mut command = self.command("postgres");
        command.args(["-D", &self.data()]).stdout(Stdio::null()).stderr(log);
        self.process = Some(command.spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        while self.try_psql("postgres", "SELECT 1").is_none() {
            assert!(Instant::now() < deadline, "the server did not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends it at once, as a kill does.
    pub fn crash(&mut self) {
        self.run("pg_ctl", &["-D", &self.data(), "-m", "immediate", "stop"]);
        self.process.take().unwrap().wait().unwrap();
    }

    /// Makes a standby the primary.
    pub fn promote(&self) {
        self.psql("postgres", "ALTER SYSTEM SET synchronous_standby_names = ''");
        self.psql("postgres", "SELECT pg_reload_conf()");
        self.psql("postgres", "SELECT pg_promote()");
    }

    /// A database that [`ROLE`] owns.
    pub fn create_database(&self, name: &str) {
        self.psql("postgres", &format!("CREATE DATABASE {name} OWNER {ROLE}"));
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    /// What `sql` answers, columns apart by `|`.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        self.try_psql(database, sql).unwrap_or_else(|| panic!("{sql}: {}", self.log()))
    }

    /// Waits until `sql` answers so.
    pub fn await_sql(&self, sql: &str, answer: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.psql("postgres", sql) != answer {
            assert!(Instant::now() < deadline, "waited in vain until {sql} says {answer}: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A connection that stays open after `sql`, until its value goes.
    pub fn session(&self, database: &str, sql: &str) -> OpenSession {
        let (socket, port) = (self.directory.path().display().to_string(), self.port.number().to_string());
        let mut command = self.command("psql");
        command.args(["-XAtq", "-h", &socket, "-p", &port, "-U", "owner", "-d", database]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        writeln!(input, "{sql};\n\\echo done").unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let done = lines.map_while(Result::ok).find(|line| line == "done");
        assert!(done.is_some(), "{sql}: {}", self.log());
        OpenSession { child, _input: input }
    }

    fn try_psql(&self, database: &str, sql: &str) -> Option<String> {
        let (socket, port) = (self.directory.path().display().to_string(), self.port.number().to_string());
        let mut command = self.command("psql");
        command.args([
            "-XAtq",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            &socket,
            "-p",
            &port,
            "-U",
            "owner",
            "-d",
            database,
            "-c",
            sql,
        ]);
        let output = command.output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = self.command(program).args(arguments).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(bin().join(program));
        command.current_dir(self.directory.path()).env("LC_ALL", "C").stdin(Stdio::null());
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn data(&self) -> String {
        self.directory.path().join("data").display().to_string()
    }

    /// What the server itself says.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.is_some() && !std::thread::panicking() {
            self.crash();
        } else if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Keeps the payloads of `node` in `database`; the node logs in with a certificate of the server's authority.
pub fn keep_in(node: &mut Spec, server: &Server, database: &str) {
    let connection = format!("postgresql://{ROLE}@{}/{database}?sslmode=verify-full", server.host());
    name_database(node, &connection, &server.ca);
    certify(node, &server.ca);
}

/// Writes the files of a connection and names them in the node's configuration.
pub fn name_database(node: &mut Spec, connection: &str, ca: &Ca) {
    let path = |file: &str| node.dir.join(file);
    fs::write(path("connection"), connection).unwrap();
    fs::write(path("database-ca.crt"), &ca.pem).unwrap();
    node.config["tesseraNode"]["storage"] = json!({"postgres": {
        "connectionFile": path("connection"),
        "caFile": path("database-ca.crt"),
        "clientCertificate": path("database-tls"),
    }});
    node.write_config();
}

/// Gives `node` a certificate of the role [`ROLE`].
pub fn certify(node: &Spec, ca: &Ca) {
    let role = Wish { common_name: ROLE.to_owned(), ..wish("spiffe://elsewhere/ledger") };
    ca.issue(&role).write(&node.dir.join("database-tls"));
}

fn own(path: &Path) {
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

fn bin() -> PathBuf {
    let directory = std::env::var("POSTGRES_BIN").unwrap_or_default();
    assert!(
        !directory.is_empty(),
        "POSTGRES_BIN must name the directory of PostgreSQL's programs: run `hack/tools postgres`, which prints it"
    );
    PathBuf::from(directory)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
