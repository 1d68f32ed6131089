//! What goes wrong between a node and its secret store: told apart, and never with a secret in the message.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may panic as tests do")]

#[path = "fake/mod.rs"]
#[allow(unreachable_pub, reason = "shared with no other crate")]
mod fake;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fake::{ABSENT, FakeStore, Request, SIGNATURE, STAMP_PATH, TOKEN, jwt, login};
use tessera_enclave::{KeyPair, PrivateKey, base64};
use tessera_keys::{KeptSample, Retry, SealedBackup, StoredBackup, VaultError, VaultKeys};

const PUBLIC: &str = "/+UuD63zItL1EbjxkKUljMgG8Z1w0AJ8pNOR4iq2yQc=";
const PRIVATE: &str = "yAWAJjwPqUtNVlqGjSrBmr1/iIkghuOh1803Yzx9jLM=";
const OTHER_PUBLIC: &str = "yGcjkFyZklTTXrn8+WIkYwicA2EGBn9wZFkctAad4X0=";
const OTHER_PRIVATE: &str = "fF5UOlKKIwuaNrZ8+KU4WO+pxOYu8tNMQncyxbsSC6U=";
const SECRET_PATH: &str = "secret/tessera/org-a/tessera-node-node-a/keys/main/1";

fn is_login(request: &Request) -> bool {
    request.path.ends_with("/login")
}

/// A store that lets us in and answers every request for a key alike.
async fn answering(status: u16, body: impl Into<String>) -> FakeStore {
    let body = body.into();
    FakeStore::start(move |request| {
        Some(if is_login(request) { login(3600) } else { (status, body.clone()) })
    })
    .await
}

fn keys(store: &FakeStore) -> VaultKeys {
    VaultKeys::new(store.config.clone()).unwrap()
}

async fn failure(store: &FakeStore) -> VaultError {
    let error = keys(store).ensure("main", 1).await.expect_err("fails");
    let shown = format!("{error} {error:?}");
    for secret in [PRIVATE, SIGNATURE, TOKEN] {
        assert!(!shown.contains(secret), "{shown}");
    }
    error
}

fn stored(public: &str, private: &str) -> String {
    format!(
        r#"{{"data":{{"data":{{"publicKey":"{public}","privateKey":"{private}",
            "bornAt":"2026-01-02T03:04:05Z","backup":"later"}},"metadata":{{"version":1}}}}}}"#
    )
}

#[tokio::test]
async fn a_stored_key_is_read_and_nothing_is_written() {
    let store = answering(200, stored(PUBLIC, PRIVATE)).await;
    let key = keys(&store).ensure("main", 1).await.unwrap();
    assert_eq!(key.pair.public().to_string(), PUBLIC);
    assert_eq!(key.born_at.to_string(), "2026-01-02T03:04:05Z");
    assert_eq!(key.store_path, SECRET_PATH);
    assert!(!key.new);
    let requests = store.requests("/v1/secret/data/");
    assert!(requests.iter().all(|request| request.method == "GET"));
    assert_eq!(requests.len(), 2);
    assert!(requests[0].path.ends_with(STAMP_PATH), "the stamp is read first: {}", requests[0].path);
    let requests = &requests[1..];
    assert_eq!(requests[0].path, "/v1/secret/data/tessera/org-a/tessera-node-node-a/keys/main/1");
    assert_eq!(requests[0].token.as_deref(), Some(TOKEN));
    let logins = store.requests("/login");
    assert_eq!(logins.len(), 1);
    assert_eq!(logins[0].path, "/v1/auth/kubernetes/login");
    let token = jwt(&store.config.address);
    assert!(logins[0].body.contains(&token) && logins[0].body.contains("tessera-node"), "{}", logins[0].body);
}

