//! Against a real Vault, started here on loopback: what a fake would only repeat of what we believe.
//!
//! Run by name, since it needs a Vault binary:
//! `VAULT_BIN="$(hack/tools vault)" cargo test -p tessera-keys --test real_vault`
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may panic as tests do")]

#[path = "../../../tests/support/ca.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with other crates")]
mod ca;
mod client_certificate;

use std::collections::HashSet;
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tessera_backup::{Identity, Recipients};
use tessera_enclave::KeyPair;
use tessera_keys::{Login, SealedBackup, StoredBackup, VaultError, VaultKeys, WritePoint};
use tessera_node_api::key_backup::SealedKey;
use tessera_node_api::static_config::SecretStore;

const STAMP: &str = "prod-eu1/org-a/main";
const DIRECTORY: &str = "tessera/org-a/tessera-node-node-a";
const ROOT: &str = "root-token-of-this-test";
/// Where the development server prints its unseal key.
const OUTPUT: &str = "output";
const DEADLINE: Duration = Duration::from_mins(1);
/// What the templated policy gives to a node.
const POLICY: &str = r#"path "secret/data/tessera/org-a/tessera-node-node-a/*" { capabilities = ["create", "read"] }
path "kv1/*" { capabilities = ["create", "read", "update"] }"#;

struct Vault {
    server: Child,
    binary: String,
    address: String,
    directory: TempDir,
}

impl Vault {
    fn start() -> Self {
        Self::start_in(TempDir::new().unwrap(), None)
    }

