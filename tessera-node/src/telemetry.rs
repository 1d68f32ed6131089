//! Logs: JSON lines on standard output, quiet when nothing happens. No secret and no payload is ever a field; hashes of
//! transactions appear at debug level only, since they tell who traded when.

use tracing_subscriber::EnvFilter;

/// Libraries that log what they send and receive, secrets among it. What goes wrong in them we say ourselves.
const SILENCED: [&str; 2] = ["rustify=off", "vaultrs=off"];

/// Starts logging at `info`, or at what `RUST_LOG` says; what is silenced stays so.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let silenced = SILENCED.iter().filter_map(|directive| directive.parse().ok());
    let filter = silenced.fold(filter, EnvFilter::add_directive);
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_target(true)
        .finish();
    // A second start (tests run several nodes in one process) keeps the first.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// An error and its causes in one line, for a log field.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}