/// A store that has no key and takes each.
async fn empty() -> FakeStore {
    FakeStore::start(|request| {
        Some(match request.method.as_str() {
            _ if is_login(request) => login(3600),
            "GET" => (ABSENT.0, ABSENT.1.to_owned()),
            _ => (200, r#"{"data":{"version":1}}"#.to_owned()),
        })
    })
    .await
}

#[tokio::test]
async fn no_key_is_stored_whose_sample_cannot_be_kept_and_the_secret_store_is_not_blamed() {
    let store = empty().await;
    let full = Box::new(|_| Box::pin(async { Err("the volume is full".to_owned()) }) as KeptSample);
    let keys = keys(&store).with_samples(full);
    let error = keys.ensure("main", 1).await.expect_err("no sample, no key");
    assert!(error.to_string().contains("payload store: the volume is full"), "{error}");
    assert_eq!(error.classify(), Retry::Soon);
    assert!(store.requests("/keys/").iter().all(|request| request.method == "GET"));
    assert_eq!(keys.state().borrow().as_ref().and_then(|state| state.failure.clone()), None);
}

#[tokio::test]
async fn a_pair_is_adopted_by_one_checked_write_or_gives_way_to_what_the_store_has() {
    let adopt = async |store: &FakeStore| {
        let private = PrivateKey::from_slice(&base64::decode_strict(PRIVATE).unwrap()).unwrap();
        keys(store).adopt("main", 1, 3, Arc::new(KeyPair::from_private(private))).await.unwrap()
    };
    let absent = empty().await;
    let adopted = adopt(&absent).await;
    assert_eq!((adopted.pair.public().to_string(), adopted.trigger), (PUBLIC.to_owned(), Some(3)));
    assert!(adopted.imported && adopted.new);
    let requests = absent.requests("/keys/main/1");
    let writes: Vec<_> = requests.iter().filter(|request| request.method != "GET").collect();
    assert_eq!(writes.len(), 1);
    assert!(writes[0].body.contains(r#""cas":0"#) && writes[0].body.contains(r#""imported":true"#));

    // Generated by a node, by a process that was faster: nothing says that it was imported.
    let writes = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&writes);
    let taken = FakeStore::start(move |request| {
        Some(match request.method.as_str() {
            _ if is_login(request) => login(3600),
            "GET" if seen.load(Ordering::SeqCst) == 0 => (ABSENT.0, ABSENT.1.to_owned()),
            "GET" => (200, stored(OTHER_PUBLIC, OTHER_PRIVATE)),
            _ => {
                seen.fetch_add(1, Ordering::SeqCst);
                (
                    400,
                    r#"{"errors":["check-and-set parameter did not match the current version"]}"#.to_owned(),
                )
            }
        })
    })
    .await;
    let found = adopt(&taken).await;
    assert_eq!(found.pair.public().to_string(), OTHER_PUBLIC);
    assert!(!found.imported && !found.new && writes.load(Ordering::SeqCst) == 1);
}

#[tokio::test]
async fn a_restored_pair_is_written_with_its_backup_and_without_a_sample() {
    let store = empty().await;
    let sampled = Box::new(|_| Box::pin(async { Err("no sample is asked for".to_owned()) }) as KeptSample);
    let sealed = Box::new(|name: &str, version, _| {
        let backup =
            StoredBackup { recipients: vec![format!("{name}-{version}")], ciphertext: "age".to_owned() };
        Box::pin(async { Some(backup) }) as SealedBackup
    });
    let keys = keys(&store).with_payload_store("a".repeat(32)).with_samples(sampled).with_backups(sealed);
    let private = PrivateKey::from_slice(&base64::decode_strict(PRIVATE).unwrap()).unwrap();
    let pair = Arc::new(KeyPair::from_private(private));
    let restored = keys.restore("main", 1, 3, pair, "0".repeat(32)).await.unwrap();
    assert!(restored.new && !restored.imported && restored.sample.is_none());
    assert_eq!(restored.payload_store, Some("0".repeat(32)));
    assert_eq!(restored.backup.unwrap().recipients, ["main-1"]);
    let requests = store.requests("/keys/main/1");
    let writes: Vec<_> = requests.iter().filter(|request| request.method != "GET").collect();
    assert_eq!(writes.len(), 1);
    let body = &writes[0].body;
    for part in
        [r#""cas":0"#, r#""restored":true"#, r#""backup":{"recipients":["main-1"],"ciphertext":"age"}"#]
    {
        assert!(body.contains(part), "{part}: {body}");
    }
    assert!(!body.contains("sample") && !body.contains("imported"), "{body}");
}

#[tokio::test]
async fn the_namespace_goes_along() {
    let mut store = answering(200, stored(PUBLIC, PRIVATE)).await;
    store.config.namespace = "team-a".to_owned();
    keys(&store).ensure("main", 1).await.unwrap();
    assert!(store.seen.lock().unwrap().iter().all(|request| request.namespace.as_deref() == Some("team-a")));
}

#[tokio::test]
async fn a_sealed_store_is_distinguished_from_a_broken_one() {
    let store = answering(503, r#"{"errors":["Vault is sealed"]}"#).await;
    let error = failure(&store).await;
    assert!(matches!(error, VaultError::Sealed { .. }), "{error}");
    assert_eq!(error.classify(), Retry::Soon);

    for (status, body) in [(503, "<html>no backend</html>"), (500, r#"{"errors":["boom"]}"#), (429, "{}")] {
        let error = failure(&answering(status, body).await).await;
        assert!(matches!(error, VaultError::Unavailable { status: found, .. } if found == status), "{error}");
        assert_eq!(error.classify(), Retry::Soon);
    }
}

#[tokio::test]
async fn an_unreachable_store_says_what_failed_on_the_way() {
    let mut store = answering(404, ABSENT.1).await;
    let trusted = store.config.ca_file.clone();

    // Another CA's bundle: the connection is refused by us, not by luck.
    let stranger = answering(404, ABSENT.1).await;
    store.config.ca_file.clone_from(&stranger.config.ca_file);
    let error = failure(&store).await;
    assert!(
        matches!(&error, VaultError::Untrusted { problem, .. } if problem == "the certificate is of no CA that we trust here"),
        "{error}"
    );
    assert_eq!(error.classify(), Retry::Soon);
    assert!(store.seen.lock().unwrap().is_empty(), "nothing was said to a store that is not ours");

    store.config.ca_file = trusted;
    // Nothing listens there.
    "https://localhost:1".clone_into(&mut store.config.address);
    std::fs::write(&store.config.token_file, jwt(&store.config.address)).unwrap();
    let error = failure(&store).await;
    assert!(
        matches!(&error, VaultError::Unreachable { problem, .. } if problem == "Connection refused"),
        "{error}"
    );
    assert_eq!(error.classify(), Retry::Soon);
}

#[tokio::test]
async fn a_slow_store_is_given_up() {
    let store = FakeStore::start(|request| is_login(request).then(|| login(3600))).await;
    let began = Instant::now();
    let error = failure(&store).await;
    assert!(
        matches!(&error, VaultError::Unreachable { problem, .. } if problem == "operation timed out"),
        "{error}"
    );
    assert!(began.elapsed() < Duration::from_secs(30), "took {:?}", began.elapsed());
}

#[tokio::test]
async fn refused_logins_say_why() {
    let refusing = async |status: u16, body: &'static str| {
        failure(&FakeStore::start(move |_| Some((status, body.to_owned()))).await).await
    };
    let error = refusing(400, r#"{"errors":["invalid role name \"tessera-node\""]}"#).await;
    assert!(matches!(error, VaultError::RoleMissing { .. }), "{error}");
    assert_eq!(error.classify(), Retry::Later);

    let error = refusing(403, r#"{"errors":["invalid audience (aud) claim"]}"#).await;
    assert!(matches!(error, VaultError::LoginDenied { status: 403, .. }), "{error}");
    assert!(error.to_string().contains("invalid audience (aud) claim"), "{error}");

    let error = refusing(200, "{}").await;
    assert!(matches!(error, VaultError::Answer { .. }), "{error}");
}

#[tokio::test]
async fn a_node_that_is_not_allowed_leaves_no_tokens_behind() {
    let store = answering(403, r#"{"errors":["permission denied"]}"#).await;
    let keys = keys(&store);
    for _ in 0..3 {
        let error = keys.ensure("main", 1).await.expect_err("fails");
        assert!(matches!(error, VaultError::Forbidden { .. }), "{error}");
    }
    let (logins, revoked) = (store.requests("/login").len(), store.requests("revoke-self").len());
    assert_eq!((logins, revoked), (3, 2), "one login is in use, the others are given up");
}

#[tokio::test]
async fn a_token_file_that_is_not_there_is_named() {
    let store = answering(404, ABSENT.1).await;
    std::fs::remove_file(store.directory.path().join("token")).unwrap();
    let error = failure(&store).await;
    assert!(
        matches!(&error, VaultError::TokenFile { path, .. } if *path == store.config.token_file),
        "{error}"
    );
}

/// The file with the configuration is a ConfigMap, which others may write: a changed address must not get the token.
#[tokio::test]
async fn a_token_made_for_another_address_is_not_sent() {
    let store = answering(200, stored(PUBLIC, PRIVATE)).await;
    let address = &store.config.address;
    for audience in ["https://vault.vault.svc:8200", &format!("{address}/"), ""] {
        std::fs::write(&store.config.token_file, jwt(audience)).unwrap();
        let error = failure(&store).await;
        assert!(matches!(error, VaultError::Token { .. }), "{audience}: {error}");
        assert!(error.to_string().contains("secretStore.address"), "{error}");
        assert_eq!(error.classify(), Retry::Later);
    }
    std::fs::write(&store.config.token_file, "not a token").unwrap();
    assert!(matches!(failure(&store).await, VaultError::Token { .. }));
    assert!(store.seen.lock().unwrap().is_empty(), "nothing was sent");

    std::fs::write(&store.config.token_file, jwt(address)).unwrap();
    keys(&store).ensure("main", 1).await.expect("the twin made for this address");
}

/// The bundle is a ConfigMap, which others may write.
#[tokio::test]
async fn a_changed_ca_bundle_waits_until_the_old_one_fails() {
    let store = FakeStore::start(|request| {
        Some(if is_login(request) { login(3600) } else { (403, r#"{"errors":["denied"]}"#.to_owned()) })
    })
    .await;
    let keys = keys(&store);
    assert_eq!(keys.unused_bundle(), None, "nothing is in use");
    keys.ensure("main", 1).await.expect_err("the path is forbidden");
    assert_eq!(keys.unused_bundle(), None);

    // Of another CA: each use logs in anew, since the path is forbidden, and each login is verified by the old bundle.
    let stranger = answering(404, ABSENT.1).await;
    std::fs::copy(&stranger.config.ca_file, &store.config.ca_file).unwrap();
    let before = store.requests("/login").len();
    let error = keys.ensure("main", 1).await.expect_err("the path is forbidden");
    assert!(matches!(error, VaultError::Forbidden { .. }), "{error}");
    assert!(store.requests("/login").len() > before, "it logged in anew");
    assert!(keys.unused_bundle().is_some_and(|why| why.contains(&store.config.ca_file)));
}

/// The twin: the store has a certificate of another CA, and the bundle on disk is that CA's.
#[tokio::test]
async fn a_changed_ca_bundle_is_used_once_the_store_needs_it() {
    let old = FakeStore::start(|request| {
        Some(if is_login(request) { login(3600) } else { (403, "{}".to_owned()) })
    })
    .await;
    let keys = keys(&old);
    keys.ensure("main", 1).await.expect_err("the path is forbidden");
    let ca = old.change_certificate();
    let error = keys.ensure("main", 1).await.expect_err("the old bundle no longer verifies");
    assert!(matches!(error, VaultError::Untrusted { .. }), "{error}");

    std::fs::write(&old.config.ca_file, ca).unwrap();
    let error = keys.ensure("main", 1).await.expect_err("the path is forbidden");
    assert!(matches!(error, VaultError::Forbidden { .. }), "{error}");
    assert_eq!(keys.unused_bundle(), None);
}

#[tokio::test]
async fn a_forbidden_path_is_believed_after_a_new_login() {
    let store = answering(403, r#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#).await;
    let keys = keys(&store);
    for _ in 0..2 {
        let error = keys.ensure("main", 1).await.expect_err("forbidden");
        assert!(matches!(&error, VaultError::Forbidden { path } if path == SECRET_PATH), "{error}");
    }
    // The first call logs in and believes; the second has an old login, so it tries a new one.
    assert_eq!(store.requests("/login").len(), 2);
}

#[tokio::test]
async fn an_expired_token_is_replaced_without_anybody_noticing() {
    let reads = AtomicUsize::new(0);
    let store = FakeStore::start(move |request| {
        Some(if is_login(request) {
            login(3600)
        } else if reads.fetch_add(1, Ordering::Relaxed) == 1 {
            (403, r#"{"errors":["permission denied","invalid token"]}"#.to_owned())
        } else {
            (200, stored(PUBLIC, PRIVATE))
        })
    })
    .await;
    let keys = keys(&store);
    keys.ensure("main", 1).await.unwrap();
    keys.ensure("main", 1).await.unwrap();
    assert_eq!(store.requests("/login").len(), 2);
}

#[tokio::test]
async fn what_is_not_ours_is_refused_by_field() {
    let cases = [
        (stored(OTHER_PUBLIC, PRIVATE), "publicKey", "is not the public key of privateKey"),
        (stored("!", PRIVATE), "publicKey", "is not the base64 of 32 bytes"),
        (stored(PUBLIC, &PRIVATE[..20]), "privateKey", "is not the base64 of 32 bytes"),
        (stored(PUBLIC, PRIVATE).replace("privateKey", "x"), "privateKey", "is missing"),
        (stored(PUBLIC, PRIVATE).replace("2026-01-02T", "soon"), "bornAt", "is not an RFC 3339 time"),
    ];
    for (body, field, problem) in cases {
        let error = failure(&answering(200, body).await).await;
        assert!(
            matches!(&error, VaultError::Malformed { field: f, problem: p, .. } if *f == field && *p == problem),
            "{error}"
        );
        assert!(error.to_string().contains(SECRET_PATH), "{error}");
    }
}

/// A store with a good key and this stamp beside it.
async fn stamped(data: &'static str) -> FakeStore {
    FakeStore::start_unstamped(move |request| {
        Some(if is_login(request) {
            login(3600)
        } else if request.path.ends_with(STAMP_PATH) {
            (200, format!(r#"{{"data":{{"data":{data},"metadata":{{"version":1}}}}}}"#))
        } else {
            (200, stored(PUBLIC, PRIVATE))
        })
    })
    .await
}

#[tokio::test]
async fn keys_of_another_cluster_or_network_are_not_even_read() {
    for (data, found) in [
        (r#"{"cluster":"prod-eu2","network":"org-a/main"}"#, "prod-eu2/org-a/main"),
        (r#"{"cluster":"prod-eu1","network":"org-b/main"}"#, "prod-eu1/org-b/main"),
    ] {
        let store = stamped(data).await;
        let error = failure(&store).await;
        assert!(
            matches!(&error, VaultError::ForeignStore { found: stamp, .. } if stamp.to_string() == found)
        );
        let command = format!("kubectl tessera store-setup main -n org-a --adopt {found}");
        assert!(error.to_string().contains(&command), "{error}");
        assert_eq!((error.classify(), error.reason()), (Retry::Later, "ForeignStore"));
        assert!(store.requests("/keys/").is_empty());
    }
}

#[tokio::test]
async fn a_stamp_without_a_name_is_refused() {
    for data in ["{}", r#"{"cluster":"prod-eu1"}"#, r#"{"cluster":"x\n","network":"org-a/main"}"#] {
        let error = failure(&stamped(data).await).await;
        assert!(matches!(error, VaultError::MalformedStamp { .. }), "{error}");
    }
}

#[tokio::test]
async fn garbage_is_never_taken_for_an_absent_key() {
    let private = format!(r#"{{"data":"{PRIVATE}"}}"#);
    for (status, body) in
        [(200, "garbage"), (200, ""), (200, private.as_str()), (404, "<html>not found</html>")]
    {
        let store = answering(status, body).await;
        let error = failure(&store).await;
        assert!(
            matches!(error, VaultError::Answer { .. } | VaultError::Unavailable { .. }),
            "{body}: {error}"
        );
        assert!(
            store.seen.lock().unwrap().iter().all(|request| request.method == "GET" || is_login(request))
        );
    }
}

#[tokio::test]
async fn a_redirect_does_not_carry_the_token_away() {
    let thief = FakeStore::start(|_| Some((200, "{}".to_owned()))).await;
    let store = answering(307, format!("{}/v1/secret/data/x", thief.config.address)).await;
    let error = failure(&store).await;
    assert!(matches!(error, VaultError::Unavailable { status: 307, .. }), "{error}");
    assert!(thief.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_state_tells_the_last_use_and_since_when() {
    let uses = AtomicUsize::new(0);
    let store = FakeStore::start(move |request| {
        Some(if is_login(request) {
            login(3600)
        } else if uses.fetch_add(1, Ordering::Relaxed) < 2 {
            (503, r#"{"errors":["Vault is sealed"]}"#.to_owned())
        } else {
            (200, stored(PUBLIC, PRIVATE))
        })
    })
    .await;
    let keys = keys(&store);
    let state = keys.state();
    assert_eq!(*state.borrow(), None);
    keys.ensure("main", 1).await.expect_err("sealed");
    let first = state.borrow().clone().expect("used");
    assert!(first.failure.as_ref().is_some_and(|failure| failure.contains("sealed")));
    keys.ensure("main", 1).await.expect_err("sealed");
    assert_eq!(*state.borrow(), Some(first));
    keys.ensure("main", 1).await.unwrap();
    assert_eq!(state.borrow().as_ref().map(|state| state.failure.clone()), Some(None));
}

#[tokio::test]
async fn a_login_is_renewed_before_it_ends_and_replaced_when_renewal_fails() {
    let renewals = AtomicUsize::new(0);
    let store = FakeStore::start(move |request| {
        Some(match request.path.as_str() {
            "/v1/auth/token/renew-self" if renewals.fetch_add(1, Ordering::Relaxed) == 0 => login(1),
            "/v1/auth/token/renew-self" => (403, r#"{"errors":["invalid token"]}"#.to_owned()),
            path if path.ends_with("/login") => login(1),
            _ => (200, stored(PUBLIC, PRIVATE)),
        })
    })
    .await;
    let keys = keys(&store);
    keys.ensure("main", 1).await.unwrap();
    let enough = async {
        while store.requests("/login").len() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        never = keys.keep_alive() => match never {},
        done = tokio::time::timeout(Duration::from_secs(20), enough) => done.expect("never logged in anew"),
    }
    assert!(store.requests("renew-self").len() >= 2);
}

#[tokio::test]
async fn shutdown_revokes_the_login_once() {
    let store = answering(200, stored(PUBLIC, PRIVATE)).await;
    let keys = keys(&store);
    keys.revoke().await.expect("nothing to revoke yet");
    keys.ensure("main", 1).await.unwrap();
    keys.revoke().await.unwrap();
    keys.revoke().await.unwrap();
    let revocations = store.requests("/v1/auth/token/revoke-self");
    assert_eq!(revocations.len(), 1);
    assert_eq!(revocations[0].token.as_deref(), Some(TOKEN));
}

#[test]
fn unusable_settings_are_refused_before_anything_is_sent() {
    let directory = tempfile::TempDir::new().unwrap();
    for address in ["http://vault:8200", "vault:8200", "https://", "https://vault:8200/?x=1", ""] {
        let error = VaultKeys::new(fake::config(&directory, address)).expect_err(address);
        assert!(matches!(error, VaultError::Address { .. }), "{error}");
        assert_eq!(error.classify(), Retry::Never);
    }
    VaultKeys::new(fake::config(&directory, "https://vault:8200")).expect("the valid twin");
}

#[tokio::test]
async fn a_key_name_cannot_leave_the_nodes_directory() {
    let store = answering(404, ABSENT.1).await;
    for name in ["", "..", "a/b", "../x", ".hidden", "a b", "a%2fb"] {
        let error = keys(&store).ensure(name, 1).await.expect_err(name);
        assert!(matches!(error, VaultError::KeyName { .. }), "{error}");
    }
    assert!(store.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_ca_bundle_that_is_no_bundle_is_named() {
    let store = answering(404, ABSENT.1).await;
    std::fs::write(&store.config.ca_file, "garbage").unwrap();
    let error = failure(&store).await;
    assert!(matches!(&error, VaultError::Ca { path, .. } if *path == store.config.ca_file), "{error}");
    assert_eq!(error.classify(), Retry::Later);
}
