//! A certificate authority: its certificate, its key, and issuing from it.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SerialNumber,
};
use zeroize::Zeroizing;

use crate::BACKDATE;
use crate::error::CaError;
use crate::inspect::Certificate;
use crate::key::PrivateKeyPem;
use crate::leaf::{Leaf, LeafSpec};

/// How long before it is issued an expired leaf ended: more than clocks differ.
const ENDED_BEFORE: SignedDuration = SignedDuration::from_hours(24);

/// What a new authority is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaSpec {
    common_name: String,
    lifetime: SignedDuration,
}

impl CaSpec {
    /// The `ordinal`-th authority of `network`'s nodes, ledger nodes and scrapers, from 1.
    pub fn network(network: &str, ordinal: u32, lifetime: SignedDuration) -> Self {
        Self { common_name: numbered(network, "network", ordinal), lifetime }
    }

    /// The `ordinal`-th authority of `network`'s admin ports, from 1.
    pub fn admin(network: &str, ordinal: u32, lifetime: SignedDuration) -> Self {
        Self { common_name: numbered(network, "admin", ordinal), lifetime }
    }
}

/// Each authority has a name of its own: some verifiers find a certificate's issuer by name alone.
fn numbered(network: &str, role: &str, ordinal: u32) -> String {
    match ordinal {
        0 | 1 => format!("{network} {role} CA"),
        later => format!("{network} {role} CA {later}"),
    }
}

/// A certificate authority with its private key (P-256). `Debug` shows the fingerprint alone.
pub struct Ca {
    certificate: Certificate,
    key: Zeroizing<KeyPair>,
}

impl Ca {
    /// A new authority with a new key: self-signed, path length 1: it signs leaves, and the authority that comes after it.
    pub fn generate(spec: &CaSpec, now: Timestamp) -> Result<Self, CaError> {
        let key = generate_key()?;
        let mut params = authority(&spec.common_name, 1)?;
        set_validity(&mut params, now, end_of(now, spec.lifetime)?, spec.lifetime)?;
        let certificate = params
            .self_signed(&*key)
            .map_err(|source| CaError::Generate { action: "sign the CA's certificate", source })?;
        let certificate = Certificate::parse(certificate.pem().as_bytes()).map_err(CaError::Certificate)?;
        Ok(Self { certificate, key })
    }

    /// The authority that `certificate` and `key` (both PEM) hold; they must be a pair.
    pub fn from_pem(certificate: &str, key: &PrivateKeyPem) -> Result<Self, CaError> {
        let certificate = Certificate::parse(certificate.as_bytes()).map_err(CaError::Certificate)?;
        let fingerprint = certificate.fingerprint().to_owned();
        if !certificate.is_authority() {
            return Err(CaError::NotAnAuthority { fingerprint });
        }
        let key = match KeyPair::from_pem(key.expose()) {
            Ok(key) => Zeroizing::new(key),
            Err(source) => return Err(CaError::Key { fingerprint, source }),
        };
        if !certificate.has_public_key(key.public_key_raw()) {
            return Err(CaError::KeyMismatch { fingerprint });
        }
        Ok(Self { certificate, key })
    }

    /// Issues a leaf with a new key. It ends no later than this authority does.
    pub fn issue(&self, spec: &LeafSpec, now: Timestamp) -> Result<Leaf, CaError> {
        let ca_end = self.certificate.not_after();
        if ca_end <= now {
            let fingerprint = self.certificate.fingerprint().to_owned();
            return Err(CaError::Expired { fingerprint, not_after: ca_end });
        }
        let not_after = end_of(now, spec.lifetime())?.min(ca_end);
        self.sign(spec, now, not_after)
    }

    /// Issues a leaf that ended before it was issued: a server must refuse it, and tries itself with it.
    pub fn issue_expired(&self, spec: &LeafSpec, now: Timestamp) -> Result<Leaf, CaError> {
        let not_after = now - ENDED_BEFORE;
        self.sign(spec, not_after - BACKDATE, not_after)
    }

    /// The certificate by which who trusts this authority alone trusts `next`, until `not_after` or this authority's end:
    /// `next`'s name and key, signed by this authority. It signs leaves only.
    pub fn cross_sign(&self, next: &Self, not_after: Timestamp, now: Timestamp) -> Result<Certificate, CaError> {
        let mut params = authority(&next.certificate.common_name(), 0)?;
        params.use_authority_key_identifier_extension = true;
        let not_after = not_after.min(self.certificate.not_after());
        set_validity(&mut params, now, not_after, not_after.duration_since(now))?;
        let signed = params
            .signed_by(&*next.key, &self.issuer()?)
            .map_err(|source| CaError::Generate { action: "sign the next CA", source })?;
        Certificate::parse(signed.pem().as_bytes()).map_err(CaError::Certificate)
    }

    fn issuer(&self) -> Result<Issuer<'static, &KeyPair>, CaError> {
        Issuer::from_ca_cert_der(self.certificate.der(), &*self.key)
            .map_err(|source| CaError::Generate { action: "read the CA's certificate", source })
    }

    fn sign(&self, spec: &LeafSpec, now: Timestamp, not_after: Timestamp) -> Result<Leaf, CaError> {
        let key = generate_key()?;
        let mut params = spec.params()?;
        params.serial_number = Some(random_serial()?);
        set_validity(&mut params, now, not_after, spec.lifetime())?;
        let certificate = params
            .signed_by(&*key, &self.issuer()?)
            .map_err(|source| CaError::Generate { action: "sign a leaf certificate", source })?;
        Ok(Leaf {
            certificate_pem: certificate.pem(),
            private_key_pem: PrivateKeyPem::new(key.serialize_pem()),
        })
    }

    /// The authority's own certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The certificate in PEM: what goes into `ca.crt`.
    pub fn certificate_pem(&self) -> &str {
        self.certificate.pem()
    }

    /// The private key in PEM, for the CA state.
    pub fn private_key_pem(&self) -> PrivateKeyPem {
        PrivateKeyPem::new(self.key.serialize_pem())
    }
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca").field("fingerprint", &self.certificate.fingerprint()).finish_non_exhaustive()
    }
}

/// What every certificate of an authority has. At most `path_length` other authorities may stand between it and a leaf.
fn authority(common_name: &str, path_length: u8) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.serial_number = Some(random_serial()?);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn generate_key() -> Result<Zeroizing<KeyPair>, CaError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
        .map(Zeroizing::new)
        .map_err(|source| CaError::Generate { action: "generate a P-256 key", source })
}

/// 126 random bits, so unpredictable, below a fixed leading one, so positive and of one length in every encoding.
fn random_serial() -> Result<SerialNumber, CaError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(CaError::Random)?;
    bytes[0] = (bytes[0] & 0x3f) | 0x40;
    Ok(SerialNumber::from(bytes.to_vec()))
}

fn end_of(now: Timestamp, lifetime: SignedDuration) -> Result<Timestamp, CaError> {
    now.checked_add(lifetime).map_err(|_| CaError::Lifetime(lifetime))
}

fn set_validity(
    params: &mut CertificateParams,
    now: Timestamp,
    not_after: Timestamp,
    lifetime: SignedDuration,
) -> Result<(), CaError> {
    let date = |at: Timestamp| {
        time::OffsetDateTime::from_unix_timestamp(at.as_second()).map_err(|_| CaError::Lifetime(lifetime))
    };
    params.not_before = date(now - BACKDATE)?;
    params.not_after = date(not_after)?;
    Ok(())
}
