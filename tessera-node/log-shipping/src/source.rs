//! Where a shipper gets its target and its certificate from.

use std::sync::Arc;

use rustls::sign::CertifiedKey;

use super::Collector;

/// Where records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Nobody has said yet: records wait for it.
    NotKnownYet,
    /// Nowhere.
    None,
    /// To this collector.
    Collector(Collector),
}

/// Which collector a process ships its records to, and as whom.
pub trait Source: Send + Sync + 'static {
    /// Where records go now. What it says is no change for [`Self::changed`].
    fn target(&mut self) -> Target;

    /// The certificate to show now, with its key; or why there is none.
    fn certificate(&self) -> Result<Arc<CertifiedKey>, String>;

    /// Waits until [`Self::target`] may say something else. Never returns if that cannot happen any more.
    fn changed(&mut self) -> impl Future<Output = ()> + Send;
}
