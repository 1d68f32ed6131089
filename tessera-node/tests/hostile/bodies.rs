//! Bodies that are large, slow or never end, and answers that nobody reads. Memory stays within the container's limit.

use std::time::Duration;

use futures::future::join_all;
use tokio::io::AsyncWriteExt;

use crate::scene::Scene;

/// The head of a push with this line of its body's size.
fn head(size: &str) -> String {
    format!("POST /push HTTP/1.1\r\nhost: a\r\ncontent-type: application/octet-stream\r\n{size}\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_never_end_hold_nothing() {
    let mut scene = Scene::start().await;
    scene
        .beside(async |scene| {
            let b = scene.b();
            let announced = head("content-length: 40000000");
            let chunked = head("transfer-encoding: chunked");
            let stalled = (0..24).map(async |number: usize| {
                let mut stream = scene.mallory.client(b).connect().await?;
                let (head, chunk) = if number.is_multiple_of(2) {
                    (&announced, vec![7; 1 << 20])
                } else {
                    (&chunked, [b"100000\r\n".to_vec(), vec![7; 1 << 20], b"\r\n".to_vec()].concat())
                };
                stream.write_all(head.as_bytes()).await.ok()?;
                let _ = tokio::time::timeout(Duration::from_millis(500), stream.write_all(&chunk)).await;
                Some(stream)
            });
            let stalled = join_all(stalled).await;
            // Some go on, byte by byte.
            let trickle = stalled.into_iter().flatten().map(async |mut stream| {
                for _ in 0..20 {
                    if stream.write_all(b"1").await.is_err() {
                        return;
                    }
                    let _ = stream.flush().await;
                    tokio::time::sleep(Duration::from_millis(25)).await;
                }
            });
            join_all(trickle).await;
        })
        .await;
    scene.judge().await;
}
