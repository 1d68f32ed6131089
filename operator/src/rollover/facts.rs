//! [IO, read] What was seen of all parties of a rollover: what nodes report of themselves and of their clients, and whether their
//! Secrets hold what the present phase says. Read only while there is a rollover.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use tessera_crds::api::name::HttpsUrl;
use tessera_crds::api::partner::Partner;
use tessera_crds::api::pki::ReadsTrust;
use tessera_crds::api::postgres::PostgresClientCertificateType;
use tessera_crds::api::secret_store::VaultClientCertificateType;
use tessera_crds::{TesseraNetwork, TesseraNode, names};
use tessera_node_api::admin::{
    self, COLLECTOR, DATABASE, Outcome, SECRET_STORE, SeenCaller, Shown, TriedServer, partner_server,
};
use tessera_node_api::identity::Identity;
use tessera_pki::rollover::{
    BY_ADDRESS, BY_PARTNER, ClientFacts, DependencyFacts, Facts, NodeFacts, Report, Seen,
};
use tessera_pki::{Authority, Ca, CaState};

use super::next::AllFacts;
use crate::controller::context::Context;
use crate::kube::meta::{name_of, namespace_of, uid_of};
use crate::kube::object_id::ObjectId;
use crate::network::partners::same;
use crate::node::inputs::client_secret;
use crate::node::resolve::exposure::{exposed_host, known_to};
use crate::watch::cache::Cached;

/// A node and what each of its pods reported last; `None`: nothing yet.
struct Party {
    node: Arc<TesseraNode>,
    reports: Vec<Option<admin::Status>>,
    /// What its clock says now.
    time: Option<Timestamp>,
}

/// What was seen of the parties of `network`, whose nodes are `nodes`. Empty if `state` is in no rollover and nothing is
/// distrusted.
pub fn gather(
    network: &TesseraNetwork,
    nodes: &[Arc<TesseraNode>],
    state: &CaState,
    ctx: &Context,
) -> AllFacts {
    let is_quiet = network.spec.pki.ca.distrust.is_empty();
    if is_quiet && state.network.rollover.is_none() && state.admin.rollover.is_none() {
        return AllFacts::default();
    }
    let party = |node: &Arc<TesseraNode>| Party {
        node: Arc::clone(node),
        reports: reports(node, ctx),
        time: earliest_time(node, ctx),
    };
    let parties: Vec<_> = nodes.iter().map(party).collect();
    let view = Look { network, state, ctx };
    AllFacts {
        network: Facts {
            nodes: view.nodes(&parties, &state.network, names::node::tls_secret, of_network),
            clients: view.clients(&parties).collect(),
            dependencies: view.dependencies(&parties),
        },
        admin: Facts {
            nodes: view.nodes(&parties, &state.admin, names::node::admin_tls_secret, of_admin),
            ..Facts::default()
        },
        earliest_time: parties.iter().filter_map(|party| party.time).min(),
    }
}

fn earliest_time(node: &TesseraNode, ctx: &Context) -> Option<Timestamp> {
    let workload = ctx.caches.workload_of(uid_of(node))?;
    let pods = ctx.caches.pods.indexed(workload.metadata.uid.as_deref()?);
    pods.iter().filter_map(|pod| ctx.answers.of(pod.uid())?.node_time()).min()
}

/// Of all pods that exist; one that has ended trusts nobody.
pub fn reports(node: &TesseraNode, ctx: &Context) -> Vec<Option<admin::Status>> {
    let workload = ctx.caches.workload_of(uid_of(node));
    let uid = workload.as_ref().and_then(|workload| workload.metadata.uid.clone());
    let Some(uid) = uid else {
        // Somebody may have taken its workload away and left its pods.
        return if node.spec.replicas > 0 { vec![None] } else { Vec::new() };
    };
    let pods = ctx.caches.pods.indexed(&uid);
    let runs = pods.iter().filter(|pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        !matches!(phase, Some("Failed" | "Succeeded"))
    });
    runs.map(|pod| ctx.answers.of(pod.uid()).and_then(|answers| answers.last).map(|(status, _)| status))
        .collect()
}

