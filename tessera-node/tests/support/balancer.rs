//! What a Service of Kubernetes is to several pods: one address, and each new connection goes to the next of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Ends with its value.
pub struct Balancer {
    address: SocketAddr,
    backends: Arc<Mutex<Vec<(SocketAddr, bool)>>>,
    task: JoinHandle<()>,
}

impl Balancer {
    pub async fn bind(address: SocketAddr, backends: &[SocketAddr]) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let backends =
            Arc::new(Mutex::new(backends.iter().map(|backend| (*backend, true)).collect::<Vec<_>>()));
        let task = tokio::spawn(accept(listener, Arc::clone(&backends)));
        Self { address, backends, task }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether new connections go to the backend.
    pub fn use_backend(&self, number: usize, used: bool) {
        self.backends.lock()[number].1 = used;
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, backends: Arc<Mutex<Vec<(SocketAddr, bool)>>>) {
    let turn = Arc::new(AtomicUsize::new(0));
    while let Ok((mut client, _)) = listener.accept().await {
        let (backends, turn) = (Arc::clone(&backends), Arc::clone(&turn));
        tokio::spawn(async move {
            if let Some(mut backend) = connect(&backends, &turn).await {
                // Ends when either side does.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut backend).await;
            }
        });
    }
}

/// A connection to the backend whose turn it is; none: it refuses.
async fn connect(backends: &Mutex<Vec<(SocketAddr, bool)>>, turn: &AtomicUsize) -> Option<TcpStream> {
    let used: Vec<_> =
        backends.lock().iter().filter(|(_, used)| *used).map(|(address, _)| *address).collect();
    let number = turn.fetch_add(1, Ordering::Relaxed).checked_rem(used.len())?;
    TcpStream::connect(used[number]).await.ok()
}
