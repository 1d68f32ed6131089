//! Who leads. A Lease tells, it fences nothing: every write is fenced by a resourceVersion instead.

use kube::Client;
use kube_lease_manager::{DurationSeconds, LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch;

/// The Lease in the operator's namespace.
const LEASE: &str = "tessera-operator";
const DURATION: DurationSeconds = 15;
const GRACE: DurationSeconds = 5;

/// Follows the Lease; the channel says whether this process leads. The task ends only with the process.
pub async fn follow(
    client: Client,
    namespace: &str,
    identity: &str,
) -> Result<(watch::Receiver<bool>, impl Future<Output = String> + use<>), LeaseManagerError> {
    let manager = LeaseManagerBuilder::new(client, LEASE)
        .with_namespace(namespace)
        .with_identity(identity)
        .with_field_manager(super::FIELD_MANAGER.to_owned() + "-" + identity)
        .with_duration(DURATION)
        .with_grace(GRACE)
        .build()
        .await?;
    let (leads, task) = manager.watch().await;
    let ended = async move {
        match task.await {
            Ok(Ok(_)) => "leader election stopped".to_owned(),
            Ok(Err(error)) => format!("leader election failed: {error}"),
            Err(error) => format!("leader election crashed: {error}"),
        }
    };
    Ok((leads, ended))
}
