//! Three replicas of one node behind one address, and a peer with two keys: replicas are rolled one by one under sends, and the
//! database fails over to its synchronous standby. What was acknowledged is read, nothing that exists is "not found".

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use serde_json::json;
use tessera_enclave::{KeyPair, TxHash, base64};

use crate::replicated::{Replicas, of_node};
use crate::support::client::{Client, send_body};
use crate::support::postgres::{ROLE, Server, certify, name_database};
use crate::support::store::{SecretStore, ask_for};
use crate::support::{Net, Running, Spec, eventually};

/// Sends of the short form; `REPLICA_SENDS` names another number.
const SENDS: usize = 600;

/// What was acknowledged: the message by its hash.
type Acknowledged = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// Clients that send until they are stopped.
struct Load {
    acknowledged: Acknowledged,
    unavailable: Arc<AtomicUsize>,
    broken: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    /// Each of `clients` sends to its keys in turn, over a new connection each time.
    fn start(clients: Vec<(Client, Vec<String>)>) -> Self {
        let mut load = Self {
            acknowledged: Acknowledged::default(),
            unavailable: Arc::default(),
            broken: Arc::default(),
            stop: Arc::default(),
            tasks: Vec::new(),
        };
        for (number, (client, keys)) in clients.into_iter().enumerate() {
            let (acknowledged, stop) = (Arc::clone(&load.acknowledged), Arc::clone(&load.stop));
            let (unavailable, broken) = (Arc::clone(&load.unavailable), Arc::clone(&load.broken));
            load.tasks.push(tokio::spawn(async move {
                for turn in 0_usize.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let message = [number.to_be_bytes(), turn.to_be_bytes()].concat();
                    let key = keys[turn % keys.len()].as_str();
                    let Some(answer) = client.try_post_json("/send", send_body(&message, &[key])).await
                    else {
                        // No answer is no promise; a kill breaks connections.
                        broken.fetch_add(1, Ordering::SeqCst);
                        continue;
                    };
                    match answer.status {
                        201 => {
                            let hash = answer.json()["key"].as_str().unwrap().to_owned();
                            acknowledged.lock().insert(hash, message);
                        }
                        // A recipient that cannot keep a payload makes the sender say 500 or 410, a sender 503; never "not found".
                        404 | 400 => panic!("client {number}: {}", answer.text()),
                        _ => drop(unavailable.fetch_add(1, Ordering::SeqCst)),
                    }
                }
            }));
        }
        load
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().len()
    }

    fn failures(&self) -> (usize, usize) {
        (self.unavailable.load(Ordering::SeqCst), self.broken.load(Ordering::SeqCst))
    }

    async fn more(&self, sends: usize) {
        let goal = self.count() + sends;
        while self.count() < goal {
            let before = self.count();
            eventually("sends go on", async || (self.count() > before).then_some(())).await;
        }
    }

    async fn end(self) -> BTreeMap<String, Vec<u8>> {
        self.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.unwrap();
        }
        std::mem::take(&mut *self.acknowledged.lock())
    }
}

/// A node `a` that is to have replicas, on the database of `hosts`, and a node `b` with two keys.
fn scene(server: &Server, hosts: &str) -> (Net, Vec<String>) {
    let second = KeyPair::generate().unwrap();
    let mut net = Net::new(&["a", "b"]);
    name_database(&mut net.nodes[0], &format!("postgresql://{ROLE}@{hosts}/payloads"), &server.ca);
    certify(net.node("a"), &server.ca);
    let b = &mut net.nodes[1];
    b.config["keys"]["keyData"].as_array_mut().unwrap().push(json!({
        "publicKey": second.public().to_string(),
        "privateKey": base64::encode(second.private().expose()),
    }));
    b.write_config();
    let keys = vec![b.public_key.clone(), second.public().to_string()];
    (net, keys)
}

async fn met(replicas: &Replicas, a: &Spec, b: &Spec, keys: &[String]) {
    for replica in &replicas.specs {
        for key in keys {
            of_node(replica).wait_until_knows(key).await;
        }
    }
    b.wait_until_knows(&a.public_key).await;
}

fn load(a: &Spec, b: &Spec, keys: &[String]) -> Load {
    let to_b = (0..2).map(|_| (a.client(), keys.to_vec()));
    let to_a = (0..2).map(|_| (b.client(), vec![a.public_key.clone()]));
    Load::start(to_b.chain(to_a).collect())
}

/// Every payload is read at `b`, and at each replica.
async fn all_are_read(replicas: &Replicas, b: &Spec, sent: &BTreeMap<String, Vec<u8>>) {
    for node in replicas.specs.iter().map(of_node).chain([b.clone()]) {
        let mut session = node.client().session().await.unwrap();
        for (hash, message) in sent {
            assert_eq!(session.receive(hash).await, (200, message.clone()), "{hash} at port {}", node.q2t);
        }
    }
}

