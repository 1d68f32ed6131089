//! A panic as a line of the log.

use std::panic::{self, PanicHookInfo};

/// From now on a panic is logged, and so searched and shipped like every other line: a task that panics ends, and its process goes
/// on. The text that the standard library would write to standard error may hold what the code was at.
pub fn log_panics() {
    panic::set_hook(Box::new(log));
}

fn log(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("a panic without words");
    let location = info.location().map(ToString::to_string);
    tracing::error!(message, location, "panicked");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::{fmt, registry};

    use super::*;
    use crate::{LogSearch, Searched};

    #[test]
    fn a_credential_in_a_panic_is_found() {
        let search = Arc::new(LogSearch::default());
        let to = Searched::new(std::io::sink, Arc::clone(&search));
        let lines = fmt::layer().json().flatten_event(true).with_writer(to);
        let before = panic::take_hook();
        log_panics();
        tracing::subscriber::with_default(registry().with(lines), || {
            let caught =
                panic::catch_unwind(|| panic!("jdbc:postgresql://db/t?user=t&password={}", "hunter2"));
            assert!(caught.is_err());
        });
        panic::set_hook(before);
        let found = search.status().found;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].target, "tessera_log_shipping::panics");
    }
}
