//! Certificates come and go while a ledger sends.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use jiff::{SignedDuration, Timestamp};

use super::sidecar::Sidecar;
use crate::support::ca::{Wish, wish};
use crate::support::client::{request, send_body};
use crate::support::process::Process;
use crate::support::{Net, PATIENCE, Spec, eventually};

const SENDERS: usize = 4;

/// Sends over kept connections, until `stop`: how many were acknowledged, and what else was answered.
async fn send_until(sidecar: &Sidecar, stop: &AtomicBool, sent: &AtomicUsize) -> Vec<String> {
    let mut failed = Vec::new();
    let mut session = sidecar.session().await.unwrap();
    let json = [("content-type", "application/json")];
    while !stop.load(Ordering::Relaxed) {
        let request = request("POST", "/send", &json, send_body(&[7; 100], &[]));
        match tokio::time::timeout(PATIENCE, session.try_send(request)).await {
            Ok(Some(answer)) if answer.status == 201 => drop(sent.fetch_add(1, Ordering::Relaxed)),
            Ok(Some(answer)) => failed.push(format!("{} {}", answer.status, answer.text())),
            Ok(None) | Err(_) => failed.push("no answer".to_owned()),
        }
        if !failed.is_empty() {
            stop.store(true, Ordering::Relaxed);
        }
    }
    failed
}

fn renew(net: &Net, node: &Spec, lifetime: SignedDuration) {
    let wish = Wish { until: lifetime, ..wish(&node.client_identity().to_string()) };
    net.ca.issue(&wish).write(&node.dir.join("client-tls"));
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_both_sides_change_under_load_and_no_request_fails() {
    let net = Net::new(&["a"]);
    let a = net.node("a");
    let _node = Process::start(a);
    a.wait_until_serves().await;
    // The first certificate ends in the middle of the load: what is served after that is served with another.
    let first = SignedDuration::from_secs(12);
    let end_of_first = Timestamp::now() + first;
    renew(&net, a, first);
    let sidecar = Sidecar::start(a).await;
    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = futures::future::join_all((0..SENDERS).map(|_| send_until(&sidecar, &stop, &sent)));
    // Each condition ends with the load, too, which says what failed.
    let until = async |what: &str, holds: &dyn Fn() -> bool| {
        eventually(what, async || (holds() || stop.load(Ordering::Relaxed)).then_some(())).await;
    };
    let more_sends = async || {
        let before = sent.load(Ordering::Relaxed);
        until("more sends are acknowledged", &|| sent.load(Ordering::Relaxed) >= before + 25).await;
    };
    let loaded = || std::fs::read_to_string(&sidecar.log).unwrap().matches("credentials loaded").count();
    let changes = async {
        more_sends().await;
        for round in 0..5 {
            renew(&net, a, SignedDuration::from_mins(60));
            if round % 2 == 1 {
                a.certify(&net.ca);
            }
            until("the sidecar loads the new certificate", &|| loaded() == round + 2).await;
            more_sends().await;
        }
        until("the first certificate is past its end", &|| Timestamp::now() > end_of_first).await;
        more_sends().await;
        stop.store(true, Ordering::Relaxed);
    };
    let (failed, ()) = tokio::join!(load, changes);
    let failed: Vec<_> = failed.into_iter().flatten().collect();
    assert_eq!(failed, [""; 0], "of {} sends", sent.load(Ordering::Relaxed));
    assert!(sent.load(Ordering::Relaxed) > 100, "{sent:?}");
    assert_eq!(loaded(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_valid_certificate_nothing_is_sent_and_the_answer_says_why() {
    let net = Net::new(&["a"]);
    let a = net.node("a");
    let _node = Process::start(a);
    a.wait_until_serves().await;
    let directory = a.dir.join("client-tls");
    std::fs::remove_dir_all(&directory).unwrap();
    let sidecar = Sidecar::start(a).await;
    assert_eq!(sidecar.probe("live").0, 0);
    let (code, why) = sidecar.probe("ready");
    assert_eq!(code, 1);
    assert!(why.contains("tls.crt"), "{why}");
    let answer = sidecar.get("/upcheck").await;
    assert_eq!(answer.status, 503);
    assert!(
        answer.text().starts_with("node a: there is no valid certificate of client"),
        "{}",
        answer.text()
    );

    renew(&net, a, SignedDuration::from_mins(60));
    eventually("the certificate is used", async || {
        (sidecar.get("/upcheck").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(sidecar.probe("ready").0, 0);
}
