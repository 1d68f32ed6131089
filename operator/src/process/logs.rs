//! The operator's own log, shipped to a collector that the command line names. The operator belongs to no network, so the
//! collector and the certificate are of its own installation.
//!
//! ```text
//! tls.crt tls.key ca.crt (one projected volume) ──► CollectorFiles ──► Shipper ──► collector
//!                                    read for each batch and canary              └──► Reports ──► line CentralLogging
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use tessera_log_shipping::{Collector, Endpoint, Metrics, Origin, Queue, Reports, Shipper, Source, Target};
use tessera_node_api::paths::{CA_FILE, CERTIFICATE_FILE, KEY_FILE};
use tessera_node_api::tls_client;
use zeroize::Zeroizing;

use crate::process::tasks::Tasks;
use crate::report::error::chain;

/// What the command line says of the collector, and the records on their way to it.
#[derive(Debug, Clone)]
pub struct OwnLog {
    /// Where the collector is.
    pub endpoint: Endpoint,
    /// The directory with the collector's CA bundle and the certificate to show.
    pub directory: PathBuf,
    /// The records of this process.
    pub queue: Arc<Queue>,
}

/// Starts the shipping, under the name `identity`. What is returned says what came of it.
pub fn start(log: OwnLog, identity: &str, metrics: Metrics, tasks: &mut Tasks) -> Reports {
    let reports = Reports::new(metrics);
    // From the first moment on it is known that the log is to be shipped.
    reports.follow(Some(&log.endpoint));
    let origin = Origin::new("tessera-operator", env!("CARGO_PKG_VERSION"), identity);
    let shipper =
        Shipper::new(log.queue, CollectorFiles::new(log.endpoint, log.directory), origin, reports.clone());
    tasks.spawn_until_stop(async move {
        let ended = shipper.run().await;
        format!("the shipping of logs ended: {ended:?}")
    });
    reports
}

/// Reads the files anew for each batch and each canary: a certificate that is replaced is shown without a restart.
struct CollectorFiles {
    endpoint: Endpoint,
    directory: PathBuf,
    /// The newest that could be read.
    ca_bundle: String,
    certificate: Result<Arc<CertifiedKey>, String>,
}

impl CollectorFiles {
    fn new(endpoint: Endpoint, directory: PathBuf) -> Self {
        let certificate = Err("its files were not read yet".to_owned());
        Self { endpoint, directory, ca_bundle: String::new(), certificate }
    }
}

impl Source for CollectorFiles {
    /// Three small files in memory, read at most twice a second.
    fn target(&mut self) -> Target {
        match read(&self.directory) {
            Ok((ca_bundle, certificate)) => {
                self.ca_bundle = ca_bundle;
                self.certificate = Ok(certificate);
            }
            Err(why) => self.certificate = Err(why),
        }
        let (endpoint, ca_bundle) = (self.endpoint.clone(), self.ca_bundle.clone());
        Target::Collector(Collector { endpoint, ca_bundle })
    }

    fn certificate(&self) -> Result<Arc<CertifiedKey>, String> {
        self.certificate.clone()
    }

    /// The next attempt reads the files in any case.
    async fn changed(&mut self) {
        std::future::pending::<()>().await;
    }
}

/// The CA bundle and the certificate, all of one generation of the volume: the kubelet swaps the symlink `..data`.
fn read(directory: &Path) -> Result<(String, Arc<CertifiedKey>), String> {
    let generation = directory.join("..data").canonicalize().unwrap_or_else(|_| directory.to_owned());
    let file = |name: &str| {
        let failed = |error| format!("{} cannot be read: {}", directory.join(name).display(), chain(&error));
        std::fs::read(generation.join(name)).map_err(failed)
    };
    let (ca_bundle, certificate, key) =
        (file(CA_FILE)?, file(CERTIFICATE_FILE)?, Zeroizing::new(file(KEY_FILE)?));
    let ca_bundle = String::from_utf8(ca_bundle)
        .map_err(|_| format!("{} is not PEM", directory.join(CA_FILE).display()))?;
    // The error begins with the name of the file.
    let certified = tls_client::client_certificate(&certificate, &key)
        .map_err(|error| format!("{}/{error}", directory.display()))?;
    Ok((ca_bundle, certified))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(directory: &Path) -> CollectorFiles {
        CollectorFiles::new(Endpoint::parse("https://otel:4318").unwrap(), directory.to_owned())
    }

    /// A key pair in the three files.
    fn write(directory: &Path) -> Vec<u8> {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(vec!["operator".to_owned()]).unwrap();
        std::fs::create_dir_all(directory).unwrap();
        std::fs::write(directory.join(CERTIFICATE_FILE), cert.pem()).unwrap();
        std::fs::write(directory.join(CA_FILE), cert.pem()).unwrap();
        std::fs::write(directory.join(KEY_FILE), signing_key.serialize_pem()).unwrap();
        cert.der().to_vec()
    }

    fn shown(files: &mut CollectorFiles) -> Result<Vec<u8>, String> {
        assert!(matches!(files.target(), Target::Collector(_)));
        files.certificate().map(|key| key.cert[0].to_vec())
    }

    #[test]
    fn the_newest_generation_of_the_volume_is_shown() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = files(directory.path());
        let names = ["..one", "..two"];
        let certificates = names.map(|name| write(&directory.path().join(name)));
        for (name, certificate) in names.iter().zip(certificates) {
            let (data, next) = (directory.path().join("..data"), directory.path().join("..next"));
            std::os::unix::fs::symlink(name, &next).unwrap();
            std::fs::rename(next, data).unwrap();
            assert_eq!(shown(&mut files), Ok(certificate));
        }
    }

    #[test]
    fn files_that_cannot_be_used_are_named_and_nothing_of_them_is_shown() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = files(directory.path());
        write(directory.path());
        shown(&mut files).unwrap();
        let mut broken = |name: &str, text: &str| {
            let path = directory.path().join(name);
            let before = std::fs::read(&path).unwrap();
            std::fs::write(&path, text).unwrap();
            let why = shown(&mut files).unwrap_err();
            std::fs::write(&path, before).unwrap();
            assert!(why.starts_with(&path.display().to_string()) && !why.contains("hunter2"), "{why}");
            why
        };
        assert!(broken(CERTIFICATE_FILE, "hunter2").ends_with("holds no PEM certificate"));
        assert!(broken(KEY_FILE, "hunter2").contains("holds no private key"));
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        assert!(broken(KEY_FILE, &other).contains("is not the key of the certificate"));
        std::fs::remove_file(directory.path().join(KEY_FILE)).unwrap();
        assert!(shown(&mut files).unwrap_err().ends_with("cannot be read: No such file or directory"));
        assert!(!files.ca_bundle.is_empty(), "the CA bundle of before stands");
    }
}
