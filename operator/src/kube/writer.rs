//! The only caller of create, replace, patch and delete.
//!
//! Why POST and PUT, not server-side apply: an apply leaves in place what others added (a sidecar survives it) and takes
//! over objects that were there before us. POST never adopts; PUT at a resourceVersion replaces the whole object, so an
//! addition goes, a field that we no longer set goes, and a leader that was replaced meanwhile gets a conflict.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, ServiceAccount};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions, TypeMeta};
use kube::core::{ApiResource, ObjectMeta};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::FIELD_MANAGER;
use super::conflict_tracker::ConflictTracker;
use super::drift::{self, Drift};
use super::fault::Faults;
use super::ownership::{foreign, is_ours};
use super::planned::Planned;
use super::write_error::classify;

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

/// How long a requested token lives. Each request is a write in the API server's audit log, so a token is used again.
const TOKEN_LIFETIME: Duration = Duration::from_hours(1);

/// A token of a ServiceAccount. No `Debug`: it is a secret.
#[derive(Clone)]
pub struct Token {
    /// What to show.
    pub secret: Zeroizing<String>,
    /// When another should be asked for.
    pub renew_at: Instant,
}

/// After how long a refused growth is asked for again: the storage class may have been changed.
const REFUSED_FOR: Duration = Duration::from_mins(5);

/// Writes to the API server.
pub struct Writer {
    client: Client,
    faults: Faults,
    /// Objects, by UID, whose difference a PUT did not take away: a default that somebody else's apply also names.
    /// Writing again would be a write permanently.
    settled: Mutex<HashMap<String, String>>,
    conflicts: ConflictTracker,
    /// Claims, by UID, whose growth was refused.
    refused: Mutex<HashMap<String, RefusedGrowth>>,
}

struct RefusedGrowth {
    size: String,
    message: String,
    at: Instant,
}

impl Writer {
    /// A writer that dies at the chosen write, if any.
    pub fn new(client: Client, faults: Faults) -> Self {
        Self {
            client,
            faults,
            settled: Mutex::default(),
            conflicts: ConflictTracker::default(),
            refused: Mutex::default(),
        }
    }

    /// How many writes this process has begun.
    pub fn writes(&self) -> u64 {
        self.faults.writes()
    }

    /// Brings `planned` about. `cached` is what a watch last saw: if it is as planned, no request is made.
    pub async fn ensure(
        &self,
        planned: &Planned,
        cached: Option<&DynamicObject>,
    ) -> Result<(DynamicObject, Outcome), WriteError> {
        if let Some(cached) = cached
            && is_ours(&cached.metadata, planned)
            && cached.metadata.deletion_timestamp.is_none()
            && self.difference(planned, cached).is_none()
        {
            return Ok((cached.clone(), Outcome::Unchanged));
        }
        let api = self.api(&planned.resource, &planned.namespace);
        let live = api.get_opt(&planned.name).await.map_err(|error| fail("get", planned, error))?;
        let outcome = match live {
            None => {
                self.unless_contested(planned)?;
                self.create(&api, planned).await?
            }
            Some(live) => self.replace_if_different(&api, planned, live).await?,
        };
        if outcome.1 != Outcome::Unchanged {
            self.conflicts.record_repair(&planned.to_string(), content_of(planned), Instant::now());
        }
        Ok(outcome)
    }

    fn unless_contested(&self, planned: &Planned) -> Result<(), WriteError> {
        let object = planned.to_string();
        if self.conflicts.is_paused(&object, content_of(planned), Instant::now()) {
            return Err(WriteError::Contested { object });
        }
        Ok(())
    }

    /// Creates `planned`, and only that: what exists is never replaced.
    pub async fn create_new(&self, planned: &Planned) -> Result<(), WriteError> {
        let api = self.api(&planned.resource, &planned.namespace);
        self.create(&api, planned).await.map(|_| ())
    }

