//! [IO, read] A CA bundle that a spec leads to, in a ConfigMap of the network's namespace.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use tessera_crds::api::secret_store::CaBundleRef;

use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::kube::refusal::is_unauthorized;
use crate::report::error::chain;

/// The text in PEM, as the user wrote it; or why it cannot be had, and what to do. An error is an API server that is away for a
/// moment: what the nodes have stands.
pub(super) async fn read(
    bundle: &CaBundleRef,
    namespace: &str,
    ctx: &Context,
) -> Result<Result<String, String>, Error> {
    let (object, key) = (format!("ConfigMap {}", bundle.name), bundle.key.as_str());
    let api: Api<ConfigMap> = Api::namespaced(ctx.probes.clone(), namespace);
    match api.get_opt(&bundle.name).await {
        Ok(Some(found)) => Ok(found
            .data
            .and_then(|mut data| data.remove(key))
            .ok_or_else(|| format!("{object} has no key {key:?}"))),
        Ok(None) => Ok(Err(format!("{object} does not exist"))),
        Err(error) if is_unauthorized(&error) => {
            Ok(Err(format!("failed to read {object}: {}: check the operator's Role", chain(&error))))
        }
        Err(error) => Err(Error::Unavailable(format!("failed to read {object}: {}", chain(&error)))),
    }
}
