//! What was read of the cluster around a network: who may open a shell, what leads to its secret store, what shares its machines.
//! Pure. What was not read, or was read too long ago, proves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::finding::Finding;
use super::machines::Machine;
use super::nodes_proxy::Holder;
use super::ssh::SshTrial;
use super::store_paths::{StoreNamespace, StorePod};

/// What was read of the cluster for one network.
#[derive(Debug, Clone, Default)]
pub struct ClusterFacts {
    /// How often what only a probe shows is read again.
    pub probe_every: SignedDuration,
    /// How the API server answers a request to exec into a pod.
    pub exec: Reading<ExecProbe>,
    /// The level of Pod Security that the network's namespace enforces; `None`: it has no such label.
    pub pod_security: Reading<Option<String>>,
    /// Who reaches every container by way of its machine.
    pub holders: Reading<Vec<Holder>>,
    /// Where the secret store's address leads, as the operator sees it.
    pub addresses: Reading<Vec<IpAddr>>,
    /// The namespace of a secret store that is in the cluster.
    pub store_namespace: Reading<Arc<StoreNamespace>>,
    /// The pods of a secret store that is in the cluster.
    pub store_pods: Reading<Vec<StorePod>>,
    /// The machines of the network's nodes and of its secret store, by name.
    pub machines: BTreeMap<String, Reading<Machine>>,
    /// The machines of the network's nodes alone.
    pub node_machines: BTreeSet<String>,
    /// What came of the operator's connects to these machines, by name.
    pub ssh: BTreeMap<String, Reading<SshTrial>>,
}

/// What was read last of one thing.
#[derive(Debug, Clone)]
pub struct Reading<T> {
    /// What it was, and when.
    pub last: Option<(T, Timestamp)>,
    /// Why the attempt after it failed.
    pub failure: Option<Unread>,
}

/// Why something could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// The operator has no right to this.
    NotPermitted(String),
    /// The attempt failed; why.
    Failed(String),
}

/// How the API server answers raw requests to exec into the one pod that nobody may make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecProbe {
    /// In the network's namespace.
    pub here: ExecAnswer,
    /// In the operator's own, where no policy guards the name.
    pub control: ExecAnswer,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecAnswer {
    /// The request came as far as the pod, which does not exist.
    Reached,
    /// An admission policy denied the request; its name.
    DeniedByPolicy(String),
    /// Something else in the API server denied it; its words.
    DeniedByOther(String),
    /// RBAC denied it.
    NotPermitted,
}

impl<T> Default for Reading<T> {
    fn default() -> Self {
        Self { last: None, failure: None }
    }
}

impl<T> Reading<T> {
    /// What was read, if that is recent; `what` names it.
    pub fn fresh(&self, what: &str, every: SignedDuration, now: Timestamp) -> Result<&T, Box<Finding>> {
        if let Some(Unread::NotPermitted(right)) = &self.failure {
            return Err(Box::new(no_permission(right)));
        }
        let bound = every * 2 + SignedDuration::from_mins(2);
        match (&self.last, &self.failure) {
            (Some((read, at)), _) if now.duration_since(*at).abs() <= bound => Ok(read),
            (_, Some(Unread::Failed(why))) => Err(Box::new(Finding::unknown(
                "NotRead",
                format!("{what} could not be read: {why}"),
                "read the operator's log and the API server's; the operator tries again within a minute",
            ))),
            (None, _) => Err(Box::new(Finding::not_asked_yet("the API server"))),
            (Some(_), _) => Err(Box::new(Finding::unknown(
                "ReadTooLongAgo",
                format!("{what} was not read recently"),
                "restart the operator; compare the clocks of the machines",
            ))),
        }
    }

    /// Whether the operator lacks the right to read it.
    pub fn is_not_permitted(&self) -> bool {
        matches!(self.failure, Some(Unread::NotPermitted(_)))
    }
}

impl<T: PartialEq> Reading<T> {
    fn says_the_same(&self, other: &Self) -> bool {
        let same = match (&self.last, &other.last) {
            (Some((one, _)), Some((another, _))) => one == another,
            (one, another) => one.is_none() && another.is_none(),
        };
        same && self.failure == other.failure
    }
}

fn say_the_same<T: PartialEq>(
    some: &BTreeMap<String, Reading<T>>,
    others: &BTreeMap<String, Reading<T>>,
) -> bool {
    some.len() == others.len()
        && some.iter().all(|(name, one)| others.get(name).is_some_and(|other| one.says_the_same(other)))
}

/// What the operator reads beyond its namespaces is one ClusterRole, which the chart can leave out.
pub(super) fn no_permission(right: &str) -> Finding {
    Finding::unknown(
        "NoPermission",
        format!("the operator may not {right}"),
        "install the chart with checklist.readCluster=true: it grants this by the ClusterRole tessera-operator-checklist",
    )
}

impl ClusterFacts {
    /// Whether there is something to tell: when it was read is not.
    pub fn differs_from(&self, other: &Self) -> bool {
        !(say_the_same(&self.machines, &other.machines)
            && say_the_same(&self.ssh, &other.ssh)
            && self.node_machines == other.node_machines
            && self.exec.says_the_same(&other.exec)
            && self.pod_security.says_the_same(&other.pod_security)
            && self.holders.says_the_same(&other.holders)
            && self.addresses.says_the_same(&other.addresses)
            && self.store_namespace.says_the_same(&other.store_namespace)
            && self.store_pods.says_the_same(&other.store_pods))
    }

    /// Whether `machine` runs nothing but pods of ours, of a `DaemonSet` and of the system; `None`: nobody looked recently.
    pub fn is_dedicated(&self, machine: &str, now: Timestamp) -> Option<bool> {
        let reading = self.machines.get(machine)?;
        let machine = reading.fresh("the machine", self.probe_every, now).ok()?;
        Some(machine.stranger.is_none())
    }

    /// Whether all of `machines` are; `None`: of one nobody knows, or there is none.
    pub fn are_dedicated<'m>(
        &self,
        machines: impl IntoIterator<Item = &'m str>,
        now: Timestamp,
    ) -> Option<bool> {
        let all: Vec<_> = machines.into_iter().map(|machine| self.is_dedicated(machine, now)).collect();
        if all.contains(&Some(false)) {
            return Some(false);
        }
        (!all.is_empty() && all.iter().all(Option::is_some)).then_some(true)
    }
}
