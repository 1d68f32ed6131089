//! What goes wrong with an authority.

use jiff::{SignedDuration, Timestamp};

use crate::inspect::InspectError;

/// Why an authority cannot be made, loaded or used.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The system has no randomness to give.
    #[error("no randomness for a certificate's serial number: {0}")]
    Random(getrandom::Error),
    /// A key or a certificate could not be made.
    #[error("could not {action}")]
    Generate {
        /// What was tried.
        action: &'static str,
        /// What the library says.
        source: rcgen::Error,
    },
    /// The certificate made or stored cannot be read.
    #[error("the CA's certificate is unusable")]
    Certificate(#[source] InspectError),
    /// The stored certificate is of something else than an authority.
    #[error("certificate {fingerprint} is not a certificate authority")]
    NotAnAuthority {
        /// SHA-256 of the DER.
        fingerprint: String,
    },
    /// The stored key cannot be read.
    #[error("the private key of CA {fingerprint} is unusable")]
    Key {
        /// SHA-256 of the CA certificate's DER.
        fingerprint: String,
        /// What the library says; it never quotes the key.
        source: rcgen::Error,
    },
    /// Certificate and key are not a pair.
    #[error("the private key stored beside CA {fingerprint} is another certificate's")]
    KeyMismatch {
        /// SHA-256 of the CA certificate's DER.
        fingerprint: String,
    },
    /// The authority has expired, so nothing that it signs would be accepted.
    #[error("CA {fingerprint} expired at {not_after}: roll it over before issuing")]
    Expired {
        /// SHA-256 of the CA certificate's DER.
        fingerprint: String,
        /// When it expired.
        not_after: Timestamp,
    },
    /// A date is beyond what X.509 can say.
    #[error("a lifetime of {0:#} ends beyond what a certificate can express: choose a shorter one")]
    Lifetime(SignedDuration),
    /// A name does not fit into a certificate.
    #[error("{name:?} cannot stand in a certificate: use ASCII only")]
    Name {
        /// The name.
        name: String,
        /// What the library says.
        source: rcgen::Error,
    },
}