fn of_network(status: &admin::Status) -> Report {
    report(status.trust_fingerprints.clone(), status.certificate.as_ref())
}

fn of_admin(status: &admin::Status) -> Report {
    report(status.admin_trust_fingerprints.clone(), status.admin_certificate.as_ref())
}

fn report(trusts: Vec<String>, certificate: Option<&admin::CertificateStatus>) -> Report {
    Report {
        trusts,
        issuer: certificate.and_then(|certificate| certificate.issuer.clone()),
        chained: certificate.is_some_and(|certificate| certificate.chained),
    }
}

struct Look<'a> {
    network: &'a TesseraNetwork,
    state: &'a CaState,
    ctx: &'a Context,
}

impl Look<'_> {
    fn nodes(
        &self,
        parties: &[Party],
        authority: &Authority,
        secret: impl Fn(&str) -> String,
        report: impl Fn(&admin::Status) -> Report,
    ) -> Vec<NodeFacts> {
        let digest = authority.digest();
        let facts = |party: &Party| {
            let name = name_of(&*party.node);
            let secret = ObjectId::of::<Secret>(namespace_of(&*party.node), &secret(name));
            NodeFacts {
                name: name.to_owned(),
                stored: self.holds(&secret, &digest),
                pods: party.reports.iter().map(|status| status.as_ref().map(&report)).collect(),
            }
        };
        parties.iter().map(facts).collect()
    }

    /// Ledger nodes of each node, then scrapers, which use all of them.
    fn clients(&self, parties: &[Party]) -> impl Iterator<Item = ClientFacts> {
        let digest = self.state.network.digest();
        let trust_domain = self.network.spec.trust_domain.as_str();
        let mut all = Vec::new();
        for party in parties {
            let (name, namespace) = (name_of(&*party.node), namespace_of(&*party.node));
            for client in &party.node.spec.clients {
                let Ok(identity) = Identity::client(trust_domain, name, &client.name) else { continue };
                let secret = client_secret(namespace, name, client);
                let seen = self.seen(std::slice::from_ref(party), &identity);
                all.push(self.client(&identity, self.holds(&secret, &digest), seen, client.reads_trust));
            }
        }
        for scraper in &self.network.spec.monitoring {
            let Ok(identity) = Identity::monitoring(trust_domain, &scraper.name) else { continue };
            let secret = names::network::monitoring_secret(name_of(self.network), &scraper.name);
            let secret = ObjectId::of::<Secret>(namespace_of(self.network), &secret);
            let seen = self.seen(parties, &identity);
            all.push(self.client(&identity, self.holds(&secret, &digest), seen, scraper.reads_trust));
        }
        all.into_iter()
    }

    fn client(&self, identity: &Identity, stored: bool, seen: Seen, reads: ReadsTrust) -> ClientFacts {
        let identity = identity.to_string();
        ClientFacts {
            acknowledged: self.is_acknowledged(&identity),
            identity,
            stored,
            seen,
            rereads_roots: reads == ReadsTrust::EachTime,
        }
    }

    /// What the nodes saw of a client in its last handshakes and on its open connections: one certificate of another CA outweighs all
    /// others. A client with several processes counts as one.
    fn seen(&self, parties: &[Party], identity: &Identity) -> Seen {
        let issuing = self.state.network.issuing.certificate().subject();
        let identity = identity.to_string();
        let reports = parties.iter().flat_map(|party| party.reports.iter().flatten());
        let callers = reports.flat_map(|status| &status.callers).filter(|caller| caller.identity == identity);
        let is_issuing =
            |caller: &SeenCaller| caller.issuer == issuing && caller.open.iter().all(|open| open == issuing);
        callers.fold(Seen::Nowhere, |before, caller| match before {
            Seen::Nowhere | Seen::Issuing if is_issuing(caller) => Seen::Issuing,
            _ => Seen::Another,
        })
    }

    fn dependencies(&self, parties: &[Party]) -> Vec<DependencyFacts> {
        let store = self.network.spec.secret_store.vault.as_ref().filter(|store| {
            let shown = store.client_certificate.as_ref();
            shown.is_some_and(|shown| shown.r#type == VaultClientCertificateType::Issued)
        });
        let store = store.map(|store| (SECRET_STORE, store.address.as_str()));
        let collector =
            self.network.spec.logging.as_ref().map(|logging| (COLLECTOR, logging.otlp.endpoint.as_str()));
        let facts = |(name, address): (&str, &str)| DependencyFacts {
            name: format!("{name} {address}"),
            trusts_issuing: trusts_issuing(parties.iter(), |tried| tried.name == name),
            acknowledged: self.is_acknowledged(address),
            acknowledged_by: BY_ADDRESS,
        };
        let staying = self.staying().certificate().fingerprint();
        let partners = self.network.spec.partners.iter().map(|partner| of_partner(partner, staying, parties));
        let databases = parties.iter().filter_map(|party| self.database(party));
        store.into_iter().chain(collector).map(facts).chain(databases).chain(partners).collect()
    }

    /// The database of a node that logs in with its own certificate. A Secret names the address, so a person acknowledges the database by
    /// the node's identity.
    fn database(&self, party: &Party) -> Option<DependencyFacts> {
        let shown = party.node.spec.storage.postgres.as_ref()?.client_certificate.as_ref()?;
        if shown.r#type != PostgresClientCertificateType::Issued {
            return None;
        }
        let identity =
            Identity::node(&self.network.spec.trust_domain, name_of(&*party.node)).ok()?.to_string();
        Some(DependencyFacts {
            trusts_issuing: trusts_issuing([party], |tried| tried.name == DATABASE),
            acknowledged: self.is_acknowledged(&identity),
            acknowledged_by: BY_ADDRESS,
            name: format!("{DATABASE} of {identity}"),
        })
    }

    /// The CA that is to stay.
    fn staying(&self) -> &Ca {
        let authority = &self.state.network;
        let next =
            authority.rollover.as_ref().filter(|rollover| rollover.phase == tessera_pki::Phase::Trusting);
        next.map_or(&authority.issuing, |rollover| &rollover.other)
    }

    /// Whether a person says that it trusts the CA that is to stay.
    fn is_acknowledged(&self, identity: &str) -> bool {
        let ca = self.staying();
        self.network.spec.pki.acknowledge.iter().any(|acknowledged| {
            *acknowledged.identity == *identity
                && *acknowledged.ca_fingerprint == *ca.certificate().fingerprint()
        })
    }

    /// Whether the Secret is known to hold a leaf with the roots and the chain of an authority with this digest.
    fn holds(&self, secret: &ObjectId, digest: &[u8; 32]) -> bool {
        let seen = if secret.namespace == self.ctx.namespace {
            self.ctx.caches.secrets.get(&secret.name)
        } else {
            let cache = self.ctx.client_namespaces.given_to(&self.ctx.namespace, &secret.namespace);
            cache.and_then(|cache| cache.get(&secret.name))
        };
        let Some(seen) = seen else { return false };
        let known = seen.0.uid.as_deref().and_then(|uid| self.ctx.leaves.get(uid));
        known.is_some_and(|known| known.is_of(&seen.0) && known.is_under(digest))
    }
}

