//! The only caller of create, replace, patch and delete.
//!
//! Why POST and PUT, not server-side apply: an apply leaves in place what others added (a sidecar survives it) and takes
//! over objects that were there before us. POST never adopts; PUT at a resourceVersion replaces the whole object, so an
//! addition goes, a field that we no longer set goes, and a leader that was replaced meanwhile gets a conflict.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{ApiResource, ObjectMeta};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::FIELD_MANAGER;
use super::body::{as_value, dynamic, replacement};
use super::conflict_tracker::ConflictTracker;
use super::drift::{self, Drift};
use super::fault::Faults;
use super::object_id::ObjectId;
use super::ownership::{foreign, is_ours};
use super::planned::Planned;
use super::refused_growth::RefusedGrowths;
use super::write_error::classify;
use crate::memory::per_object::{PerObject, Registry};
use crate::watch::kept::Text;

pub use super::write_error::WriteError;

/// What bringing about an object came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was not there.
    Created,
    /// It was not as planned.
    Replaced(Drift),
    /// It was as planned; nothing was written.
    Unchanged,
}

/// An object as it was last seen.
pub trait Seen {
    /// Its metadata.
    fn metadata(&self) -> &ObjectMeta;
    /// The whole of it, if it is still kept.
    fn object(&self) -> Option<DynamicObject>;
    /// It is as planned: nobody will read the whole of it again.
    fn forget_content(&self) {}
}

impl Seen for DynamicObject {
    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn object(&self) -> Option<DynamicObject> {
        Some(self.clone())
    }
}

impl Seen for Text {
    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn object(&self) -> Option<DynamicObject> {
        self.read()
    }

    fn forget_content(&self) {
        Self::forget_content(self);
    }
}

/// An object that is as planned.
pub struct Ensured {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// What it took.
    pub outcome: Outcome,
    /// The object, if the API server was asked.
    pub answer: Option<DynamicObject>,
}

/// Writes to the API server.
pub struct Writer {
    pub(super) client: Client,
    pub(super) faults: Faults,
    /// Objects that were found or made as planned: at which version, by which plan. Nothing is compared again before one of
    /// the two changes.
    verified: Arc<PerObject<Verified>>,
    /// Versions of objects whose difference a PUT did not take away: a default that somebody else's apply also names.
    /// Writing again would be a write permanently.
    settled: Arc<PerObject<String>>,
    conflicts: ConflictTracker,
    /// Claims whose growth was refused.
    pub(super) refused_growths: RefusedGrowths,
}

struct Verified {
    version: Option<String>,
    plan: String,
}

impl Writer {
    /// A writer that dies at the chosen write, if any.
    pub fn new(client: Client, faults: Faults, registry: &Registry) -> Self {
        Self {
            client,
            faults,
            verified: registry.per_object(),
            settled: registry.per_object(),
            conflicts: ConflictTracker::default(),
            refused_growths: RefusedGrowths::new(registry),
        }
    }

    /// How many writes this process has begun.
    pub fn writes(&self) -> u64 {
        self.faults.writes()
    }

    /// Whether an object of this version is known to be as planned, since we wrote it.
    pub fn is_own_write(&self, metadata: &ObjectMeta) -> bool {
        let uid = metadata.uid.as_deref().unwrap_or_default();
        let is_known = |verified: &mut Verified| verified.version == metadata.resource_version;
        metadata.deletion_timestamp.is_none() && self.verified.with(uid, is_known).unwrap_or(false)
    }

    /// Whether the object with this metadata was found or made as `planned`, and has not changed since.
    pub fn is_as_planned(&self, planned: &Planned, metadata: &ObjectMeta) -> bool {
        is_ours(metadata, planned) && self.is_verified(planned, metadata)
    }

    /// Brings `planned` about. `seen` is what a watch last saw: if it is as planned, no request is made.
    pub async fn ensure(&self, planned: &Planned, seen: Option<&impl Seen>) -> Result<Ensured, WriteError> {
        if let Some(seen) = seen
            && is_ours(seen.metadata(), planned)
            && seen.metadata().deletion_timestamp.is_none()
            && (self.is_verified(planned, seen.metadata())
                || seen.object().is_some_and(|object| self.difference(planned, &object).is_none()))
        {
            self.verify(planned, seen.metadata());
            seen.forget_content();
            let metadata = seen.metadata().clone();
            return Ok(Ensured { metadata, outcome: Outcome::Unchanged, answer: None });
        }
        let (object, outcome) = self.ensure_live(planned, seen.is_none()).await?;
        if outcome != Outcome::Unchanged {
            self.conflicts.record_repair(&planned.to_string(), content_of(planned), Instant::now());
        }
        self.verify(planned, &object.metadata);
        Ok(Ensured { metadata: object.metadata.clone(), outcome, answer: Some(object) })
    }

