//! `NoRemoteRoot`, `SecretStoreIsolation` and `SecretStoreTenancy`: what the API server answers of the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use serde_json::{Value, json};

use super::*;
use crate::checklist::cluster::{ClusterFacts, ExecAnswer, ExecProbe, Reading, Unread};
use crate::checklist::machines::Machine;
use crate::checklist::nodes_proxy::{self, Holder};
use crate::checklist::ssh::SshTrial;
use crate::checklist::store_paths::{ServiceFacts, StoreNamespace, StorePod};
use crate::fixtures::{network, network_json};

pub(super) fn read<T>(what: T) -> Reading<T> {
    Reading { last: Some((what, now())), failure: None }
}

/// All that there is to read, and nothing wrong. The store of the fixture is Service `vault` in namespace `vault`.
pub(super) fn good() -> ClusterFacts {
    let denied = ExecAnswer::DeniedByPolicy("tessera-operator-connect".into());
    let store = Machine {
        tainted: true,
        pods: vec!["vault/vault-0".into()],
        stranger: Some("vault/vault-0".into()),
        ..Machine::default()
    };
    let nodes = Machine { pods: vec!["org-a/tessera-a-0".into()], ..Machine::default() };
    ClusterFacts {
        probe_every: SignedDuration::from_mins(15),
        exec: read(ExecProbe { here: denied, control: ExecAnswer::Reached }),
        pod_security: read(Some("restricted".into())),
        holders: read(Vec::new()),
        addresses: read(vec!["10.96.0.7".parse().unwrap()]),
        store_namespace: read(Arc::new(StoreNamespace { services: vec![service()], routes: Vec::new() })),
        store_pods: read(vec![pod()]),
        machines: BTreeMap::from([("m-store".into(), read(store)), ("m-nodes".into(), read(nodes))]),
        node_machines: ["m-nodes".to_owned()].into(),
        ssh: ["m-store", "m-nodes"].map(|name| (name.to_owned(), read(SshTrial::Closed))).into(),
    }
}

pub(super) fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([("app".to_owned(), "vault".to_owned())])
}

pub(super) fn service() -> ServiceFacts {
    ServiceFacts {
        name: "vault".into(),
        kind: "ClusterIP".into(),
        has_external_ips: false,
        selector: labels(),
    }
}

pub(super) fn pod() -> StorePod {
    StorePod {
        path: "vault/vault-0".into(),
        labels: labels(),
        machine: "m-store".into(),
        on_host_network: false,
    }
}

pub(super) fn judge_at(cluster: &ClusterFacts, address: &str, id: Line, at: Timestamp) -> Finding {
    judge_stated(cluster, address, Statements::default(), id, at)
}

pub(super) fn judge_stated(
    cluster: &ClusterFacts,
    address: &str,
    statements: Statements,
    id: Line,
    at: Timestamp,
) -> Finding {
    let mut json = network_json();
    json["spec"]["secretStore"]["vault"]["address"] = address.into();
    let network = network(json);
    let facts = NetworkFacts {
        vault: network.spec.secret_store.vault.as_ref(),
        statements,
        cluster,
        ..network_facts()
    };
    let line = NETWORK_LINES.iter().find(|line| line.id == id).unwrap();
    (line.judge)(&facts, at)
}

pub(super) const IN_CLUSTER: &str = "https://vault.vault.svc:8200";

fn judge(cluster: &ClusterFacts, id: Line) -> Finding {
    judge_at(cluster, IN_CLUSTER, id, now())
}

fn after(id: Line, change: impl FnOnce(&mut ClusterFacts)) -> String {
    let mut cluster = good();
    change(&mut cluster);
    said(&judge(&cluster, id))
}

fn exec(here: ExecAnswer, control: ExecAnswer) -> String {
    after(Line::NoRemoteRoot, |cluster| cluster.exec = read(ExecProbe { here, control }))
}

