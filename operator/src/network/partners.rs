//! The partners of a network: what its nodes are given of them, and what the status says.
//!
//! ```text
//! spec.partners, bundles ──► settle ──► of_nodes     the file that the nodes read
//! [read]                     [pure]  ├► status       with what the nodes report
//!                                    ├► condition
//!                                    └► stalled
//! ```
//!
//! A partner whose bundle or names cannot be used is not given to the nodes; the others are.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use tessera_crds::TesseraNetwork;
use tessera_crds::api::partner::{Partner as Spec, PartnerCa, PartnerStatus};
use tessera_crds::condition::Reason;
use tessera_node_api::dns_scope::{DnsPattern, DnsScope};
use tessera_node_api::dynamic_config::{self, MAX_BUNDLE_BYTES, VERSION};
use tessera_node_api::tls_client;
use tessera_pki::Certificate;

use super::bundle;
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::kube::meta::namespace_of;
use crate::node::resolve::exposure::known_to;
use crate::report::conditions::{ConditionStatus, ConditionValue};

/// Bundles that are read at one time.
const READS_AT_ONCE: usize = 8;
/// Authorities of one partner that the status names.
const MAX_CAS: usize = 16;
/// How long before its end the last CA of a partner needs a person, at most; of a short-lived one, in its last twelfth.
const AUTHORITY_DUE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The bundle of each partner, by the partner's name; or why it cannot be had.
pub type Bundles = BTreeMap<String, Result<String, String>>;

/// A partner, settled.
#[derive(Debug, Clone)]
pub struct Partner {
    name: String,
    trust_domain: String,
    dns_names: Vec<String>,
    urls: Vec<String>,
    trust: Result<Trusted, Rejected>,
}

/// The authorities of a partner.
#[derive(Debug, Clone)]
struct Trusted {
    pem: String,
    cas: Vec<Certificate>,
}

/// Why a partner is not accepted, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rejected {
    /// The spec is wrong.
    Spec(String),
    /// What it refers to is.
    Reference(String),
}

impl Rejected {
    fn message(&self) -> &str {
        match self {
            Self::Spec(message) | Self::Reference(message) => message,
        }
    }
}

/// [IO, read] The bundles that the spec leads to.
pub async fn read_bundles(network: &TesseraNetwork, ctx: &Context) -> Result<Bundles, Error> {
    let reads: Vec<_> = network
        .spec
        .partners
        .iter()
        .map(|partner| async move {
            let read = bundle::read(&partner.ca_bundle_ref, namespace_of(network), ctx).await?;
            Ok::<_, Error>((partner.name.to_string(), read))
        })
        .collect();
    stream::iter(reads).buffer_unordered(READS_AT_ONCE).try_collect().await
}

