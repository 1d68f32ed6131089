//! Opens the payload store, and follows whether it can be used.

use std::path::Path;

use tessera_database::{Credentials, Database, Health};
use tessera_store::Store;

use super::RunError;
use crate::config::Storage;
use crate::payload_store::PayloadStore;
use crate::readiness::{Readiness, ReadinessGate};
use crate::{tasks, transaction};

/// A directory is opened at once or not at all. A database may come later: until then the node says what it waits for.
pub(super) async fn open(storage: &Storage, readiness: &Readiness) -> Result<PayloadStore, RunError> {
    match storage {
        Storage::Embedded { directory, quota_bytes } => {
            Ok(PayloadStore::Embedded(open_directory(directory, *quota_bytes).await?))
        }
        Storage::Postgres(credentials) => Ok(PayloadStore::Postgres(connect(credentials, readiness).await)),
    }
}

/// Ends the node when the log cannot be written; follows a database that comes and goes.
pub(super) async fn follow(store: PayloadStore, readiness: Readiness) -> Result<(), String> {
    match store {
        PayloadStore::Embedded(store) => {
            readiness.satisfied(ReadinessGate::Database);
            Err(store.fatal().reason().await)
        }
        PayloadStore::Postgres(database) => follow_health(database.health(), &readiness).await,
    }
}

async fn follow_health(health: &Health, readiness: &Readiness) -> Result<(), String> {
    let mut changes = health.subscribe();
    loop {
        match health.failure() {
            None => readiness.satisfied(ReadinessGate::Database),
            Some(reason) => readiness.wait_for(ReadinessGate::Database, unusable(&reason)),
        }
        changes.next().await;
    }
}

async fn connect(credentials: &Credentials, readiness: &Readiness) -> Database {
    let options = tessera_database::Options {
        credentials: credentials.clone(),
        max_body_bytes: transaction::MAX_RECORD_BYTES,
        // The largest payload alone, or many small ones.
        max_queued_bytes: transaction::MAX_RECORD_BYTES,
    };
    Database::open(options, |reason| readiness.wait_for(ReadinessGate::Database, unusable(reason))).await
}

fn unusable(reason: &str) -> String {
    format!("the database cannot be used: {reason}")
}

async fn open_directory(directory: &Path, quota_bytes: Option<u64>) -> Result<Store, RunError> {
    let runtime = tokio::runtime::Handle::current();
    let mut options = tessera_store::Options::new(directory)
        .max_body_bytes(transaction::MAX_RECORD_BYTES)
        .answer_on(move |answer| drop(runtime.spawn(async move { answer() })));
    if let Some(quota) = quota_bytes {
        options = options.quota_bytes(quota);
    }
    tasks::blocking(move || options.open())
        .await
        .ok_or(RunError::StorePanic)?
        .map_err(|source| RunError::Store { directory: directory.to_owned(), source })
}
