//! The certificate authority of the tests. Every crate of the node includes this one file.

use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use tessera_node_api::paths::{CA_FILE, CERTIFICATE_FILE, KEY_FILE};

pub struct Ca {
    name: String,
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A leaf as it stands in a Secret.
#[derive(Clone)]
pub struct Issued {
    pub certificate: String,
    pub key: String,
    pub roots: String,
}

/// What is to stand in a leaf.
#[derive(Clone)]
pub struct Wish {
    pub uris: Vec<String>,
    /// DNS names and IP addresses.
    pub names: Vec<String>,
    pub from: SignedDuration,
    pub until: SignedDuration,
    pub usages: Vec<ExtendedKeyUsagePurpose>,
    /// What a database knows a client by.
    pub common_name: String,
}

/// A leaf with one URI, for both ends of a connection on loopback, valid for an hour.
pub fn wish(uri: &str) -> Wish {
    Wish {
        uris: vec![uri.to_owned()],
        names: vec!["localhost".to_owned()],
        from: SignedDuration::from_mins(-60),
        until: SignedDuration::from_mins(60),
        usages: vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        common_name: "a leaf".to_owned(),
    }
}

impl Ca {
    pub fn new(name: &str) -> Self {
        let params = authority(name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { name: name.to_owned(), issuer: Issuer::new(params, key), pem }
    }

    /// A certificate with the name and the key of `next`, signed by this authority.
    pub fn cross_sign(&self, next: &Self, until: SignedDuration) -> String {
        let mut params = authority(&next.name);
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + since_epoch(until);
        params.signed_by(next.issuer.key(), &self.issuer).unwrap().pem()
    }

    pub fn issue(&self, wish: &Wish) -> Issued {
        let mut params = CertificateParams::new(wish.names.clone()).unwrap();
        let uris = wish.uris.iter().map(|uri| SanType::URI(uri.as_str().try_into().unwrap()));
        params.subject_alt_names.extend(uris);
        params.extended_key_usages.clone_from(&wish.usages);
        params.distinguished_name.push(DnType::CommonName, wish.common_name.as_str());
        // rcgen's type of a moment is another crate's, so it is not named here.
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + since_epoch(wish.from);
        params.not_after = epoch + since_epoch(wish.until);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Issued { certificate, key: key.serialize_pem(), roots: self.pem.clone() }
    }
}

impl Issued {
    /// Shows `authority` with the leaf.
    #[must_use]
    pub fn with(mut self, authority: &str) -> Self {
        self.certificate.push_str(authority);
        self
    }

    /// Trusts exactly these authorities.
    #[must_use]
    pub fn trusting(self, authorities: &[&Ca]) -> Self {
        let roots = authorities.iter().map(|authority| authority.pem.as_str()).collect();
        Self { roots, ..self }
    }

    /// Writes the three files.
    pub fn write(&self, directory: &Path) {
        std::fs::create_dir_all(directory).unwrap();
        std::fs::write(directory.join(CERTIFICATE_FILE), &self.certificate).unwrap();
        std::fs::write(directory.join(KEY_FILE), &self.key).unwrap();
        std::fs::write(directory.join(CA_FILE), &self.roots).unwrap();
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn since_epoch(offset: SignedDuration) -> Duration {
    let second = Timestamp::now().checked_add(offset).unwrap().as_second();
    Duration::from_secs(second.try_into().unwrap())
}
