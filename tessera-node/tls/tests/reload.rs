//! Credentials follow their files, and a bad file never replaces a good one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may panic as tests do")]

mod common;

use std::fs;
use std::path::Path;
use std::time::Duration;

use common::{Ca, DEADLINE, Issued, Wish, node, wish};
use jiff::SignedDuration;
use rcgen::ExtendedKeyUsagePurpose;
use tempfile::TempDir;
use tessera_node_api::paths::{CA_FILE, CERTIFICATE_FILE, KEY_FILE};
use tessera_tls::{Credentials, CredentialsError, CredentialsReceiver, Expectation, Snapshot, Usage};

const NODE: &str = "spiffe://org-a.example/node/node-a";
const QUICK: Duration = Duration::from_millis(20);

fn expectation() -> Expectation {
    Expectation { identity: node("node-a"), usage: Usage::Both }
}

async fn watch(directory: &TempDir) -> CredentialsReceiver {
    CredentialsReceiver::watch_directory_every(directory.path(), expectation(), QUICK).await
}

async fn until(
    receiver: &mut CredentialsReceiver,
    what: &str,
    holds: impl Fn(&Snapshot) -> bool,
) -> Snapshot {
    let wait = async {
        while !holds(&receiver.snapshot()) {
            receiver.changed().await;
        }
        receiver.snapshot()
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("never: {what}"))
}

fn serial(snapshot: &Snapshot) -> String {
    snapshot.credentials.as_ref().expect("credentials").leaf().serial().to_owned()
}

#[tokio::test]
async fn a_new_certificate_is_picked_up() {
    let (ca, directory) = (Ca::new("network"), TempDir::new().unwrap());
    ca.issue(&wish(NODE)).write(directory.path());
    let mut receiver = watch(&directory).await;
    let before = serial(&receiver.snapshot());

    ca.issue(&wish(NODE)).write(directory.path());
    let after =
        until(&mut receiver, "new serial", |now| serial(now) != before && now.failure.is_none()).await;
    assert!(after.failure.is_none());
}

#[tokio::test]
async fn files_may_come_later() {
    let (ca, directory) = (Ca::new("network"), TempDir::new().unwrap());
    let mut receiver = watch(&directory).await;
    let empty = receiver.snapshot();
    assert!(empty.credentials.is_none());
    assert!(empty.failure.expect("says why").message.contains("cannot read"));

    ca.issue(&wish(NODE)).write(directory.path());
    until(&mut receiver, "loaded", |now| now.credentials.is_some() && now.failure.is_none()).await;
}

#[tokio::test]
async fn a_bad_file_keeps_the_good_one_and_says_since_when() {
    let (ca, directory) = (Ca::new("network"), TempDir::new().unwrap());
    let good = ca.issue(&wish(NODE));
    good.write(directory.path());
    let mut receiver = watch(&directory).await;
    let before = serial(&receiver.snapshot());

    fs::write(directory.path().join(CERTIFICATE_FILE), "garbage").unwrap();
    let bad = until(&mut receiver, "failure", |now| now.failure.is_some()).await;
    assert_eq!(serial(&bad), before, "the valid one stays");
    let failure = bad.failure.unwrap();
    assert!(failure.message.contains(CERTIFICATE_FILE), "{}", failure.message);

    // Bad in another way: the message changes, the beginning does not.
    fs::remove_file(directory.path().join(CERTIFICATE_FILE)).unwrap();
    let worse = until(&mut receiver, "another failure", |now| {
        now.failure.as_ref().is_some_and(|now| now.message != failure.message)
    })
    .await;
    assert_eq!(worse.failure.unwrap().since, failure.since);

    good.write(directory.path());
    let healed = until(&mut receiver, "healed", |now| now.failure.is_none()).await;
    assert_eq!(serial(&healed), before);
}

