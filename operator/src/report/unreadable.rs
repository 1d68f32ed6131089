//! Inputs that cannot be read until a person repairs something.

use tessera_crds::condition::Reason;

use super::error::chain;

/// Inputs that a person must repair before anything can be made of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// What kind of repair.
    pub reason: Reason,
    /// What cannot be read, and why.
    pub message: String,
}

impl Unreadable {
    /// Our own rights do not suffice.
    pub fn forbidden(error: &(dyn std::error::Error + 'static)) -> Self {
        let message = format!("{}: check the operator's Role", chain(error));
        Self { reason: Reason::PermissionDenied, message }
    }
}
