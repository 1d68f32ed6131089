//! `tessera-node verify DIR`: reads the whole payload store of a node that is stopped, and says what is damaged in it.

use std::fmt;
use std::path::Path;

use tessera_enclave::{TxHash, base64};
use tessera_store::{Hash, Kind, OpenError, Value, Verified};

use crate::transaction;

/// What was found. Its text has one line of numbers, then one line for each damaged record.
#[derive(Debug)]
pub struct Report(Verified);

/// Reads the log in `dir`: checksums of all records, and of payloads that their cipher text has their hash.
pub fn verify(dir: &Path) -> Result<Report, OpenError> {
    tessera_store::verify(dir, is_right).map(Report)
}

impl Report {
    /// Whether every record that was acknowledged is there and whole.
    pub fn is_sound(&self) -> bool {
        self.0.is_sound()
    }
}

fn is_right(kind: Kind, hash: &Hash, value: Value) -> bool {
    match kind {
        // It has no content.
        Kind::AcceptedLoss => true,
        Kind::Transaction | Kind::Raw => transaction::cipher_text(value)
            .is_some_and(|cipher_text| TxHash::of(&cipher_text).as_bytes() == hash.as_bytes()),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verified { segments, bytes, records, damaged, lost, torn } = &self.0;
        write!(
            f,
            "verify: segments={segments} bytes={bytes} records={records} damaged={} lost={lost} torn={torn}",
            damaged.len()
        )?;
        for (kind, hash) in damaged {
            write!(f, "\ndamaged {}", named(*kind, hash))?;
        }
        Ok(())
    }
}

/// A record for a person: its kind, and its hash in base64.
pub(crate) fn named(kind: Kind, hash: &Hash) -> String {
    let kind = match kind {
        Kind::Transaction => "transaction",
        Kind::Raw => "raw",
        Kind::AcceptedLoss => "accepted-loss",
    };
    format!("{kind} {}", base64::encode(hash.as_bytes()))
}
