//! The real binary: its command line, its exit codes, its end.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests fail as tests do.

mod connect;
#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use support::process::{Process, run_to_end};
use support::{Net, PATIENCE, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[test]
fn help_names_the_commands() {
    let (code, out, _) = run_to_end(&["--help"]);
    assert_eq!(code, 0);
    for word in ["run", "connect", "probe", "verify", "repair", "--configfile"] {
        assert!(out.contains(word), "{out}");
    }
    assert!(!out.contains("fault"), "the crash tests' option is hidden");
}

#[test]
fn exit_codes_are_those_of_java() {
    let net = Net::with(&["a"], |config| {
        config["mode"] = json!("orion");
        config["tesseraNode"]["typo"] = json!(1);
    });
    let file = net.node("a").config_file().display().to_string();
    let (code, _, err) = run_to_end(&["--configfile", &file]);
    assert_eq!(code, 1);
    assert!(err.contains("ERROR: Config validation issue: mode \"orion\" is not supported"), "{err}");
    assert!(err.contains("unknown field `typo`"), "{err}");

    std::fs::write(&file, "{").unwrap();
    assert_eq!(run_to_end(&["run", "--configfile", &file]).0, 3);
    assert_eq!(run_to_end(&["run", "--configfile", "/nowhere"]).0, 3);
    assert_eq!(run_to_end(&["run", "--nonsense"]).0, 4);
    assert_eq!(run_to_end(&["probe", "ready", "--socket", "/nowhere"]).0, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_a_node_in_order_and_soon() {
    let net = Net::new(&["a"]);
    let a = net.node("a");
    let mut process = Process::start(a);
    a.wait_until_knows(&a.public_key).await;
    let idle = a.client().connect().await.unwrap();
    // A request that has begun is answered.
    let mut begun = a.client().connect().await.unwrap();
    let body = json!({"payload": "aGVsbG8="}).to_string();
    let head = format!(
        "POST /send HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    begun.write_all(head.as_bytes()).await.unwrap();
    // Said once the body is waited for.
    let mut goes_on = [0; 25];
    begun.read_exact(&mut goes_on).await.unwrap();
    assert_eq!(std::str::from_utf8(&goes_on), Ok("HTTP/1.1 100 Continue\r\n\r\n"));
    let started = Instant::now();
    process.signal(Signal::TERM);
    eventually("it takes no more connections", async || a.client().connect().await.is_none().then_some(()))
        .await;
    begun.write_all(body.as_bytes()).await.unwrap();
    let mut answer = [0; 20];
    begun.read_exact(&mut answer).await.unwrap();
    assert_eq!(std::str::from_utf8(&answer), Ok("HTTP/1.1 201 Created"));
    let status = tokio::task::block_in_place(|| process.wait(PATIENCE)).expect("it ends");
    assert!(status.success(), "{status}");
    assert!(started.elapsed() < Duration::from_secs(20), "an idle connection delayed it");
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_nothing_that_was_acknowledged() {
    let net = Net::new(&["a", "b"]);
    let (a, b) = (net.node("a"), net.node("b"));
    let _a = Process::start(a);
    let mut process = Process::start(b);
    net.wait_until_met().await;
    let mut hashes = Vec::new();
    for round in 0..20_u8 {
        hashes.push((round, a.client().send(&[round], &[&b.public_key]).await));
    }
    process.kill();
    let _again = Process::start(b);
    b.wait_until_knows(&b.public_key).await;
    for (round, hash) in hashes {
        assert_eq!(b.client().receive(&hash).await, (200, vec![round]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_reads_the_store_of_a_stopped_node_and_names_what_is_damaged() {
    let net = Net::new(&["a", "b"]);
    let (a, b) = (net.node("a"), net.node("b"));
    let data = b.dir.join("data");
    let verify = || run_to_end(&["verify", data.to_str().unwrap()]);
    let _a = Process::start(a);
    let mut process = Process::start(b);
    net.wait_until_met().await;
    let hash = a.client().send(b"kept", &[&b.public_key]).await;
    let (code, _, err) = verify();
    assert_eq!(code, 2);
    assert!(err.contains("is open in another process"), "{err}");
    process.kill();

    let (code, out, err) = verify();
    assert_eq!(code, 0, "{out} {err}");
    assert!(out.contains(" damaged=0 lost=0 torn=0"), "{out}");

    let segment = data.join("0000000000000001.log");
    let mut log = std::fs::read(&segment).unwrap();
    let name = tessera_enclave::base64::decode_strict(&hash).unwrap();
    let at = log.windows(name.len()).position(|bytes| bytes == name).unwrap();
    // Behind the name in the record's head comes its body.
    log[at + name.len() + 40] ^= 1;
    std::fs::write(&segment, log).unwrap();
    let (code, out, _) = verify();
    assert_eq!(code, 1, "{out}");
    assert!(out.contains(&format!("\ndamaged transaction {hash}\n")), "{out}");
    assert_eq!(run_to_end(&["verify", "/nowhere"]).0, 2);
}

/// After a kill the log is replayed, and the replay finds the damage.
#[tokio::test(flavor = "multi_thread")]
async fn repair_brings_a_payload_back_that_a_replay_found_damaged() {
    let net = Net::new(&["a", "b"]);
    let (a, b) = (net.node("a"), net.node("b"));
    let socket = b.dir.join("probe.sock").display().to_string();
    let _a = Process::start(a);
    let mut process = Process::start(b);
    net.wait_until_met().await;
    let hash = a.client().send(b"kept", &[&b.public_key]).await;
    let repair = || run_to_end(&["repair", &hash, "--socket", &socket]);
    let (code, _, err) = tokio::task::block_in_place(repair);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("is not damaged"), "{err}");
    process.kill();
    let (code, _, err) = repair();
    assert_eq!(code, 2, "{err}");
    assert!(err.starts_with("ERROR: no answer on "), "{err}");

    support::damage::flip_a_bit_of(b, &hash);
    let log = b.dir.join("log");
    let mut command = support::process::binary();
    command.arg("run").arg("--configfile").arg(b.config_file());
    let mut process = Process::spawn_logging(command, &log);
    net.wait_until_met().await;
    assert_eq!(b.metric("tessera_store_corrupt_records").await, 1, "found before it is read");
    let (code, out, _) =
        tokio::task::block_in_place(|| run_to_end(&["repair", "--list", "--socket", &socket]));
    assert_eq!((code, out.trim()), (0, &*format!("transaction {hash}")));
    for _ in 0..3 {
        assert_eq!(b.client().receive(&hash).await.0, 500);
    }
    let (code, out, err) = tokio::task::block_in_place(repair);
    assert_eq!(
        (code, out.trim()),
        (0, &*format!("the payload {hash} is repaired: 1 of 1 peers gave it")),
        "{err}"
    );
    assert_eq!(b.client().receive(&hash).await, (200, b"kept".to_vec()));
    assert_eq!(b.metric("tessera_store_corrupt_records").await, 0);

    // Acknowledged is durable: the next replay finds both records, and the newer counts.
    process.kill();
    let log = std::fs::read_to_string(log).unwrap();
    let named = log.lines().filter(|line| line.contains("a stored payload is damaged"));
    assert_eq!(named.count(), 1, "once for a hash: {log}");
    let (code, out, _) = run_to_end(&["verify", b.dir.join("data").to_str().unwrap()]);
    assert_eq!(code, 0, "{out}");
    let _again = Process::start(b);
    net.wait_until_met().await;
    assert_eq!(b.client().receive(&hash).await, (200, b"kept".to_vec()));
    assert_eq!(b.metric("tessera_store_corrupt_records").await, 0);
}

#[test]
fn help_documents_the_exit_codes_of_repair() {
    let (code, out, _) = run_to_end(&["repair", "--help"]);
    assert_eq!(code, 0);
    for line in [
        "0  the payload is repaired, durably",
        "1  the payload stays damaged",
        "2  the node could not",
        "3  there is nothing",
        "4  the command line",
        "5  the payload is repaired, incomplete",
    ] {
        assert!(out.contains(line), "{out}");
    }
    assert_eq!(run_to_end(&["repair", "AAAA"]).0, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_at_each_write_leaves_both_sides_consistent() {
    for (at_sender, point, kept_by_sender) in [
        (true, "before-send-insert", false),
        (true, "after-send-insert", true),
        (false, "before-push-insert", false),
        (false, "after-push-insert", false),
    ] {
        let net = Net::new(&["a", "b"]);
        let (a, b) = (net.node("a"), net.node("b"));
        let fault = ["--fault-point", point];
        let mut first = Process::start_with(a, if at_sender { &fault } else { &[] });
        let mut second = Process::start_with(b, if at_sender { &[] } else { &fault });
        net.wait_until_met().await;
        let stored = a.client().post_json("/storeraw", json!({"payload": "aGVsbG8="}).to_string()).await;
        let hash = stored.json()["key"].as_str().unwrap().to_owned();
        let send = json!({"hash": hash, "to": [b.public_key]}).to_string();
        let request = http::Request::builder()
            .method("POST")
            .uri("/sendsignedtx")
            .header("host", "a")
            .header("content-type", "application/json")
            .body(http_body_util::Full::from(send.clone()))
            .unwrap();
        let answer = a.client().try_send(request).await;
        let victim = if at_sender { &mut first } else { &mut second };
        let status = tokio::task::block_in_place(|| victim.wait(PATIENCE)).expect("it died");
        assert!(!status.success(), "{point}");
        assert!(answer.is_none_or(|answer| answer.status == 410), "{point}");

        *victim = Process::start(if at_sender { a } else { b });
        net.wait_until_met().await;
        let read = a.client().receive(&hash).await.0;
        assert_eq!(read == 200, kept_by_sender, "{point}: {read}");
        // The client's retry ends where an undisturbed send would have.
        let again = a.client().post_json("/sendsignedtx", send).await;
        assert_eq!((again.status, again.json()["key"].as_str()), (201, Some(hash.as_str())), "{point}");
        for node in [a, b] {
            assert_eq!(node.client().receive(&hash).await, (200, b"hello".to_vec()), "{point}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_around_a_raw_write_loses_no_acknowledged_payload() {
    let keep = || json!({"payload": "aGVsbG8="}).to_string();
    let signed = |hash: &str, to: &str| json!({"hash": hash, "to": [to]}).to_string();
    for point in ["before-raw-insert", "after-raw-insert"] {
        let net = Net::new(&["a", "b"]);
        let (a, b) = (net.node("a"), net.node("b"));
        let _b = Process::start(b);
        let mut process = Process::start(a);
        net.wait_until_met().await;
        let kept = a.client().post_json("/storeraw", keep()).await.json()["key"].as_str().unwrap().to_owned();
        process.kill();

        let mut process = Process::start_with(a, &["--fault-point", point]);
        net.wait_until_met().await;
        let request = http::Request::builder().method("POST").uri("/storeraw").header("host", "a");
        let request = request.header("content-type", "application/json");
        let answer = a.client().try_send(request.body(http_body_util::Full::from(keep())).unwrap()).await;
        assert!(answer.is_none(), "{point}: an answer from the dead");
        let status = tokio::task::block_in_place(|| process.wait(PATIENCE)).expect("it died");
        assert!(!status.success(), "{point}");

        // The client's retry is another payload with a hash of its own; what was acknowledged before is untouched.
        let _again = Process::start(a);
        net.wait_until_met().await;
        let again =
            a.client().post_json("/storeraw", keep()).await.json()["key"].as_str().unwrap().to_owned();
        assert_ne!(again, kept, "{point}");
        for hash in [&kept, &again] {
            let sent = a.client().post_json("/sendsignedtx", signed(hash, &b.public_key)).await;
            assert_eq!(sent.status, 201, "{point}: {}", sent.text());
            assert_eq!(b.client().receive(hash).await, (200, b"hello".to_vec()), "{point}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_around_a_birth_leaves_one_version_of_the_key() {
    for (point, generated) in [("before-key-write", 0), ("after-key-write", 1)] {
        let store = support::store::SecretStore::start().await;
        let mut net = Net::new(&["a"]);
        store.serve(&mut net.nodes[0], 1);
        let a = net.node("a");
        let mut process = Process::start_with(a, &["--fault-point", point]);
        let status = tokio::task::block_in_place(|| process.wait(PATIENCE)).expect("it died");
        assert!(!status.success(), "{point}");
        assert_eq!(store.secrets().len(), generated, "{point}");

        let _again = Process::start(a);
        let key = eventually("it is ready", async || {
            let status = a.operator_client().try_get("/v1/status").await?.json();
            (status["ready"] == json!(true)).then(|| status["keys"][0]["publicKey"].clone())
        })
        .await;
        let secrets = store.secrets();
        assert_eq!(secrets.len(), 1, "{point}");
        assert_eq!(secrets.values().next().unwrap()["publicKey"], key, "{point}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_around_an_import_leaves_the_imported_key_and_no_other() {
    const PUBLIC: &str = "BULeR8JyUWhiuuCMU/HLA0Q5pzkYT+cHII3ZKBey3Bo=";
    const FILE: &str =
        r#"{"type":"unlocked","data":{"bytes":"Wl+xSyXVuuqzpvznOS7dOobhcn4C5auxkFRi7yLtgtA="}}"#;
    for (point, stored) in [("before-key-write", 0), ("after-key-write", 1)] {
        let store = support::store::SecretStore::start().await;
        let mut net = Net::new(&["a"]);
        store.serve(&mut net.nodes[0], 1);
        let a = net.node("a");
        let file = a.dir.join("tm.key");
        std::fs::write(&file, FILE).unwrap();
        let key = json!({"name": "main", "versions": 1, "default": true, "import": {"file": file}});
        support::store::ask_for_key(a, &key);
        let mut process = Process::start_with(a, &["--fault-point", point]);
        let status = tokio::task::block_in_place(|| process.wait(PATIENCE)).expect("it died");
        assert!(!status.success(), "{point}");
        assert_eq!(store.secrets().len(), stored, "{point}");
        if stored == 1 {
            std::fs::remove_file(&file).unwrap();
        }

        let _again = Process::start(a);
        let key = eventually("it is ready", async || {
            let status = a.operator_client().try_get("/v1/status").await?.json();
            (status["ready"] == json!(true)).then(|| status["keys"][0].clone())
        })
        .await;
        assert_eq!((&key["publicKey"], &key["imported"]), (&json!(PUBLIC), &json!(true)), "{point}");
        assert_eq!(store.secrets().len(), 1, "{point}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_around_a_restore_leaves_the_restored_key_and_no_other() {
    use support::backup::{
        Custodian, awaited, backups, bring, is_ready, one_time_recipient, public_keys, seal_to, status_when,
    };

    for (point, stored) in [("before-key-write", 0), ("after-key-write", 1)] {
        let store = support::store::SecretStore::start().await;
        let mut net = Net::new(&["a"]);
        store.serve(&mut net.nodes[0], 1);
        let a = net.node("a");
        let alice = Custodian::new("alice");
        seal_to(a, &[&alice]);
        let mut process = Process::start(a);
        let kept = backups(a, 1, &[&alice]).await;
        // Backups are given before anything is sent: the ledger node's listener opens last.
        status_when(a, "it is ready", is_ready).await;
        let hash = a.client().send(b"before", &[]).await;
        process.kill();
        store.forget("/keys/");

        support::store::ask_for_key(a, &awaited(1, &public_keys(&kept)));
        let log = a.dir.join("log");
        let mut command = support::process::binary();
        command.arg("run").arg("--configfile").arg(a.config_file()).args(["--fault-point", point]);
        let mut process = Process::spawn_logging(command, &log);
        let brought = alice.bring(&one_time_recipient(a).await, &kept);
        // Wrong in every way, with the key in the clear where no key may be.
        let private = alice.private_key(&kept[0]);
        let mut planted = brought.clone();
        planted.keys[0].ciphertext.clone_from(&private);
        let result = bring(a, &planted).await;
        assert!(!result.accepted && !result.message.contains(&private), "{result:?}");
        let body = serde_json::to_string(&brought).unwrap();
        let request = http::Request::builder().method("POST").uri("/v1/key-restores").header("host", "a");
        let request = request.header("content-type", "application/json");
        let request = request.body(http_body_util::Full::from(body)).unwrap();
        assert!(a.operator_client().try_send(request).await.is_none(), "{point}: an answer from the dead");
        let status = tokio::task::block_in_place(|| process.wait(PATIENCE)).expect("it died");
        assert!(!status.success(), "{point}");
        let is_key = |path: &String| path.contains("/keys/");
        assert_eq!(store.secrets().into_keys().filter(is_key).count(), stored, "{point}");
        let log = std::fs::read_to_string(&log).unwrap();
        assert!(log.contains("custodians must bring back") && !log.contains(&private), "{point}: {log}");
        assert!(!log.contains("AGE-SECRET-KEY"), "{point}: {log}");

        let _again = Process::start(a);
        if stored == 0 {
            let anew = alice.bring(&one_time_recipient(a).await, &kept);
            let stale = bring(a, &brought).await;
            assert!(stale.message.contains("run `kubectl tessera backup restore` again"), "{stale:?}");
            assert!(bring(a, &anew).await.accepted, "{point}");
        }
        let ready = status_when(a, "it is ready", is_ready).await;
        assert_eq!(ready["keys"][0]["publicKey"], json!(kept[0].public_key), "{point}");
        assert!(bring(a, &brought).await.accepted, "{point}: the caller's retry");
        assert_eq!(a.client().receive(&hash).await, (200, b"before".to_vec()), "{point}");
        assert_eq!(store.secrets().into_keys().filter(is_key).count(), 1, "{point}");
    }
}

/// The container of the demo has 128 MiB. A node that takes more is killed by the kernel, and everything it was doing
/// with it.
#[tokio::test(flavor = "multi_thread")]
async fn large_requests_never_take_more_than_the_memory_limit() {
    const LIMIT: usize = 128 << 20;
    let net = Net::with(&["a", "b"], |config| config["tesseraNode"]["memoryBytes"] = json!(LIMIT));
    let (a, b) = (net.node("a"), net.node("b"));
    let processes = [Process::start(a), Process::start(b)];
    net.wait_until_met().await;
    let send = async |bytes: usize| {
        let body = support::client::send_body(&vec![7; bytes], &[&b.public_key]);
        a.client().try_post_json("/send", body).await.map(|answer| answer.status)
    };
    assert_eq!(send(40 << 20).await, Some(413));
    let hash = b.client().send(&vec![7; 4 << 20], &[]).await;
    let sends = futures::future::join_all((0..8).map(|_| send(7 << 20)));
    let reads = futures::future::join_all((0..8).map(async |_| b.client().receive(&hash).await.0));
    let (sends, reads) = tokio::join!(sends, reads);
    // Refused for lack of memory here or there, or late on a busy machine; never lost with its connection.
    assert!(
        sends.iter().all(|status| status.is_some_and(|s| [201, 410, 500, 503].contains(&s))),
        "{sends:?}"
    );
    assert!(reads.iter().all(|status| [200, 503].contains(status)), "{reads:?}");
    assert!(reads.contains(&200));
    for process in &processes {
        let peak = process.peak_bytes();
        assert!(peak < LIMIT, "{peak} bytes");
    }
}
