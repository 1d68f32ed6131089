//! `NoRemoteRoot`: no remote root access to nodes, nor to the machines of nodes and secret store. Pure.
//!
//! - Enforced by: the chart's policies, which deny exec, attach and port-forward into pods of nodes; Pod Security.
//! - Observed by: the API server. The operator asks to exec into the one pod that nobody may make: RBAC lets the request through, so
//!   the answer is the policy's denial, or what comes after admission: that there is no such pod (from Kubernetes 1.35 on, a refusal
//!   without a reason). Where no policy guards the name, the control, the answer is the latter. The labels of the namespace, and
//!   who holds rights that lead past the policies on pods.
//! - Observed by: the operator. It tries port 22 of the machines, which must be closed while the kubelet answers (`ssh.rs`).
//! - A person attests: the machines. Ways in that no pod can try are many.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tessera_crds::checklist::{Line, Observer, PartName};
use tessera_crds::names;

use super::cluster::{ClusterFacts, ExecAnswer, ExecProbe};
use super::facts::NetworkFacts;
use super::finding::Finding;
use super::nodes_proxy::Holder;
use super::ssh::with_trials;
use super::store_paths::ServiceName;
use super::{EVIDENCE_LASTS, NetworkLine};

pub(super) const OF_NETWORK: NetworkLine =
    NetworkLine { id: Line::NoRemoteRoot, evidence_lasts: EVIDENCE_LASTS, judge };

/// The chart's policies that deny exec: on the names of our pods, and on all pods of a labelled namespace. Of two that deny, the
/// API server names any one.
const POLICIES: [&str; 2] = ["tessera-operator-connect", "tessera-operator-guarded-pods"];

fn judge(facts: &NetworkFacts<'_>, now: Timestamp) -> Finding {
    Finding::of_parts(vec![
        (PartName::Pod, of_pods(facts.cluster, now)),
        (PartName::Host, of_hosts(facts, now)),
        (PartName::StoreHost, of_store_hosts(facts, now)),
    ])
}

fn of_hosts(facts: &NetworkFacts<'_>, now: Timestamp) -> Finding {
    let what = "nobody has remote root access to the machines";
    let machines: Vec<_> = facts.cluster.node_machines.iter().map(String::as_str).collect();
    with_trials(facts.statements.attested(Line::NoRemoteRoot, what), &machines, facts.cluster, now)
}

/// The machines of a secret store elsewhere are not known.
fn of_store_hosts(facts: &NetworkFacts<'_>, now: Timestamp) -> Finding {
    let what = "nobody has remote root access to the secret store's machines";
    let stated = facts.statements.attested(Line::NoRemoteRoot, what);
    let cluster = facts.cluster;
    if facts.vault.and_then(|vault| ServiceName::of(vault.address.as_ref())).is_none() {
        return stated;
    }
    let last = cluster.store_pods.last.iter().flat_map(|(pods, _)| pods).map(|pod| pod.machine.as_str());
    let machines: BTreeSet<_> = last.filter(|machine| !machine.is_empty()).collect();
    let tried = with_trials(stated, &Vec::from_iter(machines), cluster, now);
    match cluster.store_pods.fresh("the secret store's pods", cluster.probe_every, now) {
        // What is open is open, also where nobody knows any longer on which machines the store is.
        Err(unread) if tried.result >= unread.result => *unread,
        _ => tried,
    }
}

/// The worst of three; the first of those that are equally bad.
fn of_pods(cluster: &ClusterFacts, now: Timestamp) -> Finding {
    let exec = cluster.exec.fresh("the answer to a request to exec", cluster.probe_every, now);
    let labels = cluster.pod_security.fresh("the labels of the namespace", cluster.probe_every, now);
    let holders = cluster.holders.fresh("who holds nodes/proxy", cluster.probe_every, now);
    let findings = [
        exec.map_or_else(|unread| Some(*unread), of_exec),
        labels.map_or_else(|unread| Some(*unread), |level| of_labels(level.as_deref())),
        holders.map_or_else(|unread| Some(*unread), |holders| of_holders(holders)),
    ];
    let worst = findings.into_iter().flatten().min_by_key(|finding| finding.result);
    worst.unwrap_or_else(|| {
        let observed = format!(
            "a policy of the chart denies exec into pod {} (control: not denied in the operator's namespace, where no policy guards it); the namespace enforces Pod Security restricted; nobody holds nodes/proxy or nodes/checkpoint, Kubernetes' own controllers and cluster-admin (group system:masters) aside",
            names::EXEC_PROBE
        );
        Finding::verified(Observer::ApiServer, observed)
    })
}

