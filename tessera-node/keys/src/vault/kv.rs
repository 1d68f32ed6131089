//! The secrets of a node's directory in a KV version 2 engine: one for each version of each key, and the directory's stamp.
//!
//! These requests do not go through vaultrs' own `kv2`, which holds values as `serde_json::Value` and keeps the text of an
//! answer that it cannot parse: here the texts are zeroed and no error holds them.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use rustify::endpoint::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use rustify::errors::ClientError as RestError;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use tessera_enclave::{KeyPair, PrivateKey, PrivateKeyError, PublicKey, TxHash, base64};
use tessera_node_api::stamp::Stamp;
use tessera_node_api::static_config::SecretStore;
use vaultrs::client::Client;
use zeroize::{Zeroize, Zeroizing};

use super::VaultKey;
use super::backup::{self, StoredBackup};
use super::error::VaultError;
use super::http::{Failure, quote, says};
use super::session::Session;
use crate::secret::SecretText;

/// A buffer of this size takes any secret of ours without growing, and so without leaving copies behind: with the ciphertext for
/// all recipients that there may be, a record has about 6 KiB.
const BODY_CAPACITY: usize = 16 << 10;

/// Where a secret lies. Shown as people name it: `<mount>/<path>`.
#[derive(Debug)]
pub(super) struct Path {
    mount: String,
    path: String,
}

/// What is stored. Fields that we do not know are kept out of our way, not refused.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stored {
    public_key: Option<String>,
    private_key: Option<SecretText>,
    born_at: Option<String>,
    /// Absent in records that were written before there was this member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload_store: Option<String>,
    /// The same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trigger: Option<u32>,
    /// Present, and true, in the record of a key that was imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    imported: Option<bool>,
    /// The hash of the sample payload; the same, and absent when the process that generated the key kept none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sample: Option<String>,
    /// Present, and true, in the record of a key that custodians brought back: `bornAt` is when they did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restored: Option<bool>,
    /// The key, sealed to the custodians of that day; absent when there were none.
    #[serde(default, deserialize_with = "backup::lenient", skip_serializing_if = "Option::is_none")]
    backup: Option<StoredBackup>,
}

/// What a new record says beside the pair.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) born_at: Timestamp,
    pub(super) payload_store: Option<String>,
    pub(super) trigger: u32,
    pub(super) sample: Option<String>,
    pub(super) imported: bool,
    pub(super) restored: bool,
    pub(super) backup: Option<StoredBackup>,
}

/// How a check-and-set write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// The secret is ours.
    Won,
    /// There was one already.
    Lost,
}

impl Path {
    pub(super) fn key(config: &SecretStore, key: &str, version: u32) -> Result<Self, VaultError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if key.is_empty() || key.starts_with('.') || !key.chars().all(plain) {
            return Err(VaultError::KeyName { name: key.to_owned() });
        }
        Ok(Self::within(config, &format!("keys/{key}/{version}")))
    }

    pub(super) fn stamp(config: &SecretStore) -> Self {
        Self::within(config, "stamp")
    }

    fn within(config: &SecretStore, name: &str) -> Self {
        let directory = config.path.trim_matches('/');
        Self { mount: config.kv_mount.trim_matches('/').to_owned(), path: format!("{directory}/{name}") }
    }

    fn in_engine(&self) -> String {
        format!("{}/data/{}", self.mount, self.path)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.mount, self.path)
    }
}

impl Stored {
    pub(super) fn new(pair: &KeyPair, origin: Origin) -> Self {
        Self {
            public_key: Some(pair.public().to_string()),
            private_key: Some(base64::encode(pair.private().expose()).into()),
            born_at: Some(origin.born_at.to_string()),
            payload_store: origin.payload_store,
            trigger: Some(origin.trigger),
            imported: origin.imported.then_some(true),
            sample: origin.sample,
            restored: origin.restored.then_some(true),
            backup: origin.backup,
        }
    }

