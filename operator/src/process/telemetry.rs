//! Logs: one JSON object a line on standard output.

use tracing_subscriber::EnvFilter;

/// The client of the API server logs whole answers that it cannot decode, and Secrets and tokens pass through it.
const NEVER_BODIES: &str = "kube_client::client=error";

/// Sets up logging. A filter that cannot be parsed falls back to `info`, and says so.
pub fn init(text: &str) {
    let (filter, problem) = filter(text);
    tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).init();
    if let Some(problem) = problem {
        tracing::warn!(problem, "the log filter is unusable, logging at info");
    }
}

fn filter(text: &str) -> (EnvFilter, Option<String>) {
    let parsed = text.parse::<EnvFilter>();
    let problem = parsed.as_ref().err().map(ToString::to_string);
    let filter = parsed.unwrap_or_else(|_| EnvFilter::new("info"));
    let never = NEVER_BODIES.parse().expect("a constant directive");
    (filter.add_directive(never), problem)
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn no_filter_lets_the_bodies_of_answers_into_the_log() {
        for text in ["info", "debug", "trace", "kube_client=trace", "kube_client::client=warn", "=,="] {
            assert!(filter(text).0.to_string().contains("kube_client::client=error"), "{text}");
        }
        assert!(filter("=,=").1.is_some());
    }
}
