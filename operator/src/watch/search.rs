//! The search for credentials: watches all objects of one kind, and hands each to the one thread that searches.
//!
//! ```text
//! watches of 7 kinds, each namespace ──► one thread (a queue of one) ──► ClearTextScan ──► the networks, if it says something new
//!                     waits for more than 10 s: the checklist says that the search is behind
//! ```

use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::api::DynamicObject;
use kube::core::ApiResource;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Client};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::clear_text::{BEHIND_COUNTS, ClearTextScan, Searched};
use super::is_refused;
use super::triggers::Triggers;
use crate::controller::context::Context;
use crate::process::tasks::Tasks;
use crate::report::error::chain;

/// So many objects of a list lie in memory at a time: a ConfigMap may be a mebibyte.
const AT_A_TIME: u32 = 20;
/// What an object shows is seen within this time, or the checklist says that it is not.
const SEEN_WITHIN: Duration = Duration::from_secs(10);

/// Searches all objects of one kind. Not being allowed to is no fault of the process: the checklist says so.
pub(super) fn start(
    client: &Client,
    context: &Arc<Context>,
    resource: &ApiResource,
    triggers: Triggers,
    tasks: &mut Tasks,
) {
    let search =
        Search { found: Arc::clone(&context.caches.clear_text), kind: resource.kind.clone(), triggers };
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &context.namespace, resource);
    let stream = watcher(api, Config::default().page_size(AT_A_TIME));
    tasks.spawn_until_stop(async move {
        let mut events = pin!(stream.default_backoff());
        let mut caught_up: Option<Pin<Box<tokio::time::Sleep>>> = None;
        loop {
            let event = tokio::select! {
                () = async { caught_up.as_mut().expect("guarded").await }, if caught_up.is_some() => {
                    caught_up = None;
                    search.triggers.all_networks();
                    continue;
                }
                event = events.next() => event,
            };
            match event {
                Some(Ok(event)) => {
                    if search.take_in(event).await {
                        caught_up = Some(Box::pin(sleep(BEHIND_COUNTS)));
                    }
                }
                Some(Err(error)) => search.failed(&error),
                None => return format!("the search of {} for credentials ended", search.kind),
            }
        }
    });
}

struct Search {
    found: Arc<ClearTextScan>,
    kind: String,
    triggers: Triggers,
}

impl Search {
    /// Returns whether the object waited too long.
    async fn take_in(&self, event: Event<DynamicObject>) -> bool {
        let mut search = pin!(searched(&self.kind, event));
        let in_time = timeout(SEEN_WITHIN, &mut search).await;
        let is_late = in_time.is_err();
        if is_late && self.found.fell_behind(&self.kind, Instant::now()) {
            self.triggers.all_networks();
        }
        let event = match in_time {
            Ok(event) => event,
            Err(_) => search.await,
        };
        if self.found.take_in(&self.kind, event) {
            self.triggers.all_networks();
        }
        is_late
    }

    fn failed(&self, error: &kube::runtime::watcher::Error) {
        let refused = is_refused(error);
        if !self.found.failed(&self.kind, refused, Instant::now()) {
            return;
        }
        let (kind, error) = (&self.kind, chain(error));
        tracing::warn!(kind, error, "a watch that searches for credentials failed and will be retried");
        if refused {
            self.triggers.all_networks();
        }
    }
}

/// An object to search, and where the answer goes.
type Request = (String, DynamicObject, oneshot::Sender<Searched>);

/// One thread searches for all namespaces: each thread that does keeps automata of its own in memory, and a search of a large
/// object holds up no task. Those who wait are served in turn.
static SEARCHER: LazyLock<mpsc::Sender<Request>> = LazyLock::new(|| {
    let (sender, mut requests) = mpsc::channel::<Request>(1);
    let search = move || {
        while let Some((kind, object, answer)) = requests.blocking_recv() {
            // A watch that ended waits no longer.
            let _ = answer.send(Searched::of(&kind, object));
        }
    };
    if let Err(error) = std::thread::Builder::new().name("clear-text".to_owned()).spawn(search) {
        tracing::error!(%error, "no thread to search for credentials");
    }
    sender
});

/// The event with each object searched. Without an answer of the searcher the object counts as not searched.
async fn searched(kind: &str, event: Event<DynamicObject>) -> Event<Searched> {
    match event {
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
        Event::InitApply(object) => Event::InitApply(search(kind, object).await),
        Event::Apply(object) => Event::Apply(search(kind, object).await),
        // What it held counts no longer.
        Event::Delete(object) => Event::Delete(Searched::failed(object.metadata.name.unwrap_or_default())),
    }
}

async fn search(kind: &str, object: DynamicObject) -> Searched {
    let name = object.metadata.name.clone().unwrap_or_default();
    let (sender, answer) = oneshot::channel();
    if SEARCHER.send((kind.to_owned(), object, sender)).await.is_err() {
        return Searched::failed(name);
    }
    answer.await.unwrap_or_else(|_| Searched::failed(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn an_event_is_searched_by_the_one_thread_for_it() {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app"},
            "data": {"DB_PASSWORD": "hunter2"}});
        let event = searched("ConfigMap", Event::Apply(serde_json::from_value(object).unwrap())).await;
        let scan = ClearTextScan::default();
        assert!(scan.take_in("ConfigMap", event));
        let found = scan.facts(Instant::now()).found;
        assert_eq!(found.first().map(|it| it.path.as_str()), Some("data.DB_PASSWORD"));
    }
}
