//! Lists and gets of what lies beyond the operator's namespaces. Each is bounded, in pages, and keeps only what is judged.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Node, NodeAddress, Pod, Service};
use k8s_openapi::api::networking::v1::{Ingress, IngressBackend};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{DynamicObject, ListParams, PartialObjectMeta};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tessera_node_api::secret_store::lookup_name;

use crate::checklist::cluster::{ExecAnswer, ExecProbe, Unread};
use crate::checklist::machines::{self, Machine};
use crate::checklist::nodes_proxy::{self, Holder};
use crate::checklist::store_paths::{RouteFacts, ServiceFacts, StoreNamespace, StorePod};
use crate::kube::exec_probe;
use crate::kube::refusal::is_unauthorized;
use crate::report::error::chain;

/// Objects of one page: so many lie in memory at a time.
const PAGE: u32 = 50;
/// Objects of one list, after which it counts as not read.
const MOST: usize = 10_000;
/// The same of a namespace that a secret store should have to itself.
const MOST_OF_STORE: usize = 500;

/// The kinds of route that lead to Services, each in the version that serves it for longest.
const ROUTES: [(&str, &str, &str); 5] = [
    ("v1", "HTTPRoute", "httproutes"),
    ("v1", "GRPCRoute", "grpcroutes"),
    ("v1alpha2", "TLSRoute", "tlsroutes"),
    ("v1alpha2", "TCPRoute", "tcproutes"),
    ("v1alpha2", "UDPRoute", "udproutes"),
];
const GATEWAY: &str = "gateway.networking.k8s.io";

fn unread(right: &str) -> impl Fn(kube::Error) -> Unread + '_ {
    move |error| {
        if is_unauthorized(&error) {
            Unread::NotPermitted(right.to_owned())
        } else {
            Unread::Failed(chain(&error).chars().take(200).collect())
        }
    }
}

fn is_not_served(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// All objects of a list, page by page; `keep` takes what counts of each.
async fn pages<K, T>(
    api: &Api<K>,
    params: &ListParams,
    most: usize,
    mut keep: impl FnMut(K) -> Option<T>,
) -> Result<Vec<T>, kube::Error>
where
    K: Clone + DeserializeOwned + Debug,
{
    let (mut kept, mut seen) = (Vec::new(), 0);
    let mut params = params.clone().limit(PAGE);
    loop {
        let page = api.list(&params).await?;
        seen += page.items.len();
        kept.extend(page.items.into_iter().filter_map(&mut keep));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            None => return Ok(kept),
            Some(_) if seen >= most => return Err(too_many(most)),
            Some(token) => params.continue_token = Some(token),
        }
    }
}

fn too_many(most: usize) -> kube::Error {
    kube::Error::Service(format!("more than {most} objects").into())
}

/// How the API server answers requests to exec, in the network's namespace and in the operator's own.
pub(super) async fn exec(client: &Client, namespace: &str, own: &str) -> Result<ExecProbe, Unread> {
    let failed = unread("exec");
    let here = exec_probe::ask(client, namespace).await.map_err(&failed)?;
    // What was reached needs no control.
    let control = match &here {
        ExecAnswer::Reached => ExecAnswer::Reached,
        _ => exec_probe::ask(client, own).await.map_err(&failed)?,
    };
    Ok(ExecProbe { here, control })
}

/// The level of Pod Security that the namespace enforces.
pub(super) async fn pod_security(client: &Client, namespace: &str) -> Result<Option<String>, Unread> {
    let api: Api<Namespace> = Api::all(client.clone());
    let found = api.get_metadata(namespace).await.map_err(unread("get its namespaces"))?;
    let label = "pod-security.kubernetes.io/enforce";
    Ok(found.metadata.labels.and_then(|mut labels| labels.remove(label)))
}

/// Who holds `nodes/proxy` or `nodes/checkpoint`.
pub(super) async fn holders(client: &Client) -> Result<Vec<Holder>, Unread> {
    let roles: Api<ClusterRole> = Api::all(client.clone());
    let granting = |role: ClusterRole| role.metadata.name.clone().filter(|_| nodes_proxy::grants(&role));
    let roles = pages(&roles, &ListParams::default(), MOST, granting).await;
    let roles: BTreeSet<String> = roles.map_err(unread("list ClusterRoles"))?.into_iter().collect();
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    let of = |binding: ClusterRoleBinding| Some(nodes_proxy::holders(&binding, &roles));
    let found = pages(&bindings, &ListParams::default(), MOST, of).await;
    let mut found: Vec<Holder> =
        found.map_err(unread("list ClusterRoleBindings"))?.into_iter().flatten().collect();
    found.sort();
    found.dedup();
    Ok(found)
}

