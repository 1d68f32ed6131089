//! The primary dies under load, and its synchronous standby takes over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Mutex;

use crate::is_ready;
use crate::support::client::send_body;
use crate::support::postgres::{ROLE, Server, certify, name_database};
use crate::support::{Net, eventually};

const END_SESSIONS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ledger'";

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_read_from_the_standby_that_took_over() {
    let mut primary = Server::start();
    primary.create_database("payloads");
    let standby = Server::standby_of(&primary);
    let mut net = Net::new(&["a"]);
    // Before the failover the second host is the standby, and after it the first is the old primary.
    let hosts = format!("{},{}", primary.host(), standby.host());
    name_database(&mut net.nodes[0], &format!("postgresql://{ROLE}@{hosts}/payloads"), &primary.ca);
    certify(net.node("a"), &primary.ca);
    let _running = net.start().await;
    let a = net.node("a").clone();

    let (acknowledged, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
    let senders = (0..8_u32).map(|sender| {
        let (a, acknowledged, ended) = (a.clone(), Arc::clone(&acknowledged), Arc::clone(&ended));
        tokio::spawn(async move {
            let mut number = 0_u32;
            while !ended.load(Ordering::SeqCst) {
                number += 1;
                let message = [sender.to_be_bytes(), number.to_be_bytes()].concat();
                let answer = a.client().post_json("/send", send_body(&message, &[])).await;
                match answer.status {
                    201 => {
                        let hash = answer.json()["key"].as_str().unwrap().to_owned();
                        acknowledged.lock().await.push((hash, message));
                    }
                    status => assert_eq!(status, 503, "{}", answer.text()),
                }
            }
        })
    });
    let senders: Vec<_> = senders.collect();
    let more_than = async |count: usize| {
        eventually(&format!("{count} sends are acknowledged"), async || {
            (acknowledged.lock().await.len() > count).then_some(())
        })
        .await;
    };
    more_than(100).await;
    tokio::task::block_in_place(|| primary.crash());
    let before = acknowledged.lock().await.len();
    standby.promote();
    more_than(before + 100).await;
    ended.store(true, Ordering::SeqCst);
    for sender in senders {
        sender.await.unwrap();
    }
    is_ready(&a).await;
    for (hash, message) in acknowledged.lock().await.iter() {
        assert_eq!(a.client().receive(hash).await, (200, message.clone()));
    }
    // The old primary comes back and takes writes. New connections try it first, and refuse it: it lacks payloads.
    tokio::task::block_in_place(|| primary.resume());
    let begun = standby.psql("postgres", "SELECT now()");
    standby.psql("postgres", END_SESSIONS);
    standby.await_sql(
        &format!(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'ledger' AND backend_start > '{begun}'"
        ),
        "5",
    );
    let refused = "SELECT count(*) FROM pg_stat_database WHERE datname = 'payloads' AND sessions > 0";
    assert_eq!(primary.psql("postgres", refused), "1", "it was tried");
    for (hash, message) in acknowledged.lock().await.iter() {
        assert_eq!(a.client().receive(hash).await, (200, message.clone()));
    }
    a.client().send(b"after", &[]).await;
}

/// The first host takes connections and never answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_hangs_does_not_keep_the_next_from_being_tried() {
    let server = Server::start();
    server.create_database("payloads");
    // The kernel accepts; no program does.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let hosts = format!("127.0.0.1:{},{}", silent.local_addr().unwrap().port(), server.host());
    let mut net = Net::new(&["a"]);
    name_database(&mut net.nodes[0], &format!("postgresql://{ROLE}@{hosts}/payloads"), &server.ca);
    certify(net.node("a"), &server.ca);
    let _running = net.start().await;
    net.node("a").client().send(b"hello", &[]).await;
}

/// Commits wait for a standby that does not answer: nothing is acknowledged, also not what is there already, reads go on, and
/// the server keeps no connection for each statement that was given up.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_hangs_acknowledges_nothing_and_takes_no_connections() {
    let mut primary = Server::start();
    primary.create_database("payloads");
    let mut standby = Server::standby_of(&primary);
    let mut net = Net::new(&["a"]);
    name_database(
        &mut net.nodes[0],
        &format!("postgresql://{ROLE}@{}/payloads", primary.host()),
        &primary.ca,
    );
    certify(net.node("a"), &primary.ca);
    let _running = net.start().await;
    let a = net.node("a");
    let hash = a.client().send(b"before", &[]).await;
    tokio::task::block_in_place(|| standby.crash());
    for _ in 0..4 {
        let sends = (0..4).map(async |_| a.client().post_json("/send", send_body(b"during", &[])).await);
        for answer in futures::future::join_all(sends).await {
            assert_eq!(answer.status, 503, "{}", answer.text());
        }
        assert_eq!(a.client().receive(&hash).await, (200, b"before".to_vec()));
    }
    let held = primary.psql("postgres", "SELECT count(*) FROM pg_stat_activity WHERE usename = 'ledger'");
    assert!(held.parse::<u32>().unwrap() <= 10, "{held} connections");
    tokio::task::block_in_place(|| standby.resume());
    eventually("a send is acknowledged", async || {
        let answer = a.client().post_json("/send", send_body(b"after", &[])).await;
        (answer.status == 201).then_some(())
    })
    .await;
    tokio::task::block_in_place(|| primary.crash());
}
