//! Certificates come and go while a ledger sends.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use jiff::{SignedDuration, Timestamp};

use super::sidecar::Sidecar;
use crate::support::ca::{Issued, Wish, wish};
use crate::support::client::{request, send_body};
use crate::support::process::Process;
use crate::support::rollover::{Successor, certify};
use crate::support::{Net, PATIENCE, Spec, eventually};

const SENDERS: usize = 4;

/// Ledgers that send over kept connections until they are stopped or a send fails.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    sent: AtomicUsize,
}

impl Load {
    /// What was answered other than an acknowledgement.
    async fn run(&self, sidecar: &Sidecar) -> Vec<String> {
        let senders = futures::future::join_all((0..SENDERS).map(|_| self.one_sender(sidecar))).await;
        senders.into_iter().flatten().collect()
    }

    async fn one_sender(&self, sidecar: &Sidecar) -> Option<String> {
        let mut session = sidecar.session().await.unwrap();
        let json = [("content-type", "application/json")];
        while !self.is_stopped() {
            let request = request("POST", "/send", &json, send_body(&[7; 100], &[]));
            let failed = match tokio::time::timeout(PATIENCE, session.try_send(request)).await {
                Ok(Some(answer)) if answer.status == 201 => {
                    self.sent.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                Ok(Some(answer)) => format!("{} {}", answer.status, answer.text()),
                Ok(None) | Err(_) => "no answer".to_owned(),
            };
            self.stop();
            return Some(failed);
        }
        None
    }

    /// Each condition ends with the load, too, which says what failed.
    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        eventually(what, async || (holds() || self.is_stopped()).then_some(())).await;
    }

    async fn more_sends(&self) {
        let before = self.sent();
        self.until("more sends are acknowledged", || self.sent() >= before + 25).await;
    }

    fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// How often the sidecar has loaded a certificate.
fn loaded(sidecar: &Sidecar) -> usize {
    std::fs::read_to_string(&sidecar.log).unwrap().matches("credentials loaded").count()
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
    let load = Load::default();
    let changes = async {
        load.more_sends().await;
        for round in 0..5 {
            renew(&net, a, SignedDuration::from_mins(60));
            if round % 2 == 1 {
                a.certify(&net.ca);
            }
            load.until("the sidecar loads the new certificate", || loaded(&sidecar) == round + 2).await;
            load.more_sends().await;
        }
        load.until("the first certificate is past its end", || Timestamp::now() > end_of_first).await;
        load.more_sends().await;
        load.stop();
    };
    let (failed, ()) = tokio::join!(load.run(&sidecar), changes);
    assert_eq!(failed, [""; 0], "of {} sends", load.sent());
    assert!(load.sent() > 100, "{}", load.sent());
    assert_eq!(loaded(&sidecar), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authority_rolls_over_under_load_and_no_request_fails() {
    let net = Net::new(&["a"]);
    let successor = Successor::of(&net.ca);
    let a = net.node("a");
    let _node = Process::start(a);
    a.wait_until_serves().await;
    let sidecar = Sidecar::start(a).await;
    let load = Load::default();
    let both = [&net.ca, &successor.ca];
    let certify_ledger = async |issued: Issued| {
        let before = loaded(&sidecar);
        issued.write(&a.dir.join("client-tls"));
        load.until("the sidecar loads the new certificate", || loaded(&sidecar) > before).await;
        load.more_sends().await;
    };
    let certify_node = async |issued: Issued| {
        certify(a, &issued).await;
        load.more_sends().await;
    };
    let ledger = wish(&a.client_identity().to_string());
    let changes = async {
        load.more_sends().await;
        // The node knows the old root alone.
        certify_ledger(successor.ca.issue(&ledger).with(&successor.cross).trusting(&[&net.ca])).await;
        certify_node(net.ca.issue(&a.wish()).trusting(&both)).await;
        // The ledger knows the old root alone.
        certify_node(successor.ca.issue(&a.wish()).with(&successor.cross).trusting(&both)).await;
        certify_ledger(successor.ca.issue(&ledger).with(&successor.cross).trusting(&both)).await;
        certify_node(successor.ca.issue(&a.wish()).with(&successor.cross)).await;
        certify_ledger(successor.ca.issue(&ledger)).await;
        certify_node(successor.ca.issue(&a.wish())).await;
        load.stop();
    };
    let (failed, ()) = tokio::join!(load.run(&sidecar), changes);
    assert_eq!(failed, [""; 0], "of {} sends", load.sent());
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
