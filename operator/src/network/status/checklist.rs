//! [pure] From what was read of a network to the fourteen lines of the security checklist.

use std::sync::Arc;

use tessera_crds::TesseraNetwork;
use tessera_crds::checklist::ChecklistStatus;

use super::Inputs;
use crate::backup::custodians::Custodians;
use crate::checklist::central_logging::is_of_operators_log;
use crate::checklist::evidence::{self, Judged, Renew};
use crate::checklist::facts::{CollectorFact, NetworkFacts, StoreAnswer};
use crate::checklist::finding::NOT_ASKED_YET;
use crate::checklist::no_clear_text_credentials::{IN_OPERATOR_LOG, leak_is_known};
use crate::checklist::statements::Statements;
use crate::checklist::{NETWORK_LINES, summary};
use crate::kube::meta::name_of;
use crate::network::logging::CollectorCa;
use crate::node::hold::is_held_as_new;

/// The lines as they are now, upon those of `before`.
pub(super) fn judge(
    network: &TesseraNetwork,
    inputs: &Inputs,
    before: Option<&ChecklistStatus>,
) -> ChecklistStatus {
    let before = before.map(|checklist| checklist.lines.as_slice()).unwrap_or_default();
    // Of a node that is held back nothing exists that a line could speak of.
    let mut nodes: Vec<_> =
        inputs.nodes.iter().filter(|node| !is_held_as_new(node)).map(Arc::clone).collect();
    nodes.sort_by(|a, b| name_of(&**a).cmp(name_of(&**b)));
    let vault = network.spec.secret_store.vault.as_ref();
    let store = inputs.store_facts.clone();
    // What was found before may be another store's: it does not stand until this one is asked, and a change waits meanwhile.
    let forgets = store == StoreAnswer::NotAskedYet && has_changed(network);
    let statements = Statements::that_count(&inputs.attestations, inputs.now);
    let collector = match &inputs.collector_ca {
        CollectorCa::NoCollector => CollectorFact::None,
        CollectorCa::Found(_) => CollectorFact::Named,
        CollectorCa::Missing(why) => CollectorFact::WithoutCa(why),
    };
    let clear_text = &inputs.clear_text;
    let cluster = &*inputs.cluster;
    let hardware_minimum = network.spec.checklist.hardware.minimum;
    let nodes = &nodes;
    let operator_log = inputs.operator_log.as_ref();
    let facts = NetworkFacts {
        vault,
        store,
        collector,
        operator_log,
        statements,
        nodes,
        clear_text,
        cluster,
        custodians: Custodians::of(network),
        hardware_minimum,
        leak_is_known: leak_is_known(before, IN_OPERATOR_LOG, inputs.now),
    };
    let judged = NETWORK_LINES.iter().map(|line| {
        let mut finding = (line.judge)(&facts, inputs.now);
        let is_of_another =
            forgets && !before.iter().any(|known| known.id == line.id && is_of_operators_log(known));
        finding.keeps_known &= !(is_of_another && finding.reason == NOT_ASKED_YET);
        Judged::new(line.id, finding, line.evidence_lasts, &facts.statements)
    });
    summary::status(evidence::lines(before, judged.collect(), Renew::AtThreeQuarters, inputs.now))
}

/// Whether the last status speaks of another spec.
fn has_changed(network: &TesseraNetwork) -> bool {
    network.status.as_ref().and_then(|status| status.observed_generation) != network.metadata.generation
}
