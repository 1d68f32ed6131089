//! What a leaf certificate says, and the leaf itself.

use jiff::SignedDuration;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
};
use tessera_node_api::identity::Identity;

use crate::error::CaError;
use crate::key::PrivateKeyPem;
use crate::usage::Usage;

/// The longest common name that X.520 allows.
const COMMON_NAME_MAX: usize = 64;
/// As long as an organizational unit may be.
const ORGANIZATIONAL_UNIT_MAX: usize = 64;

/// What a leaf is to say. Whom it is signed by is the choice of the [`crate::Ca`] that issues it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafSpec {
    identity: Identity,
    dns_names: Vec<String>,
    usage: Usage,
    lifetime: SignedDuration,
}

impl LeafSpec {
    /// A node's leaf of the network CA: P2P both ways, Q2T and metrics.
    pub fn node(identity: Identity, dns_names: Vec<String>, lifetime: SignedDuration) -> Self {
        Self::new(identity, dns_names, Usage::ServerAndClient, lifetime)
    }

    /// A node's leaf of the admin CA: the admin port serves, it never connects.
    pub fn node_admin(identity: Identity, dns_names: Vec<String>, lifetime: SignedDuration) -> Self {
        Self::new(identity, dns_names, Usage::Server, lifetime)
    }

    /// A leaf of the network CA for a ledger node or a scraper.
    pub fn client(identity: Identity, lifetime: SignedDuration) -> Self {
        Self::new(identity, Vec::new(), Usage::Client, lifetime)
    }

    /// The operator's leaf of the admin CA.
    pub fn operator(identity: Identity, lifetime: SignedDuration) -> Self {
        Self::new(identity, Vec::new(), Usage::Client, lifetime)
    }

    fn new(identity: Identity, mut dns_names: Vec<String>, usage: Usage, lifetime: SignedDuration) -> Self {
        dns_names.sort_unstable();
        dns_names.dedup();
        Self { identity, dns_names, usage, lifetime }
    }

    /// Whom the leaf speaks for.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The names it serves under, sorted, without repetition.
    pub fn dns_names(&self) -> &[String] {
        &self.dns_names
    }

    /// What it may be used for.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// How long a new leaf lasts.
    pub fn lifetime(&self) -> SignedDuration {
        self.lifetime
    }

    /// The same leaf, for `longest` if it would last longer.
    pub(crate) fn at_most(&self, longest: SignedDuration) -> Self {
        Self { lifetime: self.lifetime.min(longest), ..self.clone() }
    }

    pub(crate) fn params(&self) -> Result<CertificateParams, CaError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = self.subject();
        params.subject_alt_names = self.subject_alt_names()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if self.usage.server() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        if self.usage.client() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        Ok(params)
    }

    /// Nothing of ours reads the subject. It is never empty, since Java refuses an empty one beside a SAN that is not
    /// critical, and it carries the name, since Java's trust on first use files certificates under it. The trust domain stands in it
    /// for PostgreSQL, which can bind a role to the whole subject and knows no URI.
    fn subject(&self) -> DistinguishedName {
        let mut subject = DistinguishedName::new();
        subject.push(DnType::OrganizationName, "Tessera");
        if self.identity.trust_domain().len() <= ORGANIZATIONAL_UNIT_MAX {
            subject.push(DnType::OrganizationalUnitName, self.identity.trust_domain());
        }
        if self.identity.name().len() <= COMMON_NAME_MAX {
            subject.push(DnType::CommonName, self.identity.name());
        }
        subject
    }

    fn subject_alt_names(&self) -> Result<Vec<SanType>, CaError> {
        let ascii =
            |name: &str| name.try_into().map_err(|source| CaError::Name { name: name.to_owned(), source });
        let mut names = vec![SanType::URI(ascii(&self.identity.to_string())?)];
        for name in &self.dns_names {
            names.push(SanType::DnsName(ascii(name)?));
        }
        Ok(names)
    }
}

/// A new leaf and its key. No `Debug`: it holds a private key.
pub struct Leaf {
    /// What goes into `tls.crt`: the leaf, and while a rollover asks for it the certificate of its CA that the CA before signed.
    pub certificate_pem: String,
    /// What goes into `tls.key`.
    pub private_key_pem: PrivateKeyPem,
}