/// `None`: a policy of ours denies exec.
fn of_exec(probe: &ExecProbe) -> Option<Finding> {
    let pod = names::EXEC_PROBE;
    match (&probe.here, &probe.control) {
        (ExecAnswer::Reached, _) => Some(Finding::violated(
            "ExecNotGuarded",
            Observer::ApiServer,
            format!("no policy denies exec into pod {pod}, which has the name of a node's pod"),
            "install the chart with admission.enabled=true; restore the ValidatingAdmissionPolicy tessera-operator-connect and its binding: helm upgrade",
        )),
        (ExecAnswer::NotPermitted, _) => Some(Finding::unknown(
            "NoPermission",
            format!("the operator may not get pods/exec of {pod}, so RBAC denies what a policy should"),
            "restore the Role tessera-operator-exec-probe in the network's namespace and the operator's own: helm upgrade",
        )),
        (ExecAnswer::DeniedByPolicy(policy), control) if POLICIES.contains(&policy.as_str()) => {
            of_control(control)
        }
        (ExecAnswer::DeniedByPolicy(policy), _) => Some(denied_by_another(policy)),
        (ExecAnswer::DeniedByOther(words), _) => Some(denied_by_another(words)),
    }
}

fn denied_by_another(who: &str) -> Finding {
    Finding::unknown(
        "DeniedByAnother",
        format!("something else than the chart's policy denies exec into pod {}: {who}", names::EXEC_PROBE),
        "let the policy or webhook that is named pass the operator's request, so that the chart's own policy is seen",
    )
}

/// A denial counts only if the same request is not denied where no policy guards.
fn of_control(control: &ExecAnswer) -> Option<Finding> {
    let how = match control {
        ExecAnswer::Reached => return None,
        ExecAnswer::NotPermitted => "RBAC",
        ExecAnswer::DeniedByPolicy(words) | ExecAnswer::DeniedByOther(words) => words,
    };
    Some(Finding::unknown(
        "ControlFailed",
        format!(
            "the control failed: exec into pod {} is denied in the operator's namespace, too: {how}",
            names::EXEC_PROBE
        ),
        "restore the Role tessera-operator-exec-probe and the policy tessera-operator-connect as the chart has them: helm upgrade",
    ))
}

fn of_labels(level: Option<&str>) -> Option<Finding> {
    if level == Some("restricted") {
        return None;
    }
    let observed = match level {
        Some(level) => format!("the network's namespace enforces Pod Security {level}, not restricted"),
        None => "the network's namespace enforces no level of Pod Security".to_owned(),
    };
    Some(Finding::violated(
        "PodSecurityNotRestricted",
        Observer::ApiServer,
        observed,
        "label the namespace pod-security.kubernetes.io/enforce=restricted",
    ))
}

/// So many are named.
const NAMED: usize = 3;

fn of_holders(holders: &[Holder]) -> Option<Finding> {
    let named = holders.iter().take(NAMED);
    let named: Vec<_> =
        named.map(|holder| format!("{} (ClusterRoleBinding {})", holder.subject, holder.binding)).collect();
    let more = match holders.len().saturating_sub(NAMED) {
        _ if named.is_empty() => return None,
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(Finding::violated(
        "NodesProxyHeld",
        Observer::ApiServer,
        format!(
            "nodes/proxy or nodes/checkpoint, which lead into every container past the policies on pods, are held by {}{more}",
            named.join(", ")
        ),
        "delete the ClusterRoleBinding that is named, or take nodes/proxy and wildcards out of its ClusterRole (a scraper of the kubelet needs nodes/metrics only)",
    ))
}