    async fn create(
        &self,
        api: &Api<DynamicObject>,
        planned: &Planned,
    ) -> Result<(DynamicObject, Outcome), WriteError> {
        let object = dynamic(planned, planned.body.clone());
        let created = self.faults.around(api.create(&post_params(), &object)).await;
        let created = created.map_err(|error| fail("create", planned, error))?;
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
            return Err(WriteError::Terminating { object: planned.to_string() });
        }
        let Some(drift) = self.difference(planned, &live) else {
            return Ok((live, Outcome::Unchanged));
        };
        self.unless_contested(planned)?;
        let object = dynamic(planned, replacement(planned, &live));
        let replaced = self.faults.around(api.replace(&planned.name, &post_params(), &object)).await;
        let replaced = match replaced {
            Err(kube::Error::Api(status)) if status.code == 422 && is_plain_data(&planned.resource) => {
                return self.remake(api, planned, &live, drift).await;
            }
            other => other.map_err(|error| fail("replace", planned, error))?,
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
        self.remove(&planned.resource, &planned.namespace, &live.metadata).await?;
        let (created, _) = self.create(api, planned).await?;
        Ok((created, Outcome::Replaced(drift)))
    }

    /// Deletes exactly the object that `metadata` describes, unless it is gone or has been made anew.
    pub async fn remove(
        &self,
        resource: &ApiResource,
        namespace: &str,
        metadata: &ObjectMeta,
    ) -> Result<(), WriteError> {
        let name = metadata.name.as_deref().unwrap_or_default();
        let preconditions = Preconditions { uid: metadata.uid.clone(), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let api = self.api(resource, namespace);
        match self.faults.around(api.delete(name, &params)).await {
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(error) => Err(classify("delete", format!("{} {namespace}/{name}", resource.kind), error)),
            Ok(_) => Ok(()),
        }
    }

    /// Writes the whole status in one server-side apply: members that it lacks go away.
    pub async fn apply_status<K, S>(&self, object: &K, status: &S) -> Result<(), WriteError>
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
            "metadata": {"name": name, "uid": meta.uid},
            "status": status,
        });
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patched = self.faults.around(api.patch_status(name, &params, &Patch::Apply(&body))).await;
        match patched {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => {
                Err(classify("patch the status of", format!("{} {namespace}/{name}", K::kind(&())), error))
            }
            Ok(_) => Ok(()),
        }
    }

    /// A token of `service_account` for `audience` alone.
    pub async fn request_token(
        &self,
        namespace: &str,
        service_account: &str,
        audience: &str,
    ) -> Result<Token, WriteError> {
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec![audience.to_owned()],
                expiration_seconds: Some(i64::try_from(TOKEN_LIFETIME.as_secs()).unwrap_or(i64::MAX)),
                bound_object_ref: None,
            },
            ..TokenRequest::default()
        };
        let object = || format!("a token of ServiceAccount {namespace}/{service_account}");
        // Not counted as a write: it leaves nothing behind in the API server.
        let answer = api.create_token_request(service_account, &PostParams::default(), &request).await;
        let answer = answer.map_err(|error| classify("request", object(), error))?;
        let token = answer.status.map(|status| status.token).unwrap_or_default();
        Ok(Token { secret: Zeroizing::new(token), renew_at: Instant::now() + TOKEN_LIFETIME * 4 / 5 })
    }

    /// Asks for a larger volume behind a bound claim. A claim is the StatefulSet controller's, so only this one field
    /// of it is ours. What was refused is not asked again for a while.
    pub async fn grow_claim(&self, claim: &PersistentVolumeClaim, size: &str) -> Result<(), WriteError> {
        let namespace = claim.metadata.namespace.as_deref().unwrap_or_default();
        let name = claim.metadata.name.as_deref().unwrap_or_default();
        let object = || format!("PersistentVolumeClaim {namespace}/{name}");
        let uid = claim.metadata.uid.clone().unwrap_or_default();
        if let Some(message) = self.refused_growth(&uid, size) {
            return Err(WriteError::Invalid { object: object(), message });
        }
        let patch = json!({
            "metadata": {"resourceVersion": claim.metadata.resource_version},
            "spec": {"resources": {"requests": {"storage": size}}},
        });
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        match self.faults.around(api.patch(name, &params, &Patch::Merge(&patch))).await {
            Ok(_) => Ok(()),
            // What storage class or quota do not allow is answered with the same code as what our Role does not allow.
            Err(kube::Error::Api(status))
                if status.code == 422
                    || status.code == 403 && !status.message.contains("cannot patch resource") =>
            {
                let message = status.message.clone();
                let refused =
                    RefusedGrowth { size: size.to_owned(), message: message.clone(), at: Instant::now() };
                self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, refused);
                Err(WriteError::Invalid { object: object(), message })
            }
            Err(error) => Err(classify("patch", object(), error)),
        }
    }

    fn refused_growth(&self, uid: &str, size: &str) -> Option<String> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let before = refused.get(uid)?;
        (before.size == size && before.at.elapsed() < REFUSED_FOR).then(|| before.message.clone())
    }

    fn api(&self, resource: &ApiResource, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, resource)
    }

    fn difference(&self, planned: &Planned, live: &DynamicObject) -> Option<Drift> {
        let drift = drift::find(&planned.body, &as_value(live))?;
        (!self.is_settled(&live.metadata)).then_some(drift)
    }

    fn is_settled(&self, metadata: &ObjectMeta) -> bool {
        let settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        let version = metadata.uid.as_ref().and_then(|uid| settled.get(uid));
        version.is_some() && version == metadata.resource_version.as_ref()
    }

    fn settle(&self, metadata: &ObjectMeta) {
        if let (Some(uid), Some(version)) = (metadata.uid.clone(), metadata.resource_version.clone()) {
            self.settled.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, version);
        }
    }
}

