//! `SecretStoreIsolation`: what leads to the secret store.

use std::sync::Arc;

use tessera_crds::checklist::LineResult;

use super::cluster::{IN_CLUSTER, good, judge_at, labels, pod, service};
use super::*;
use crate::checklist::cluster::ClusterFacts;
use crate::checklist::store_paths::{RouteFacts, ServiceFacts, ServiceName, StoreNamespace, is_private};

const LINE: Line = Line::SecretStoreIsolation;

fn with(change: impl FnOnce(&mut StoreNamespace)) -> Finding {
    let mut cluster = good();
    let mut namespace = StoreNamespace { services: vec![service()], routes: Vec::new() };
    change(&mut namespace);
    cluster.store_namespace.last = Some((Arc::new(namespace), now()));
    judge_at(&cluster, IN_CLUSTER, LINE, now())
}

fn at(address: &str, change: impl FnOnce(&mut ClusterFacts)) -> String {
    let mut cluster = good();
    change(&mut cluster);
    said(&judge_at(&cluster, address, LINE, now()))
}

#[test]
fn a_store_that_nothing_leads_to_is_enforced_until_a_stranger_tries() {
    let good = with(|_| ());
    assert_eq!(said(&good), "Enforced NoStranger");
    assert!(good.observed.contains("namespace vault"), "{}", good.observed);
    let of_route = |kind: &str, backend: &str| {
        with(|namespace| {
            namespace.routes.push(RouteFacts {
                kind: kind.into(),
                name: "public".into(),
                backends: [backend.to_owned()].into(),
            });
        })
    };
    assert_eq!(said(&of_route("Ingress", "vault")), "Violated ExposedByIngress");
    assert!(of_route("Ingress", "vault").observed.contains("Ingress public with backend vault"));
    assert_eq!(said(&of_route("HTTPRoute", "vault")), "Violated ExposedByHTTPRoute");
    assert_eq!(said(&of_route("Ingress", "web")), "Enforced NoStranger", "it leads elsewhere");
}

#[test]
fn a_service_leads_to_the_store_by_name_by_selector_or_by_its_pods() {
    let of_service = |change: fn(&mut ServiceFacts)| {
        with(|namespace| {
            let mut public = ServiceFacts { name: "public".into(), kind: "NodePort".into(), ..service() };
            change(&mut public);
            namespace.services.push(public);
        })
    };
    let by_selector = of_service(|_| ());
    assert_eq!(said(&by_selector), "Violated ExposedByService");
    assert!(by_selector.observed.contains("Service public of type NodePort"), "{}", by_selector.observed);
    assert_eq!(
        said(&of_service(|service| service.kind = "LoadBalancer".into())),
        "Violated ExposedByService"
    );
    let external = |service: &mut ServiceFacts| {
        (service.kind, service.has_external_ips) = ("ClusterIP".into(), true);
    };
    assert_eq!(said(&of_service(external)), "Violated ExposedByService");
    assert_eq!(said(&of_service(|service| service.kind = "ClusterIP".into())), "Enforced NoStranger");
    assert_eq!(
        said(&of_service(|service| service.selector = [("app".to_owned(), "web".to_owned())].into())),
        "Enforced NoStranger",
        "it leads to other pods"
    );
    assert_eq!(said(&of_service(|service| service.selector.clear())), "Enforced NoStranger");
    // A pod of the store has more labels than the store's own Service asks for.
    let by_pod = at(IN_CLUSTER, |cluster| {
        let mut pod = pod();
        pod.labels.insert("role".into(), "leader".into());
        cluster.store_pods.last = Some((vec![pod], now()));
        let public = ServiceFacts {
            name: "public".into(),
            kind: "NodePort".into(),
            has_external_ips: false,
            selector: [("role".to_owned(), "leader".to_owned())].into(),
        };
        let namespace = StoreNamespace { services: vec![service(), public], routes: Vec::new() };
        cluster.store_namespace.last = Some((Arc::new(namespace), now()));
    });
    assert_eq!(by_pod, "Violated ExposedByService");
    let on_machine = at(IN_CLUSTER, |cluster| {
        let pod = crate::checklist::store_paths::StorePod { on_host_network: true, ..pod() };
        cluster.store_pods.last = Some((vec![pod], now()));
    });
    assert_eq!(on_machine, "Violated ExposedByPod");
    assert_eq!(labels().len(), 1);
}

#[test]
fn an_address_of_the_internet_is_violated_wherever_the_store_is() {
    let outside = "https://vault.bank.example:8200";
    assert_eq!(at(outside, |_| ()), "Enforced NoStranger");
    let resolves = |address: &str, to: &[&str]| {
        at(address, |cluster| {
            let found = to.iter().map(|address| address.parse().unwrap()).collect();
            cluster.addresses.last = Some((found, now()));
        })
    };
    for address in [IN_CLUSTER, outside] {
        assert_eq!(resolves(address, &["10.0.0.1", "203.0.113.9"]), "Violated PublicAddress");
        assert_eq!(resolves(address, &[]), "Unknown NoAddress");
        assert_eq!(resolves(address, &["fd00::1"]), "Enforced NoStranger");
    }
    assert_eq!(said(&with(|namespace| namespace.services.clear())), "Unknown NoSuchService");
    assert_eq!(with(|_| ()).result, LineResult::Enforced);
}

#[test]
fn private_ranges_are_those_that_no_router_of_the_internet_passes_on() {
    let private = |text: &str| is_private(text.parse().unwrap());
    for address in [
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "127.0.0.1",
        "169.254.1.1",
        "100.64.0.1",
        "100.127.255.255",
        "::1",
        "fd12::1",
        "fe80::1",
        "::ffff:10.0.0.1",
    ] {
        assert!(private(address), "{address}");
    }
    for address in
        ["172.32.0.1", "100.128.0.1", "100.63.255.255", "8.8.8.8", "2001:db8::1", "::ffff:8.8.8.8", "0.0.0.0"]
    {
        assert!(!private(address), "{address}");
    }
}

#[test]
fn the_name_of_a_service_is_read_from_the_address() {
    let of =
        |address: &str| ServiceName::of(address).map(|name| format!("{}/{}", name.namespace, name.service));
    assert_eq!(of("https://vault.secrets.svc:8200").as_deref(), Some("secrets/vault"));
    assert_eq!(of("https://Vault.secrets.svc.cluster.local.:8200").as_deref(), Some("secrets/vault"));
    assert_eq!(of("https://vault-0.internal.secrets.svc:8200").as_deref(), Some("secrets/internal"));
    for outside in
        ["https://vault.bank.example:8200", "https://10.0.0.1:8200", "https://[fd00::1]:8200", "https://svc"]
    {
        assert_eq!(of(outside), None, "{outside}");
    }
    assert_eq!(crate::checklist::store_paths::host("https://[fd00::1]:8200").as_deref(), Some("fd00::1"));
}
