//! The node's log records, shipped to the network's collector, as the dynamic configuration names it. The certificate is the
//! node's own.

use std::sync::{Arc, LazyLock};

use rustls::sign::CertifiedKey;
use tessera_log_shipping::{Source, Target};
use tessera_node_api::identity::Identity;
use tessera_tls::CredentialsReceiver;
use tokio::sync::watch;

pub use tessera_log_shipping::{Collector, Endpoint};
pub(crate) use tessera_log_shipping::{Layer, Origin, Queue, Reports, Shipper};

use crate::config::dynamic::Dynamic;
use crate::http::common::VERSION;

/// The records of this process: there is one subscriber of `tracing`, whatever the number of nodes in it.
pub(crate) fn of_process() -> Arc<Queue> {
    static QUEUE: LazyLock<Arc<Queue>> = LazyLock::new(Arc::default);
    Arc::clone(&QUEUE)
}

/// Whose the records are.
pub(crate) fn origin(identity: &Identity) -> Origin {
    Origin::new("tessera-node", VERSION, &identity.to_string())
}

/// Where a node ships its records, and as whom.
pub(crate) struct OfNode {
    pub(crate) configuration: watch::Receiver<Option<Arc<Dynamic>>>,
    pub(crate) credentials: CredentialsReceiver,
}

impl Source for OfNode {
    fn target(&mut self) -> Target {
        match &*self.configuration.borrow_and_update() {
            None => Target::NotKnownYet,
            Some(dynamic) => dynamic.collector.clone().map_or(Target::None, Target::Collector),
        }
    }

    fn certificate(&self) -> Result<Arc<CertifiedKey>, String> {
        let current = self.credentials.current().ok_or("the node has no valid certificate")?;
        Ok(current.certified_key())
    }

    async fn changed(&mut self) {
        if self.configuration.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
