//! A listener that serves nobody without a certificate of its own client CA.

use std::net::TcpListener;
use std::path::Path;

use jiff::SignedDuration;
use rcgen::{ExtendedKeyUsagePurpose, KeyPair};
use tempfile::TempDir;
use tessera_keys::{Login, VaultError, VaultKeys};
use tessera_node_api::identity::Identity;
use tessera_node_api::static_config::SecretStore;
use tessera_tls::trial::{self, Outcome, Server, Shown, Stranger};
use tokio::net::TcpStream;

use super::Vault;
use super::ca::{Ca, Wish, wish};

const NODE: &str = "spiffe://org-a.example/node/node-a";

fn leaf(usage: ExtendedKeyUsagePurpose) -> Wish {
    Wish { names: vec!["127.0.0.1".to_owned()], usages: vec![usage], ..wish(NODE) }
}

/// What a node may show.
fn client() -> Wish {
    leaf(ExtendedKeyUsagePurpose::ClientAuth)
}

struct Machines {
    vault: Vault,
    /// Whom the listener trusts.
    clients: Ca,
    port: u16,
}

impl Machines {
    fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path();
        let (server, clients) = (Ca::new("store"), Ca::new("network"));
        server.issue(&leaf(ExtendedKeyUsagePurpose::ServerAuth)).write(&path.join("server"));
        std::fs::write(path.join("clients.crt"), &clients.pem).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let file = path.join("machines.hcl");
        let listener = format!(
            r#"listener "tcp" {{
              address = "127.0.0.1:{port}"
              tls_cert_file = "{0}/server/tls.crt"
              tls_key_file = "{0}/server/tls.key"
              tls_client_ca_file = "{0}/clients.crt"
              tls_require_and_verify_client_cert = true
            }}"#,
            path.display()
        );
        std::fs::write(&file, listener).unwrap();
        Self { vault: Vault::start_in(directory, Some(&file)), clients, port }
    }

    /// A node that shows what lies in `shown`.
    fn keys(&self, shown: Option<&Path>) -> VaultKeys {
        let config = SecretStore {
            address: format!("https://127.0.0.1:{}", self.port),
            ca_file: self.vault.directory.path().join("server/ca.crt").to_str().unwrap().to_owned(),
            client_certificate: shown.map(|shown| shown.to_str().unwrap().to_owned()),
            ..self.vault.config()
        };
        VaultKeys::new(config).unwrap().with_login(Login::Token(self.vault.token("1h").into()))
    }
}

#[tokio::test]
async fn a_store_that_asks_for_a_certificate_serves_the_node_that_shows_it() {
    let machines = Machines::start();
    let own = TempDir::new().unwrap();
    let refused = |error: VaultError| {
        assert!(matches!(error, VaultError::Refused { .. }), "{error}");
        assert!(error.to_string().contains("clientCertificate"), "the message names the field: {error}");
    };
    refused(machines.keys(None).ensure("main", 1).await.unwrap_err());

    // One of a foreign CA, then, in the same files and for the same login, one of the right CA.
    Ca::new("foreign").issue(&client()).write(own.path());
    let keys = machines.keys(Some(own.path()));
    refused(keys.ensure("main", 1).await.unwrap_err());
    machines.clients.issue(&client()).write(own.path());
    assert!(keys.ensure("main", 1).await.unwrap().new);

    // Files that do not belong together are refused by name, before anything is sent.
    std::fs::write(own.path().join("tls.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let error = machines.keys(Some(own.path())).ensure("main", 1).await.unwrap_err();
    assert!(matches!(error, VaultError::ClientCertificate { .. }), "{error}");
}

/// The store as `keys` would connect to it.
fn server(keys: &VaultKeys) -> Server {
    let tls = keys.client_tls().unwrap().unwrap();
    Server::of_another("127.0.0.1", tls.roots, tls.own).unwrap()
}

async fn run(shown: &Shown, server: &Server, port: u16) -> Outcome {
    trial::run(TcpStream::connect(("127.0.0.1", port)).await.unwrap(), shown, server).await
}

/// Vault reads the roots of its clients at start.
#[tokio::test]
async fn a_store_that_knows_the_old_root_serves_a_new_leaf_with_the_cross_certificate_and_not_alone() {
    let machines = Machines::start();
    let own = TempDir::new().unwrap();
    let next = Ca::new("network 2");
    let cross = machines.clients.cross_sign(&next, SignedDuration::from_hours(1));
    next.issue(&client()).with(&cross).write(own.path());
    let keys = machines.keys(Some(own.path()));
    assert!(keys.ensure("main", 1).await.unwrap().new);
    assert_eq!(run(&Shown::Own, &server(&keys), machines.port).await, Outcome::Served);
    assert_eq!(run(&Shown::OwnAlone, &server(&keys), machines.port).await, Outcome::Refused);
}

#[tokio::test]
async fn the_store_is_tried_as_a_client_that_it_must_not_serve() {
    let machines = Machines::start();
    let own = TempDir::new().unwrap();
    machines.clients.issue(&client()).write(own.path());
    let keys = machines.keys(Some(own.path()));
    let server = || server(&keys);
    let identity: Identity = NODE.parse().unwrap();
    let foreign = Shown::Foreign(Stranger::of_foreign_ca(&identity).unwrap());
    assert_eq!(run(&Shown::NoCertificate, &server(), machines.port).await, Outcome::Refused);
    assert_eq!(run(&foreign, &server(), machines.port).await, Outcome::Refused);
    assert_eq!(run(&Shown::Own, &server(), machines.port).await, Outcome::Served);
    // A store that shows another certificate is not the one that was meant: whom it serves says nothing.
    let people = machines.vault.address.rsplit_once(':').unwrap().1.parse().unwrap();
    let outcome = run(&Shown::NoCertificate, &server(), people).await;
    assert!(matches!(outcome, Outcome::Unclear(_)), "{outcome:?}");
}
