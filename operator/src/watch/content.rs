//! [IO, read] The whole of an object of ours: from the cache while it is kept there, else from the API server.

use kube::Api;
use kube::api::DynamicObject;
use kube::core::ApiResource;

use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::kube::object_id::ObjectId;
use crate::kube::planned::controller_of;
use crate::kube::write_error::classify;
use crate::kube::writer::Seen as _;

/// The object called `id`; `None`: it is not there, or the object with the UID `owner` does not control it.
pub async fn of_owned(
    resource: &ApiResource,
    id: &ObjectId,
    owner: &str,
    ctx: &Context,
) -> Result<Option<DynamicObject>, Error> {
    let kept = ctx.caches.seen(id).and_then(|seen| seen.object());
    let live = if kept.is_some() {
        kept
    } else {
        let api: Api<DynamicObject> = Api::namespaced_with(ctx.client.clone(), &id.namespace, resource);
        api.get_opt(&id.name).await.map_err(|error| classify("get", id.clone(), &error))?
    };
    let is_owned = |live: &DynamicObject| {
        let controller = controller_of(live.metadata.owner_references.as_deref());
        controller.is_some_and(|controller| controller.uid == owner)
    };
    Ok(live.filter(is_owned))
}
