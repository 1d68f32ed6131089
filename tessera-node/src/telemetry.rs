//! Logs: JSON lines on standard output, quiet when nothing happens, and the same records for the network's collector. No secret and
//! no payload is ever a field, and each line is searched for credentials; hashes of transactions appear at debug level only, since
//! they tell who traded when.

use std::sync::Arc;

use tessera_log_shipping::{LogSearch, Searched, log_panics};
use tracing::Subscriber;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, fmt, registry};

pub(crate) use tessera_node_api::plain_words::chain;

use crate::logs;

/// Libraries that log what they send and receive, secrets among it. What goes wrong in them we say ourselves.
const SILENCED: [&str; 2] = ["rustify", "vaultrs"];

/// Starts logging at `info`, or at what `RUST_LOG` says; what is silenced stays so.
pub fn start() {
    let to = Searched::new(std::io::stdout, Arc::clone(LogSearch::of_process()));
    start_with(subscriber(filter(), to, Some(logs::Layer(logs::of_process()))));
}

/// [`start`], for a process that ships no records to a collector, and has no status that could say what a search found.
pub fn start_unshipped() {
    start_with(subscriber(filter(), std::io::stdout, None));
}

fn filter() -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"))
}

fn start_with(subscriber: impl Subscriber + Send + Sync) {
    // A second start (tests run several nodes in one process) keeps the first.
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        log_panics();
    }
}

/// A filter of its own: among the directives of one, a longer one (`rustify::clients=trace`) would win over ours.
fn subscriber<W>(filter: EnvFilter, writer: W, shipped: Option<logs::Layer>) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = fmt::layer().json().flatten_event(true).with_target(true).with_writer(writer);
    registry()
        .with(lines)
        .with(shipped)
        .with(filter)
        .with(filter_fn(|metadata| !is_silenced(metadata.target())))
}

fn is_silenced(target: &str) -> bool {
    target.split("::").next().is_some_and(|library| SILENCED.contains(&library))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use super::*;

    #[test]
    fn no_directive_brings_a_silenced_library_back() {
        for directives in ["trace", "info,rustify::clients=trace,vaultrs=trace", "rustify[sends]=trace,info"]
        {
            let file = Arc::new(tempfile::tempfile().unwrap());
            let queue = Arc::new(logs::Queue::default());
            let shipped = Some(logs::Layer(Arc::clone(&queue)));
            tracing::subscriber::with_default(
                subscriber(EnvFilter::new(directives), Arc::clone(&file), shipped),
                || {
                    let _sends =
                        tracing::info_span!(target: "rustify::clients", "sends", token = "hvs.1").entered();
                    tracing::error!(target: "rustify::clients", "hvs.2");
                    tracing::error!(target: "vaultrs", "hvs.3");
                    tracing::info!("ours");
                },
            );
            let mut log = String::new();
            (&*file).rewind().unwrap();
            (&*file).read_to_string(&mut log).unwrap();
            let shipped = format!("{:?}", queue.take_batch());
            for log in [log, shipped] {
                assert!(log.contains("ours") && !log.contains("hvs."), "{directives}: {log}");
            }
        }
    }
}
