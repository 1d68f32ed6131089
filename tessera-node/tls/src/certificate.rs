//! What a leaf certificate says.

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use tessera_node_api::identity::{Identity, IdentityError};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The members of a leaf that we decide or report by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    uris: Vec<String>,
    dns_names: Vec<String>,
    issuer: String,
    serial: String,
    not_after: Timestamp,
    fingerprint: String,
}

/// Why a leaf cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// Not a DER certificate.
    #[error("certificate is not valid X.509")]
    Encoding,
    /// No URI in the subject alternative name.
    #[error("certificate has no URI in its subject alternative name; one identity URI is required")]
    NoIdentity,
    /// Several URIs: whom it speaks for is ambiguous.
    #[error("certificate has {0} URIs in its subject alternative name; exactly one identity URI is required")]
    ManyIdentities(usize),
    /// The one URI is no identity of ours.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl Leaf {
    /// Parses a certificate.
    pub fn parse(der: &CertificateDer<'_>) -> Result<Self, LeafError> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| LeafError::Encoding)?;
        if !rest.is_empty() {
            return Err(LeafError::Encoding);
        }
        let (uris, dns_names) = alternative_names(&certificate)?;
        let not_after = end_of(&certificate)?;
        Ok(Self {
            uris,
            dns_names,
            issuer: certificate.issuer().to_string(),
            serial: hex::encode(positive(certificate.tbs_certificate.raw_serial())),
            not_after,
            fingerprint: fingerprint(der),
        })
    }

    /// Whom the certificate speaks for: its one URI.
    pub fn identity(&self) -> Result<Identity, LeafError> {
        match self.uris.as_slice() {
            [] => Err(LeafError::NoIdentity),
            [uri] => Ok(uri.parse()?),
            many => Err(LeafError::ManyIdentities(many.len())),
        }
    }

    /// All URIs of its subject alternative name.
    pub fn uris(&self) -> &[String] {
        &self.uris
    }

    /// The DNS names it is valid for, wildcards included, in lower case.
    pub fn dns_names(&self) -> &[String] {
        &self.dns_names
    }

    /// The distinguished name of the authority that signed it, for example `CN=org-a network CA`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The serial number in lower-case hex.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// The last second of its validity.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// SHA-256 of the DER in lower-case hex.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// The last second of a certificate's validity.
pub(crate) fn not_after(der: &CertificateDer<'_>) -> Result<Timestamp, LeafError> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| LeafError::Encoding)?;
    end_of(&certificate)
}

fn end_of(certificate: &X509Certificate<'_>) -> Result<Timestamp, LeafError> {
    Timestamp::from_second(certificate.validity().not_after.timestamp()).map_err(|_| LeafError::Encoding)
}

/// SHA-256 of the DER in lower-case hex.
pub(crate) fn fingerprint(der: &CertificateDer<'_>) -> String {
    hex::encode(Sha256::digest(der))
}

fn alternative_names(certificate: &X509Certificate<'_>) -> Result<(Vec<String>, Vec<String>), LeafError> {
    let mut uris = Vec::new();
    let mut dns_names = Vec::new();
    let extension = certificate.subject_alternative_name().map_err(|_| LeafError::Encoding)?;
    for name in extension.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::URI(uri) => uris.push((*uri).to_owned()),
            GeneralName::DNSName(name) => dns_names.push(name.to_ascii_lowercase()),
            _ => {}
        }
    }
    Ok((uris, dns_names))
}

/// DER puts a zero before a positive number whose first bit is set; it is not part of the number.
fn positive(serial: &[u8]) -> &[u8] {
    match serial {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    }
}
