//! Who leads. A Lease tells, it fences nothing: every write of an object is fenced by a resourceVersion instead.
//!
//! ```text
//! lead ── stands by, however long ──► Leadership ── renewed ──┬── lost: another has it, or its end is near unrenewed
//!                                                            └── end: after the last write, given up for the next
//! ```

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use kube_lease_manager::{DurationSeconds, LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// The Lease in the operator's namespace.
const LEASE: &str = "tessera-operator";
const DURATION: DurationSeconds = 15;
/// So long before its end the Lease is renewed: time for several tries.
const GRACE: DurationSeconds = 8;
/// So long before its end, as seen by ourselves, it counts as lost: clocks and requests under way.
const MARGIN: Duration = Duration::from_secs(2);
/// The longest request of an election, connecting and answer each; the client that is passed in sees to it.
pub const REQUEST: Duration = Duration::from_secs(2);
/// How often the Lease is looked at, whatever renews it does.
const CHECK_EVERY: Duration = Duration::from_secs(3);
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// This process leads.
pub struct Leadership {
    manager: Arc<LeaseManager>,
    following: JoinHandle<String>,
}

/// Stands by until this process leads, whatever fails meanwhile.
pub async fn lead(client: Client, namespace: &str, identity: &str) -> Leadership {
    let mut reported = String::new();
    let mut failed = |error: &LeaseManagerError| {
        let error = crate::report::error::chain(error);
        if error != reported {
            tracing::warn!(error, "the lease cannot be had; trying on");
            reported = error;
        }
    };
    let manager = loop {
        match manager(client.clone(), namespace, identity).await {
            Ok(manager) => break Arc::new(manager),
            Err(error) => failed(&error),
        }
        sleep(PAUSE).await;
    };
    tracing::info!("standing by for the lease");
    loop {
        match manager.changed().await {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) => {
                failed(&error);
                sleep(PAUSE).await;
            }
        }
    }
    tracing::info!("leading");
    let leases = Api::namespaced(client, namespace);
    let (renewing, identity) = (Arc::clone(&manager), identity.to_owned());
    let following = tokio::spawn(async move {
        tokio::select! {
            why = until_taken(&renewing) => why,
            why = until_overdue(&leases, &identity) => why,
        }
    });
    Leadership { manager, following }
}

impl Leadership {
    /// Returns when this process leads no more, or cannot know that it does, with the reason.
    pub async fn lost(&mut self) -> String {
        let why = (&mut self.following).await;
        why.unwrap_or_else(|error| format!("its renewal crashed: {error}"))
    }

    /// Gives the Lease up, so that another need not wait for its end. Nothing may be written any more.
    pub async fn end(self) {
        self.following.abort();
        if let Err(error) = self.manager.release().await {
            tracing::warn!(%error, "the lease could not be released; it ends by itself");
        }
    }
}

async fn manager(client: Client, namespace: &str, identity: &str) -> Result<LeaseManager, LeaseManagerError> {
    LeaseManagerBuilder::new(client, LEASE)
        .with_namespace(namespace)
        .with_identity(identity)
        .with_field_manager(super::FIELD_MANAGER.to_owned() + "-" + identity)
        .with_duration(DURATION)
        .with_grace(GRACE)
        .build()
        .await
}

/// Renews the Lease until another has it.
async fn until_taken(manager: &LeaseManager) -> String {
    loop {
        match manager.changed().await {
            Ok(true) => {}
            Ok(false) => return "another operator leads".to_owned(),
            Err(error) => {
                tracing::warn!(%error, "the lease could not be renewed; trying on");
                sleep(PAUSE).await;
            }
        }
    }
}

/// The renewing library may fail or hang, and does not say when it succeeds; so the Lease itself is asked until when it is ours.
async fn until_overdue(leases: &Api<Lease>, identity: &str) -> String {
    // It was taken a moment ago.
    let mut end = Instant::now() + Duration::from_secs(GRACE);
    loop {
        let look = async {
            sleep(CHECK_EVERY).await;
            timeout(REQUEST, leases.get(LEASE)).await.ok()?.ok()
        };
        tokio::select! {
            () = sleep_until(end) => return "it could not be renewed in time".to_owned(),
            lease = look => {
                let left = lease.and_then(|lease| left_of(&lease, identity, Timestamp::now()));
                end = left.map_or(end, |left| Instant::now() + left);
            }
        }
    }
}

/// How long we may act on this Lease, if it is ours.
fn left_of(lease: &Lease, identity: &str, now: Timestamp) -> Option<Duration> {
    let spec = lease.spec.as_ref()?;
    let renewed = spec.renew_time.as_ref().filter(|_| spec.holder_identity.as_deref() == Some(identity))?;
    let age = Duration::try_from(now.duration_since(renewed.0)).unwrap_or_default();
    Some(Duration::from_secs(DURATION).saturating_sub(age + MARGIN))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::*;

    fn left(renewed_before: i64, holder: &str) -> Option<u64> {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            renew_time: Some(MicroTime(now - SignedDuration::from_secs(renewed_before))),
            ..LeaseSpec::default()
        };
        let lease = Lease { spec: Some(spec), ..Lease::default() };
        left_of(&lease, "us", now).map(|left| left.as_secs())
    }

    #[test]
    fn a_lease_is_ours_until_shortly_before_its_end() {
        assert_eq!(left(0, "us"), Some(13));
        assert_eq!(left(5, "us"), Some(8));
        assert_eq!(left(60, "us"), Some(0));
        assert_eq!(left(0, "another"), None, "held by another");
    }
}
