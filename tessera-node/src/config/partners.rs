//! The partners of a dynamic configuration: other organisations, and what each may speak for.
//!
//! A file in which two partners could speak for one name is refused whole. A CA bundle that cannot be used disables its partner
//! alone: that organisation wrote the bundle, and the others go on.

use std::collections::HashSet;

use tessera_node_api::dynamic_config::{
    self, MAX_BUNDLE_BYTES, MAX_PARTNER_NAMES, MAX_PARTNER_URLS, MAX_PARTNERS,
};
use tessera_tls::{Partners, Roots, Scope, ScopeError};

use crate::peers::{NodeUrl, NodeUrlError};

/// Another organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partner {
    /// Its name in the TesseraNetwork.
    pub name: String,
    /// The P2P URLs to poll, all of hosts inside its scope.
    pub urls: Vec<NodeUrl>,
    /// Its roots with what they may speak for; or why its bundle cannot be used.
    pub trust: Result<tessera_tls::Partner, String>,
    /// The bundle, in PEM.
    pub ca_bundle: String,
}

/// Why the partners are not used.
#[derive(Debug, thiserror::Error)]
pub enum PartnersError {
    /// There are too many.
    #[error("there are {0}, and {MAX_PARTNERS} are the most")]
    Count(usize),
    /// One names itself as another does.
    #[error("{0:?} is listed twice")]
    Twice(String),
    /// One has a trust domain that another has.
    #[error("trust domain {0:?} belongs to two of them")]
    TrustDomain(String),
    /// One has too many names or URLs.
    #[error("{0:?} has more than {MAX_PARTNER_NAMES} dnsNames or more than {MAX_PARTNER_URLS} urls")]
    Size(String),
    /// What one may speak for cannot be said.
    #[error("{name:?} cannot be used")]
    Scope {
        /// Which.
        name: String,
        /// Why.
        source: ScopeError,
    },
    /// Two may speak for one name.
    #[error("{one:?} and {other:?} may both speak for {pattern}")]
    Overlap {
        /// One.
        one: String,
        /// The other.
        other: String,
        /// What both may speak for.
        pattern: String,
    },
    /// A URL cannot be used.
    #[error("one of the urls of {name:?} cannot be used")]
    Url {
        /// Whose.
        name: String,
        /// Why.
        source: NodeUrlError,
    },
    /// A URL is of plain HTTP, or of a host that its partner may not speak for.
    #[error("{url:?} of {name:?} must start with https:// and have a host inside of dnsNames")]
    UrlOutside {
        /// Whose.
        name: String,
        /// The URL.
        url: String,
    },
}

/// Checks all of them.
pub fn parse(file: dynamic_config::Partners) -> Result<Vec<Partner>, PartnersError> {
    let count = file.partners.len();
    if count > MAX_PARTNERS {
        return Err(PartnersError::Count(count));
    }
    let (mut names, mut domains) = (HashSet::new(), HashSet::new());
    let mut scopes: Vec<(String, Scope)> = Vec::with_capacity(count);
    let mut partners = Vec::with_capacity(count);
    for listed in file.partners {
        if !names.insert(listed.name.clone()) {
            return Err(PartnersError::Twice(listed.name));
        }
        if !domains.insert(listed.trust_domain.clone()) {
            return Err(PartnersError::TrustDomain(listed.trust_domain));
        }
        let scope = scope(&listed)?;
        for (other, known) in &scopes {
            if let Some((pattern, _)) = scope.names().overlap(known.names()) {
                let pattern = pattern.to_string();
                return Err(PartnersError::Overlap { one: other.clone(), other: listed.name, pattern });
            }
        }
        scopes.push((listed.name.clone(), scope.clone()));
        partners.push(partner(listed, scope)?);
    }
    Ok(partners)
}

/// Those whose bundle can be used, as listeners and clients need them.
pub fn trusted(partners: &[Partner]) -> Partners {
    Partners::new(partners.iter().filter_map(|partner| partner.trust.as_ref().ok().cloned()).collect())
}

fn scope(listed: &dynamic_config::Partner) -> Result<Scope, PartnersError> {
    if listed.dns_names.len() > MAX_PARTNER_NAMES || listed.urls.len() > MAX_PARTNER_URLS {
        return Err(PartnersError::Size(listed.name.clone()));
    }
    Scope::new(&listed.trust_domain, &listed.dns_names)
        .map_err(|source| PartnersError::Scope { name: listed.name.clone(), source })
}

