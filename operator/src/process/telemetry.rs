//! Logs: one JSON object a line on standard output, searched for credentials, and the same records for a collector where there is one.

use std::sync::Arc;

use tessera_log_shipping::{Layer, LogSearch, Queue, Searched, log_panics};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt, registry};

/// The client of the API server logs whole answers that it cannot decode, and Secrets and tokens pass through it.
const NEVER_BODIES: &str = "kube_client::client";

/// Sets up logging. A filter that cannot be parsed falls back to `info`, and says so. What passes it goes into `shipped`, too.
pub fn init(text: &str, shipped: Option<Arc<Queue>>) {
    let (filter, problem) = filter(text);
    let to = Searched::new(std::io::stdout, Arc::clone(LogSearch::of_process()));
    subscriber(filter, to, shipped).init();
    log_panics();
    if let Some(problem) = problem {
        tracing::warn!(problem, "the log filter is unusable, logging at info");
    }
}

fn filter(text: &str) -> (EnvFilter, Option<String>) {
    let parsed = text.parse::<EnvFilter>();
    let problem = parsed.as_ref().err().map(ToString::to_string);
    (parsed.unwrap_or_else(|_| EnvFilter::new("info")), problem)
}

/// A filter of its own: among the directives of one, a longer one (`kube_client::client::builder=trace`) would win over ours.
fn subscriber<W>(filter: EnvFilter, writer: W, shipped: Option<Arc<Queue>>) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    registry()
        .with(fmt::layer().json().flatten_event(true).with_writer(writer))
        .with(shipped.map(Layer))
        .with(filter)
        .with(filter_fn(|metadata| !may_hold_bodies(metadata)))
}

fn may_hold_bodies(metadata: &Metadata<'_>) -> bool {
    let of_client = metadata.target().strip_prefix(NEVER_BODIES);
    *metadata.level() > Level::ERROR
        && of_client.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use super::*;

    #[test]
    fn no_filter_lets_the_bodies_of_answers_into_the_log_or_to_the_collector() {
        for text in [
            "info",
            "trace",
            "kube_client=trace",
            "info,kube_client::client=warn",
            "info,kube_client::client::builder=trace",
            "kube_client::client[HTTP]=trace,info",
            "=,=",
        ] {
            let file = Arc::new(tempfile::tempfile().unwrap());
            let queue = Arc::new(Queue::default());
            let subscriber = subscriber(filter(text).0, Arc::clone(&file), Some(Arc::clone(&queue)));
            tracing::subscriber::with_default(subscriber, || {
                let _request =
                    tracing::info_span!(target: "kube_client::client::builder", "HTTP", token = "hvs.1")
                        .entered();
                tracing::warn!(target: "kube_client::client", "hvs.2");
                tracing::debug!(target: "kube_client::client::builder", "hvs.3");
                tracing::error!(target: "kube_client::client", "ours");
            });
            let mut log = String::new();
            (&*file).rewind().unwrap();
            (&*file).read_to_string(&mut log).unwrap();
            for log in [log, format!("{:?}", queue.take_batch())] {
                assert!(log.contains("ours") && !log.contains("hvs."), "{text}: {log}");
            }
        }
        assert!(filter("=,=").1.is_some());
    }
}
