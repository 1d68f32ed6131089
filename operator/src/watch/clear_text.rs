//! Credentials in clear text: each object of the namespace that may hold one is searched as the watch shows it. Of an object
//! without any only a hash of its name is kept; of one with credentials where they are, never what they are.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::DynamicObject;
use kube::core::ApiResource;
use kube::runtime::watcher::Event;
use serde_json::json;
use tessera_clear_text::{ObjectHit, RULES, control, scan_object};
use tessera_log_shipping::LogSearch;

use crate::checklist::clear_text::{ClearTextFacts, FoundCredential};
use crate::kube::planned::controller_of;

/// The longest pause between two failures of one outage, as the health check has it.
const OUTAGE_GAP: Duration = Duration::from_secs(90);
/// A watch that fails for as long shows changes no longer in time.
const MAX_OUTAGE: Duration = Duration::from_mins(1);
/// A search that a moment ago fell behind the changes may do so again.
pub const BEHIND_COUNTS: Duration = Duration::from_mins(2);
/// How many places of one object are kept.
const MAX_PLACES: usize = 4;

/// What was found in one namespace.
pub struct ClearTextScan {
    kinds: Vec<(ApiResource, Mutex<Kind>)>,
    hasher: RandomState,
}

/// What is known of the objects of one kind.
#[derive(Default)]
struct Kind {
    is_listed: bool,
    objects: Objects,
    /// The objects that the list under way has shown.
    listing: Option<Objects>,
    outage: Option<Outage>,
    /// When an object last waited too long for its search.
    behind: Option<Instant>,
}

#[derive(Default)]
struct Objects {
    /// Hashes of the names of those without a credential.
    clean: HashSet<u64>,
    /// The others, by name.
    marked: BTreeMap<String, Searched>,
}

struct Outage {
    first: Instant,
    last: Instant,
    refused: bool,
}

/// What the search of one object came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Searched {
    /// The object's name.
    name: String,
    /// What makes it, if it is a pod that another object makes.
    maker: Option<String>,
    /// Where credentials are.
    hits: Vec<ObjectHit>,
    /// Whether all of it was searched.
    complete: bool,
}

impl Searched {
    /// Searches `object` of the kind `kind`. Takes milliseconds for a large one.
    pub fn of(kind: &str, object: DynamicObject) -> Self {
        let owner = controller_of(object.metadata.owner_references.as_deref());
        let maker = owner.filter(|_| kind == "Pod").map(|it| format!("pods of {} {}", it.kind, it.name));
        let mut value = object.data;
        value["kind"] = json!(kind);
        value["metadata"] = json!({"annotations": object.metadata.annotations});
        let found = scan_object(&value);
        let mut hits = found.hits;
        hits.truncate(MAX_PLACES);
        let name = object.metadata.name.unwrap_or_default();
        Self { name, maker, hits, complete: found.complete }
    }

    /// An object whose search ended without a result.
    pub fn failed(name: String) -> Self {
        Self { name, maker: None, hits: Vec::new(), complete: false }
    }

    fn is_clean(&self) -> bool {
        self.hits.is_empty() && self.complete
    }
}

impl Default for ClearTextScan {
    fn default() -> Self {
        let kinds = searched_kinds().into_iter().map(|resource| (resource, Mutex::default()));
        Self { kinds: kinds.collect(), hasher: RandomState::new() }
    }
}

/// The kinds of objects that are searched: those that configure containers.
fn searched_kinds() -> [ApiResource; 7] {
    [
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<StatefulSet>(&()),
        ApiResource::erase::<Deployment>(&()),
        ApiResource::erase::<DaemonSet>(&()),
        ApiResource::erase::<Job>(&()),
        ApiResource::erase::<CronJob>(&()),
        ApiResource::erase::<Pod>(&()),
    ]
}

impl ClearTextScan {
    /// The kinds to watch.
    pub fn resources(&self) -> impl Iterator<Item = &ApiResource> {
        self.kinds.iter().map(|(resource, _)| resource)
    }

    /// Takes in an event of the watch of `kind`; returns whether it changed what the checklist says.
    pub fn take_in(&self, kind: &str, event: Event<Searched>) -> bool {
        let Some(mut state) = self.kind(kind) else { return false };
        match event {
            Event::Init => {
                state.listing = Some(Objects::default());
                false
            }
            Event::InitApply(searched) => {
                // What is found counts at once; what is gone, when the list is complete.
                let changed = !searched.hits.is_empty() && state.objects.put(&searched, &self.hasher);
                state.listing.get_or_insert_default().put(&searched, &self.hasher);
                changed
            }
            Event::InitDone => {
                let listed = state.listing.take().unwrap_or_default();
                let changed = !state.is_listed || state.objects.marked != listed.marked;
                state.objects = listed;
                state.is_listed = true;
                state.end_outage(Instant::now());
                changed
            }
            Event::Apply(searched) => state.objects.put(&searched, &self.hasher),
            Event::Delete(searched) => state.objects.remove(&searched.name, &self.hasher),
        }
    }

