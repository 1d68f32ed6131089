//! Keys of files: all of them, once, at the start.

use std::sync::Arc;

use tessera_enclave::KeyRing;
use tessera_enclave::keyring::{DefaultKey, KeyRingError};
use tessera_keys::{FileKeyError, KeyConfiguration};
use tessera_node_api::admin::{KeyState, KeyStatus};

use crate::keyring::Keys;
use crate::tasks;

/// Why the keys of files are not in memory.
#[derive(Debug, thiserror::Error)]
pub enum KeyFilesError {
    /// A file, or what is in it.
    #[error(transparent)]
    Files(#[from] FileKeyError),
    /// The keys are no key ring.
    #[error(transparent)]
    Ring(#[from] KeyRingError),
    /// A defect.
    #[error("unlocking the keys panicked")]
    Panicked,
}

/// The keys of files: all of them, once.
pub(crate) async fn load(configuration: Arc<KeyConfiguration>) -> Result<Keys, KeyFilesError> {
    let loaded = tasks::blocking(move || configuration.load()).await;
    let pairs = loaded.ok_or(KeyFilesError::Panicked)??;
    let ring = KeyRing::new(pairs.into_iter().map(Arc::new), &DefaultKey::AsJava)?;
    let status = ring.public_keys().enumerate().map(|(index, public)| KeyStatus {
        name: format!("key-{index}"),
        version: 1,
        public_key: public.to_string(),
        state: if public == ring.default_key() { KeyState::Default } else { KeyState::Receiving },
        born_at: None,
        store_path: None,
        trigger: None,
        imported: false,
        last_pushed_at: None,
        sample: None,
        backup: None,
        waits_for: Vec::new(),
    });
    let status = status.collect();
    tracing::info!(default = %ring.default_key(), "keys in memory");
    Ok(Keys::new(ring, true, status))
}
