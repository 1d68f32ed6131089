//! The Secrets of keys to import, in one volume: optional, so that a pod starts before they are there and after they are gone.

use k8s_openapi::api::core::v1::{KeyToPath, SecretProjection, VolumeProjection};
use tessera_crds::api::node::{KeyImport, SecretKeyRef};
use tessera_node_api::dynamic_config;
use tessera_node_api::paths::{IMPORT_FILE, IMPORT_PASSWORD_FILE, IMPORTS};

use crate::node::resolve::Resolved;

/// The parts of Secrets that the node reads, each at a path of its key.
pub(super) fn sources(node: &Resolved) -> Vec<VolumeProjection> {
    let imports = node.keys.iter().filter_map(|key| Some((key.name.as_str(), key.import.as_ref()?)));
    imports.flat_map(|(key, import)| of_key(key, import)).collect()
}

fn of_key(key: &str, import: &KeyImport) -> Vec<VolumeProjection> {
    let file = part(&import.secret_ref, relative(key, IMPORT_FILE));
    let password = import.password_secret_ref.as_ref();
    let password = password.map(|named| part(named, relative(key, IMPORT_PASSWORD_FILE)));
    [file].into_iter().chain(password).collect()
}

fn part(named: &SecretKeyRef, path: String) -> VolumeProjection {
    VolumeProjection {
        secret: Some(SecretProjection {
            name: named.name.to_string(),
            items: Some(vec![KeyToPath { key: named.key.to_string(), path, mode: None }]),
            optional: Some(true),
        }),
        ..VolumeProjection::default()
    }
}

fn relative(key: &str, file: &str) -> String {
    format!("{key}/{file}")
}

/// Where the node finds them.
pub(super) fn files(key: &str, import: &KeyImport) -> dynamic_config::KeyImport {
    let path = |file: &str| format!("{IMPORTS}/{}", relative(key, file));
    dynamic_config::KeyImport {
        file: path(IMPORT_FILE),
        password_file: import.password_secret_ref.as_ref().map(|_| path(IMPORT_PASSWORD_FILE)),
        public_key: import.public_key.clone(),
    }
}
