//! Logs: one JSON object a line on standard output.

use tracing_subscriber::EnvFilter;

/// Sets up logging. A filter that cannot be parsed falls back to `info`, and says so.
pub fn init(filter: &str) {
    let parsed = filter.parse::<EnvFilter>();
    let problem = parsed.as_ref().err().map(ToString::to_string);
    let filter = parsed.unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).init();
    if let Some(problem) = problem {
        tracing::warn!(problem, "the log filter is unusable, logging at info");
    }
}