/// As the kubelet does it: files behind the symlink `..data`, which is replaced as one.
#[tokio::test]
async fn the_kubelets_symlink_swap_is_seen_as_one_change() {
    let (ca, directory) = (Ca::new("network"), TempDir::new().unwrap());
    publish_like_kubelet(directory.path(), "..first", &ca.issue(&wish(NODE)));
    for name in [CERTIFICATE_FILE, KEY_FILE, CA_FILE] {
        std::os::unix::fs::symlink(Path::new("..data").join(name), directory.path().join(name)).unwrap();
    }
    let mut receiver = watch(&directory).await;
    let before = serial(&receiver.snapshot());

    publish_like_kubelet(directory.path(), "..second", &ca.issue(&wish(NODE)));
    until(&mut receiver, "new serial", |now| {
        assert!(
            now.failure.is_none(),
            "certificate and key of two generations were mixed: {:?}",
            now.failure
        );
        serial(now) != before
    })
    .await;
}

fn publish_like_kubelet(volume: &Path, generation: &str, issued: &Issued) {
    fs::create_dir(volume.join(generation)).unwrap();
    issued.write(&volume.join(generation));
    std::os::unix::fs::symlink(generation, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
}

#[test]
fn nothing_unverified_is_loaded() {
    type Fits = fn(&CredentialsError) -> bool;
    let (ca, other) = (Ca::new("network"), Ca::new("other"));
    let good = ca.issue(&wish(NODE));
    let issue = |wish: Wish| ca.issue(&wish);
    let cases: [(&str, Issued, Fits); 9] = [
        ("key of another pair", Issued { key: ca.issue(&wish(NODE)).key, ..good.clone() }, |e| {
            matches!(e, CredentialsError::KeyMismatch)
        }),
        ("no key", Issued { key: String::new(), ..good.clone() }, |e| matches!(e, CredentialsError::Key)),
        ("no certificate", Issued { certificate: String::new(), ..good.clone() }, |e| {
            matches!(e, CredentialsError::NoCertificate)
        }),
        ("no roots", Issued { roots: String::new(), ..good.clone() }, |e| {
            matches!(e, CredentialsError::Roots(_))
        }),
        ("foreign roots", Issued { roots: other.pem.clone(), ..good.clone() }, |e| {
            reason(e) == "UnknownIssuer"
        }),
        ("expired", issue(Wish { until: SignedDuration::from_secs(-5), ..wish(NODE) }), |e| {
            reason(e) == "Expired"
        }),
        (
            "server only",
            issue(Wish { usages: vec![ExtendedKeyUsagePurpose::ServerAuth], ..wish(NODE) }),
            |e| reason(e) == "Purpose",
        ),
        ("another node", issue(wish("spiffe://org-a.example/node/node-b")), |e| {
            matches!(e, CredentialsError::Identity { .. })
        }),
        ("two URIs", issue(Wish { uris: vec![NODE.into(), NODE.into()], ..wish(NODE) }), |e| {
            matches!(e, CredentialsError::Leaf(_))
        }),
    ];
    load(&good).expect("the twin of all these");
    for (what, issued, fits) in cases {
        let error = load(&issued).expect_err(what);
        assert!(fits(&error), "{what}: {error}");
    }
}

#[test]
fn a_message_about_our_own_files_says_that_they_are_ours() {
    let ca = Ca::new("network");
    let expired = ca.issue(&Wish { until: SignedDuration::from_secs(-5), ..wish(NODE) });
    assert_eq!(
        load(&expired).expect_err("expired").to_string(),
        "tls.crt of this process does not verify against the ca.crt beside it: it has expired"
    );
    for begin in
        ["-----BEGIN ENCRYPTED PRIVATE KEY-----", "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"]
    {
        let end = begin.lines().next().expect("a line").replace("BEGIN", "END");
        let encrypted = Issued { key: format!("{begin}\nAAAA\n{end}\n"), ..ca.issue(&wish(NODE)) };
        let error = load(&encrypted).expect_err("encrypted");
        assert!(error.to_string().starts_with("tls.key is encrypted"), "{begin}: {error}");
    }
    let garbage = Issued { key: "garbage".into(), ..ca.issue(&wish(NODE)) };
    assert!(matches!(load(&garbage), Err(CredentialsError::Key)));
}

fn load(issued: &Issued) -> Result<Credentials, CredentialsError> {
    Credentials::from_pem(
        issued.certificate.as_bytes(),
        issued.key.as_bytes(),
        issued.roots.as_bytes(),
        &expectation(),
    )
}

fn reason(error: &CredentialsError) -> &'static str {
    match error {
        CredentialsError::Chain(problem) => problem.reason(),
        _ => "",
    }
}
