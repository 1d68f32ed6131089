//! Floods of announcements: keys, addresses, ports, and reads of what is known.

use futures::future::join_all;
use tessera_enclave::PublicKey;
use tessera_enclave::codec::party_info::PartyInfo;

use crate::scene::Scene;
use crate::support::load::message;

/// Keys that nobody holds.
fn keys(from: u64, count: u64) -> Vec<PublicKey> {
    (from..from + count).map(|id| PublicKey::from_bytes(&message(id, 32)).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn announcements_and_reads_of_the_directory_delay_no_send() {
    let mut scene = Scene::start().await;
    scene
        .beside(async |scene| {
            let host = scene.mallory.spec.host;
            let many_ports = async |first: u16| {
                for port in first..first + 20 {
                    let url = format!("https://{host}:{port}/");
                    let keys = keys(u64::from(port) * 1000, 1000);
                    let recipients = keys.into_iter().map(|key| (key, url.clone())).collect();
                    let said = PartyInfo { url, recipients, parties: Vec::new() };
                    scene.mallory.announce(scene.a(), &said).await.expect("an answer");
                }
            };
            let junk = async |kind: &str| {
                let parties = (0..20_000).map(|n| format!("{kind}{}.{}:9/", n / 250, n % 250)).collect();
                let said = PartyInfo { parties, ..scene.mallory.claim(&[]) };
                for _ in 0..3 {
                    scene.mallory.announce(scene.a(), &said).await.expect("an answer");
                }
            };
            let reads = async || {
                for _ in 0..4 {
                    let answer = scene.mallory.client(scene.a()).try_get("/partyinfo").await;
                    answer.expect("an answer");
                }
            };
            tokio::join!(
                many_ports(20_000),
                many_ports(21_000),
                junk("https://127.9."),
                junk("no address "),
                join_all((0..4).map(|_| reads())),
            );
        })
        .await;
    scene.judge().await;
}
