//! What one caller may take of the node.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::Client;
use crate::support::{Net, PATIENCE};

fn small(config: &mut serde_json::Value) {
    for server in 0..2 {
        config["serverConfigs"][server]["properties"]["maxBodyBytes"] = json!(4096);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_body_is_refused_announced_or_not() {
    let net = Net::with(&["a"], small);
    let _nodes = net.start().await;
    let a = net.node("a");
    let large = json!({"payload": "A".repeat(8000)}).to_string();
    let announced = a.client().post_json("/send", large.clone()).await;
    assert_eq!((announced.status, announced.text()), (413, "request body is larger than 4096 bytes"));

    let mut stream = a.client().connect().await.unwrap();
    stream
        .write_all(b"POST /send HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    let chunk = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    stream.write_all(chunk.as_bytes()).await.unwrap();
    assert!(first_line(&mut stream).await.starts_with("HTTP/1.1 413"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_is_cut_off_and_the_node_goes_on() {
    let net =
        Net::with(&["a"], |config| config["serverConfigs"][1]["properties"]["bodyTimeoutMs"] = json!(300));
    let _nodes = net.start().await;
    let a = net.node("a");
    let mut stream = a.client().connect().await.unwrap();
    stream
        .write_all(b"POST /send HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{")
        .await
        .unwrap();
    assert!(first_line(&mut stream).await.starts_with("HTTP/1.1 408"));
    assert_eq!(a.client().get("/upcheck").await.status, 200);
}

/// A body that takes the whole budget, comes fast enough to be waited for, and never ends. On a busy machine it may itself
/// find the budget used up at first, or end: then it comes again.
async fn hold_budget(client: Client, largest: usize, announced: bool) {
    let length =
        if announced { format!("content-length: {largest}") } else { "transfer-encoding: chunked".into() };
    let head =
        format!("POST /send HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n{length}\r\n\r\n");
    let part = |bytes: usize| {
        let text = " ".repeat(bytes);
        if announced { text } else { format!("{bytes:x}\r\n{text}\r\n") }
    };
    loop {
        let Some(mut stream) = client.connect().await else { continue };
        let mut next = head.clone() + &part(largest / 2);
        while stream.write_all(next.as_bytes()).await.is_ok() {
            next = part(8 << 10);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_share_a_budget_and_small_ones_need_none() {
    const LARGEST: usize = 4 << 20;
    let net = Net::with(&["a"], |config| {
        // Half of it is for requests; two thirds of that for one kind of listener; a body counts four times.
        config["tesseraNode"]["memoryBytes"] = json!(12 * LARGEST);
    });
    let _nodes = net.start().await;
    let (client, peer) = (net.node("a").client(), net.node("a").peer_client(net.node("a")));
    let large = || json!({"payload": "A".repeat(LARGEST * 3 / 4)}).to_string();

    // One that is announced takes all its memory at once, the other as it grows.
    for announced in [true, false] {
        let holder = tokio::spawn(hold_budget(net.node("a").client(), LARGEST, announced));
        crate::support::eventually("the budget is used up", async || {
            let refused = client.try_post_json("/send", large()).await?;
            (refused.status == 503 && refused.header("retry-after") == "1").then_some(())
        })
        .await;
        client.send(&[7; 1000], &[]).await;
        let octets = [("content-type", "application/octet-stream")];
        let pushed = peer.request("POST", "/push", &octets, vec![0; LARGEST / 4]).await;
        assert_eq!(pushed.status, 500, "another listener has a share of its own, and this is no payload");

        // It goes away, and its memory is released.
        holder.abort();
        crate::support::eventually("the budget is free again", async || {
            (client.try_post_json("/send", large()).await?.status == 201).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_fits_is_a_413_and_a_record_that_does_not_is_a_503() {
    let net = Net::new(&["a"]);
    let a = net.node("a");
    let running = a.start();
    a.wait_until_knows(&a.public_key).await;
    let hash = a.client().send(&vec![7; 5 << 20], &[]).await;
    running.stop().await;

    let mut small = a.clone();
    small.config["tesseraNode"]["memoryBytes"] = json!(32 << 20);
    small.write_config();
    let _again = small.start();
    small.wait_until_knows(&small.public_key).await;
    let large = json!({"payload": "A".repeat(4 << 20)}).to_string();
    let refused = small.client().post_json("/send", large).await;
    // 32 MiB / 2 / 3 * 2 / 4.
    assert_eq!((refused.status, refused.text()), (413, "request body is larger than 2796202 bytes"));
    let (status, text) = small.client().receive(&hash).await;
    assert_eq!(status, 503);
    assert!(String::from_utf8(text).unwrap().contains("raise its memory limit"));
    let small_hash = small.client().send(&[7; 1000], &[]).await;
    assert_eq!(small.client().receive(&small_hash).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_while_sending_hears_of_it() {
    let net = Net::with(&["a"], small);
    let _nodes = net.start().await;
    let client = net.node("a").client();
    let body = " ".repeat(2 << 20);
    let announced = format!("content-length: {}\r\n\r\n{body}", body.len());
    let chunked = format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for rest in [announced, chunked] {
        let request = format!("POST /send HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n{rest}");
        // On a machine that is busy beyond measure the node's patience ends first.
        crate::support::eventually("it is read to its end and answered", async || {
            let mut stream = client.connect().await?;
            stream.write_all(request.as_bytes()).await.ok()?;
            (first_line(&mut stream).await == "HTTP/1.1 413 Payload Too Large").then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trickle_is_cut_off_and_a_steady_stream_is_not() {
    let net =
        Net::with(&["a"], |config| config["serverConfigs"][1]["properties"]["bodyTimeoutMs"] = json!(2000));
    let _nodes = net.start().await;
    let client = net.node("a").client();
    let head = |length: usize| {
        format!(
            "POST /send HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        )
    };

    // No pause is too long, and yet it would take a day.
    let mut stream = client.connect().await.unwrap();
    stream.write_all(head(1 << 20).as_bytes()).await.unwrap();
    let trickle = async {
        // Ends with the connection.
        while stream.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, trickle).await.expect("it is cut off");

    // Longer than all its pauses together, and fast enough.
    let body = json!({"payload": "A".repeat(1280 << 10)}).to_string();
    let mut stream = client.connect().await.unwrap();
    stream.write_all(head(body.len()).as_bytes()).await.unwrap();
    for part in body.as_bytes().chunks(16 << 10) {
        stream.write_all(part).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(first_line(&mut stream).await, "HTTP/1.1 201 Created");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_head_is_a_431() {
    let net = Net::new(&["a"]);
    let _nodes = net.start().await;
    let a = net.node("a");
    let answer = a.client().request("GET", "/upcheck", &[("x", &"y".repeat(9000))], "").await;
    assert_eq!(answer.status, 431);
    let answer = a.client().request("GET", "/upcheck", &[("x", &"y".repeat(7000))], "").await;
    assert_eq!(answer.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_bound_wait_their_turn() {
    let net =
        Net::with(&["a"], |config| config["serverConfigs"][1]["properties"]["maxConnections"] = json!(1));
    let _nodes = net.start().await;
    let served = AtomicUsize::new(0);
    // Each is served for a while. Were there a second slot, several of them would be served at once.
    let callers = (0..6).map(async |_| {
        let mut session = net.node("a").client().session().await.expect("a handshake");
        assert_eq!(session.get("/upcheck").await.status, 200);
        assert_eq!(served.fetch_add(1, Ordering::SeqCst), 0, "two connections are served at once");
        for _ in 0..20 {
            assert_eq!(session.get("/upcheck").await.status, 200);
        }
        served.fetch_sub(1, Ordering::SeqCst);
    });
    tokio::time::timeout(PATIENCE, futures::future::join_all(callers)).await.expect("all get their turn");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_reads_no_answer_loses_its_place() {
    let net = Net::with(&["a"], |config| {
        config["serverConfigs"][1]["properties"]["maxConnections"] = json!(1);
        config["serverConfigs"][1]["properties"]["idleTimeoutMs"] = json!(5000);
    });
    let _nodes = net.start().await;
    let client = net.node("a").client();
    // More than the sockets' buffers take.
    let hash = client.send(&vec![7; 4 << 20], &[]).await;
    let mut stream = client.connect().await.unwrap();
    let path = crate::support::client::segment(&hash);
    stream
        .write_all(format!("GET /transaction/{path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes())
        .await
        .unwrap();
    assert_eq!(first_line(&mut stream).await, "HTTP/1.1 200 OK", "the answer has begun");
    // The one place is taken, and then given to the next although the first is still there.
    let served = tokio::time::timeout(PATIENCE, client.get("/upcheck")).await.expect("the next is served");
    assert_eq!(served.status, 200);
    drop(stream);
}

async fn first_line(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut bytes = vec![0; 1024];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut bytes)).await.unwrap().unwrap();
    String::from_utf8_lossy(&bytes[..read]).lines().next().unwrap_or("").to_owned()
}
