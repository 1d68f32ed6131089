//! Two nodes as processes, and the sends that go on between them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

use crate::mallory::Mallory;
use crate::support::load::{self, Load, ReadBack, Sent};
use crate::support::process::{self, Process};
use crate::support::{Net, PATIENCE, Spec};

/// The container's memory, as the demo limits it.
const LIMIT_BYTES: usize = 128 << 20;
/// At each node's ledger, at once.
const LOAD: Load = Load { callers: 4, payload: 1024 };
/// Of each caller in a round, at least.
const SENDS: usize = 15;
/// Times that the pair sends undisturbed and then attacked, at least and at most.
const ROUNDS: usize = 2;
const MOST_ROUNDS: usize = 4;
/// Below this, a difference between two times says more about the machine than about the node.
const NOISE: Duration = Duration::from_millis(250);
/// No send is slower, in 99 of 100 cases, on a machine that is not slower by itself.
const SLOWEST: Duration = Duration::from_secs(1);

/// One attack at a time: times and memory are measured.
static TURN: Mutex<()> = Mutex::const_new(());

pub(crate) struct Scene {
    pub(crate) net: Net,
    pub(crate) nodes: [Process; 2],
    pub(crate) mallory: Mallory,
    /// What each node's ledger has sent and was acknowledged.
    pub(crate) sent: [Vec<Sent>; 2],
    _turn: MutexGuard<'static, ()>,
}

impl Scene {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// `change` sees each node's configuration before it is written.
    pub(crate) async fn with(change: impl Fn(&mut serde_json::Value)) -> Self {
        let turn = TURN.lock().await;
        process::raise_descriptor_limit();
        let net = Net::with(&["a", "b", "mallory"], |config| {
            config["tesseraNode"]["memoryBytes"] = serde_json::json!(LIMIT_BYTES);
            change(config);
        });
        let urls = ["a", "b"].map(|name| net.node(name).p2p_url());
        let nodes = ["a", "b"].map(|name| {
            // Mallory is in nobody's configuration.
            net.node(name).write_dynamic(&urls);
            Process::start(net.node(name))
        });
        let scene = Self {
            mallory: Mallory::new(net.node("mallory")),
            nodes,
            net,
            sent: [Vec::new(), Vec::new()],
            _turn: turn,
        };
        scene.wait_until_met().await;
        scene
    }

    pub(crate) fn a(&self) -> &Spec {
        self.net.node("a")
    }

    pub(crate) fn b(&self) -> &Spec {
        self.net.node("b")
    }

    pub(crate) async fn wait_until_met(&self) {
        for node in [self.a(), self.b()] {
            node.wait_until_knows(&self.a().public_key).await;
            node.wait_until_knows(&self.b().public_key).await;
        }
    }

    pub(crate) async fn restart_b(&mut self) {
        self.nodes[1] = Process::start(self.b());
        self.wait_until_met().await;
    }

    /// Runs `attack` while the pair sends, each time to its end, and compares with how the pair sends undisturbed.
    ///
    /// Every send counts for what is lost or refused. Times are compared within a round, and a round that is slow must be
    /// followed by one that is not: an attack that delays sends delays them in each, another program on this machine
    /// does not.
    pub(crate) async fn beside(&mut self, mut attack: impl AsyncFnMut(&Self)) {
        let mut found = Vec::new();
        for round in 0..MOST_ROUNDS {
            let quiet = self.sends(|sends| sends >= SENDS).await;
            let over = AtomicBool::new(false);
            let sends = self.sends(|sends| sends >= SENDS && over.load(Ordering::Relaxed));
            let attack = async {
                attack(self).await;
                over.store(true, Ordering::Relaxed);
            };
            let (attacked, ()) = tokio::join!(sends, attack);
            found.push([p99(&quiet), p99(&attacked)]);
            for (from, sent) in quiet.into_iter().chain(attacked) {
                self.sent[from].push(sent);
            }
            if round + 1 >= ROUNDS && found.iter().any(|[quiet, attacked]| *attacked <= bound(*quiet)) {
                break;
            }
        }
        eprintln!("99 of 100 sends take, undisturbed and attacked: {found:?}");
        let kept = found.iter().any(|[quiet, attacked]| *attacked <= bound(*quiet));
        assert!(kept, "the attack delays sends: undisturbed and attacked 99 of 100 take {found:?}");
    }

    /// Both ledgers send at once, over new connections; each send is acknowledged.
    pub(crate) async fn sends(&self, enough: impl Fn(usize) -> bool) -> Vec<(usize, Sent)> {
        let (a, b) = (self.a(), self.b());
        let enough = |sends, _| enough(sends);
        let to_b = [b.public_key.as_str()];
        let to_a = [a.public_key.as_str()];
        let (from_a, from_b) =
            tokio::join!(load::run(a, &to_b, LOAD, enough), load::run(b, &to_a, LOAD, enough));
        for outcome in [&from_a, &from_b] {
            let states = self.nodes.each_ref().map(Process::state);
            assert!(
                outcome.failed.is_empty(),
                "sends failed: {:?}, the nodes are {states:?}",
                outcome.failed
            );
        }
        let from = |index, sent: Vec<Sent>| sent.into_iter().map(move |sent| (index, sent));
        from(0, from_a.sent).chain(from(1, from_b.sent)).collect()
    }

    /// The nodes live within their memory, every port answers, and every payload is read at both nodes.
    pub(crate) async fn judge(mut self) {
        for (process, node) in self.nodes.iter_mut().zip(["a", "b"]) {
            assert!(process.is_running(), "{node} died");
            let peak = process.peak_bytes();
            eprintln!("{node}: {} MiB at most", peak >> 20);
            assert!(peak <= LIMIT_BYTES, "{node} took {peak} bytes");
        }
        for node in [self.a(), self.b()] {
            let ports = [
                ("Q2T", node.client(), "/upcheck"),
                ("P2P", node.peer_client(node), "/upcheck"),
                ("admin", node.operator_client(), "/v1/status"),
                ("metrics", node.scraper_client(), "/metrics"),
            ];
            for (port, client, path) in ports {
                let answer = tokio::time::timeout(PATIENCE, client.try_get(path)).await;
                let answer =
                    answer.ok().flatten().unwrap_or_else(|| panic!("{port} of {} is closed", node.name));
                assert_eq!(answer.status, 200, "{port} of {}", node.name);
            }
        }
        // What the attack left behind does not stop the next sends either.
        for (from, sent) in self.sends(|sends| sends >= 2).await {
            self.sent[from].push(sent);
        }
        let sent = self.sent.concat();
        for node in [self.a(), self.b()] {
            let found = load::read_back(node, &sent, LOAD.payload, 4).await;
            let all = ReadBack { intact: sent.len(), ..ReadBack::default() };
            assert_eq!(found, all, "payloads at {}", node.name);
        }
    }
}

fn p99(sent: &[(usize, Sent)]) -> Duration {
    load::percentile(&sent.iter().map(|(_, sent)| sent.clone()).collect::<Vec<_>>(), 99)
}

/// The most that 99 of 100 attacked sends may take.
fn bound(quiet: Duration) -> Duration {
    let most = (quiet * 2).max(NOISE);
    // A machine on which an undisturbed send takes half a second proves nothing about the second.
    if quiet < SLOWEST / 2 { most.min(SLOWEST) } else { most }
}