#[test]
fn a_denial_counts_when_it_names_our_policy_and_the_control_is_not_denied() {
    let holds = judge(&good(), Line::NoRemoteRoot);
    assert_eq!(part(&holds, "Pod"), LineResult::Verified);
    assert_eq!(said(&holds), "Unknown NotAttested", "nobody speaks for the machines");
    let by = |policy: &str| ExecAnswer::DeniedByPolicy(policy.into());
    let (ours, reached) = (|| by("tessera-operator-connect"), || ExecAnswer::Reached);
    assert_eq!(exec(by("tessera-operator-guarded-pods"), reached()), "Unknown NotAttested");
    assert_eq!(exec(reached(), reached()), "Violated ExecNotGuarded");
    assert_eq!(exec(ours(), ours()), "Unknown ControlFailed");
    assert_eq!(exec(ours(), ExecAnswer::NotPermitted), "Unknown ControlFailed");
    assert_eq!(exec(by("somebody-s"), reached()), "Unknown DeniedByAnother");
    assert_eq!(exec(ExecAnswer::DeniedByOther("a webhook".into()), reached()), "Unknown DeniedByAnother");
    assert_eq!(exec(ExecAnswer::NotPermitted, ExecAnswer::NotPermitted), "Unknown NoPermission");
}

#[test]
fn labels_and_holders_are_named() {
    let line = Line::NoRemoteRoot;
    let level =
        |level: Option<&str>| after(line, |cluster| cluster.pod_security = read(level.map(str::to_owned)));
    assert_eq!(level(None), "Violated PodSecurityNotRestricted");
    assert_eq!(level(Some("baseline")), "Violated PodSecurityNotRestricted");
    let holder = |name: u32| Holder { binding: format!("b{name}"), subject: format!("User u{name}") };
    let mut cluster = good();
    cluster.holders = read((0..5).map(holder).collect());
    let held = judge(&cluster, line);
    assert_eq!(said(&held), "Violated NodesProxyHeld");
    assert!(held.observed.contains("User u2 (ClusterRoleBinding b2) and 2 more"), "{}", held.observed);
    cluster.holders = Reading { last: None, failure: Some(Unread::NotPermitted("list ClusterRoles".into())) };
    let closed = judge(&cluster, line);
    assert_eq!(said(&closed), "Unknown NoPermission");
    let told = format!("{} {:?}", closed.observed, closed.remedy);
    assert!(told.contains("list ClusterRoles") && told.contains("checklist.readCluster"), "{told}");
}

fn binding(name: &str, role: &str, subjects: &Value) -> ClusterRoleBinding {
    serde_json::from_value(json!({
        "metadata": {"name": name}, "subjects": subjects,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
    }))
    .unwrap()
}

#[test]
fn a_role_grants_a_way_in_by_name_and_by_wildcard() {
    let grants = |group: &str, resource: &str, verb: &str| {
        let role = json!({"metadata": {"name": "r"}, "rules": [
            {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]},
            {"apiGroups": [group], "resources": [resource], "verbs": [verb]},
        ]});
        nodes_proxy::grants(&serde_json::from_value::<ClusterRole>(role).unwrap())
    };
    for (resource, verb) in [
        ("nodes/proxy", "get"),
        ("nodes/checkpoint", "create"),
        ("*", "*"),
        ("*/proxy", "get"),
        ("nodes/proxy", "*"),
    ] {
        assert!(grants("", resource, verb) && grants("*", resource, verb), "{resource} {verb}");
    }
    for (group, resource, verb) in [
        ("", "nodes", "get"),
        ("", "nodes/metrics", "get"),
        ("", "*", "list"),
        ("apps", "*", "*"),
        ("", "services/proxy", "get"),
    ] {
        assert!(!grants(group, resource, verb), "{group} {resource} {verb}");
    }
}

#[test]
fn only_kubernetes_own_subjects_are_passed_over_and_only_in_their_own_bindings() {
    let roles = ["cluster-admin", "system:controller:namespace-controller", "system:kubelet-api-admin"];
    let roles = roles.map(str::to_owned).into();
    let found = |name: &str, role: &str, subject: Value| {
        nodes_proxy::holders(&binding(name, role, &json!([subject])), &roles).len()
    };
    let group = |name: &str| json!({"kind": "Group", "name": name, "apiGroup": "rbac.authorization.k8s.io"});
    let user = |name: &str| json!({"kind": "User", "name": name});
    let account =
        |namespace: &str, name: &str| json!({"kind": "ServiceAccount", "namespace": namespace, "name": name});
    let controller = "system:controller:namespace-controller";
    assert_eq!(found("cluster-admin", "cluster-admin", group("system:masters")), 0);
    assert_eq!(found("kubeadm:cluster-admins", "cluster-admin", group("kubeadm:cluster-admins")), 0);
    assert_eq!(found("x", "system:kubelet-api-admin", user("kube-apiserver-kubelet-client")), 0);
    assert_eq!(found(controller, controller, account("kube-system", "namespace-controller")), 0);
    assert_eq!(found("x", "view", user("alice")), 0, "another role");
    assert_eq!(found("cluster-admin", "cluster-admin", user("alice")), 1);
    assert_eq!(found("cluster-admin", "cluster-admin", group("system:authenticated")), 1);
    assert_eq!(found(controller, controller, account("kube-system", "prometheus")), 1);
    assert_eq!(found(controller, controller, account("default", "namespace-controller")), 1);
    assert_eq!(found("mine", controller, account("kube-system", "namespace-controller")), 1);
    assert_eq!(found("mine", "system:kubelet-api-admin", user("alice")), 1);
}

