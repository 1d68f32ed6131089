//! The pod's mounts for a database: connection string, CA bundle and client certificate.

use k8s_openapi::api::core::v1::{KeyToPath, Volume, VolumeMount};
use tessera_crds::api::postgres::PostgresStorage;
use tessera_crds::api::secret_store::ObjectRef;
use tessera_node_api::paths;

use super::pod::{ca_bundle, client_certificate, directory, file, mount, part_of_secret, projected};
use crate::node::resolve::Resolved;

const CONNECTION: &str = "database-connection";
const CA: &str = "database-ca";
const CLIENT_TLS: &str = "database-client-tls";

pub(super) fn mounts(node: &Resolved) -> Vec<VolumeMount> {
    let Some(postgres) = node.storage.postgres() else { return Vec::new() };
    let client = client_secret(postgres).map(|_| mount(CLIENT_TLS, paths::DATABASE_CLIENT_TLS, true));
    let always = [
        mount(CONNECTION, directory(paths::DATABASE_CONNECTION), true),
        mount(CA, directory(paths::DATABASE_CA), true),
    ];
    always.into_iter().chain(client).collect()
}

pub(super) fn volumes(node: &Resolved) -> Vec<Volume> {
    let Some(postgres) = node.storage.postgres() else { return Vec::new() };
    let ca = projected(CA, 0o444, vec![ca_bundle(&postgres.ca_bundle_ref, paths::DATABASE_CA)]);
    let client = client_secret(postgres).map(|named| client_certificate(CLIENT_TLS, named));
    connection(postgres).into_iter().chain([ca]).chain(client).collect()
}

/// Mounts no other key of the Secret.
fn connection(postgres: &PostgresStorage) -> Option<Volume> {
    let named = postgres.connection.secret_ref.as_ref()?;
    let string = KeyToPath { key: named.key.to_string(), path: file(paths::DATABASE_CONNECTION), mode: None };
    Some(part_of_secret(CONNECTION, &named.name, vec![string]))
}

/// The Secret with the certificate that the node shows the server, if it does not show its own.
fn client_secret(postgres: &PostgresStorage) -> Option<&ObjectRef> {
    postgres.client_certificate.as_ref()?.secret_ref.as_ref()
}