fn partner(listed: dynamic_config::Partner, scope: Scope) -> Result<Partner, PartnersError> {
    let url = |text: &String| {
        let url = text
            .parse::<NodeUrl>()
            .map_err(|source| PartnersError::Url { name: listed.name.clone(), source })?;
        if url.is_https() && scope.holds_host(url.host()) {
            Ok(url)
        } else {
            Err(PartnersError::UrlOutside { name: listed.name.clone(), url: text.clone() })
        }
    };
    let urls = listed.urls.iter().map(url).collect::<Result<_, _>>()?;
    let trust = roots(&listed.ca_bundle).map(|roots| tessera_tls::Partner::new(scope, roots));
    Ok(Partner { name: listed.name, urls, trust, ca_bundle: listed.ca_bundle })
}

fn roots(bundle: &str) -> Result<Roots, String> {
    if bundle.len() > MAX_BUNDLE_BYTES {
        return Err(format!("its ca bundle has more than {MAX_BUNDLE_BYTES} bytes"));
    }
    Roots::from_pem(bundle.as_bytes()).map_err(|error| format!("its {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn listed(name: &str) -> Value {
        json!({
            "name": name,
            "trustDomain": format!("{name}.example"),
            "dnsNames": [format!("*.tm.{name}.example")],
            "urls": [format!("https://a.tm.{name}.example:9000")],
            "caBundle": "no PEM",
        })
    }

    fn parsed(partners: &[Value]) -> Result<Vec<Partner>, PartnersError> {
        parse(serde_json::from_value(json!({"version": 1, "partners": partners})).unwrap())
    }

    #[test]
    fn a_bundle_that_cannot_be_used_disables_its_partner_alone() {
        let issuer = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let mut good = listed("org-c");
        good["caBundle"] = params.self_signed(&issuer).unwrap().pem().into();
        let partners = parsed(&[listed("org-b"), good]).unwrap();
        assert_eq!(partners[0].trust.as_ref().unwrap_err(), "its ca bundle has no certificate");
        let trusted = trusted(&partners);
        let domains: Vec<_> =
            trusted.iter().map(|partner| partner.scope().trust_domain().to_owned()).collect();
        assert_eq!(domains, ["org-c.example"]);
        let mut long = listed("org-d");
        long["caBundle"] = "#".repeat(MAX_BUNDLE_BYTES + 1).into();
        assert!(parsed(&[long]).unwrap()[0].trust.as_ref().unwrap_err().contains("12288 bytes"));
    }

    #[test]
    fn each_bad_one_differs_in_one_place_and_says_where() {
        for (member, bad, says) in [
            ("name", json!("org-b"), "listed twice"),
            ("trustDomain", json!("org-b.example"), "belongs to two"),
            ("trustDomain", json!("Org C"), "character"),
            ("dnsNames", json!([]), "it can speak for nothing"),
            ("dnsNames", json!(["*"]), "must be a DNS name"),
            ("dnsNames", json!(vec!["a.example"; 17]), "more than 16 dnsNames"),
            ("dnsNames", json!(["x.tm.org-b.example", "*.tm.org-c.example"]), "may both speak for"),
            ("urls", json!(vec!["https://a.tm.org-c.example"; 65]), "more than 64 urls"),
            ("urls", json!(["https://a.tm.org-b.example:9000"]), "inside of dnsNames"),
            ("urls", json!(["http://a.tm.org-c.example:9000"]), "must start with https"),
            ("urls", json!(["https://192.0.2.1:9000"]), "inside of dnsNames"),
            ("urls", json!(["nonsense"]), "not a URL"),
        ] {
            let mut other = listed("org-c");
            other[member] = bad.clone();
            let error = parsed(&[listed("org-b"), other]).unwrap_err();
            assert!(crate::telemetry::chain(&error).contains(says), "{member} {bad}: {error}");
        }
        let many: Vec<_> = (0..65).map(|number| listed(&format!("org-{number}"))).collect();
        assert!(parsed(&many).unwrap_err().to_string().contains("there are 65"));
        assert_eq!(parsed(&many[..64]).unwrap().len(), 64);
    }
}