    /// Believes nothing: the public key must be that of the private key.
    pub(super) fn verify(self, path: &Path) -> Result<VaultKey, VaultError> {
        let malformed = |field, problem| VaultError::Malformed { path: path.to_string(), field, problem };
        let private = self.private_key.ok_or_else(|| malformed("privateKey", "is missing"))?;
        let private = decode_private(&private).ok_or_else(|| malformed("privateKey", NOT_A_KEY))??;
        let public = self.public_key.ok_or_else(|| malformed("publicKey", "is missing"))?;
        let public: PublicKey = public.parse().map_err(|_| malformed("publicKey", NOT_A_KEY))?;
        let pair = KeyPair::checked(&public, private)
            .map_err(|_| malformed("publicKey", "is not the public key of privateKey"))?;
        let born_at = self.born_at.ok_or_else(|| malformed("bornAt", "is missing"))?;
        let born_at = born_at.parse().map_err(|_| malformed("bornAt", "is not an RFC 3339 time"))?;
        let payload_store = self.payload_store;
        if payload_store.as_deref().is_some_and(|id| !is_store_id(id)) {
            return Err(malformed("payloadStore", "is not 32 lower-case hexadecimal digits"));
        }
        if self.sample.as_deref().is_some_and(|hash| hash.parse::<TxHash>().is_err()) {
            return Err(malformed("sample", "is not the base64 of 64 bytes"));
        }
        Ok(VaultKey {
            pair: Arc::new(pair),
            born_at,
            store_path: path.to_string(),
            payload_store,
            trigger: self.trigger,
            sample: self.sample,
            imported: self.imported.unwrap_or(false),
            backup: self.backup,
            new: false,
        })
    }
}

/// A stamp as stored.
#[derive(Debug, Deserialize)]
pub(super) struct StoredStamp {
    cluster: Option<String>,
    network: Option<String>,
}

impl StoredStamp {
    /// Refuses every stamp but `expected`.
    pub(super) fn verify(self, path: &Path, expected: &Stamp) -> Result<(), VaultError> {
        let cluster = self.cluster.unwrap_or_default();
        let found = Stamp::of_members(&cluster, &self.network.unwrap_or_default());
        let found = found.map_err(|error| VaultError::MalformedStamp { path: path.to_string(), error })?;
        if found == *expected {
            return Ok(());
        }
        Err(VaultError::ForeignStore { path: path.to_string(), found, expected: expected.clone() })
    }
}

fn is_store_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

const NOT_A_KEY: &str = "is not the base64 of 32 bytes";

/// None: the text is no key.
fn decode_private(text: &SecretText) -> Option<Result<PrivateKey, VaultError>> {
    let bytes = Zeroizing::new(base64::decode_strict(text.expose()).ok()?);
    match PrivateKey::from_slice(&bytes) {
        Ok(key) => Some(Ok(key)),
        Err(PrivateKeyError::Length(_)) => None,
        Err(PrivateKeyError::Memory(error)) => Some(Err(VaultError::Memory(error))),
    }
}

impl Session {
    /// The secret, if there is one.
    pub(super) async fn read<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<T>, VaultError> {
        match self.run::<Answer<ReadData<T>>>(Read { path: path.in_engine() }).await {
            Ok(answer) => Ok(Some(answer.data.data)),
            Err(Failure::Status { status: 404, deleted: true, .. }) => {
                Err(VaultError::Deleted { path: path.to_string() })
            }
            // The one answer that says "nothing there": the store's own, without a message.
            Err(Failure::Status { status: 404, errors: Some(errors), .. }) if errors.is_empty() => Ok(None),
            Err(failure) => Err(self.explain(failure, path)),
        }
    }

    /// Writes the secret unless there is one or ever was one.
    pub(super) async fn write(&self, path: &Path, stored: &impl Serialize) -> Result<Written, VaultError> {
        let request = Write { path: path.in_engine(), body: body(stored) };
        match self.run::<Answer<WriteData>>(request).await {
            Ok(answer) if answer.data.version == 1 => Ok(Written::Won),
            Ok(_) => Err(VaultError::Answer {
                path: path.to_string(),
                problem: "the first version is not version 1",
            }),
            Err(Failure::Status { status: 400, errors, .. })
                if says(errors.as_deref(), "check-and-set parameter") =>
            {
                Ok(Written::Lost)
            }
            // A login that may create and not update is refused where somebody else was faster.
            Err(Failure::Status { status: 403, .. })
                if matches!(self.read::<IgnoredAny>(path).await, Ok(Some(_))) =>
            {
                Ok(Written::Lost)
            }
            Err(failure) => Err(self.explain(failure, path)),
        }
    }

    /// Refuses a mount that is known to be no KV version 2: version 1 would take the write and ignore its check. A store that
    /// does not tell is believed until its answer to the write says otherwise.
    pub(super) async fn require_engine(&self, path: &Path) -> Result<(), VaultError> {
        let request = Read { path: format!("sys/internal/ui/mounts/{}", path.mount) };
        let Ok(Answer { data: Mount { engine, options } }) = self.run::<Answer<Mount>>(request).await else {
            return Ok(());
        };
        let version = options.and_then(|options| options.version);
        if engine == "kv" && version.as_deref() == Some("2") {
            return Ok(());
        }
        Err(VaultError::NoEngine { mount: path.mount.clone() })
    }

