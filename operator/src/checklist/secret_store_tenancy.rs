//! `SecretStoreTenancy`: the secret store serves nobody else. Pure.
//!
//! - Enforced by: the secret store's owner; a machine of its own, tainted.
//! - Observed by: the API server, of a store in the cluster: which pods share its machines.
//! - A person attests that it serves this network alone, which no cluster sees. So the line is Violated by what shares the
//!   machine, and at best Attested.

use jiff::Timestamp;
use tessera_crds::checklist::{Line, LineResult, Observer};

use super::cluster::ClusterFacts;
use super::facts::NetworkFacts;
use super::finding::Finding;
use super::store_paths::{ServiceName, StorePod};
use super::{EVIDENCE_LASTS, NetworkLine};

pub(super) const OF_NETWORK: NetworkLine =
    NetworkLine { id: Line::SecretStoreTenancy, evidence_lasts: EVIDENCE_LASTS, judge };

fn judge(facts: &NetworkFacts<'_>, now: Timestamp) -> Finding {
    let stated =
        facts.statements.attested(Line::SecretStoreTenancy, "the secret store serves this network alone");
    let in_cluster = facts.vault.and_then(|vault| ServiceName::of(vault.address.as_ref()));
    if in_cluster.is_none() || facts.cluster.store_pods.is_not_permitted() {
        return stated;
    }
    match of_machines(facts.cluster, now) {
        Ok(seen) => Finding { observed: format!("{} ({seen})", stated.observed), ..stated },
        // A statement of a person stands for what a cluster cannot see, not for what was not read for once.
        Err(finding) if finding.result <= LineResult::Unknown => *finding,
        Err(_) => stated,
    }
}

/// What the machines of the store's pods show, in words; `Err`: others share them, or nobody knows.
fn of_machines(cluster: &ClusterFacts, now: Timestamp) -> Result<&'static str, Box<Finding>> {
    let every = cluster.probe_every;
    let pods = cluster.store_pods.fresh("the secret store's pods", every, now)?;
    let placed: Vec<&StorePod> = pods.iter().filter(|pod| !pod.machine.is_empty()).collect();
    if placed.is_empty() {
        return Ok("no pod of the secret store was seen");
    }
    let tenants: Vec<String> = pods.iter().map(|pod| pod.path.clone()).collect();
    let mut tainted = true;
    for pod in placed {
        let Some(machine) = cluster.machines.get(&pod.machine) else {
            return Err(Box::new(Finding::not_asked_yet("the API server")));
        };
        let machine = machine.fresh("a machine of the secret store", every, now)?;
        if let Some(other) = machine.first_other(&tenants) {
            return Err(Box::new(shared(&pod.machine, other)));
        }
        tainted &= machine.tainted;
    }
    Ok(if tainted {
        "the API server shows its machines: they run nothing else, and a taint keeps others away"
    } else {
        "the API server shows its machines: they run nothing else, but no taint keeps others away"
    })
}

fn shared(machine: &str, other: &str) -> Finding {
    Finding::violated(
        "SharedMachine",
        Observer::ApiServer,
        format!("machine {machine} of the secret store also runs pod {other}"),
        "give the secret store machines of its own: taint them, and let only its pods tolerate the taint",
    )
}
