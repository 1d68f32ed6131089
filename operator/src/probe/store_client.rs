//! The client certificate that the operator shows a secret store: of the Secret that the network names, or of the one that the
//! operator issues. It is read for each probe, so a renewed one is used at once.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use rustls::sign::CertifiedKey;
use tessera_crds::api::secret_store::{VaultClientCertificate, VaultClientCertificateType as Type};
use tessera_crds::{TesseraNetwork, names};
use tessera_node_api::paths::{CERTIFICATE_FILE, KEY_FILE};
use tessera_node_api::tls_client;
use zeroize::{Zeroize, Zeroizing};

use super::store::StoreState;
use super::store_reports::ObservedStore;
use super::stores::Unread;
use crate::controller::context::Context;
use crate::kube::meta::{name_of, namespace_of};
use crate::kube::refusal::is_unauthorized;
use crate::report::error::chain;

/// `None`: the network names none.
pub(super) async fn read(
    network: &TesseraNetwork,
    ctx: &Context,
) -> Result<Option<Arc<CertifiedKey>>, Unread> {
    let store = network.spec.secret_store.vault.as_ref();
    let Some(named) = store.and_then(|store| store.client_certificate.as_ref()) else { return Ok(None) };
    let secret = secret_of(named, name_of(network));
    let api: Api<Secret> = Api::namespaced(ctx.probes.clone(), namespace_of(network));
    let found = api.get_opt(&secret).await.map_err(|error| {
        if !is_unauthorized(&error) {
            return Unread::Transient;
        }
        let message = format!("failed to read Secret {secret}: {}: check the operator's Role", chain(&error));
        Unread::For(ObservedStore::PermissionDenied(message))
    })?;
    let Some(found) = found else { return Err(Unread::For(missing(named, &secret))) };
    let mut data = found.data.unwrap_or_default();
    let certificate = data.remove(CERTIFICATE_FILE).unwrap_or_default().0;
    let key = Zeroizing::new(data.remove(KEY_FILE).unwrap_or_default().0);
    for mut rest in data.into_values() {
        rest.0.zeroize();
    }
    let certified = tls_client::client_certificate(&certificate, &key);
    certified.map(Some).map_err(|error| {
        let message = format!(
            "the client certificate for the secret store in Secret {secret} is unusable: {error}: correct the Secret"
        );
        Unread::For(ObservedStore::InvalidReference(message))
    })
}

/// The Secret that holds it.
fn secret_of(named: &VaultClientCertificate, network: &str) -> String {
    match (&named.r#type, &named.secret_ref) {
        (Type::SecretRef, Some(secret)) => secret.name.to_string(),
        // Admission lets no SecretRef through without a Secret.
        (Type::SecretRef, None) | (Type::Issued, _) => names::network::store_client_secret(network),
    }
}

fn missing(named: &VaultClientCertificate, secret: &str) -> ObservedStore {
    match named.r#type {
        Type::SecretRef => ObservedStore::InvalidReference(format!(
            "Secret {secret} does not exist: create it with the tls.crt and tls.key that the secret store's owner issued, or correct spec.secretStore.vault.clientCertificate"
        )),
        Type::Issued => ObservedStore::State(StoreState::Unreachable(format!(
            "the operator's client certificate for the secret store (Secret {secret}) is not issued yet"
        ))),
    }
}
