//! Who leads. A Lease tells, it fences nothing: every write of an object is fenced by a resourceVersion instead.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use kube_lease_manager::{DurationSeconds, LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch;
use tokio::time::timeout;

/// The Lease in the operator's namespace.
const LEASE: &str = "tessera-operator";
const DURATION: DurationSeconds = 15;
/// So long before its end the Lease is renewed. Enough for a request that hangs ([`REQUEST`]), a second try and a look.
const GRACE: DurationSeconds = 8;
/// The longest request of an election; the client that is passed in sees to it.
pub const REQUEST: Duration = Duration::from_secs(3);
const SECOND_TRY: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_secs(1);
/// Between tries of a process that stands by.
const PAUSE: Duration = Duration::from_secs(2);

/// A process that wants to lead.
#[derive(Clone)]
pub struct Election {
    manager: Arc<LeaseManager>,
    leases: Api<Lease>,
    identity: String,
}

impl Election {
    /// Stands by. Requests of `client` must not take longer than [`REQUEST`].
    pub async fn join(client: Client, namespace: &str, identity: &str) -> Result<Self, LeaseManagerError> {
        let leases = Api::namespaced(client.clone(), namespace);
        let manager = LeaseManagerBuilder::new(client, LEASE)
            .with_namespace(namespace)
            .with_identity(identity)
            .with_field_manager(super::FIELD_MANAGER.to_owned() + "-" + identity)
            .with_duration(DURATION)
            .with_grace(GRACE)
            .build()
            .await?;
        Ok(Self { manager: Arc::new(manager), leases, identity: identity.to_owned() })
    }

    /// Follows the Lease and says on `leads` whether this process leads. Returns, with the reason, when it led and leads no
    /// more, or cannot know whether it does.
    pub async fn follow(&self, leads: watch::Sender<bool>) -> String {
        loop {
            let change = self.manager.changed().await;
            let led = *leads.borrow();
            match change {
                Ok(false) if led => return "another operator leads".to_owned(),
                Ok(now) => drop(leads.send_replace(now)),
                Err(error) if led => {
                    tracing::warn!(%error, "the lease could not be renewed; trying once more");
                    if let Err(reason) = self.renewed_after_all().await {
                        return reason;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the lease could not be looked at; trying on");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// A renewal that succeeds does not return, so the Lease itself is asked whether it did.
    async fn renewed_after_all(&self) -> Result<(), String> {
        if let Ok(Ok(false)) = timeout(SECOND_TRY, self.manager.changed()).await {
            return Err("another operator leads".to_owned());
        }
        let lease = timeout(LOOK, self.leases.get(LEASE)).await;
        let lease = lease.map_err(|_| "the API server does not answer".to_owned())?;
        let spec = lease.map_err(|error| crate::error::chain(&error))?.spec.unwrap_or_default();
        let age = spec.renew_time.map(|renewed| Timestamp::now().duration_since(renewed.0));
        let fresh = age.is_some_and(|age| age.as_secs() < i64::try_from(DURATION - GRACE).unwrap_or(0));
        if fresh && spec.holder_identity.as_ref() == Some(&self.identity) {
            return Ok(());
        }
        Err("it could not be renewed in time".to_owned())
    }

    /// Gives the Lease up, so that another need not wait for its end. Nothing may be written any more.
    pub async fn release(&self) {
        if let Err(error) = self.manager.release().await {
            tracing::warn!(%error, "the lease could not be released; it ends by itself");
        }
    }
}
