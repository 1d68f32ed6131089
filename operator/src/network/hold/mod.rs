//! [pure] Which changes of a network itself `checklist.mode: Enforce` holds back, and the network without them.
//!
//! ```text
//! what the spec asks for ─┐
//!                         ├──► what would be wider than before ──► held by a violated line? ──► the network without it; status.held
//! what is live ───────────┘                                                 no: nothing is held
//! ```
//!
//! Wider is: a partner, more names that a partner may speak for, a scraper. Before is what the nodes have been given; a change that
//! cannot be compared is no widening, as with nodes ([`crate::node::hold`], which also holds new addresses of a partner or a scraper).
//! A new CA bundle of a partner is a renewal, and never held.

pub mod live;

use std::borrow::Cow;
use std::collections::BTreeSet;

use jiff::Timestamp;
use tessera_crds::TesseraNetwork;
use tessera_crds::api::network::Scraper;
use tessera_crds::api::partner::{Partner, PartnerStatus};
use tessera_crds::checklist::HeldChange;
use tessera_crds::condition::Reason;
use tessera_node_api::dns_scope::DnsScope;
use tessera_node_api::dynamic_config;

use super::partners::is_inside;
use crate::checklist::enforce::{Gate, Gates, held_change};

/// What of a network is there.
#[derive(Debug, Clone, Default)]
pub struct Live {
    /// Its partners, as the nodes were given them; `None`: all that the spec names, as it names them.
    pub partners: Option<Vec<dynamic_config::Partner>>,
    /// Its scrapers that have a certificate; `None`: all that the spec names.
    pub scrapers: Option<BTreeSet<String>>,
}

/// A change that widens what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Widening {
    /// A new partner.
    Partner(String),
    /// More names for a partner that is there.
    Names {
        /// Which.
        partner: String,
        /// The names that it keeps: those of the spec that it may speak for already, or else those that it has.
        kept: BTreeSet<String>,
    },
    /// A new scraper.
    Scraper(String),
}

impl Widening {
    /// The field of the spec that asks for it.
    fn field(&self) -> String {
        match self {
            Self::Partner(partner) => partner_field(partner),
            Self::Names { partner, .. } => format!("{}.dnsNames", partner_field(partner)),
            Self::Scraper(scraper) => scraper_field(scraper),
        }
    }
}

fn partner_field(name: &str) -> String {
    format!("spec.partners[{name}]")
}

fn scraper_field(name: &str) -> String {
    format!("spec.monitoring[{name}]")
}

/// The partners that the policies of nodes are opened for: what counts is the file that the network gives them.
pub fn partners_let_in(network: &TesseraNetwork) -> Vec<Partner> {
    let partners = network.spec.partners.iter();
    partners.filter(|partner| !is_held(network, &partner_field(&partner.name))).cloned().collect()
}

/// The same of scrapers: what counts is the certificate that the network issues.
pub fn scrapers_let_in(network: &TesseraNetwork) -> Vec<Scraper> {
    let scrapers = network.spec.monitoring.iter();
    scrapers.filter(|scraper| !is_held(network, &scraper_field(&scraper.name))).cloned().collect()
}

fn is_held(network: &TesseraNetwork, field: &str) -> bool {
    network.status.as_ref().is_some_and(|status| status.held.iter().any(|held| held.field == *field))
}

/// All that `network` asks for beyond what is `live`.
pub fn widenings(network: &TesseraNetwork, live: &Live) -> Vec<Widening> {
    let partners = network.spec.partners.iter().filter_map(|partner| of_partner(partner, live));
    let is_new = |name: &String| live.scrapers.as_ref().is_some_and(|known| !known.contains(name));
    let scrapers = network.spec.monitoring.iter().map(|scraper| scraper.name.to_string()).filter(is_new);
    partners.chain(scrapers.map(Widening::Scraper)).collect()
}

fn of_partner(partner: &Partner, live: &Live) -> Option<Widening> {
    let name = partner.name.to_string();
    // Under the same name another trust domain is another organisation.
    let is_same = |known: &&dynamic_config::Partner| {
        known.name == name && known.trust_domain == *partner.trust_domain.to_string()
    };
    let Some(known) = live.partners.as_ref()?.iter().find(is_same) else {
        return Some(Widening::Partner(name));
    };
    let names: BTreeSet<_> = partner.dns_names.iter().map(ToString::to_string).collect();
    // A name below a wildcard that it has is no new one.
    let scope = DnsScope::parse(&known.dns_names).unwrap_or_default();
    let may_speak_for = |name: &&String| scope.holds(name);
    let mut kept: BTreeSet<_> = names.iter().filter(may_speak_for).cloned().collect();
    if kept.len() == names.len() {
        return None;
    }
    if kept.is_empty() {
        // Without a name it would be cut off.
        kept = known.dns_names.iter().cloned().collect();
    }
    Some(Widening::Names { partner: name, kept })
}

