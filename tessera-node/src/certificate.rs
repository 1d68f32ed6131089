//! Readiness needs a certificate that is ours and valid; this follows it.

use std::convert::Infallible;
use std::time::Duration;

use tessera_tls::CredentialsReceiver;

use crate::clock;
use crate::readiness::{Readiness, ReadinessGate};

/// The wall clock is asked this often whether the certificate has expired.
const RECHECK: Duration = Duration::from_secs(5);

/// Keeps [`ReadinessGate::Certificate`] in step with the certificate that is served.
pub(crate) async fn follow(
    mut credentials: CredentialsReceiver,
    readiness: Readiness,
) -> Result<(), Infallible> {
    loop {
        let snapshot = credentials.snapshot();
        match (&snapshot.credentials, &snapshot.failure) {
            (Some(current), _) if current.is_valid(clock::now()) => {
                readiness.satisfied(ReadinessGate::Certificate);
            }
            (Some(_), None) => readiness.wait_for(ReadinessGate::Certificate, "the certificate has expired"),
            (None, None) => readiness.wait_for(ReadinessGate::Certificate, "no valid certificate yet"),
            (_, Some(failure)) => readiness.wait_for(ReadinessGate::Certificate, failure.message.clone()),
        }
        // A change or the recheck: either way the loop looks again.
        let _ = tokio::time::timeout(RECHECK, credentials.changed()).await;
    }
}
