//! A listener that serves nobody without a certificate of its own client CA.

use std::net::TcpListener;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use tempfile::TempDir;
use tessera_keys::{Login, VaultError, VaultKeys};
use tessera_node_api::identity::Identity;
use tessera_node_api::static_config::SecretStore;
use tessera_tls::trial::{self, Outcome, Server, Shown, Stranger};
use tokio::net::TcpStream;

use super::Vault;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// `tls.crt` and `tls.key` of a new leaf in `directory`.
fn issue(authority: &Authority, usage: ExtendedKeyUsagePurpose, directory: &Path) {
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.extended_key_usages = vec![usage];
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, authority).unwrap();
    std::fs::create_dir_all(directory).unwrap();
    std::fs::write(directory.join("tls.crt"), leaf.pem()).unwrap();
    std::fs::write(directory.join("tls.key"), key.serialize_pem()).unwrap();
}

struct Machines {
    vault: Vault,
    /// Whom the listener trusts.
    clients: Authority,
    port: u16,
}

impl Machines {
    fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path();
        let (server, clients) = (authority(), authority());
        issue(&server, ExtendedKeyUsagePurpose::ServerAuth, &path.join("server"));
        std::fs::write(path.join("server/ca.crt"), server.pem()).unwrap();
        std::fs::write(path.join("clients.crt"), clients.pem()).unwrap();
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
    issue(&authority(), ExtendedKeyUsagePurpose::ClientAuth, own.path());
    let keys = machines.keys(Some(own.path()));
    refused(keys.ensure("main", 1).await.unwrap_err());
    issue(&machines.clients, ExtendedKeyUsagePurpose::ClientAuth, own.path());
    assert!(keys.ensure("main", 1).await.unwrap().new);

    // Files that do not belong together are refused by name, before anything is sent.
    std::fs::write(own.path().join("tls.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let error = machines.keys(Some(own.path())).ensure("main", 1).await.unwrap_err();
    assert!(matches!(error, VaultError::ClientCertificate { .. }), "{error}");
}

#[tokio::test]
async fn the_store_is_tried_as_a_client_that_it_must_not_serve() {
    let machines = Machines::start();
    let own = TempDir::new().unwrap();
    issue(&machines.clients, ExtendedKeyUsagePurpose::ClientAuth, own.path());
    let keys = machines.keys(Some(own.path()));
    let server = || {
        let tls = keys.client_tls().unwrap().unwrap();
        Server::of_another("127.0.0.1", tls.roots, tls.own).unwrap()
    };
    let identity: Identity = "spiffe://org-a.example/node/node-a".parse().unwrap();
    let foreign = Shown::Foreign(Stranger::of_foreign_ca(&identity).unwrap());
    let run = async |shown: &Shown, server: &Server, port: u16| {
        trial::run(TcpStream::connect(("127.0.0.1", port)).await.unwrap(), shown, server).await
    };
    assert_eq!(run(&Shown::NoCertificate, &server(), machines.port).await, Outcome::Refused);
    assert_eq!(run(&foreign, &server(), machines.port).await, Outcome::Refused);
    assert_eq!(run(&Shown::Own, &server(), machines.port).await, Outcome::Served);
    // A store that shows another certificate is not the one that was meant: whom it serves says nothing.
    let people = machines.vault.address.rsplit_once(':').unwrap().1.parse().unwrap();
    let outcome = run(&Shown::NoCertificate, &server(), people).await;
    assert!(matches!(outcome, Outcome::Unclear(_)), "{outcome:?}");
}
