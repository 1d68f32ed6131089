//! `NoRemoteRoot`: no remote root access to nodes, nor to the machines of nodes and secret store. Pure.
//!
//! - Enforced by: the chart's policies, which deny exec, attach and port-forward into pods of nodes.
//! - Observed by: nobody yet. A person attests it of the machines.

use jiff::Timestamp;
use tessera_crds::checklist::{Line, PartName};

use super::facts::NetworkFacts;
use super::finding::Finding;
use super::{EVIDENCE_LASTS, NetworkLine};

pub(super) const OF_NETWORK: NetworkLine =
    NetworkLine { id: Line::NoRemoteRoot, evidence_lasts: EVIDENCE_LASTS, judge };

fn judge(facts: &NetworkFacts<'_>, _: Timestamp) -> Finding {
    let pod = Finding::unknown(
        "NotTried",
        "nobody tried whether the chart's policies deny exec into a pod of a node",
        "check that the chart is installed with admission.enabled; this version does not try it itself",
    );
    let stated = |what| facts.statements.attested(Line::NoRemoteRoot, what);
    Finding::of_parts(vec![
        (PartName::Pod, pod),
        (PartName::Host, stated("nobody has remote root access to the machines")),
        (PartName::StoreHost, stated("nobody has remote root access to the secret store's machines")),
    ])
}
