//! A private key in PEM that wipes itself and cannot be printed.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A private key as PKCS#8 PEM. Wiped on drop; no `Debug`, no `Display`, no `Clone`.
///
/// It serializes, since the CA state is a document that holds keys; the document itself is only ever made as
/// [`Zeroizing`] bytes (see [`crate::CaState::to_json`]).
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct PrivateKeyPem(Zeroizing<String>);

impl PrivateKeyPem {
    /// Takes a PEM text; it is looked at only where the key is used.
    pub fn new(pem: String) -> Self {
        Self(Zeroizing::new(pem))
    }

    /// The PEM text, for the Secret that is to hold it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}
