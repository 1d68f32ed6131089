//! [pure] From what was seen of a node to its lines of the security checklist.

use k8s_openapi::api::networking::v1::NetworkPolicy;
use tessera_crds::api::postgres::PostgresStorage;
use tessera_crds::checklist::ChecklistStatus;

use super::{Seen, images};
use crate::checklist::evidence::{self, Judged, Renew};
use crate::checklist::facts::{DatabaseLogin, NodeFacts, PodFacts};
use crate::checklist::no_clear_text_credentials::{IN_NODE_LOG, leak_is_known};
use crate::checklist::statements::Statements;
use crate::checklist::{NODE_LINES, summary};
use crate::node::resolve::Resolved;

/// The lines as they are now, upon those of `before`.
pub(super) fn judge(seen: &Seen<'_>, before: Option<&ChecklistStatus>) -> ChecklistStatus {
    let before = before.map(|checklist| checklist.lines.as_slice()).unwrap_or_default();
    let facts = NodeFacts { leak_is_known: leak_is_known(before, IN_NODE_LOG, seen.now), ..facts(seen) };
    let judged = NODE_LINES.iter().map(|line| {
        Judged::new(line.id, (line.judge)(&facts, seen.now), line.evidence_lasts, &facts.statements)
    });
    summary::status(evidence::lines(before, judged.collect(), Renew::AtHalf, seen.now))
}

fn database_login(node: &Resolved) -> DatabaseLogin {
    match node.storage.postgres() {
        None => DatabaseLogin::None,
        Some(PostgresStorage { client_certificate: None, .. }) => DatabaseLogin::WithoutCertificate,
        Some(_) => DatabaseLogin::WithCertificate,
    }
}

fn facts(seen: &Seen<'_>) -> NodeFacts {
    let node = seen.node;
    let not_written = seen.applied.failures.iter().any(|failure| failure.object().is_a::<NetworkPolicy>());
    let pods = seen.observed.pods.iter().map(|pod| PodFacts {
        name: pod.name.clone(),
        image_id: pod.image_id.clone(),
        report: pod.status.clone().ok(),
        clock_skew: pod.clock_skew,
        stranger: pod.stranger.clone(),
    });
    NodeFacts {
        replicas: usize::try_from(node.replicas).unwrap_or(0),
        image: node.upgrade.wanted.clone(),
        failed_upgrade: images::failed_upgrade(node),
        upgrade_waits: seen.applied.waiting.is_some(),
        max_image_age: node.max_image_age,
        probe_every: node.probe_every,
        is_rolled_out: seen.observed.workload.as_ref().map(|workload| workload.up_to_date),
        foreign_policies: seen.observed.foreign_policies.clone(),
        dedicated_machines: seen.observed.dedicated_machines,
        exposed_to: seen.observed.load_balancer.as_ref().map(|live| live.sources.clone()),
        must_not_reach: node.must_not_reach.clone(),
        policies_in_place: (!node.paused && !seen.holds.is_whole()).then_some(!not_written),
        collector: node.collector.as_ref().map(|collector| collector.endpoint.to_string()),
        store_with_certificate: node
            .store
            .client_certificate
            .as_ref()
            .map(|_| node.store.address.to_string()),
        database: database_login(node),
        rotate_every: node.keys.iter().filter_map(|key| Some((key.name.clone(), key.every?))).collect(),
        statements: Statements::that_count(&seen.observed.attestations, seen.now),
        leak_is_known: false,
        pods: pods.collect(),
    }
}
