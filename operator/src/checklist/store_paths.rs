//! What leads to a secret store from outside of the cluster's own network. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The namespace of a secret store, as far as it says who can reach the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreNamespace {
    /// Its Services.
    pub services: Vec<ServiceFacts>,
    /// Its Ingresses and Gateway routes.
    pub routes: Vec<RouteFacts>,
}

/// One Service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceFacts {
    /// Its name.
    pub name: String,
    /// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    pub kind: String,
    /// Whether it has addresses of other machines.
    pub has_external_ips: bool,
    /// The pods behind it.
    pub selector: BTreeMap<String, String>,
}

/// One Ingress or Gateway route.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteFacts {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The Services of its namespace that it leads to.
    pub backends: BTreeSet<String>,
}

/// One pod of the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorePod {
    /// The pod as `namespace/name`.
    pub path: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The machine that it runs on; empty: none yet.
    pub machine: String,
    /// Whether it takes a port of its machine.
    pub on_host_network: bool,
}

/// The Service and the namespace that the address of a secret store names: `https://vault.vault.svc:8200`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceName {
    /// The Service.
    pub service: String,
    /// Its namespace.
    pub namespace: String,
}

/// The host of a URL, without brackets.
pub fn host(address: &str) -> Option<String> {
    let uri: http::Uri = address.parse().ok()?;
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    Some(host.trim_end_matches('.').to_ascii_lowercase())
}

impl ServiceName {
    /// Of the store at `address`; `None`: its host is not the name of a Service, or of a pod behind one.
    pub fn of(address: &str) -> Option<Self> {
        let host = host(address)?;
        let labels: Vec<&str> = host.split('.').collect();
        let svc = labels.iter().position(|label| *label == "svc")?;
        let (service, namespace) = match svc {
            2 => (labels[0], labels[1]),
            3 => (labels[1], labels[2]),
            _ => return None,
        };
        Some(Self { service: service.to_owned(), namespace: namespace.to_owned() })
    }
}

/// A way in, for example `Service` `vault-public`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exposure {
    /// The kind of object.
    pub kind: String,
    /// The object and how it leads to the store.
    pub what: String,
}

impl StoreNamespace {
    /// The Service of this name.
    pub fn service(&self, name: &str) -> Option<&ServiceFacts> {
        self.services.iter().find(|service| service.name == name)
    }

    /// What leads to `service` and the pods behind it from outside, in order.
    pub fn exposures(&self, service: &str, pods: &[StorePod]) -> Vec<Exposure> {
        let wanted = self.service(service).map(|service| &service.selector);
        let leads = |other: &&ServiceFacts| {
            let selects =
                |pod: &StorePod| other.selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value));
            let has_selector = !other.selector.is_empty();
            other.name == service
                || has_selector && (Some(&other.selector) == wanted || pods.iter().any(selects))
        };
        let leading: Vec<&ServiceFacts> = self.services.iter().filter(leads).collect();
        let mut found: Vec<Exposure> = leading.iter().filter_map(|service| of_service(service)).collect();
        found.extend(self.routes.iter().filter_map(|route| {
            let backend = leading.iter().find(|service| route.backends.contains(&service.name))?;
            let what = format!("{} {} with backend {}", route.kind, route.name, backend.name);
            Some(Exposure { kind: route.kind.clone(), what })
        }));
        let on_machine = pods.iter().filter(|pod| pod.on_host_network);
        found.extend(on_machine.map(|pod| Exposure {
            kind: "Pod".to_owned(),
            what: format!("Pod {} on a port of its machine", pod.path),
        }));
        found.sort();
        found
    }
}

fn of_service(service: &ServiceFacts) -> Option<Exposure> {
    let how = match service.kind.as_str() {
        kind @ ("NodePort" | "LoadBalancer") => format!("of type {kind}"),
        _ if service.has_external_ips => "with externalIPs".to_owned(),
        _ => return None,
    };
    Some(Exposure { kind: "Service".to_owned(), what: format!("Service {} {how}", service.name) })
}

/// Whether the address is of a range that no router of the Internet passes on.
pub fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            // The last: addresses that carriers share, which clouds give to pods and Services.
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}