    /// With `absent`, the watch has not seen the object: most likely a POST is all it takes. A Secret is looked for first,
    /// since one that the watch has not shown yet holds a key that may be in use.
    pub(super) async fn ensure_live(
        &self,
        planned: &Planned,
        absent: bool,
    ) -> Result<(DynamicObject, Outcome), WriteError> {
        let api = self.api(&planned.resource, &planned.id.namespace);
        if absent && !planned.id.is_a::<Secret>() {
            self.unless_contested(planned)?;
            match self.create(&api, planned).await {
                Err(WriteError::Conflict { .. }) => {}
                created => return created,
            }
        }
        match api.get_opt(&planned.id.name).await.map_err(|error| fail("get", planned, &error))? {
            None => {
                self.unless_contested(planned)?;
                self.create(&api, planned).await
            }
            Some(live) => self.replace_if_different(&api, planned, live).await,
        }
    }

    fn is_verified(&self, planned: &Planned, metadata: &ObjectMeta) -> bool {
        let uid = metadata.uid.as_deref().unwrap_or_default();
        // A Secret's data is no part of its plan's hash.
        let is_same = |verified: &mut Verified| {
            verified.version == metadata.resource_version && verified.plan == planned.hash
        };
        !planned.id.is_a::<Secret>() && self.verified.with(uid, is_same).unwrap_or(false)
    }

    fn verify(&self, planned: &Planned, metadata: &ObjectMeta) {
        let verified = Verified { version: metadata.resource_version.clone(), plan: planned.hash.clone() };
        self.verified.put(metadata.uid.as_deref().unwrap_or_default(), verified);
    }

    fn unless_contested(&self, planned: &Planned) -> Result<(), WriteError> {
        if self.conflicts.is_paused(&planned.to_string(), content_of(planned), Instant::now()) {
            return Err(WriteError::Contested { object: planned.id.clone() });
        }
        Ok(())
    }

    /// Whether somebody else's object has the name of `planned`. Writes nothing.
    pub async fn name_conflict(&self, planned: &Planned) -> Option<WriteError> {
        let live = self.api(&planned.resource, &planned.id.namespace).get_opt(&planned.id.name).await;
        let live = live.ok().flatten().filter(|live| !is_ours(&live.metadata, planned))?;
        Some(foreign(&live.metadata, planned))
    }

    /// Creates `planned`, and only that: what exists is never replaced.
    pub async fn create_new(&self, planned: &Planned) -> Result<(), WriteError> {
        let api = self.api(&planned.resource, &planned.id.namespace);
        self.create(&api, planned).await.map(|_| ())
    }

    async fn create(
        &self,
        api: &Api<DynamicObject>,
        planned: &Planned,
    ) -> Result<(DynamicObject, Outcome), WriteError> {
        let object = dynamic(planned, planned.body.clone());
        let created = self.faults.around(api.create(&post_params(), &object)).await;
        let created = created.map_err(|error| fail("create", planned, &error))?;
        Ok((created, Outcome::Created))
    }

    async fn replace_if_different(
        &self,
        api: &Api<DynamicObject>,
        planned: &Planned,
        live: DynamicObject,
    ) -> Result<(DynamicObject, Outcome), WriteError> {
        if !is_ours(&live.metadata, planned) {
            return Err(foreign(&live.metadata, planned));
        }
        if live.metadata.deletion_timestamp.is_some() {
            return Err(WriteError::Terminating { object: planned.id.clone() });
        }
        let Some(drift) = self.difference(planned, &live) else {
            return Ok((live, Outcome::Unchanged));
        };
        if planned.basis.as_ref().is_some_and(|basis| !basis.is(&live.metadata)) {
            return Err(WriteError::Conflict { object: planned.id.clone() });
        }
        self.unless_contested(planned)?;
        let object = dynamic(planned, replacement(planned, &live));
        let replaced = self.faults.around(api.replace(&planned.id.name, &post_params(), &object)).await;
        let replaced = match replaced {
            Err(kube::Error::Api(status)) if status.code == 422 && is_plain_data(&planned.resource) => {
                return self.remake(api, planned, &live, drift).await;
            }
            other => other.map_err(|error| fail("replace", planned, &error))?,
        };
        if replaced.metadata.resource_version == live.metadata.resource_version {
            self.settle(&replaced.metadata);
        }
        Ok((replaced, Outcome::Replaced(drift)))
    }