/// Every node that runs showed it the leaf alone and was served.
fn trusts_issuing<'p>(
    parties: impl IntoIterator<Item = &'p Party>,
    is_it: impl Fn(&TriedServer) -> bool,
) -> bool {
    let served = |status: &admin::Status| {
        let tried = status.server_trials.iter().find(|tried| is_it(tried));
        tried.is_some_and(|tried| {
            tried
                .trials
                .iter()
                .any(|trial| trial.shown == Shown::OwnAlone && trial.outcome == Outcome::Served)
        })
    };
    let mut reports = parties.into_iter().flat_map(|party| &party.reports).peekable();
    reports.peek().is_some() && reports.all(|status| status.as_ref().is_some_and(served))
}

/// Every node that runs, and that the partner knows, showed each server of it the leaf alone and was served. A partner without servers that are known
/// is left to a person's word.
fn of_partner(partner: &Partner, staying: &str, parties: &[Party]) -> DependencyFacts {
    let name = partner_server(&partner.name);
    let trusts = |url: &HttpsUrl| {
        let known = known_to(url, parties, |party| exposed_host(&party.node).is_some());
        trusts_issuing(known, |tried| tried.name == name && same(&tried.address) == same(url))
    };
    DependencyFacts {
        trusts_issuing: !partner.urls.is_empty() && partner.urls.iter().all(trusts),
        acknowledged: partner.acknowledged_ca.as_ref().is_some_and(|ca| **ca == *staying),
        acknowledged_by: BY_PARTNER,
        name,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tessera_node_api::admin::Trial;

    use super::*;
    use crate::fixtures::{node, node_json, report_of_a_ready_node};

    const URLS: [&str; 2] = ["https://a.tm.org-b.example:9000", "https://b.tm.org-b.example"];

    fn partner(urls: &[&str]) -> Partner {
        let json = json!({
            "name": "org-b", "trustDomain": "org-b.example", "caBundleRef": {"name": "ca"},
            "dnsNames": ["*.tm.org-b.example"], "urls": urls, "egress": [], "acknowledgedCA": "aa",
        });
        serde_json::from_value(json).unwrap()
    }

    /// A node whose pod tried these.
    fn party(tried: &[(&str, &str, Shown, Outcome)]) -> Party {
        let mut report = report_of_a_ready_node();
        let one = |(name, address, shown, outcome): &(&str, &str, Shown, Outcome)| TriedServer {
            name: (*name).to_owned(),
            address: format!("{address}/"),
            tried_at: String::new(),
            trials: vec![Trial { shown: *shown, outcome: *outcome, why: None }],
        };
        report.server_trials = tried.iter().map(one).collect();
        Party { node: Arc::new(node(node_json("a"))), reports: vec![Some(report)], time: None }
    }

    #[test]
    fn a_partner_trusts_the_new_ca_once_each_of_its_servers_served_every_node_by_it_alone() {
        use Outcome::{Refused, Served};
        use Shown::{Own, OwnAlone};
        let all = || party(&URLS.map(|url| ("partner org-b", url, OwnAlone, Served)));
        let trusts =
            |urls: &[&str], parties: &[Party]| of_partner(&partner(urls), "bb", parties).trusts_issuing;
        assert!(trusts(&URLS, &[all(), all()]));
        for (what, one) in [
            ("one server", party(&[("partner org-b", URLS[0], OwnAlone, Served)])),
            (
                "one refused",
                party(&[
                    ("partner org-b", URLS[0], OwnAlone, Served),
                    ("partner org-b", URLS[1], OwnAlone, Refused),
                ]),
            ),
            ("with the cross certificate", party(&URLS.map(|url| ("partner org-b", url, Own, Served)))),
            ("another partner", party(&URLS.map(|url| ("partner org-c", url, OwnAlone, Served)))),
            ("no report", Party { reports: vec![None], ..all() }),
        ] {
            assert!(!trusts(&URLS, &[all(), one]), "{what}");
        }
        let exposed = |party: Party| {
            let mut json = node_json("a");
            json["status"] = json!({"endpoints": {"q2t": "https://q", "p2p": "https://a.world.example/"}});
            Party { node: Arc::new(node(json)), ..party }
        };
        assert!(trusts(&URLS, &[exposed(all()), party(&[])]), "the partner knows no name of the other node");
        assert!(!trusts(&URLS, &[exposed(party(&[])), all()]));
        assert!(!trusts(&URLS, &[]), "no node runs");
        assert!(!trusts(&[], &[all()]), "without servers only a person knows");
    }

    #[test]
    fn an_acknowledgement_is_of_one_ca() {
        let acknowledged = |staying: &str| of_partner(&partner(&[]), staying, &[]).acknowledged;
        assert!(acknowledged("aa") && !acknowledged("bb"));
        assert_eq!(of_partner(&partner(&[]), "aa", &[]).name, "partner org-b");
    }
}