    /// `more`: a file with configuration beyond that of a development server.
    fn start_in(directory: TempDir, more: Option<&Path>) -> Self {
        let binary = std::env::var("VAULT_BIN").unwrap_or_default();
        assert!(
            !binary.is_empty(),
            "VAULT_BIN must name a Vault binary: run `hack/tools vault`, which prints its path"
        );
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listen = format!("127.0.0.1:{port}");
        let server = Command::new(&binary)
            .args(["server", "-dev", "-dev-tls", "-dev-no-store-token"])
            .arg(format!("-dev-tls-cert-dir={}", directory.path().display()))
            .arg(format!("-dev-root-token-id={ROOT}"))
            .arg(format!("-dev-listen-address={listen}"))
            .args(more.map(|file| format!("-config={}", file.display())))
            .env("HOME", directory.path())
            .stdout(File::create(directory.path().join(OUTPUT)).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{binary}: {error}"));
        let vault = Self { server, binary, address: format!("https://{listen}"), directory };
        vault.wait(&listen);
        vault
    }

    fn wait(&self, listen: &str) {
        let began = Instant::now();
        while TcpStream::connect(listen).is_err()
            || !self.command(&["kv", "list", "secret"]).1.contains("No value")
        {
            assert!(began.elapsed() < DEADLINE, "Vault does not come up");
            std::thread::sleep(Duration::from_millis(50));
        }
        self.cli(&["secrets", "enable", "-path=kv1", "-version=1", "kv"]);
        let policy = self.directory.path().join("policy.hcl");
        std::fs::write(&policy, POLICY).unwrap();
        self.cli(&["policy", "write", "node", policy.to_str().unwrap()]);
    }

    /// Vault's own command line as root: whether it succeeded, and what it printed.
    fn command(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new(&self.binary)
            .args(arguments)
            .env("VAULT_ADDR", &self.address)
            .env("VAULT_CACERT", self.ca())
            .env("VAULT_TOKEN", ROOT)
            .env("HOME", self.directory.path())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    fn cli(&self, arguments: &[&str]) -> String {
        let (succeeded, text) = self.command(arguments);
        assert!(succeeded, "vault {arguments:?}: {text}");
        text
    }

    fn unseal(&self) {
        let output = std::fs::read_to_string(self.directory.path().join(OUTPUT)).unwrap();
        let key = output.lines().find_map(|line| line.strip_prefix("Unseal Key: ")).unwrap();
        self.cli(&["operator", "unseal", key]);
    }

    fn ca(&self) -> String {
        self.directory.path().join("vault-ca.pem").to_str().unwrap().to_owned()
    }

    fn config(&self) -> SecretStore {
        SecretStore {
            address: self.address.clone(),
            ca_file: self.ca(),
            client_certificate: None,
            namespace: String::new(),
            auth_mount: "kubernetes".to_owned(),
            role: "tessera-node".to_owned(),
            token_file: "/does/not/exist".to_owned(),
            kv_mount: "secret".to_owned(),
            path: DIRECTORY.to_owned(),
            stamp: STAMP.parse().unwrap(),
        }
    }

    fn token(&self, ttl: &str) -> String {
        #[derive(Deserialize)]
        struct Created {
            auth: Auth,
        }
        #[derive(Deserialize)]
        struct Auth {
            client_token: String,
        }
        let created = self.cli(&["token", "create", "-policy=node", &format!("-ttl={ttl}"), "-format=json"]);
        serde_json::from_str::<Created>(&created).unwrap().auth.client_token
    }

    /// From a token's creation to its last renewal.
    fn seconds_until_last_renewal(&self, token: &str) -> i64 {
        let text = self.cli(&["token", "lookup", "-format=json", token]);
        let data = serde_json::from_str::<Value>(&text).unwrap()["data"].take();
        let renewed = data["last_renewal_time"].as_i64().unwrap_or_default();
        renewed - data["creation_time"].as_i64().unwrap()
    }

    fn keys(&self) -> VaultKeys {
        self.keys_of(self.config())
    }

    fn keys_of(&self, config: SecretStore) -> VaultKeys {
        VaultKeys::new(config).unwrap().with_login(Login::Token(self.token("1h").into()))
    }

    fn secret(&self, key: &str) -> Value {
        let text = self.cli(&["kv", "get", "-format=json", &format!("secret/{DIRECTORY}/{key}")]);
        serde_json::from_str(&text).unwrap()
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[tokio::test]
async fn a_key_is_generated_once_and_then_read() {
    let vault = Vault::start();
    let generated = vault.keys().ensure("main", 1).await.unwrap();
    assert!(generated.new);
    assert_eq!(generated.store_path, format!("secret/{DIRECTORY}/keys/main/1"));

    let read = vault.keys().ensure("main", 1).await.unwrap();
    assert!(!read.new);
    assert_eq!(read.pair.public(), generated.pair.public());
    assert!(read.pair.private() == generated.pair.private());
    assert_eq!(read.born_at, generated.born_at);

    let secret = vault.secret("keys/main/1");
    assert_eq!(secret["data"]["metadata"]["version"], 1);
    let fields = secret["data"]["data"].as_object().unwrap();
    let names: Vec<_> = fields.keys().map(String::as_str).collect();
    assert_eq!(names, ["bornAt", "privateKey", "publicKey", "trigger"]);
    assert_eq!(fields["publicKey"], generated.pair.public().to_string());

    let second = vault.keys().ensure("main", 2).await.unwrap();
    assert!(second.new);
    assert_ne!(second.pair.public(), generated.pair.public());
}

/// The largest record: with the ciphertext for as many custodians as there may be.
#[tokio::test]
async fn a_key_is_stored_with_its_backup_and_restored_where_it_was_lost() {
    let vault = Vault::start();
    let custodians: Vec<_> = (0..16).map(|_| Identity::generate()).collect();
    let recipients: Vec<_> = custodians.iter().map(Identity::recipient).collect();
    let to = Arc::new(Recipients::parse(recipients.iter().map(String::as_str)).unwrap());
    let seal = move |name: &str, version: u32, pair: Arc<KeyPair>| {
        let sealed = tessera_backup::seal(name, version, &pair, &to).unwrap();
        let backup = StoredBackup { recipients: sealed.recipients, ciphertext: sealed.ciphertext };
        Box::pin(async { Some(backup) }) as SealedBackup
    };
    let generated = vault.keys().with_backups(Box::new(seal)).ensure("main", 1).await.unwrap();
    let read = vault.keys().ensure("main", 1).await.unwrap();
    assert!(read.backup.is_some() && read.backup == generated.backup);

    vault.cli(&["kv", "metadata", "delete", &format!("secret/{DIRECTORY}/keys/main/1")]);
    let backup = read.backup.unwrap();
    let sealed = SealedKey {
        name: "main".to_owned(),
        version: 1,
        public_key: generated.pair.public().to_string(),
        recipients: backup.recipients,
        ciphertext: backup.ciphertext,
    };
    let opened = Arc::new(tessera_backup::open(&sealed, &custodians[15]).unwrap());
    assert!(vault.keys().find("main", 1).await.unwrap().is_none());
    for new in [true, false] {
        let restored = vault.keys().restore("main", 1, 0, Arc::clone(&opened), "0".repeat(32)).await.unwrap();
        assert_eq!((restored.new, restored.pair.public()), (new, generated.pair.public()));
    }
    let fields = &vault.secret("keys/main/1")["data"]["data"];
    assert_eq!((&fields["restored"], &fields["payloadStore"]), (&json!(true), &json!("0".repeat(32))));
    assert_eq!(fields["sample"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_gives_birth_and_all_return_its_key() {
    let vault = Vault::start();
    let racers: Vec<_> = (0..8).map(|_| Arc::new(vault.keys())).collect();
    let runs = racers.iter().map(|keys| {
        let keys = Arc::clone(keys);
        tokio::spawn(async move { keys.ensure("main", 1).await })
    });
    let runs: Vec<_> = runs.collect();
    let (mut publics, mut generated) = (HashSet::new(), 0);
    for run in runs {
        let key = run.await.unwrap().unwrap();
        publics.insert(key.pair.public().to_string());
        generated += usize::from(key.new);
    }
    assert_eq!((publics.len(), generated), (1, 1));
    assert_eq!(vault.secret("keys/main/1")["data"]["metadata"]["version"], 1);
}

/// The competitor writes exactly between our read and our write.
#[tokio::test(flavor = "multi_thread")]
async fn the_loser_of_a_race_returns_the_winners_key() {
    let vault = Arc::new(Vault::start());
    let winner = vault.keys().ensure("other", 1).await.unwrap();
    let copy = vault.secret("keys/other/1")["data"]["data"].to_string();
    let (competitor, points) = (Arc::clone(&vault), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&points);
    let loser = vault.keys().with_write_hook(move |point| {
        seen.fetch_add(1, Ordering::Relaxed);
        if point == WritePoint::Before {
            let file = competitor.directory.path().join("copy.json");
            std::fs::write(&file, &copy).unwrap();
            let path = format!("secret/{DIRECTORY}/keys/main/1");
            competitor.cli(&["kv", "put", &path, &format!("@{}", file.display())]);
        }
    });
    let key = loser.ensure("main", 1).await.unwrap();
    assert!(!key.new);
    assert_eq!(key.pair.public(), winner.pair.public());
    assert_eq!(points.load(Ordering::Relaxed), 2, "both points were passed");
    assert_eq!(vault.secret("keys/main/1")["data"]["metadata"]["version"], 1, "nothing was written over");
}

fn config_of(vault: &Vault, stamp: &str) -> SecretStore {
    SecretStore { stamp: stamp.parse().unwrap(), ..vault.config() }
}

#[tokio::test]
async fn another_clusters_or_networks_keys_are_refused_and_left_alone() {
    let vault = Vault::start();
    let generated = vault.keys().ensure("main", 1).await.unwrap();
    for stamp in ["prod-eu2/org-a/main", "prod-eu1/org-a/other"] {
        let stranger = vault.keys_of(config_of(&vault, stamp));
        for key in ["main", "new"] {
            let error = stranger.ensure(key, 1).await.expect_err("not its directory");
            assert!(
                matches!(&error, VaultError::ForeignStore { found, .. } if found.to_string() == STAMP),
                "{error}"
            );
        }
    }
    assert_eq!(vault.secret("keys/main/1")["data"]["data"]["publicKey"], generated.pair.public().to_string());
    assert!(!vault.command(&["kv", "get", &format!("secret/{DIRECTORY}/keys/new/1")]).0);
}

/// The manifests, applied in a new cluster of the same name: nothing that only the old etcd knew is asked for.
#[tokio::test]
async fn the_same_names_in_a_new_cluster_get_the_same_key() {
    let vault = Vault::start();
    let before = vault.keys().ensure("main", 1).await.unwrap();
    assert_eq!(
        vault.secret("stamp")["data"]["data"],
        json!({"cluster": "prod-eu1", "network": "org-a/main"})
    );
    let rebuilt = vault.keys_of(config_of(&vault, STAMP)).ensure("main", 1).await.unwrap();
    assert_eq!((rebuilt.new, rebuilt.pair.public()), (false, before.pair.public()));
    assert_eq!(vault.secret("stamp")["data"]["metadata"]["version"], 1);
}

/// Two clusters of different names meet in a directory that nobody has stamped: one gets it, and the key is that one's.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_clusters_one_stamps_the_directory() {
    let vault = Vault::start();
    let stamps = ["prod-eu1/org-a/main", "prod-eu2/org-a/main"];
    let runs = stamps.map(|stamp| {
        let keys = vault.keys_of(config_of(&vault, stamp));
        tokio::spawn(async move { keys.ensure("main", 1).await })
    });
    let mut won = Vec::new();
    for (run, stamp) in runs.into_iter().zip(stamps) {
        match run.await.unwrap() {
            Ok(key) => won.push((stamp.to_owned(), key.pair.public().to_string())),
            Err(error) => assert!(matches!(error, VaultError::ForeignStore { .. }), "{error}"),
        }
    }
    let [(winner, public)] = won.as_slice() else { panic!("{won:?}") };
    let stamp = &vault.secret("stamp")["data"]["data"];
    assert_eq!(
        winner,
        &format!("{}/{}", stamp["cluster"].as_str().unwrap(), stamp["network"].as_str().unwrap())
    );
    assert_eq!(vault.secret("keys/main/1")["data"]["data"]["publicKey"], *public);
}

/// A person gives the keys to another cluster while the old one's nodes run: the next start, and the next key, are refused.
#[tokio::test]
async fn the_old_cluster_is_refused_once_the_stamp_has_moved() {
    let vault = Vault::start();
    let old = vault.keys();
    let before = old.ensure("main", 1).await.unwrap();
    let path = format!("secret/{DIRECTORY}/stamp");
    vault.cli(&["kv", "put", "-cas=1", &path, "cluster=prod-eu2", "network=org-a/main"]);

    for (running, version) in [(&old, 2), (&vault.keys(), 1)] {
        let error = running.ensure("main", version).await.expect_err("the keys are another cluster's");
        assert!(matches!(error, VaultError::ForeignStore { .. }), "{error}");
    }
    let new = vault.keys_of(config_of(&vault, "prod-eu2/org-a/main")).ensure("main", 1).await.unwrap();
    assert_eq!((new.new, new.pair.public()), (false, before.pair.public()));
    assert!(!vault.command(&["kv", "get", &format!("secret/{DIRECTORY}/keys/main/2")]).0);

    vault.cli(&["kv", "delete", &path]);
    let error = vault.keys().ensure("main", 1).await.expect_err("a deleted stamp is nobody's to take");
    assert!(matches!(error, VaultError::Deleted { .. }), "{error}");
}

#[tokio::test]
async fn a_deleted_key_is_not_replaced_by_a_new_one() {
    let vault = Vault::start();
    let generated = vault.keys().ensure("main", 1).await.unwrap();
    let path = format!("secret/{DIRECTORY}/keys/main/1");
    vault.cli(&["kv", "delete", &path]);
    let error = vault.keys().ensure("main", 1).await.expect_err("deleted");
    assert!(matches!(error, VaultError::Deleted { .. }), "{error}");

    vault.cli(&["kv", "undelete", "-versions=1", &path]);
    let back = vault.keys().ensure("main", 1).await.unwrap();
    assert_eq!(back.pair.public(), generated.pair.public());

    vault.cli(&["kv", "destroy", "-versions=1", &path]);
    let error = vault.keys().ensure("main", 1).await.expect_err("destroyed");
    assert!(matches!(error, VaultError::Deleted { .. }), "{error}");
}

#[tokio::test]
async fn a_neighbours_directory_is_forbidden() {
    let vault = Vault::start();
    let config = SecretStore { path: "tessera/org-a/tessera-node-node-b".to_owned(), ..vault.config() };
    let error = vault.keys_of(config).ensure("main", 1).await.expect_err("forbidden");
    assert!(matches!(error, VaultError::Forbidden { .. }), "{error}");
}

#[tokio::test]
async fn an_engine_that_does_not_check_gets_no_key() {
    let vault = Vault::start();
    let config = SecretStore { kv_mount: "kv1".to_owned(), ..vault.config() };
    let error = vault.keys_of(config).ensure("main", 1).await.expect_err("version 1");
    assert!(matches!(&error, VaultError::NoEngine { mount } if mount == "kv1"), "{error}");
    let (found, text) = vault.command(&["kv", "get", &format!("kv1/data/{DIRECTORY}/keys/main/1")]);
    assert!(!found, "a key was written without a check: {text}");
}

#[tokio::test]
async fn an_unknown_login_and_a_missing_auth_method_are_refused() {
    let vault = Vault::start();
    let token = vault.directory.path().join("token");
    let config = SecretStore { token_file: token.to_str().unwrap().to_owned(), ..vault.config() };
    // What the node sends: made for this store, and by nobody that this store knows.
    let claims = format!(r#"{{"aud":["{}"]}}"#, config.address);
    std::fs::write(&token, format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))).unwrap();
    let error = VaultKeys::new(config).unwrap().ensure("main", 1).await.expect_err("no such method");
    assert!(matches!(error, VaultError::LoginDenied { .. }), "{error}");
}

#[tokio::test]
async fn a_sealed_store_is_reported_as_sealed_and_recovers() {
    let vault = Vault::start();
    let keys = vault.keys();
    let generated = keys.ensure("main", 1).await.unwrap();
    vault.cli(&["operator", "seal"]);
    let error = keys.ensure("main", 1).await.expect_err("sealed");
    assert!(matches!(error, VaultError::Sealed { .. }), "{error}");
    assert!(keys.state().borrow().as_ref().is_some_and(|state| state.failure.is_some()));

    vault.unseal();
    let healed = keys.ensure("main", 1).await.expect("the same login serves again");
    assert_eq!(healed.pair.public(), generated.pair.public());
    assert!(keys.state().borrow().as_ref().is_some_and(|state| state.failure.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_outlives_its_first_term_and_ends_at_shutdown() {
    const TERM: i64 = 15;
    let vault = Vault::start();
    let token = vault.token(&format!("{TERM}s"));
    let keys = VaultKeys::new(vault.config()).unwrap().with_login(Login::Token(token.clone().into()));
    keys.ensure("main", 1).await.unwrap();
    let renewed_past_its_term = async {
        // Vault's command line blocks its thread: the login is kept alive by others meanwhile.
        while tokio::task::block_in_place(|| vault.seconds_until_last_renewal(&token)) <= TERM {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::select! {
        never = keys.keep_alive() => match never {},
        done = tokio::time::timeout(DEADLINE, renewed_past_its_term) => done.expect("never renewed past its term"),
    }
    keys.ensure("main", 1).await.expect("the login still serves");
    assert!(vault.command(&["token", "lookup", &token]).0, "renewed, so it lives");
    keys.revoke().await.unwrap();
    assert!(!vault.command(&["token", "lookup", &token]).0, "revoked, so it does not");
}
