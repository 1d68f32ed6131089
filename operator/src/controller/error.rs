//! Why a reconcile of any kind will be tried again.

use crate::issue::authorities::AuthoritiesError;
use crate::issue::leaf::LeafError;
use crate::kube::refusal::is_unauthorized;
use crate::kube::writer::WriteError;
use crate::report::unreadable::Unreadable;

/// Why a reconcile will be tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate cannot be issued.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// The CA state cannot be had.
    #[error(transparent)]
    Authorities(#[from] AuthoritiesError),
    /// A Secret of ours cannot be read.
    #[error("failed to read Secret {name}")]
    ReadSecret {
        /// Which.
        name: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// The API server failed in a way that may pass.
    #[error("{0}")]
    Unavailable(String),
    /// An object or the status cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Error {
    /// What a person must repair before anything can be read. `None`: the API server failed in a way that may pass, and the
    /// status stays.
    pub fn unreadable(&self) -> Option<Unreadable> {
        match self {
            Self::Authorities(error) => error.unreadable(),
            Self::ReadSecret { source, .. } if is_unauthorized(source) => Some(Unreadable::forbidden(self)),
            Self::ReadSecret { .. } | Self::Write(_) | Self::Leaf(_) | Self::Unavailable(_) => None,
        }
    }
}