    /// Somebody made a ConfigMap or Secret immutable: it can only go and come again.
    async fn remake(
        &self,
        api: &Api<DynamicObject>,
        planned: &Planned,
        live: &DynamicObject,
        drift: Drift,
    ) -> Result<(DynamicObject, Outcome), WriteError> {
        self.remove(&planned.resource, &planned.id, &live.metadata).await?;
        let (created, _) = self.create(api, planned).await?;
        Ok((created, Outcome::Replaced(drift)))
    }

    /// Deletes exactly the object that `metadata` describes, unless it is gone or has been made anew.
    pub async fn remove(
        &self,
        resource: &ApiResource,
        id: &ObjectId,
        metadata: &ObjectMeta,
    ) -> Result<(), WriteError> {
        self.remove_if(resource, id, Preconditions { uid: metadata.uid.clone(), resource_version: None })
            .await
    }

    /// The same, only while it is still as it was seen.
    pub async fn remove_unchanged(
        &self,
        resource: &ApiResource,
        id: &ObjectId,
        metadata: &ObjectMeta,
    ) -> Result<(), WriteError> {
        let resource_version = metadata.resource_version.clone();
        self.remove_if(resource, id, Preconditions { uid: metadata.uid.clone(), resource_version }).await
    }

    async fn remove_if(
        &self,
        resource: &ApiResource,
        id: &ObjectId,
        preconditions: Preconditions,
    ) -> Result<(), WriteError> {
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let api = self.api(resource, &id.namespace);
        match self.faults.around(api.delete(&id.name, &params)).await {
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(error) => Err(classify("delete", id.clone(), &error)),
            Ok(_) => Ok(()),
        }
    }

    /// Writes the whole status in one server-side apply: members that it lacks go away. Only upon the resourceVersion that
    /// `object` has: a leader that was replaced meanwhile, or one whose watch lags, gets a conflict. Returns the version of
    /// the result; `None`: the object is gone.
    pub async fn apply_status<K, S>(&self, object: &K, status: &S) -> Result<Option<String>, WriteError>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
        S: Serialize + Sync,
    {
        let meta = object.meta();
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let name = meta.name.as_deref().unwrap_or_default();
        let body = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            // The UID: a status must not land on a namesake made meanwhile.
            "metadata": {"name": name, "uid": meta.uid, "resourceVersion": meta.resource_version},
            "status": status,
        });
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patched = self.faults.around(api.patch_status(name, &params, &Patch::Apply(&body))).await;
        match patched {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(classify("patch the status of", ObjectId::of::<K>(namespace, name), &error)),
            Ok(patched) => Ok(patched.meta().resource_version.clone()),
        }
    }

    pub(super) fn api(&self, resource: &ApiResource, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, resource)
    }

    fn difference(&self, planned: &Planned, live: &DynamicObject) -> Option<Drift> {
        let drift = drift::find(&planned.body, &as_value(live))?;
        (!self.is_settled(&live.metadata)).then_some(drift)
    }

    fn is_settled(&self, metadata: &ObjectMeta) -> bool {
        let uid = metadata.uid.as_deref().unwrap_or_default();
        let is_same = |version: &mut String| Some(&*version) == metadata.resource_version.as_ref();
        self.settled.with(uid, is_same).unwrap_or(false)
    }

    fn settle(&self, metadata: &ObjectMeta) {
        if let (Some(uid), Some(version)) = (&metadata.uid, &metadata.resource_version) {
            self.settled.put(uid, version.clone());
        }
    }
}

pub(super) fn post_params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// Tells one content from another, within this process. A certificate that is issued again is another each time, and yet
/// the same repair.
fn content_of(planned: &Planned) -> u64 {
    let mut hasher = DefaultHasher::new();
    if !planned.id.is_a::<Secret>() {
        planned.body.to_string().hash(&mut hasher);
    }
    hasher.finish()
}

fn is_plain_data(resource: &ApiResource) -> bool {
    matches!(resource.kind.as_str(), "ConfigMap" | "Secret")
}

pub(super) fn fail(verb: &'static str, planned: &Planned, error: &kube::Error) -> WriteError {
    classify(verb, planned.id.clone(), error)
}