/// Which kinds of Gateway route the API server serves.
pub(super) async fn served_routes(client: &Client) -> Result<Vec<ApiResource>, Unread> {
    let mut served = Vec::new();
    for (version, kind, plural) in ROUTES {
        let version = GroupVersionKind::gvk(GATEWAY, version, kind);
        let resource = ApiResource::from_gvk_with_plural(&version, plural);
        // Anybody may ask what is served.
        match client.list_api_group_resources(&resource.api_version).await {
            Ok(list) if list.resources.iter().any(|resource| resource.name == plural) => {
                served.push(resource);
            }
            Ok(_) => {}
            Err(error) if is_not_served(&error) => {}
            Err(error) => return Err(unread("discover the API's resources")(error)),
        }
    }
    Ok(served)
}

/// The Services, Ingresses and routes of the namespace of a secret store.
pub(super) async fn store_namespace(
    client: &Client,
    namespace: &str,
    routes: &[ApiResource],
) -> Result<Arc<StoreNamespace>, Unread> {
    let all = ListParams::default();
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let services = pages(&services, &all, MOST_OF_STORE, |found| Some(service(found))).await;
    let services = services.map_err(unread("list Services"))?;
    let ingresses: Api<Ingress> = Api::namespaced(client.clone(), namespace);
    let ingresses = pages(&ingresses, &all, MOST_OF_STORE, |found| Some(ingress(found))).await;
    let mut found = ingresses.map_err(unread("list Ingresses"))?;
    for resource in routes {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, resource);
        let of_kind = |object| Some(route(&resource.kind, object, namespace));
        match pages(&api, &all, MOST_OF_STORE, of_kind).await {
            Ok(routes) => found.extend(routes),
            // The definition was taken away meanwhile.
            Err(error) if is_not_served(&error) => {}
            Err(error) => return Err(unread("list Gateway routes")(error)),
        }
    }
    Ok(Arc::new(StoreNamespace { services, routes: found }))
}

fn service(service: Service) -> ServiceFacts {
    let spec = service.spec.unwrap_or_default();
    ServiceFacts {
        name: service.metadata.name.unwrap_or_default(),
        kind: spec.type_.unwrap_or_else(|| "ClusterIP".to_owned()),
        has_external_ips: spec.external_ips.is_some_and(|addresses| !addresses.is_empty()),
        selector: spec.selector.unwrap_or_default(),
    }
}

fn ingress(ingress: Ingress) -> RouteFacts {
    let spec = ingress.spec.unwrap_or_default();
    let paths = spec.rules.into_iter().flatten().filter_map(|rule| rule.http).flat_map(|http| http.paths);
    let backends = paths.map(|path| path.backend).chain(spec.default_backend);
    let service = |backend: IngressBackend| backend.service.map(|service| service.name);
    RouteFacts {
        kind: "Ingress".to_owned(),
        name: ingress.metadata.name.unwrap_or_default(),
        backends: backends.filter_map(service).collect(),
    }
}

/// Backends and the targets of mirrors alike: requests reach both.
fn route(kind: &str, object: DynamicObject, namespace: &str) -> RouteFacts {
    let mut backends = BTreeSet::new();
    let rules = object.data["spec"]["rules"].as_array().into_iter().flatten();
    for rule in rules {
        let own = rule["backendRefs"].as_array().into_iter().flatten();
        let filters = rule["filters"].as_array().into_iter().flatten();
        let mirrors = filters.map(|filter| &filter["requestMirror"]["backendRef"]);
        backends.extend(own.chain(mirrors).filter_map(|backend| backend_service(backend, namespace)));
    }
    RouteFacts { kind: kind.to_owned(), name: object.metadata.name.unwrap_or_default(), backends }
}

fn backend_service(backend: &Value, namespace: &str) -> Option<String> {
    let text = |member: &str| backend[member].as_str();
    let is_service = text("kind").is_none_or(|kind| kind == "Service")
        && text("group").is_none_or(str::is_empty)
        && text("namespace").is_none_or(|other| other == namespace);
    text("name").filter(|_| is_service).map(str::to_owned)
}

