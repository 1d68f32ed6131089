//! The secret store, as the operator sees it: the operator logs in and gives the login back, it reads and writes no key.
//!
//! ```text
//! GET sys/health ──► sealed? reachable? ──► TokenRequest (audience = the store's URL) ──► login ──► revoke at once
//! ```
//!
//! The token is that of a ServiceAccount in the network's namespace, and its audience is the store's URL: sent to another
//! address, it is worthless at the real one.

/// What the last probe of the store found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreState {
    /// It answers and lets us in.
    Ready,
    /// It answers and is sealed or not initialised.
    Sealed(String),
    /// It does not answer, or not as the holder of a certificate that we trust.
    Unreachable(String),
    /// It answers nobody who shows what we show: the TLS alert that it refused us with.
    ClientRefused(String),
    /// It refuses the login.
    LoginDenied(String),
    /// Role or auth mount are not there.
    NotProvisioned(String),
}

impl StoreState {
    /// Whether it answers at all, and unsealed: what a starting node needs.
    pub fn is_reachable(&self) -> bool {
        !matches!(self, Self::Sealed(_) | Self::Unreachable(_) | Self::ClientRefused(_))
    }
}