fn post_params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// Tells one content from another, within this process. A certificate that is issued again is another each time, and yet
/// the same repair.
fn content_of(planned: &Planned) -> u64 {
    let mut hasher = DefaultHasher::new();
    if planned.resource.kind != "Secret" {
        planned.body.to_string().hash(&mut hasher);
    }
    hasher.finish()
}

fn is_plain_data(resource: &ApiResource) -> bool {
    matches!(resource.kind.as_str(), "ConfigMap" | "Secret")
}

/// The planned object at the live one's version, with the annotations and finalizers that others need.
fn replacement(planned: &Planned, live: &DynamicObject) -> Value {
    let mut body = planned.body.clone();
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".into(), json!(live.metadata.resource_version));
        metadata.insert("uid".into(), json!(live.metadata.uid));
        if let Some(finalizers) = &live.metadata.finalizers {
            metadata.insert("finalizers".into(), json!(finalizers));
        }
        let ours = metadata.entry("annotations").or_insert_with(|| Value::Object(Map::new()));
        for (key, value) in live.metadata.annotations.iter().flatten() {
            if let Some(ours) = ours.as_object_mut() {
                ours.entry(key.clone()).or_insert_with(|| Value::String(value.clone()));
            }
        }
    }
    body
}

fn dynamic(planned: &Planned, body: Value) -> DynamicObject {
    let mut object = DynamicObject {
        types: Some(TypeMeta {
            api_version: planned.resource.api_version.clone(),
            kind: planned.resource.kind.clone(),
        }),
        metadata: ObjectMeta::default(),
        data: Value::Null,
    };
    if let Value::Object(mut members) = body {
        members.remove("apiVersion");
        members.remove("kind");
        let metadata = members.remove("metadata").unwrap_or_default();
        object.metadata =
            serde_json::from_value(metadata).expect("`Planned::new` serialised it from the same type");
        object.data = Value::Object(members);
    }
    object
}

/// The whole object as JSON.
pub fn as_value(object: &DynamicObject) -> Value {
    serde_json::to_value(object).expect("a JSON object with typed metadata serialises")
}

fn fail(verb: &'static str, planned: &Planned, error: kube::Error) -> WriteError {
    classify(verb, planned.to_string(), error)
}
