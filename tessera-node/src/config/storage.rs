//! Where payloads are kept: `tesseraNode.storage`.

use std::path::PathBuf;

use tessera_database::Credentials;
use tessera_node_api::static_config;

use super::section::Section;

/// Five segments of 64 MiB: the one in use, the next one, the one that is kept for compaction, and the space of two for the index,
/// which takes about as much as a log of small records.
const SMALLEST_QUOTA: u64 = 320 << 20;

/// The payload store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// A log on a volume of the node's own.
    Embedded {
        /// Its directory.
        directory: PathBuf,
        /// Bytes that its files may take together; absent: what the volume has.
        quota_bytes: Option<u64>,
    },
    /// A database.
    Postgres(Credentials),
}

/// None: it has a problem, which is noted.
pub(super) fn parse(top: Section<'_>, storage: static_config::Storage) -> Option<Storage> {
    match storage {
        static_config::Storage { directory: Some(directory), quota_bytes, postgres: None } => {
            if quota_bytes.is_some_and(|quota| quota < SMALLEST_QUOTA) {
                let least =
                    format_args!("must be at least {SMALLEST_QUOTA}: the store cannot write with less");
                top.problem("tesseraNode.storage.quotaBytes", least);
            }
            Some(Storage::Embedded { directory: directory.into(), quota_bytes })
        }
        static_config::Storage { directory: None, quota_bytes: None, postgres: Some(postgres) } => {
            Some(Storage::Postgres(Credentials {
                connection: postgres.connection_file.into(),
                ca: postgres.ca_file.into(),
                client_certificate: postgres.client_certificate.map(PathBuf::from),
            }))
        }
        static_config::Storage { directory: None, quota_bytes: Some(_), .. } => {
            top.problem("tesseraNode.storage.quotaBytes", "is only for a store in a directory");
            None
        }
        _ => {
            top.problem("tesseraNode.storage", "must have either directory or postgres");
            None
        }
    }
}
