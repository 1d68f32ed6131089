//! Requests that change what is not ours: a token of a ServiceAccount, a larger volume.

use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, ServiceAccount};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use zeroize::Zeroizing;

use super::FIELD_MANAGER;
use super::object_id::ObjectId;
use super::write_error::{WriteError, classify};
use super::writer::Writer;

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

impl Writer {
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
        let object = || ObjectId::of::<ServiceAccount>(namespace, service_account);
        // Not counted as a write: it leaves nothing behind in the API server.
        let answer = api.create_token_request(service_account, &PostParams::default(), &request).await;
        let answer = answer.map_err(|error| classify("request a token of", object(), &error))?;
        let token = answer.status.map(|status| status.token).unwrap_or_default();
        Ok(Token { secret: Zeroizing::new(token), renew_at: Instant::now() + TOKEN_LIFETIME * 4 / 5 })
    }

    /// Asks for a larger volume behind a bound claim. A claim is the StatefulSet controller's, so only this one field
    /// of it is ours. What was refused is not asked again for a while.
    pub async fn grow_claim(&self, claim: &PersistentVolumeClaim, size: &str) -> Result<(), WriteError> {
        let namespace = claim.metadata.namespace.as_deref().unwrap_or_default();
        let name = claim.metadata.name.as_deref().unwrap_or_default();
        let object = || ObjectId::of::<PersistentVolumeClaim>(namespace, name);
        let uid = claim.metadata.uid.clone().unwrap_or_default();
        if let Some(message) = self.refused_growths.why(&uid, size) {
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
            Err(error) => {
                let failure = classify("patch", object(), &error);
                // What storage class or quota do not allow stays so for a while.
                if let WriteError::Invalid { message, .. }
                | WriteError::OverQuota { message, .. }
                | WriteError::NotAdmitted { message, .. } = failure
                {
                    self.refused_growths.put(&uid, size, &message);
                    return Err(WriteError::Invalid { object: object(), message });
                }
                Err(failure)
            }
        }
    }
}