fn wanted_sends() -> usize {
    std::env::var("REPLICA_SENDS").map_or(SENDS, |sends| sends.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replicas_are_rolled_and_no_send_fails() {
    let server = Server::start();
    server.create_database("payloads");
    let (net, keys) = scene(&server, &server.host());
    let (a, b) = (net.node("a"), net.node("b"));
    let _b: Running = b.start();
    let mut replicas = Replicas::start(a).await;
    met(&replicas, a, b, &keys).await;
    let load = load(a, b, &keys);
    let (wanted, mut rolled) = (wanted_sends(), 0);
    while load.count() < wanted || rolled < 3 {
        replicas.roll(rolled % 3).await;
        rolled += 1;
        load.more(30).await;
    }
    assert_eq!(
        load.failures(),
        (0, 0),
        "answers that were no acknowledgement, and connections without an answer"
    );
    let sent = load.end().await;
    all_are_read(&replicas, b, &sent).await;
    println!("replicas: {} sends, {rolled} rolled, 0 failed", sent.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_failover_and_killed_replicas_lose_nothing_and_never_say_not_found() {
    let mut primary = Server::start();
    primary.create_database("payloads");
    let standby = Server::standby_of(&primary);
    let (net, keys) = scene(&primary, &format!("{},{}", primary.host(), standby.host()));
    let (a, b) = (net.node("a"), net.node("b"));
    let _b: Running = b.start();
    let mut replicas = Replicas::start(a).await;
    met(&replicas, a, b, &keys).await;
    let load = load(a, b, &keys);
    load.more(wanted_sends() / 4).await;
    tokio::task::block_in_place(|| primary.crash());
    standby.promote();
    load.more(wanted_sends() / 4).await;
    for number in 0..3 {
        replicas.kill(number).await;
        load.more(30).await;
    }
    let failures = load.failures();
    let sent = load.end().await;
    all_are_read(&replicas, b, &sent).await;
    // What nobody sent is "not found" again, at each replica.
    for replica in &replicas.specs {
        let unknown = TxHash::of(b"nothing").to_string();
        assert_eq!(of_node(replica).client().receive(&unknown).await.0, 404);
    }
    println!(
        "replicas: {} sends, {failures:?} without an acknowledgement at a failover and three kills",
        sent.len()
    );
}

/// A peer announces itself to one replica alone, and then to none: all know it, also those that start later.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_one_replica_heard_is_known_to_all() {
    let server = Server::start();
    server.create_database("payloads");
    let (net, keys) = scene(&server, &server.host());
    let (a, b) = (net.node("a"), net.node("b"));
    let mut replicas = Replicas::start(a).await;
    // No connection of b reaches the others.
    for number in 1..3 {
        replicas.p2p.use_backend(number, false);
    }
    let _b: Running = b.start();
    met(&replicas, a, b, &keys).await;
    replicas.p2p.use_backend(0, false);
    replicas.kill(2).await;
    for replica in &replicas.specs {
        let hash = of_node(replica).client().send(b"hello", &[&keys[1]]).await;
        assert_eq!(b.client().receive(&hash).await, (200, b"hello".to_vec()));
    }
    assert_eq!(server.psql("payloads", "SELECT count(*) FROM tessera_node_peer"), "1");
}

/// The database names a peer that holds no key, at an address of somebody else: nothing is sent there.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_only_the_database_names_gets_nothing() {
    let server = Server::start();
    server.create_database("payloads");
    let (net, keys) = scene(&server, &server.host());
    let (a, b) = (net.node("a"), net.node("b"));
    let _b: Running = b.start();
    let replicas = Replicas::start(a).await;
    met(&replicas, a, b, &keys).await;
    let stranger = KeyPair::generate().unwrap();
    let plant = |identity: &str, key: &str| {
        let insert = format!(
            "INSERT INTO tessera_node_peer SELECT '{identity}', url, hosts, versions, ARRAY[decode('{key}', 'base64')], now(), txid_current() \
             FROM tessera_node_peer LIMIT 1"
        );
        server.psql("payloads", &insert);
    };
    plant("spiffe://org.test/node/mallory", &stranger.public().to_string());
    plant("spiffe://org.test/node/eve", &keys[0]);
    let answer = a.client().post_json("/send", send_body(b"secret", &[&stranger.public().to_string()])).await;
    assert_eq!(answer.status, 404, "{}", answer.text());
    let hash = a.client().send(b"hello", &[&keys[0]]).await;
    assert_eq!(b.client().receive(&hash).await, (200, b"hello".to_vec()));
}

/// Another replica uses a key that this one lacks, as after a pause of this one's machine: what depends on keys is uncertain.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_another_replica_uses_makes_not_found_uncertain() {
    let server = Server::start();
    server.create_database("payloads");
    let (net, keys) = scene(&server, &server.host());
    let (a, b) = (net.node("a"), net.node("b"));
    let _running = net.start().await;
    let newer = KeyPair::generate().unwrap();
    let newer_key = newer.public().to_string();
    let from_newer = json!({"payload": "aGVsbG8=", "from": newer_key, "to": [keys[0]]}).to_string();
    let refused = async || a.client().post_json("/send", from_newer.clone()).await.status;
    assert_eq!(refused().await, 404);

    let bytes = format!("decode('{newer_key}', 'base64')");
    server.psql("payloads", &format!("INSERT INTO tessera_node_key VALUES ({bytes})"));
    server
        .psql("payloads", &format!("INSERT INTO tessera_node_replica VALUES (7, 'paused', ARRAY[{bytes}])"));
    // A key of a replica that does not live says nothing.
    assert_eq!(refused().await, 404);
    let held = server.session("payloads", "SELECT pg_advisory_lock_shared(1952805747, 7)");
    assert_eq!(refused().await, 503);
    drop(held);
    eventually("the other replica is gone", async || (refused().await == 404).then_some(())).await;
    let hash = b.client().send(b"hello", &[&a.public_key]).await;
    assert_eq!(a.client().receive(&hash).await, (200, b"hello".to_vec()));
}

/// The newest version of the one key at a replica: its state, and the replicas that it waits for.
async fn newest_key(replica: &Spec) -> Option<(usize, String, usize)> {
    let status = of_node(replica).operator_client().try_get("/v1/status").await?.json();
    let keys = status["keys"].as_array()?.clone();
    let newest = keys.last()?;
    let waits = newest["waitsFor"].as_array().map_or(0, Vec::len);
    Some((keys.len(), newest["state"].as_str()?.to_owned(), waits))
}

/// Each replica has its own copy of the configuration, as pods have: one sees a rotation before the others do.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_used_once_every_replica_has_it() {
    let server = Server::start();
    server.create_database("payloads");
    let (mut net, keys) = scene(&server, &server.host());
    let store = SecretStore::start().await;
    store.serve(&mut net.nodes[0], 1);
    let (a, b) = (net.node("a"), net.node("b"));
    let _b: Running = b.start();
    let mut replicas = Replicas::start_with(a, |spec, number| {
        let own = a.dir.join(format!("dynamic-{number}"));
        std::fs::create_dir(&own).unwrap();
        std::fs::copy(a.dir.join("dynamic.json"), own.join("dynamic.json")).unwrap();
        spec.config["tesseraNode"]["dynamicConfig"] = json!(own.join("dynamic.json"));
    })
    .await;
    let configuration = |number: usize| Spec { dir: a.dir.join(format!("dynamic-{number}")), ..a.clone() };
    let specs = replicas.specs.clone();
    let is = async |number: usize, wanted: (usize, &str, usize)| {
        eventually(&format!("replica {number} is at {wanted:?}"), async || {
            let (count, state, waits) = newest_key(&specs[number]).await?;
            ((count, state.as_str(), waits) == wanted).then_some(())
        })
        .await;
    };
    for number in 0..3 {
        is(number, (1, "Default", 0)).await;
    }
    ask_for(&configuration(0), 2);
    is(0, (2, "Receiving", 2)).await;
    ask_for(&configuration(1), 2);
    is(1, (2, "Receiving", 1)).await;
    is(0, (2, "Receiving", 1)).await;
    let status = of_node(&replicas.specs[0]).operator_client().get("/v1/status").await.json();
    let newer = status["keys"][1]["publicKey"].as_str().unwrap().to_owned();
    let known = b.peer_client(b).get("/partyinfo").await;
    assert!(!known.text().contains(&newer), "a key that one replica lacks is not advertised");

    ask_for(&configuration(2), 2);
    for number in 0..3 {
        is(number, (2, "Default", 0)).await;
    }
    b.wait_until_knows(&newer).await;
    let hash = b.client().send(b"to the new key", &[&newer]).await;
    let sent = a.client().send(b"from the new key", &[&keys[0]]).await;
    for replica in &replicas.specs {
        let client = of_node(replica).client();
        assert_eq!(client.receive(&hash).await, (200, b"to the new key".to_vec()));
        assert_eq!(client.receive(&sent).await, (200, b"from the new key".to_vec()));
    }
    // One whose configuration is behind finds the key that is in use in the secret store.
    ask_for(&configuration(2), 1);
    replicas.kill(2).await;
    is(2, (2, "Default", 0)).await;
}

/// A database that takes no row: a node that starts again serves what is there, with the keys that are in use.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_does_not_keep_a_replica_from_its_keys() {
    let server = Server::start();
    server.create_database("payloads");
    let (net, _) = scene(&server, &server.host());
    let a = net.node("a");
    let running = a.start();
    crate::is_ready(a).await;
    let hash = a.client().send(b"before", &[]).await;
    running.stop().await;
    server.psql("payloads", "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no space' USING ERRCODE = '53100'; END $$");
    for table in ["tessera_node_replica", "tessera_node_key", "tessera_node_peer"] {
        let trigger = format!(
            "CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE OR DELETE ON {table} EXECUTE FUNCTION full_disk()"
        );
        server.psql("payloads", &trigger);
    }
    let _running = a.start();
    crate::is_ready(a).await;
    assert_eq!(a.client().receive(&hash).await, (200, b"before".to_vec()));
}
