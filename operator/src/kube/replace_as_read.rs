//! A replace that is a compare-and-swap: the fence against a leader that was replaced.

use kube::core::ObjectMeta;

use super::body::dynamic;
use super::planned::Planned;
use super::writer::{WriteError, Writer, fail, post_params};

impl Writer {
    /// Replaces the object that was read with the metadata `read` by `planned`, unless anybody has changed it since. Returns its
    /// new metadata.
    pub async fn replace_as_read(
        &self,
        planned: &Planned,
        read: &ObjectMeta,
    ) -> Result<ObjectMeta, WriteError> {
        let mut object = dynamic(planned, planned.body.clone());
        object.metadata.uid.clone_from(&read.uid);
        object.metadata.resource_version.clone_from(&read.resource_version);
        let api = self.api(&planned.resource, &planned.id.namespace);
        let replaced = self.faults.around(api.replace(&planned.id.name, &post_params(), &object)).await;
        replaced.map(|object| object.metadata).map_err(|error| fail("replace", planned, &error))
    }
}