/// What is held back.
#[derive(Debug, Clone, Default)]
pub struct Holds(Vec<(Widening, Gate)>);

impl Holds {
    /// Those of `widenings` that their gates do not let through.
    pub fn of(widenings: Vec<Widening>, gates: &Gates) -> Self {
        let all = widenings.into_iter().map(|widening| {
            let gate = gates.of(&widening.field()).clone();
            (widening, gate)
        });
        Self(all.filter(|(_, gate)| !gate.is_free()).collect())
    }

    /// `network` without what is held.
    pub fn narrow<'n>(&self, network: &'n TesseraNetwork) -> Cow<'n, TesseraNetwork> {
        if self.0.is_empty() {
            return Cow::Borrowed(network);
        }
        let mut narrow = network.clone();
        for (widening, _) in &self.0 {
            match widening {
                Widening::Partner(name) => narrow.spec.partners.retain(|partner| *partner.name != **name),
                Widening::Names { partner, kept } => {
                    let same = narrow.spec.partners.iter_mut().filter(|other| *other.name == **partner);
                    same.for_each(|partner| keep_names(partner, kept));
                }
                Widening::Scraper(name) => {
                    narrow.spec.monitoring.retain(|scraper| *scraper.name != **name);
                }
            }
        }
        Cow::Owned(narrow)
    }

    /// What the status says of it, upon `before`.
    pub fn status(&self, before: &[HeldChange], now: Timestamp) -> Vec<HeldChange> {
        let held = |(widening, gate): &(Widening, Gate)| held_change(widening.field(), gate, before, now);
        self.0.iter().filter_map(held).collect()
    }

    /// The partners that the nodes are given, and those that wait.
    pub fn partners(&self, mut given: Vec<PartnerStatus>) -> Vec<PartnerStatus> {
        for (widening, gate) in &self.0 {
            let why = match gate {
                Gate::Held(line) => format!("checklist.mode Enforce and line {} hold", line.id),
                Gate::NotJudged | Gate::Free => "the checklist, which was not judged yet, holds".to_owned(),
            };
            match widening {
                Widening::Partner(name) => given.push(PartnerStatus {
                    name: name.clone(),
                    accepted: false,
                    message: Some(format!("{why} it back")),
                    cas: Vec::new(),
                    reached: Vec::new(),
                    unreached: Vec::new(),
                }),
                Widening::Names { partner, .. } => {
                    let same = given.iter_mut().filter(|other| other.name == *partner);
                    same.for_each(|partner| {
                        partner.message.get_or_insert_with(|| format!("{why} its new names back"));
                    });
                }
                Widening::Scraper(_) => {}
            }
        }
        given.sort_by(|a, b| a.name.cmp(&b.name));
        given
    }

    /// Why the network is not as its spec says.
    pub fn changes(&self) -> Option<(Reason, String)> {
        let fields: Vec<_> = self.0.iter().map(|(widening, _)| widening.field()).collect();
        let fields = fields.join(", ");
        match &self.0.first()?.1 {
            Gate::Held(line) => Some((
                Reason::ChecklistHeld,
                format!(
                    "the network goes on as it was, and checklist.mode Enforce holds back {fields}: {line}"
                ),
            )),
            Gate::NotJudged | Gate::Free => None,
        }
    }

    /// What waits until the checklist is judged.
    pub fn awaited(&self) -> Option<String> {
        let fields: Vec<_> = self.0.iter().map(|(widening, _)| widening.field()).collect();
        matches!(self.0.first()?.1, Gate::NotJudged).then(|| {
            format!("{} until the checklist was judged: checklist.mode is Enforce", fields.join(", "))
        })
    }
}

/// A URL under a name that is held would make the partner's whole entry wrong.
fn keep_names(partner: &mut Partner, kept: &BTreeSet<String>) {
    partner.dns_names = kept.iter().map(|name| name.as_str().into()).collect();
    if let Ok(scope) = DnsScope::parse(&partner.dns_names) {
        partner.urls.retain(|url| is_inside(url, &scope));
    }
}

#[cfg(test)]
mod tests;
