//! Readiness needs a certificate that is ours and valid; this follows it.

use std::convert::Infallible;
use std::time::Duration;

use tessera_tls::CredentialsReceiver;

use crate::clock;
use crate::readiness::{Need, Readiness};

/// The wall clock is asked this often whether the certificate has expired.
const RECHECK: Duration = Duration::from_secs(5);

/// Keeps [`Need::Certificate`] true to what is served.
pub(crate) async fn follow(
    mut credentials: CredentialsReceiver,
    readiness: Readiness,
) -> Result<(), Infallible> {
    loop {
        let snapshot = credentials.snapshot();
        match (&snapshot.credentials, &snapshot.failure) {
            (Some(current), _) if current.is_valid(clock::now()) => readiness.met(Need::Certificate),
            (Some(_), None) => readiness.await_(Need::Certificate, "the certificate has expired"),
            (None, None) => readiness.await_(Need::Certificate, "no valid certificate yet"),
            (_, Some(failure)) => readiness.await_(Need::Certificate, failure.message.clone()),
        }
        // A change or the recheck: either way the loop looks again.
        let _ = tokio::time::timeout(RECHECK, credentials.changed()).await;
    }
}