/// All partners of the spec, sorted by name.
///
/// `exposed`: the hosts under which partners know nodes of ours.
pub fn settle(network: &TesseraNetwork, bundles: &Bundles, exposed: &BTreeSet<String>) -> Vec<Partner> {
    let specs = &network.spec.partners;
    let scopes: Vec<_> = specs.iter().map(|spec| DnsScope::parse(&spec.dns_names)).collect();
    let settled = specs.iter().zip(&scopes).map(|(spec, scope)| {
        let trust = match scope {
            Err(error) => Err(Rejected::Spec(format!("dnsNames: {error}"))),
            Ok(scope) => conflict(network, spec, scope, specs.iter().zip(&scopes))
                .or_else(|| speaks_for_ours(spec, scope, exposed))
                .or_else(|| url_outside(spec, scope))
                .map_or_else(|| trusted(spec, bundles), |message| Err(Rejected::Spec(message))),
        };
        let mut urls: Vec<_> = spec.urls.iter().map(ToString::to_string).collect();
        urls.sort();
        Partner {
            name: spec.name.to_string(),
            trust_domain: spec.trust_domain.to_string(),
            dns_names: spec.dns_names.iter().map(ToString::to_string).collect(),
            urls,
            trust,
        }
    });
    let mut all: Vec<_> = settled.collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// A name that is ours or another partner's is nobody's: whose certificate speaks for it cannot be said.
fn conflict<'a, E: 'a>(
    network: &TesseraNetwork,
    spec: &Spec,
    scope: &DnsScope,
    all: impl Iterator<Item = (&'a Spec, &'a Result<DnsScope, E>)>,
) -> Option<String> {
    if let Some(name) = scope.patterns().iter().find(|pattern| is_ours(network, pattern)) {
        return Some(format!(
            "dnsNames: {name} is a name of this network's nodes: name the partner's own in spec.partners[{}].dnsNames",
            spec.name
        ));
    }
    let others = all.filter(|(other, _)| other.name != spec.name);
    let domain = |other: &Spec| {
        (other.trust_domain == spec.trust_domain)
            .then(|| format!("trustDomain: {} is that of partner {}, too", spec.trust_domain, other.name))
    };
    let names = |other: &Spec, theirs: &DnsScope| {
        let (mine, theirs) = scope.overlap(theirs)?;
        Some(format!(
            "dnsNames: {mine} and {theirs} of partner {} have a name in common: neither is accepted until one gives way",
            other.name
        ))
    };
    others.into_iter().find_map(|(other, theirs)| {
        domain(other).or_else(|| theirs.as_ref().ok().and_then(|theirs| names(other, theirs)))
    })
}

fn speaks_for_ours(spec: &Spec, scope: &DnsScope, exposed: &BTreeSet<String>) -> Option<String> {
    let host = exposed.iter().find(|host| scope.holds(host))?;
    Some(format!(
        "dnsNames: {host} is the advertised host of a node of ours: name the partner's own in spec.partners[{}].dnsNames",
        spec.name
    ))
}

/// Names of Services in our namespace, in both spellings, and of the pods behind them; and those of our trust domain.
fn is_ours(network: &TesseraNetwork, pattern: &DnsPattern) -> bool {
    let (DnsPattern::Exact(name) | DnsPattern::Below(name)) = pattern;
    let namespace = namespace_of(network);
    let domains = [
        format!("{namespace}.svc"),
        format!("{namespace}.svc.cluster.local"),
        network.spec.trust_domain.to_string(),
    ];
    domains.iter().any(|domain| {
        name.strip_suffix(domain.as_str()).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    })
}

fn url_outside(spec: &Spec, scope: &DnsScope) -> Option<String> {
    let outside = spec.urls.iter().find(|url| !is_inside(url, scope))?;
    Some(format!("urls: {outside} must have a host inside of dnsNames and a port of 1 to 65535"))
}

/// Whether a URL of the spec has a host inside of `scope`, and a port.
pub(super) fn is_inside(url: &str, scope: &DnsScope) -> bool {
    url.strip_prefix("https://").is_some_and(|authority| {
        let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
        scope.holds(host) && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

fn trusted(spec: &Spec, bundles: &Bundles) -> Result<Trusted, Rejected> {
    let reference = &spec.ca_bundle_ref;
    let rejected = |why: String| {
        Rejected::Reference(format!(
            "{why}: see to ConfigMap {}, key {}, with the partner's CA, or correct spec.partners[{}].caBundleRef",
            reference.name, reference.key, spec.name
        ))
    };
    let pem = match bundles.get(spec.name.as_str()) {
        Some(Ok(pem)) => pem,
        Some(Err(why)) => return Err(rejected(why.clone())),
        None => return Err(rejected("its CA bundle was not read yet".to_owned())),
    };
    if pem.len() > MAX_BUNDLE_BYTES {
        return Err(rejected(format!("its CA bundle has more than {MAX_BUNDLE_BYTES} bytes")));
    }
    tls_client::roots(pem.as_bytes()).map_err(|error| rejected(format!("its CA bundle: {error}")))?;
    let cas = Certificate::parse_all(pem.as_bytes());
    let cas = cas.map_err(|error| rejected(format!("its CA bundle: {error}")))?;
    if cas.iter().any(|ca| !ca.is_authority()) {
        return Err(rejected("its CA bundle holds a certificate that is no CA".to_owned()));
    }
    Ok(Trusted { pem: pem.clone(), cas })
}

/// What the nodes are given; nothing if the network has no partners. One whose bundle cannot be had is cut off by an empty one:
/// that it was let in stays on record, so that the bundle's repair is no new partner.
pub fn of_nodes(partners: &[Partner]) -> Option<dynamic_config::Partners> {
    let given = |partner: &Partner| {
        let ca_bundle = match &partner.trust {
            Ok(trusted) => trusted.pem.clone(),
            Err(Rejected::Reference(_)) => String::new(),
            Err(Rejected::Spec(_)) => return None,
        };
        Some(dynamic_config::Partner {
            name: partner.name.clone(),
            trust_domain: partner.trust_domain.clone(),
            dns_names: partner.dns_names.clone(),
            urls: partner.urls.clone(),
            ca_bundle,
        })
    };
    (!partners.is_empty()).then(|| dynamic_config::Partners {
        version: VERSION,
        partners: partners.iter().filter_map(given).collect(),
    })
}

/// What a pod of the network's nodes reports as reached.
#[derive(Debug, Clone, Default)]
pub struct Reached {
    /// Whether partners outside of the cluster know its node.
    pub exposed: bool,
    /// The URLs, without a final slash.
    pub urls: BTreeSet<String>,
}

/// What is seen of each; `reached` has an entry for each pod of the network's nodes that reports anything.
pub fn status(partners: &[Partner], reached: &[Reached]) -> Vec<PartnerStatus> {
    let is_reached = |url: &&String| {
        let known = known_to(url, reached, |by| by.exposed);
        !known.is_empty() && known.iter().all(|by| by.urls.contains(same(url)))
    };
    let one = |partner: &Partner| {
        let cas = partner.trust.iter().flat_map(|trusted| &trusted.cas).take(MAX_CAS);
        let (reached, unreached): (Vec<_>, Vec<_>) = partner.urls.iter().partition(is_reached);
        PartnerStatus {
            name: partner.name.clone(),
            accepted: partner.trust.is_ok(),
            message: partner.trust.as_ref().err().map(|rejected| rejected.message().to_owned()),
            cas: cas
                .map(|ca| PartnerCa {
                    fingerprint: ca.fingerprint().to_owned(),
                    not_after: ca.not_after().to_string().into(),
                })
                .collect(),
            reached: reached.into_iter().cloned().collect(),
            unreached: unreached.into_iter().cloned().collect(),
        }
    };
    partners.iter().map(one).collect()
}

/// A URL as it is compared: a node adds a slash to one without a path.
pub fn same(url: &str) -> &str {
    url.trim_end_matches('/')
}

/// `PartnersAccepted`; none without partners.
pub fn condition(partners: &[Partner], now: Timestamp) -> Option<ConditionValue> {
    if partners.is_empty() {
        return None;
    }
    let rejected: Vec<_> = partners.iter().filter_map(Partner::rejection).collect();
    if !rejected.is_empty() {
        return Some((ConditionStatus::False, Reason::InvalidReference, named(&rejected)));
    }
    let ending: Vec<_> = partners.iter().filter_map(|partner| partner.ending(now)).collect();
    if !ending.is_empty() {
        return Some((ConditionStatus::False, Reason::AuthorityEnding, named(&ending)));
    }
    let message = format!("the certificates of {} partners are accepted for their own names", partners.len());
    Some((ConditionStatus::True, Reason::Accepted, message))
}

/// Only a change of the spec helps.
pub fn stalled(partners: &[Partner]) -> Option<String> {
    let of_spec = |partner: &&Partner| matches!(partner.trust, Err(Rejected::Spec(_)));
    let messages: Vec<_> = partners.iter().filter(of_spec).filter_map(Partner::rejection).collect();
    (!messages.is_empty()).then(|| named(&messages))
}

/// The first few.
fn named(messages: &[String]) -> String {
    let first = messages.iter().take(3).map(String::as_str).collect::<Vec<_>>().join("; ");
    match messages.len().saturating_sub(3) {
        0 => first,
        more => format!("{first}; and {more} more"),
    }
}

impl Partner {
    fn rejection(&self) -> Option<String> {
        let rejected = self.trust.as_ref().err()?;
        Some(format!("partner {} is cut off: {}", self.name, rejected.message()))
    }

    /// Of a bundle with several CAs the one that lasts longest counts: the partner rolls over.
    fn ending(&self, now: Timestamp) -> Option<String> {
        let last = self.trust.as_ref().ok()?.cas.iter().max_by_key(|ca| ca.not_after())?;
        let (begin, end) = (last.not_before(), last.not_after());
        let due = (end.duration_since(begin) / 12).min(AUTHORITY_DUE);
        (end.duration_since(now) < due).then(|| {
            format!(
                "the last CA of partner {} ends at {end}, and its nodes are refused from then on: ask the partner for its next CA and add it to the bundle",
                self.name
            )
        })
    }
}

#[cfg(test)]
mod tests;
