//! A real OpenTelemetry collector as a process of its own, with a listener on loopback that requires a client certificate.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Child, Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::support::Port;
use crate::support::ca::{Ca, wish};

/// Where it listens and what it shows; it outlives its runs.
pub(crate) struct Collector {
    directory: TempDir,
    port: Port,
}

/// Ended when dropped.
pub(crate) struct Running(Child);

impl Collector {
    /// With a certificate of `own`.
    pub(crate) fn new(own: &Ca) -> Self {
        let directory = TempDir::new().unwrap();
        let mut wished = wish("spiffe://elsewhere/collector");
        wished.names = vec!["127.0.0.1".to_owned()];
        own.issue(&wished).write(directory.path());
        Self { directory, port: Port::reserve(IpAddr::V4(Ipv4Addr::LOCALHOST)) }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("https://127.0.0.1:{}", self.port.number())
    }

    /// Starts it; it serves clients with a certificate of `clients` alone.
    pub(crate) fn start(&self, clients: &Ca) -> Running {
        let binary = std::env::var("OTELCOL_BIN").unwrap_or_default();
        assert!(
            !binary.is_empty(),
            "OTELCOL_BIN must name a collector's binary: run `hack/tools otelcol`, which prints its path"
        );
        let path = |file: &str| self.directory.path().join(file);
        std::fs::write(path("clients.crt"), &clients.pem).unwrap();
        let tls = json!({
            "cert_file": path("tls.crt"), "key_file": path("tls.key"), "client_ca_file": path("clients.crt"),
        });
        let http = json!({"endpoint": format!("127.0.0.1:{}", self.port.number()), "tls": tls});
        // JSON is YAML.
        let config = json!({
            "receivers": {"otlp": {"protocols": {"http": http}}},
            "exporters": {"debug": {"verbosity": "detailed", "use_internal_logger": false}},
            "service": {
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {"logs": {"receivers": ["otlp"], "exporters": ["debug"]}},
            },
        });
        std::fs::write(path("config.yaml"), config.to_string()).unwrap();
        let child = Command::new(&binary)
            .arg(format!("--config=file:{}", path("config.yaml").display()))
            .stdout(File::create(path("output")).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{binary}: {error}"));
        Running(child)
    }

    /// All records that it received in its last run, as text.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("output")).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already cannot be killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