    fn explain(&self, failure: Failure, path: &Path) -> VaultError {
        failure.explain(self.address(), |failure| match failure {
            Failure::Status { status: 403, .. } => VaultError::Forbidden { path: path.to_string() },
            Failure::Status { status: 404, errors: Some(_), .. } => {
                VaultError::NoEngine { mount: path.mount.clone() }
            }
            Failure::Status { status, errors, .. } => VaultError::Unavailable {
                address: self.address().to_owned(),
                status,
                reason: quote(errors.as_deref()),
            },
            Failure::Transport(_) | Failure::Untrusted(_) | Failure::Refused(_) | Failure::Body => {
                VaultError::Answer {
                    path: path.to_string(),
                    problem: "it is not that of a KV version 2 engine",
                }
            }
        })
    }

    /// Parses the answer ourselves, so that its text can be zeroed and an error cannot carry it.
    async fn run<A: DeserializeOwned>(&self, request: impl Endpoint) -> Result<A, Failure> {
        let mut result = request.with_middleware(self.middle()).exec(self.http()).await?;
        let answer = serde_json::from_slice(result.response.body()).map_err(|_| Failure::Body);
        result.response.body_mut().zeroize();
        answer
    }
}

#[derive(Deserialize)]
struct Answer<D> {
    data: D,
}

/// Version 1 of the engine has no metadata: without it, nobody promises that a write is checked.
#[derive(Deserialize)]
struct ReadData<T> {
    data: T,
    #[serde(rename = "metadata")]
    _metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "version")]
    _version: u64,
}

#[derive(Deserialize)]
struct Mount {
    #[serde(rename = "type")]
    engine: String,
    options: Option<MountOptions>,
}

#[derive(Deserialize)]
struct MountOptions {
    version: Option<String>,
}

#[derive(Deserialize)]
struct WriteData {
    version: u64,
}

struct Read {
    path: String,
}

impl Endpoint for Read {
    type Response = IgnoredAny;
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.path.clone()
    }

    fn method(&self) -> RequestMethod {
        RequestMethod::GET
    }
}

struct Write {
    path: String,
    body: Zeroizing<Vec<u8>>,
}

impl Endpoint for Write {
    type Response = IgnoredAny;
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.path.clone()
    }

    fn method(&self) -> RequestMethod {
        RequestMethod::POST
    }

    fn body(&self) -> Result<Option<Vec<u8>>, RestError> {
        Ok(Some(self.body.to_vec()))
    }
}

fn body(stored: &impl Serialize) -> Zeroizing<Vec<u8>> {
    #[derive(Serialize)]
    struct Body<'a, T> {
        options: Options,
        data: &'a T,
    }
    #[derive(Serialize)]
    struct Options {
        cas: u32,
    }
    let mut text = Zeroizing::new(Vec::with_capacity(BODY_CAPACITY));
    serde_json::to_writer(&mut *text, &Body { options: Options { cas: 0 }, data: stored })
        .expect("strings and a number are JSON, and memory does not fail to take them");
    text
}

#[cfg(test)]
mod tests {
    use tessera_node_api::key_backup::MAX_RECIPIENTS;

    use super::*;

    /// A buffer that grows leaves a copy of the private key behind.
    #[test]
    fn a_record_with_the_most_recipients_fits_without_growing() {
        let pair = KeyPair::generate().unwrap();
        let recipients: Vec<String> =
            (0..MAX_RECIPIENTS).map(|_| tessera_backup::Identity::generate().recipient()).collect();
        let to = tessera_backup::Recipients::parse(recipients.iter().map(String::as_str)).unwrap();
        let sealed = tessera_backup::seal(&"n".repeat(63), u32::MAX, &pair, &to).unwrap();
        let origin = Origin {
            born_at: Timestamp::now(),
            payload_store: Some("0".repeat(32)),
            trigger: u32::MAX,
            sample: Some("s".repeat(88)),
            imported: true,
            restored: true,
            backup: Some(StoredBackup { recipients: sealed.recipients, ciphertext: sealed.ciphertext }),
        };
        let body = body(&Stored::new(&pair, origin));
        assert_eq!(body.capacity(), BODY_CAPACITY);
        assert!(body.len() > BODY_CAPACITY / 4, "it has the ciphertext: {} bytes", body.len());

        let sent: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let read: Stored = serde_json::from_value(sent["data"].clone()).unwrap();
        assert_eq!(read.backup.unwrap().recipients.len(), MAX_RECIPIENTS);
    }
}
