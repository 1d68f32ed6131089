//! Credentials that follow their files.
//!
//! The three files are read once a second and compared by content. That is simpler than watching (the kubelet replaces a
//! symlink, an editor renames, a bind mount reports nothing) and cannot miss a change; three small reads a second cost
//! nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::credentials::{Credentials, CredentialsError, Expectation, Files};

/// How often the files are read.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// What is in use, and why the newest files are not.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The newest credentials that verified; none before the first.
    pub credentials: Option<Arc<Credentials>>,
    /// Why the files as they stand now are not in use; none when they are.
    pub failure: Option<ReloadFailure>,
}

/// Why the files as they stand now are not in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadFailure {
    /// The directory and the error, with no secret in it.
    pub message: String,
    /// Since when it is so.
    pub since: Timestamp,
}

/// Reads the current credentials and waits for the next. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CredentialsReceiver(watch::Receiver<Snapshot>);

/// Publishes credentials that come from elsewhere than a directory, for example from memory.
#[derive(Debug)]
pub struct CredentialsPublisher(watch::Sender<Snapshot>);

impl CredentialsReceiver {
    /// Follows a directory with `tls.crt`, `tls.key` and `ca.crt` until the last receiver is dropped. The files need not
    /// be there or valid yet. The first look has been taken when this returns.
    ///
    /// Must be called within a tokio runtime.
    pub async fn watch_directory(directory: impl Into<PathBuf>, expected: Expectation) -> Self {
        Self::watch_directory_every(directory, expected, INTERVAL).await
    }

    /// [`Self::watch_directory`] at another interval.
    pub async fn watch_directory_every(
        directory: impl Into<PathBuf>,
        expected: Expectation,
        interval: Duration,
    ) -> Self {
        let (sender, mut receiver) = watch::channel(Snapshot::default());
        let mut watcher = Watcher {
            directory: directory.into().into(),
            expected: Arc::new(expected),
            sender,
            digest: None,
        };
        watcher.look().await;
        receiver.mark_unchanged();
        tokio::spawn(watcher.run(interval));
        Self(receiver)
    }

    /// Credentials that never change.
    pub fn fixed(credentials: Credentials) -> Self {
        CredentialsPublisher::new(credentials).1
    }

    /// What is in use now.
    pub fn snapshot(&self) -> Snapshot {
        self.0.borrow().clone()
    }

    /// The credentials in use now.
    pub fn current(&self) -> Option<Arc<Credentials>> {
        self.0.borrow().credentials.clone()
    }

    /// What is in use now is no change for [`Self::changed`].
    pub(crate) fn mark_seen(&mut self) {
        self.0.mark_unchanged();
    }

    /// Waits until something has changed since this receiver last waited. Never returns once nobody publishes any more.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl CredentialsPublisher {
    /// A publisher and its first receiver.
    pub fn new(first: Credentials) -> (Self, CredentialsReceiver) {
        let first = Snapshot { credentials: Some(Arc::new(first)), failure: None };
        let (sender, receiver) = watch::channel(first);
        (Self(sender), CredentialsReceiver(receiver))
    }

    /// Replaces the credentials for all receivers.
    pub fn publish(&self, credentials: Credentials) {
        self.0.send_replace(Snapshot { credentials: Some(Arc::new(credentials)), failure: None });
    }
}

struct Watcher {
    directory: Arc<Path>,
    expected: Arc<Expectation>,
    sender: watch::Sender<Snapshot>,
    /// Of the files that the credentials in use came from.
    digest: Option<Digest>,
}

impl Watcher {
    async fn run(mut self, interval: Duration) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.sender.closed() => return,
                _ = ticks.tick() => self.look().await,
            }
        }
    }

    /// Files that were refused are verified anew at each look: a certificate may have been refused for being a second too
    /// early.
    async fn look(&mut self) {
        let (directory, expected, known) =
            (Arc::clone(&self.directory), Arc::clone(&self.expected), self.digest);
        let looked = tokio::task::spawn_blocking(move || look(&directory, &expected, known)).await;
        match looked {
            Ok(Ok(None)) => self.clear_failure(),
            Ok(Ok(Some((digest, credentials)))) => self.publish(digest, credentials),
            Ok(Err(error)) => self.fail(&error),
            // The runtime is going down.
            Err(_) => {}
        }
    }

    fn publish(&mut self, digest: Digest, credentials: Arc<Credentials>) {
        let leaf = credentials.leaf();
        tracing::info!(
            directory = %self.directory.display(),
            identity = %credentials.identity(),
            serial = leaf.serial(),
            not_after = %leaf.not_after(),
            "credentials loaded"
        );
        self.digest = Some(digest);
        self.sender.send_replace(Snapshot { credentials: Some(credentials), failure: None });
    }

    /// The good files are back as they were.
    fn clear_failure(&self) {
        self.sender.send_if_modified(|snapshot| snapshot.failure.take().is_some());
    }

    fn fail(&self, error: &CredentialsError) {
        let message = format!("{}: {}", self.directory.display(), with_source(error));
        self.sender.send_if_modified(|snapshot| {
            if snapshot.failure.as_ref().is_some_and(|failure| failure.message == message) {
                return false;
            }
            let kept = if snapshot.credentials.is_some() {
                "the valid ones stay in use"
            } else {
                "there are none yet"
            };
            tracing::warn!(error = message, "credentials refused; {kept}");
            // Another error about the same bad files does not make them bad anew.
            let since = snapshot.failure.as_ref().map_or_else(Timestamp::now, |failure| failure.since);
            snapshot.failure = Some(ReloadFailure { message, since });
            true
        });
    }
}

/// SHA-256 of all three files.
type Digest = [u8; 32];

/// Nothing when the files are those whose digest is known.
fn look(
    directory: &Path,
    expected: &Expectation,
    known: Option<Digest>,
) -> Result<Option<(Digest, Arc<Credentials>)>, CredentialsError> {
    let files = Files::read(directory)?;
    let digest = files.digest();
    if known == Some(digest) {
        return Ok(None);
    }
    Ok(Some((digest, Arc::new(files.verify(expected)?))))
}

fn with_source(error: &CredentialsError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
