//! Whether port 22 of machines lets the operator's pod in: the one way to a shell on a machine that a pod can try. Pure.
//!
//! - Control: the kubelet of the same machine accepts a connection at the same address. The chart's NetworkPolicy names both ports
//!   in one rule. A rule of others that lets the operator reach the kubelet and not port 22 looks like a closed port.
//! - What a closed port does not prove: anything of another port, of another source than a pod, of a provider's console. So
//!   it raises no result; an open port is a violation until a newer trial finds it closed.

use std::net::IpAddr;

use jiff::Timestamp;
use tessera_crds::checklist::Observer;

use super::cluster::ClusterFacts;
use super::finding::Finding;

/// What came of the connects to one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SshTrial {
    /// Port 22 accepted a connection at this address.
    Open {
        /// Where.
        address: IpAddr,
        /// It greeted as an SSH server does.
        greets: bool,
    },
    /// Port 22 accepted none, at each address of the machine at which its kubelet did.
    Closed,
    /// That port 22 accepted none proves nothing; why.
    Inconclusive(String),
}

impl SshTrial {
    /// What is known after this trial, which followed `before`: only a trial that proves something ends a violation.
    #[must_use]
    pub fn after(self, before: Option<&Self>) -> Self {
        match (before, &self) {
            (Some(open @ Self::Open { .. }), Self::Inconclusive(_)) => open.clone(),
            _ => self,
        }
    }

    /// Whether the next trial can wait for its period.
    pub fn is_conclusive(&self) -> bool {
        !matches!(self, Self::Inconclusive(_))
    }
}

/// So many machines are named.
const NAMED: usize = 3;

/// What a person states of `machines`, as far as the trials let it stand.
pub(super) fn with_trials(
    stated: Finding,
    machines: &[&str],
    cluster: &ClusterFacts,
    now: Timestamp,
) -> Finding {
    if machines.is_empty() {
        return stated;
    }
    if let Some(violated) = open(machines, cluster) {
        return violated;
    }
    // A person cannot vouch for what the operator can try and did not.
    if let Some(unknown) = machines.iter().find_map(|machine| not_closed(machine, cluster, now)) {
        return unknown;
    }
    let names = listed(machines.iter().map(ToString::to_string).collect());
    let observed = format!(
        "{} (the operator's pod reaches the kubelet and not TCP port 22 of machine {names}; no other port and no other source was tried)",
        stated.observed
    );
    Finding { observed, ..stated }
}

/// However old the trial is.
fn open(machines: &[&str], cluster: &ClusterFacts) -> Option<Finding> {
    let found = machines.iter().filter_map(|machine| match cluster.ssh.get(*machine)?.last.as_ref()?.0 {
        SshTrial::Open { address, greets } => Some((machine, address, greets)),
        _ => None,
    });
    let named = found.map(|(machine, address, greets)| {
        let greeting = if greets { "an SSH greeting" } else { "no SSH greeting within a second" };
        format!("{machine} ({address}, {greeting})")
    });
    let named: Vec<_> = named.collect();
    (!named.is_empty()).then(|| {
        Finding::violated(
            "SshOpen",
            Observer::Operator,
            format!("TCP port 22 accepts connections of the operator's pod on machine {}", listed(named)),
            "stop the SSH server of the machine, or let the machine's firewall refuse port 22 from everywhere, pods included; to administer it, replace the machine",
        )
    })
}

/// `None`: port 22 of the machine was found closed recently, and the control was reached.
fn not_closed(machine: &str, cluster: &ClusterFacts, now: Timestamp) -> Option<Finding> {
    let every = cluster.probe_every;
    let read =
        cluster.machines.get(machine).map(|read| read.fresh(&format!("machine {machine}"), every, now));
    match read {
        None => return Some(Finding::not_asked_yet("the API server")),
        Some(Err(finding)) => return Some(*finding),
        Some(Ok(_)) => {}
    }
    let Some(reading) = cluster.ssh.get(machine).filter(|reading| reading.last.is_some()) else {
        return Some(Finding::not_asked_yet(&format!("port 22 of machine {machine}")));
    };
    match reading.fresh(&format!("port 22 of machine {machine}"), every, now) {
        Err(finding) => Some(*finding),
        Ok(SshTrial::Inconclusive(why)) => Some(Finding::unknown(
            "ProberNotFree",
            format!(
                "the operator itself cannot connect freely, so that port 22 of machine {machine} did not answer proves nothing: {why}"
            ),
            "let the operator's pods connect to the machines on port 22 and the kubelet's: the chart's values checklist.machineCIDRs and checklist.kubeletPort; look for other policies and firewalls between",
        )),
        Ok(_) => None,
    }
}

fn listed(all: Vec<String>) -> String {
    let more = all.len().saturating_sub(NAMED);
    let first = all.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
    if more == 0 { first } else { format!("{first} and {more} more") }
}