#[test]
fn who_shares_the_store_s_machine_is_named_and_a_machine_of_its_own_proves_no_more_than_that() {
    let line = Line::SecretStoreTenancy;
    let alone = judge(&good(), line);
    assert_eq!(said(&alone), "Unknown NotAttested", "whom the store serves no machine shows");
    assert!(alone.observed.contains("a taint keeps others away"), "{}", alone.observed);
    let store = |change: fn(&mut Machine)| {
        let mut cluster = good();
        let machine = cluster.machines.get_mut("m-store").unwrap();
        change(&mut machine.last.as_mut().unwrap().0);
        judge(&cluster, line)
    };
    assert!(store(|machine| machine.tainted = false).observed.contains("no taint"));
    let shared = store(|machine| machine.pods.push("web/shop-1".into()));
    assert_eq!(said(&shared), "Violated SharedMachine");
    assert!(
        shared.observed.contains("m-store") && shared.observed.contains("web/shop-1"),
        "{}",
        shared.observed
    );
    let refused = Some(Unread::NotPermitted("list pods".into()));
    let closed = after(line, |cluster| cluster.store_pods = Reading { last: None, failure: refused });
    assert_eq!(closed, "Unknown NotAttested");
    assert_eq!(after(line, |cluster| cluster.machines.clear()), "Unknown NotAskedYet");
    let outside = judge_at(&good(), "https://vault.bank.example:8200", line, now());
    assert!(!outside.observed.contains("machine"), "{}", outside.observed);
}

#[test]
fn machines_are_dedicated_when_all_on_them_is_ours_or_the_system_s() {
    let pod = |namespace: &str, name: &str, labels: Value, owner: &str| {
        let owner =
            json!([{"apiVersion": "apps/v1", "kind": owner, "name": "o", "uid": "u", "controller": true}]);
        serde_json::from_value::<kube::api::ObjectMeta>(
            json!({"namespace": namespace, "name": name, "labels": labels, "ownerReferences": owner}),
        )
        .unwrap()
    };
    let of_node = json!({"app.kubernetes.io/name": "tessera-node"});
    let operator = json!({"app.kubernetes.io/name": "tessera-operator"});
    let ours = [
        pod("org-a", "tessera-a-0", of_node.clone(), "StatefulSet"),
        pod("tessera-system", "tessera-operator-1", operator.clone(), "ReplicaSet"),
        pod("kube-system", "coredns-1", json!({}), "ReplicaSet"),
        pod("logs", "shipper-1", json!({}), "DaemonSet"),
        pod("etcd", "etcd-m", json!({}), "Node"),
    ];
    let stranger = |pods: &[kube::api::ObjectMeta]| {
        let mut machine = Machine::default();
        machine.take_in(pods, |namespace| namespace == "org-a", "tessera-system");
        machine.stranger.map(String::from)
    };
    assert_eq!(stranger(&ours), None);
    for pod in [
        pod("web", "shop-1", json!({}), "ReplicaSet"),
        pod("web", "tessera-a-0", of_node, "StatefulSet"),
        pod("org-a", "tessera-operator-1", operator, "ReplicaSet"),
        pod("org-a", "geth-0", json!({}), "StatefulSet"),
    ] {
        let all: Vec<_> = ours.iter().cloned().chain([pod.clone()]).collect();
        assert_eq!(stranger(&all), Some(machines::path(&pod)));
    }
    let cluster = good();
    assert_eq!(cluster.is_dedicated("m-nodes", now()), Some(true));
    assert_eq!(cluster.are_dedicated(["m-nodes", "m-store"], now()), Some(false));
    assert_eq!(cluster.are_dedicated(["m-nodes", "m-other"], now()), None);
    assert_eq!(cluster.are_dedicated([], now()), None);
    assert_eq!(cluster.is_dedicated("m-nodes", now() + SignedDuration::from_hours(1)), None, "too long ago");
}