    /// The watch of `kind` failed; returns whether that is the start of an outage.
    pub fn failed(&self, kind: &str, refused: bool, now: Instant) -> bool {
        let Some(mut state) = self.kind(kind) else { return false };
        let before = state.outage.take().filter(|outage| outage.goes_on(now));
        let is_new = before.is_none();
        let first = before.map_or(now, |outage| outage.first);
        state.outage = Some(Outage { first, last: now, refused });
        is_new
    }

    /// An object of `kind` waits too long for its search; returns whether that is new.
    pub fn fell_behind(&self, kind: &str, now: Instant) -> bool {
        let Some(mut state) = self.kind(kind) else { return false };
        let was_behind = state.is_behind(now);
        state.behind = Some(now);
        !was_behind
    }

    /// What the checklist is judged from.
    pub fn facts(&self, now: Instant) -> ClearTextFacts {
        let mut facts = ClearTextFacts {
            rules: CONTROL.then_some(RULES.len()),
            searched: Vec::new(),
            not_searched: Vec::new(),
            pending: Vec::new(),
            objects: 0,
            found: BTreeSet::new(),
            operator_log: LogSearch::of_process().status(),
        };
        for (resource, state) in &self.kinds {
            let state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.add_to(&mut facts, &resource.kind, now);
        }
        facts
    }

    fn kind(&self, kind: &str) -> Option<MutexGuard<'_, Kind>> {
        let (_, state) = self.kinds.iter().find(|(resource, _)| resource.kind == kind)?;
        Some(state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Kind {
    fn add_to(&self, facts: &mut ClearTextFacts, kind: &str, now: Instant) {
        let outage = self.outage.as_ref().filter(|outage| outage.goes_on(now));
        match outage {
            Some(outage) if outage.refused => {
                facts.not_searched.push(format!("{kind}s (no right to list them)"));
            }
            Some(outage) if now.duration_since(outage.first) > MAX_OUTAGE => {
                facts.not_searched.push(format!("{kind}s (the watch fails)"));
            }
            _ if self.is_behind(now) => {
                facts.not_searched.push(format!("changes of {kind}s (the search fell behind them)"));
            }
            _ if !self.is_listed => facts.pending.push(kind.to_owned()),
            _ => facts.searched.push(format!("{kind}s")),
        }
        if kind != "Pod" {
            facts.objects += self.objects.clean.len() + self.objects.marked.len();
        }
        for searched in self.objects.marked.values() {
            if !searched.complete {
                facts.not_searched.push(format!("a part of {kind} {}", searched.name));
            }
            facts.found.extend(searched.hits.iter().map(|hit| FoundCredential {
                in_pod_of_another: searched.maker.is_some(),
                object: searched.maker.clone().unwrap_or_else(|| format!("{kind} {}", searched.name)),
                path: hit.path.clone(),
                rule: hit.rule,
            }));
        }
    }

    fn is_behind(&self, now: Instant) -> bool {
        self.behind.is_some_and(|at| now.duration_since(at) < BEHIND_COUNTS)
    }

    /// A list that succeeds before each watch that fails ends no outage.
    fn end_outage(&mut self, now: Instant) {
        self.outage = self.outage.take().filter(|outage| !outage.refused && outage.goes_on(now));
    }
}

impl Objects {
    /// Returns whether the object is marked, or marked otherwise, from now on.
    fn put(&mut self, searched: &Searched, hasher: &RandomState) -> bool {
        let hash = hasher.hash_one(&searched.name);
        if searched.is_clean() {
            self.clean.insert(hash);
            return self.marked.remove(&searched.name).is_some();
        }
        self.clean.remove(&hash);
        let before = self.marked.insert(searched.name.clone(), searched.clone());
        before.is_none_or(|before| before != *searched)
    }

    fn remove(&mut self, name: &str, hasher: &RandomState) -> bool {
        self.clean.remove(&hasher.hash_one(name));
        self.marked.remove(name).is_some()
    }
}

impl Outage {
    fn goes_on(&self, now: Instant) -> bool {
        now.duration_since(self.last) <= OUTAGE_GAP
    }
}

/// Whether the rules find what is shown to them as a control.
static CONTROL: LazyLock<bool> = LazyLock::new(control);

#[cfg(test)]
#[path = "clear_text_tests.rs"]
mod tests;
