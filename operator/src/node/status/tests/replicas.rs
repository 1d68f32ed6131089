//! A node of several pods: it serves while one does, and what all must have is judged by the one that is behind.

use super::*;

/// Three pods of a node with a database, all ready.
fn three() -> World {
    let mut world = ready();
    world.object["spec"]["replicas"] = json!(3);
    world.object["spec"]["storage"] = json!({"type": "Postgres", "postgres": {
        "connection": {"type": "SecretRef", "secretRef": {"name": "database", "key": "connection"}},
        "caBundleRef": {"name": "database-ca"},
        "egress": [{"cidr": "10.1.2.3/32", "port": 5432}],
    }});
    world.observed.volume = ObservedVolume::InDatabase;
    world.observed.workload = Some(Workload { replicas: 3, ready_replicas: 3, up_to_date: true });
    let pod = world.observed.pods[0].clone();
    world.observed.pods = (0..3)
        .map(|number| ObservedPod { name: format!("tessera-node-a-{number}"), ..pod.clone() })
        .collect();
    world
}

impl World {
    fn report_of(&mut self, pod: usize) -> &mut admin::Status {
        self.observed.pods[pod].status.as_mut().unwrap()
    }
}

fn message(status: &TesseraNodeStatus, type_: ConditionType) -> String {
    find(&status.conditions, type_).unwrap().message.clone()
}

#[test]
fn three_pods_that_serve_read_as_one() {
    let (one, three) = (ready().status(), three().status());
    for type_ in [ConditionType::Ready, ConditionType::KeysReady, ConditionType::CertificatesServed] {
        assert_eq!(reason(&three, type_), reason(&one, type_));
        assert_eq!(message(&three, type_), message(&one, type_));
    }
    assert_eq!(three.default_key, one.default_key);
    assert_eq!(three.pods.len(), 3);
    assert!(find(&three.conditions, ConditionType::Reconciling).is_none());
}

#[test]
fn a_node_serves_while_one_pod_does_and_says_why_the_others_do_not() {
    let mut world = three();
    world.observed.pods[0].status = Err(Silence::NotRunning);
    world.observed.pods[0].ready = false;
    world.observed.pods[2].ready = false;
    world.report_of(2).ready = false;
    world.report_of(2).awaiting = vec!["the database cannot be used: no route".into()];
    let status = world.status();
    assert_eq!(reason(&status, ConditionType::Ready), "True Ready");
    let short = "1 of 3 pods serve: pod tessera-node-a-0: the pod is not running; pod tessera-node-a-2: the database cannot be used: no route";
    assert_eq!(message(&status, ConditionType::Ready), format!("the node serves; {short}"));
    assert_eq!(reason(&status, ConditionType::Reconciling), "True Progressing");
    assert_eq!(message(&status, ConditionType::Reconciling), short);
}

#[test]
fn no_pod_that_serves_is_no_service() {
    let mut world = three();
    for pod in &mut world.observed.pods {
        pod.ready = false;
        let report = pod.status.as_mut().unwrap();
        report.ready = false;
        report.awaiting = vec!["ports are not bound yet".into()];
    }
    let status = world.status();
    assert_eq!(reason(&status, ConditionType::Ready), "False NotReady");
}

#[test]
fn a_pod_that_is_not_there_yet_is_counted() {
    let mut world = three();
    world.observed.pods.pop();
    let status = world.status();
    assert_eq!(message(&status, ConditionType::Ready), "the node serves; 2 of 3 pods serve: 1 not there yet");
}

#[test]
fn keys_are_ready_once_every_pod_has_them_and_uses_them() {
    let mut world = three();
    let newest = world.report_of(1).keys.pop().unwrap();
    let status = world.status();
    assert_eq!(reason(&status, ConditionType::KeysReady), "False Waiting");
    let lacks = message(&status, ConditionType::KeysReady);
    assert!(
        lacks.starts_with("pod tessera-node-a-1: version 2 of key main is not in the node's memory"),
        "{lacks}"
    );

    let mut world = three();
    let waiting = world.report_of(0).keys.last_mut().unwrap();
    waiting.state = admin::KeyState::Receiving;
    waiting.waits_for = vec!["tessera-node-a-1".into()];
    let status = world.status();
    assert_eq!(reason(&status, ConditionType::KeysReady), "False RotationInProgress");
    assert_eq!(
        message(&status, ConditionType::KeysReady),
        "pod tessera-node-a-0: version 2 of key main is not in use yet: pods that have not loaded it: tessera-node-a-1"
    );
    let shown = status.keys.iter().find(|key| key.public_key == newest.public_key).unwrap();
    assert_eq!(
        shown.state,
        tessera_crds::api::node::KeyState::Receiving,
        "not all pods say that it is default"
    );
}

#[test]
fn one_pod_that_serves_an_old_certificate_is_named() {
    let mut world = three();
    world.report_of(2).certificate.as_mut().unwrap().fingerprint = "another".into();
    let status = world.status();
    assert_eq!(reason(&status, ConditionType::CertificatesServed), "False IssuedNotServed");
    assert!(message(&status, ConditionType::CertificatesServed).starts_with("pod tessera-node-a-2: "));
}

#[test]
fn pods_with_two_payload_stores_are_no_node() {
    let mut world = three();
    let store = |id: &str| admin::PayloadStoreStatus { id: id.into(), lost: Vec::new(), format: None };
    world.report_of(0).payload_store = Some(store("one"));
    world.report_of(2).payload_store = Some(store("other"));
    let status = world.status();
    assert_eq!(reason(&status, ConditionType::Ready), "False NotReady");
    let said = message(&status, ConditionType::Ready);
    assert!(
        said.contains("tessera-node-a-0 and tessera-node-a-2 have two payload stores, one and other"),
        "{said}"
    );
}