/// The pods behind a Service with this selector.
pub(super) async fn store_pods(
    client: &Client,
    namespace: &str,
    selector: &BTreeMap<String, String>,
) -> Result<Vec<StorePod>, Unread> {
    if selector.is_empty() {
        return Ok(Vec::new());
    }
    let labels: Vec<_> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let params = ListParams::default().labels(&labels.join(",")).fields(RUNNING);
    let found = pages(&api, &params, MOST_OF_STORE, |pod| Some(store_pod(pod))).await;
    let mut found = found.map_err(unread("list pods"))?;
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Pods that have ended share a machine with nobody.
const RUNNING: &str = "status.phase!=Succeeded,status.phase!=Failed";

fn store_pod(pod: Pod) -> StorePod {
    let path = machines::path(&pod.metadata);
    let spec = pod.spec.unwrap_or_default();
    let mut ports = spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
    StorePod {
        path,
        labels: pod.metadata.labels.unwrap_or_default(),
        machine: spec.node_name.clone().unwrap_or_default(),
        on_host_network: spec.host_network == Some(true) || ports.any(|port| port.host_port.is_some()),
    }
}

/// What runs on a machine, and whether a taint keeps others away.
pub(super) async fn machine(
    client: &Client,
    name: &str,
    managed: &BTreeSet<String>,
    operators: &str,
) -> Result<Machine, Unread> {
    let nodes: Api<Node> = Api::all(client.clone());
    let node = nodes.get(name).await.map_err(unread("get nodes (machines)"))?;
    let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
    let mut machine =
        Machine::with_taints(taints.iter().map(|taint| (taint.key.as_str(), taint.effect.as_str())));
    let status = node.status.unwrap_or_default();
    machine.addresses = internal_addresses(status.addresses.unwrap_or_default());
    let kubelet = status.daemon_endpoints.and_then(|daemons| daemons.kubelet_endpoint);
    machine.kubelet_port = kubelet.and_then(|kubelet| kubelet.port.try_into().ok());
    let pods: Api<PartialObjectMeta<Pod>> = Api::all(client.clone());
    let params = ListParams::default().fields(&format!("spec.nodeName={name},{RUNNING}"));
    let found = metadata_pages(&pods, &params).await.map_err(unread("list pods"))?;
    machine.take_in(&found, |namespace| managed.contains(namespace), operators);
    Ok(machine)
}

/// One of each family, which Kubernetes has first.
const MOST_OF_MACHINE: usize = 2;

fn internal_addresses(addresses: Vec<NodeAddress>) -> Vec<IpAddr> {
    let internal = addresses.into_iter().filter(|address| address.type_ == "InternalIP");
    internal.filter_map(|address| address.address.parse().ok()).take(MOST_OF_MACHINE).collect()
}

async fn metadata_pages(
    api: &Api<PartialObjectMeta<Pod>>,
    params: &ListParams,
) -> Result<Vec<kube::core::ObjectMeta>, kube::Error> {
    let (mut kept, mut params) = (Vec::new(), params.clone().limit(PAGE));
    loop {
        let page = api.list_metadata(&params).await?;
        kept.extend(page.items.into_iter().map(|mut pod| {
            (pod.metadata.managed_fields, pod.metadata.annotations) = (None, None);
            pod.metadata
        }));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            None => return Ok(kept),
            Some(_) if kept.len() >= MOST_OF_STORE => return Err(too_many(MOST_OF_STORE)),
            Some(token) => params.continue_token = Some(token),
        }
    }
}

/// Addresses of one name that are kept.
const MOST_ADDRESSES: usize = 32;

/// Where `host` leads, as the operator connects to it: by its absolute name.
pub(super) async fn addresses(host: &str) -> Result<Vec<IpAddr>, Unread> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let resolv_conf = tokio::fs::read_to_string("/etc/resolv.conf").await.unwrap_or_default();
    let name = lookup_name(host, &resolv_conf);
    let found = tokio::net::lookup_host((name.as_str(), 0)).await;
    let found = found.map_err(|error| Unread::Failed(format!("lookup of {name}: {error}")))?;
    let found: BTreeSet<IpAddr> = found.map(|address| address.ip()).take(MOST_ADDRESSES).collect();
    Ok(found.into_iter().collect())
}
