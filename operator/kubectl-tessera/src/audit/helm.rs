//! A release as Helm keeps it: JSON, compressed, as base64, in a Secret. Pure.

use std::io::Read as _;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use flate2::read::GzDecoder;
use serde::Deserialize as _;
use serde_json::Value;
use tessera_clear_text::{ObjectHit, ObjectScan, scan_object, scan_values};

/// The type of the Secrets.
pub(super) const SECRET_TYPE: &str = "helm.sh/release.v1";
/// The longest release that is read, in bytes: the Secret holds at most a mebibyte of it, compressed.
const MAX_RELEASE: u64 = 64 << 20;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Why a release cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReleaseError {
    #[error("it has no data.release")]
    Missing,
    #[error("it is not base64")]
    Base64(#[from] base64::DecodeError),
    #[error("it cannot be decompressed")]
    Gzip(#[from] std::io::Error),
    #[error("it is larger than {MAX_RELEASE} bytes")]
    TooLarge,
    #[error("it is not JSON")]
    Json(#[from] serde_json::Error),
}

/// Searches the values that a person gave and the manifests that came of them. Not the chart's own defaults, which are public;
/// where one of these is a credential, it is in the manifests.
pub(super) fn release(secret: &Value) -> Result<ObjectScan, ReleaseError> {
    let data = secret["data"]["release"].as_str().ok_or(ReleaseError::Missing)?;
    let release = decode(data)?;
    let mut found = scan_values(&release["config"], "config");
    let hooks = release["hooks"].as_array().into_iter().flatten().map(|hook| &hook["manifest"]);
    for manifest in [&release["manifest"]].into_iter().chain(hooks).filter_map(Value::as_str) {
        search(manifest, &mut found);
    }
    Ok(found)
}

fn decode(data: &str) -> Result<Value, ReleaseError> {
    // Once by the API, once by Helm.
    let bytes = BASE64_STANDARD.decode(BASE64_STANDARD.decode(data)?)?;
    if !bytes.starts_with(&GZIP) {
        return Ok(serde_json::from_slice(&bytes)?);
    }
    let mut json = Vec::new();
    GzDecoder::new(&*bytes).take(MAX_RELEASE + 1).read_to_end(&mut json)?;
    if json.len() as u64 > MAX_RELEASE {
        return Err(ReleaseError::TooLarge);
    }
    Ok(serde_json::from_slice(&json)?)
}

fn search(manifest: &str, found: &mut ObjectScan) {
    for document in serde_yaml::Deserializer::from_str(manifest) {
        let Ok(object) = Value::deserialize(document) else {
            found.complete = false;
            return;
        };
        let scan = scan_object(&object);
        found.complete &= scan.complete;
        let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
        found.hits.extend(
            scan.hits
                .into_iter()
                .map(|hit| ObjectHit { path: format!("manifest {kind}/{name} {}", hit.path), ..hit }),
        );
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use serde_json::json;

    use super::*;

    fn secret(release: &[u8]) -> Value {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(release).unwrap();
        let helm = BASE64_STANDARD.encode(encoder.finish().unwrap());
        json!({"data": {"release": BASE64_STANDARD.encode(helm)}})
    }

    #[test]
    fn values_and_manifests_of_a_release_are_searched() {
        let manifest = "---\nkind: Secret\nstringData: {password: hunter2}\n---\nkind: ConfigMap\nmetadata: {name: app}\n\
             data: {DB_PASSWORD: hunter2}\n";
        let json = json!({"config": {"db": {"password": "hunter2"}}, "manifest": manifest});
        let found = release(&secret(json.to_string().as_bytes())).unwrap();
        assert!(found.complete);
        let paths: Vec<_> = found.hits.iter().map(|hit| hit.path.as_str()).collect();
        assert_eq!(paths, ["config.db.password", "manifest ConfigMap/app data.DB_PASSWORD"]);
    }

    #[test]
    fn a_release_that_grows_without_end_is_refused() {
        let bomb = vec![b' '; usize::try_from(MAX_RELEASE).unwrap() + 10];
        assert!(matches!(release(&secret(&bomb)), Err(ReleaseError::TooLarge)));
        assert!(matches!(release(&json!({"data": {"release": "!"}})), Err(ReleaseError::Base64(_))));
    }
}
