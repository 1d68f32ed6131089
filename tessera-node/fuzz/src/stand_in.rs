//! What the node's configuration names of the rest of the node. Decoding runs none of it.

pub(crate) mod tasks {
    pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        tokio::task::spawn_blocking(work).await.ok()
    }
}

pub(crate) mod telemetry {
    pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
        error.to_string()
    }
}

pub(crate) mod transaction {
    use tessera_enclave::PublicKey;

    #[derive(Debug, Clone, Default)]
    #[allow(dead_code)]
    pub struct Policy {
        pub always_send_to: Vec<PublicKey>,
        pub privacy_enhancements: bool,
        pub remote_key_validation: bool,
    }
}
