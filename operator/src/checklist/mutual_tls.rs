//! `MutualTls`: nodes, ledgers and the secret store prove to each other who they are, with certificates. Pure.
//!
//! - Enforced by: listeners that serve nobody without a certificate; no field can turn TLS off.
//! - Observed by: the operator, of the secret store: it connects without a client certificate. Nobody tries the node's
//!   listeners yet, so those are Enforced.

use jiff::Timestamp;
use tessera_crds::checklist::{Line, Observer};

use super::facts::{NetworkFacts, NodeFacts, StoreAnswer};
use super::finding::Finding;
use super::{EVIDENCE_LASTS, NetworkLine, NodeLine, nodes};

pub(super) const OF_NODE: NodeLine =
    NodeLine { id: Line::MutualTls, evidence_lasts: EVIDENCE_LASTS, judge: of_node };
pub(super) const OF_NETWORK: NetworkLine =
    NetworkLine { id: Line::MutualTls, evidence_lasts: EVIDENCE_LASTS, judge: of_network };

fn of_node(_: &NodeFacts, _: Timestamp) -> Finding {
    Finding::enforced(
        "ListenersNotTried",
        "every listener of the node asks for a certificate of its own roots; nobody tried them with wrong ones",
        "nothing: this version does not try the listeners itself",
    )
}

fn of_network(facts: &NetworkFacts<'_>, now: Timestamp) -> Finding {
    let store = of_store(facts);
    let nodes = nodes::worst(facts, Line::MutualTls, now);
    if store.result <= nodes.result { store } else { nodes }
}

fn of_store(facts: &NetworkFacts<'_>) -> Finding {
    match (&facts.store, facts.vault) {
        (StoreAnswer::NotAskedYet, _) => Finding::not_asked_yet("the secret store"),
        (StoreAnswer::Shows(_), Some(vault)) => Finding::violated(
            "NoClientCertificate",
            Observer::Operator,
            format!(
                "the secret store at {} answered the operator, which showed no client certificate",
                vault.address
            ),
            "let the store's listener for machines require a client certificate (Vault: tls_require_and_verify_client_cert); this version cannot show one yet",
        ),
        _ => Finding::unknown(
            "StoreSilent",
            "the secret store did not answer, so nobody knows whom it serves",
            "kubectl describe the TesseraNetwork: SecretStoreReady says why",
        ),
    }
}