#[test]
fn the_oldest_pod_is_named_so_that_the_pods_of_jobs_change_no_text() {
    let pod = |name: &str, created: &str| {
        serde_json::from_value::<kube::api::ObjectMeta>(
            json!({"namespace": "web", "name": name, "creationTimestamp": created}),
        )
        .unwrap()
    };
    let shop = pod("shop-1", "2026-11-01T00:00:00Z");
    for job in ["backup-1", "backup-2", "zip-1"] {
        let mut machine = Machine::default();
        machine.take_in([&pod(job, "2026-11-02T00:00:00Z"), &shop], |_| false, "tessera-system");
        assert_eq!(machine.first_other(&[]), Some("web/shop-1"));
        assert_eq!(machine.stranger.as_deref(), Some("web/shop-1"));
    }
}

#[test]
fn taints_of_a_machine_s_state_dedicate_it_to_nothing() {
    let tainted = |key, effect| Machine::with_taints([(key, effect)]).tainted;
    assert!(tainted("dedicated", "NoSchedule") && tainted("vault", "NoExecute"));
    assert!(!tainted("dedicated", "PreferNoSchedule"));
    assert!(!tainted("node.kubernetes.io/not-ready", "NoExecute"));
}

#[test]
fn only_what_was_read_wakes_a_network_not_when() {
    let (cluster, mut later) = (good(), good());
    later.holders.last.as_mut().unwrap().1 = now() + SignedDuration::from_mins(15);
    assert!(!cluster.differs_from(&later));
    later.pod_security = read(None);
    assert!(cluster.differs_from(&later));
}

/// Takes one fact away in one of four ways.
pub(super) fn spoil<T>(reading: &mut Reading<T>, how: usize) {
    match how {
        0 => *reading = Reading::default(),
        1 => reading.failure = Some(Unread::NotPermitted("list it".into())),
        2 => *reading = Reading { last: None, failure: Some(Unread::Failed("timed out".into())) },
        _ => reading.last.iter_mut().for_each(|last| last.1 = now() - SignedDuration::from_hours(1)),
    }
}

proptest! {
    /// No combination with a missing, refused or stale fact is Verified, nor Enforced where it rests on that fact.
    #[test]
    fn a_reading_that_is_missing_is_never_made_up_for(which in 0_usize..7, how in 0_usize..4, other in 0_usize..7) {
        let mut cluster = good();
        for which in [which, other] {
            match which {
                0 => spoil(&mut cluster.exec, how),
                1 => spoil(&mut cluster.pod_security, how),
                2 => spoil(&mut cluster.holders, how),
                3 => spoil(&mut cluster.addresses, how),
                4 => spoil(&mut cluster.store_namespace, how),
                5 => spoil(&mut cluster.store_pods, how),
                _ => cluster.machines.values_mut().for_each(|machine| spoil(machine, how)),
            }
        }
        let spoilt = |facts: &[usize]| facts.contains(&which) || facts.contains(&other);
        let root = judge(&cluster, Line::NoRemoteRoot);
        prop_assert_eq!(part(&root, "Pod") == LineResult::Verified, !spoilt(&[0, 1, 2]));
        let isolation = judge(&cluster, Line::SecretStoreIsolation);
        prop_assert_eq!(isolation.result == LineResult::Enforced, !spoilt(&[3, 4, 5]), "{:?}", isolation);
        for line in [Line::NoRemoteRoot, Line::SecretStoreIsolation, Line::SecretStoreTenancy] {
            let finding = judge(&cluster, line);
            prop_assert!(finding.result <= LineResult::Enforced && finding.remedy.is_some(), "{:?}", finding);
        }
    }

    /// What says that exec is open, or who holds a right, is never overruled by what else is missing.
    #[test]
    fn a_violation_stands_whatever_else_is_missing(how in 0_usize..4) {
        let mut cluster = good();
        cluster.exec = read(ExecProbe { here: ExecAnswer::Reached, control: ExecAnswer::Reached });
        spoil(&mut cluster.pod_security, how);
        spoil(&mut cluster.holders, how);
        prop_assert_eq!(said(&judge(&cluster, Line::NoRemoteRoot)), "Violated ExecNotGuarded");
    }
}
