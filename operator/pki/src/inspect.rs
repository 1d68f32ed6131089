//! Reading a certificate: what it says and who signed it.

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use tessera_node_api::identity::Identity;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::usage::Usage;

/// Why a text is not a certificate that we can read.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// No PEM block of a certificate.
    #[error("the text holds no certificate in PEM")]
    Pem,
    /// The PEM block does not hold an X.509 certificate.
    #[error("the PEM block holds no X.509 certificate")]
    Der,
    /// Bytes follow the certificate inside its PEM block.
    #[error("the PEM block holds more than one certificate's DER")]
    TrailingBytes,
    /// An extension is malformed.
    #[error("the certificate's {name} extension is malformed or repeated")]
    Extension {
        /// Which one.
        name: &'static str,
        /// What the library says.
        source: x509_parser::error::X509Error,
    },
    /// A date is beyond what we can hold.
    #[error("the certificate's validity is out of range")]
    Validity(#[source] jiff::Error),
}

/// What a certificate says. It holds no private key, so it may be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    pem: String,
    der: CertificateDer<'static>,
    serial: String,
    fingerprint: String,
    not_before: Timestamp,
    not_after: Timestamp,
    identity: Option<Identity>,
    dns_names: Vec<String>,
    usage: Option<Usage>,
    authority: bool,
    subject: String,
    issuer: String,
    path_length: Option<u32>,
}

impl Certificate {
    /// Reads the first certificate of a PEM text.
    pub fn parse(pem: &[u8]) -> Result<Self, InspectError> {
        let der = CertificateDer::from_pem_slice(pem).map_err(|_| InspectError::Pem)?;
        Ok(Self { pem: String::from_utf8_lossy(pem).into_owned(), ..Self::from_der(&der)? })
    }

    /// Reads all certificates of a PEM text; their [`Self::pem`] is empty.
    pub fn parse_all(pem: &[u8]) -> Result<Vec<Self>, InspectError> {
        let all = CertificateDer::pem_slice_iter(pem);
        all.map(|der| Self::from_der(&der.map_err(|_| InspectError::Pem)?)).collect()
    }

    /// The same without [`Self::pem`], for a memory of thousands.
    #[must_use]
    pub fn without_pem(&self) -> Self {
        Self { pem: String::new(), ..self.clone() }
    }

    /// Reads a certificate in DER; its [`Self::pem`] is empty.
    pub fn from_der(der: &CertificateDer<'_>) -> Result<Self, InspectError> {
        let (rest, x509) = X509Certificate::from_der(der).map_err(|_| InspectError::Der)?;
        if !rest.is_empty() {
            return Err(InspectError::TrailingBytes);
        }
        let timestamp = |time: x509_parser::time::ASN1Time| {
            Timestamp::from_second(time.timestamp()).map_err(InspectError::Validity)
        };
        let (identity, dns_names) = names(&x509)?;
        Ok(Self {
            pem: String::new(),
            serial: hex::encode(x509.raw_serial()),
            fingerprint: hex::encode(Sha256::digest(der)),
            not_before: timestamp(x509.validity().not_before)?,
            not_after: timestamp(x509.validity().not_after)?,
            identity,
            dns_names,
            usage: usage(&x509)?,
            authority: x509.is_ca(),
            subject: x509.subject().to_string(),
            issuer: x509.issuer().to_string(),
            path_length: path_length(&x509)?,
            der: der.clone().into_owned(),
        })
    }

    /// The text that was parsed.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The certificate in DER.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Serial number, lower-case hex.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// SHA-256 of the DER, lower-case hex: what a node reports as served.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Start of validity.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// End of validity.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Whom it speaks for, if its only URI is an identity of ours.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Its DNS names, sorted.
    pub fn dns_names(&self) -> &[String] {
        &self.dns_names
    }

    /// What it may be used for in TLS; `None` for neither serving nor connecting, as with an authority.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Whether it may sign others.
    pub fn is_authority(&self) -> bool {
        self.authority
    }

    /// Its name, for example `CN=org-a network CA`.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The common name in [`Self::subject`]; empty if there is none.
    pub(crate) fn common_name(&self) -> String {
        let x509 = self.x509();
        let name = x509.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        name.unwrap_or_default().to_owned()
    }

    /// The name of who signed it.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether verifiers accept a chain in which it signs another authority, and that a leaf.
    pub fn may_sign_authorities(&self) -> bool {
        self.authority && self.path_length.is_none_or(|length| length >= 1)
    }

    /// Whether `ca` signed it: by name and by signature, whatever the dates are.
    pub fn is_issued_by(&self, ca: &Self) -> bool {
        let (own, issuer) = (self.x509(), ca.x509());
        ca.authority
            && own.issuer().as_raw() == issuer.subject().as_raw()
            && own.verify_signature(Some(issuer.public_key())).is_ok()
    }

    /// Whether both are of one key and of one name.
    pub fn is_same_entity(&self, other: &Self) -> bool {
        let (own, other) = (self.x509(), other.x509());
        own.subject().as_raw() == other.subject().as_raw() && own.public_key().raw == other.public_key().raw
    }

    /// Whether its public key is `raw`, the bits of the subject public key.
    pub(crate) fn has_public_key(&self, raw: &[u8]) -> bool {
        *self.x509().public_key().subject_public_key.data == *raw
    }

    fn x509(&self) -> X509Certificate<'_> {
        let (_, x509) = X509Certificate::from_der(&self.der).expect("`parse` has read these bytes before");
        x509
    }
}

/// The identity and the sorted DNS names. Two URIs are nobody's identity: a verifier could take either.
fn names(x509: &X509Certificate<'_>) -> Result<(Option<Identity>, Vec<String>), InspectError> {
    let extension = x509
        .subject_alternative_name()
        .map_err(|source| InspectError::Extension { name: "subjectAltName", source })?;
    let mut uris = Vec::new();
    let mut dns_names = Vec::new();
    for name in extension.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            GeneralName::DNSName(name) => dns_names.push((*name).to_owned()),
            _ => {}
        }
    }
    dns_names.sort_unstable();
    let identity = match uris.as_slice() {
        [uri] => uri.parse().ok(),
        _ => None,
    };
    Ok((identity, dns_names))
}

fn path_length(x509: &X509Certificate<'_>) -> Result<Option<u32>, InspectError> {
    let extension = x509
        .basic_constraints()
        .map_err(|source| InspectError::Extension { name: "basicConstraints", source })?;
    Ok(extension.and_then(|extension| extension.value.path_len_constraint))
}

fn usage(x509: &X509Certificate<'_>) -> Result<Option<Usage>, InspectError> {
    let extension = x509
        .extended_key_usage()
        .map_err(|source| InspectError::Extension { name: "extendedKeyUsage", source })?;
    Ok(extension.and_then(|extension| match (extension.value.server_auth, extension.value.client_auth) {
        (true, true) => Some(Usage::ServerAndClient),
        (true, false) => Some(Usage::Server),
        (false, true) => Some(Usage::Client),
        (false, false) => None,
    }))
}
