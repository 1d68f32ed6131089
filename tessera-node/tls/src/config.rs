//! What every TLS configuration of ours has in common.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// How long a peer may take for a handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// We speak HTTP/1.1 only; a client that offers HTTP/2 as well is told so here.
pub(crate) const HTTP_1_1: &[u8] = b"http/1.1";

/// The one provider, named explicitly so that nothing depends on which default a binary installed.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    Arc::clone(&PROVIDER)
}
