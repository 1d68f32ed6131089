//! The pod: one process with nothing around it, under Pod Security `restricted` and a read-only root.

use k8s_openapi::api::core::v1::{
    ConfigMapProjection, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource, ExecAction,
    KeyToPath, LocalObjectReference, PodSecurityContext, PodSpec, Probe, ProjectedVolumeSource,
    SecretVolumeSource, ServiceAccountTokenProjection, TopologySpreadConstraint, Volume, VolumeMount,
    VolumeProjection, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use tessera_crds::api::secret_store::{CaBundleRef, ObjectRef};
use tessera_crds::names;
use tessera_crds::names::label;
use tessera_node_api::paths;

use super::{database, placement};
use crate::kube::meta::{node_selector, selector};
use crate::kube::restricted;
use crate::node::resolve::Resolved;

/// The one container.
pub(super) const CONTAINER: &str = "tessera-node";
const BINARY: &str = "/tessera-node";
const MACHINE: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";
/// Readable by owner and group (the pod's `fsGroup`), for files that hold keys.
const GROUP_READABLE: i32 = 0o440;
/// The least that the API server accepts. The kubelet renews well before.
const TOKEN_SECONDS: i64 = 600;

/// Names of ports, by which Services refer to them.
pub(super) mod port {
    pub(crate) const Q2T: &str = "q2t";
    pub(crate) const P2P: &str = "p2p";
    pub(crate) const ADMIN: &str = "admin";
    pub(crate) const METRICS: &str = "metrics";
}

/// `ledgers`: the terms that keep the node away from ledgers. `imports`: the Secrets of keys to import.
pub(super) fn spec(
    node: &Resolved,
    ledgers: &[WeightedPodAffinityTerm],
    imports: &[VolumeProjection],
    spread: Spread,
) -> PodSpec {
    PodSpec {
        service_account_name: Some(names::node::service_account(&node.name)),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(30),
        security_context: Some(PodSecurityContext {
            // Secrets and volume are readable by group.
            fs_group: node.settings.node_fs_group,
            // A volume full of payloads is not walked at each start.
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            ..restricted::pod()
        }),
        node_selector: node.pod.node_selector.clone(),
        tolerations: node.pod.tolerations.clone(),
        affinity: placement::affinity(node, ledgers),
        topology_spread_constraints: Some(constraints(node, spread))
            .filter(|constraints| !constraints.is_empty()),
        priority_class_name: node.pod.priority_class_name.as_ref().map(ToString::to_string),
        image_pull_secrets: node
            .pod
            .image_pull_secrets
            .as_ref()
            .map(|secrets| secrets.iter().map(LocalObjectReference::from).collect()),
        containers: vec![container(node, imports)],
        volumes: Some(volumes(node, imports)),
        ..PodSpec::default()
    }
}

/// What is spread over machines unless the user says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spread {
    /// The nodes of the network: one machine's loss takes as few of them as may be.
    Nodes,
    /// The pods of this node, also over zones. Kubernetes takes one soft constraint for a machine.
    PodsOfNode,
}

/// What the user says, also that there is none.
fn constraints(node: &Resolved, spread: Spread) -> Vec<TopologySpreadConstraint> {
    let constraint = |key: &str, selector: LabelSelector| TopologySpreadConstraint {
        max_skew: 1,
        topology_key: key.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(selector),
        ..TopologySpreadConstraint::default()
    };
    node.pod.topology_spread_constraints.clone().unwrap_or_else(|| {
        let network = selector([(label::NAME, label::NODE_APP), (label::NETWORK, &node.network)]);
        let own = || node_selector(&node.name);
        match spread {
            Spread::Nodes => vec![constraint(MACHINE, network)],
            Spread::PodsOfNode => vec![constraint(MACHINE, own()), constraint(ZONE, own())],
        }
    })
}

fn container(node: &Resolved, imports: &[VolumeProjection]) -> Container {
    Container {
        name: CONTAINER.to_owned(),
        image: Some(node.image.clone()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(vec![BINARY.to_owned()]),
        args: Some(["run", "--configfile", paths::STATIC_CONFIG].map(str::to_owned).to_vec()),
        ports: Some(vec![
            container_port(port::Q2T, paths::Q2T_PORT),
            container_port(port::P2P, paths::P2P_PORT),
            container_port(port::ADMIN, paths::ADMIN_PORT),
            container_port(port::METRICS, paths::METRICS_PORT),
        ]),
        resources: Some(node.resources.clone()),
        // A start may wait ten minutes, for the secret store above all; killing the process would not open it.
        startup_probe: Some(probe("startup", 2, 300)),
        liveness_probe: Some(probe("live", 10, 6)),
        readiness_probe: Some(probe("ready", 5, 2)),
        security_context: Some(restricted::container()),
        // Its last words stand in the pod's status, and so in `Ready`.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(mounts(node, imports)),
        ..Container::default()
    }
}

fn container_port(name: &str, number: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: number.into(),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

/// By exec over a socket: a kubelet has no client certificate.
fn probe(which: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        exec: Some(ExecAction { command: Some([BINARY, "probe", which].map(str::to_owned).to_vec()) }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(5),
        failure_threshold: Some(failure_threshold),
        ..Probe::default()
    }
}

/// Names of volumes.
mod volume {
    pub(super) const STATIC: &str = "config";
    pub(super) const DYNAMIC: &str = "dynamic";
    pub(super) const TLS: &str = "tls";
    pub(super) const ADMIN_TLS: &str = "admin-tls";
    pub(super) const STORE_CA: &str = "store-ca";
    pub(super) const STORE_CLIENT_TLS: &str = "store-client-tls";
    pub(super) const STORE_TOKEN: &str = "store-token";
    pub(super) const RUN: &str = "run";
    pub(super) const IMPORTS: &str = crate::node::rollout::IMPORTS;
}

/// Whole directories, never `subPath`: the kubelet would not renew what it mounts.
fn mounts(node: &Resolved, imports: &[VolumeProjection]) -> Vec<VolumeMount> {
    let store_client =
        store_client_secret(node).map(|_| mount(volume::STORE_CLIENT_TLS, paths::STORE_CLIENT_TLS, true));
    let payloads = node.storage.volume().map(|_| mount(names::node::VOLUME_CLAIM, paths::DATA, false));
    let mut all = vec![
        mount(volume::STATIC, directory(paths::STATIC_CONFIG), true),
        mount(volume::DYNAMIC, directory(paths::DYNAMIC_CONFIG), true),
        mount(volume::TLS, paths::NODE_TLS, true),
        mount(volume::ADMIN_TLS, paths::ADMIN_TLS, true),
        mount(volume::STORE_CA, directory(paths::STORE_CA), true),
        mount(volume::STORE_TOKEN, directory(paths::STORE_TOKEN), true),
        mount(volume::RUN, paths::RUN, false),
    ];
    all.extend(payloads);
    all.extend(database::mounts(node));
    all.extend(store_client);
    all.extend((!imports.is_empty()).then(|| mount(volume::IMPORTS, paths::IMPORTS, true)));
    all
}

pub(super) fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(read_only),
        ..VolumeMount::default()
    }
}

pub(super) fn directory(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(directory, _)| directory)
}

pub(super) fn file(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

fn volumes(node: &Resolved, imports: &[VolumeProjection]) -> Vec<Volume> {
    let mut all = vec![
        config_map(volume::STATIC, names::node::static_config(&node.name)),
        projected(volume::DYNAMIC, 0o444, dynamic(node)),
        secret(volume::TLS, node.tls.secret.name.clone()),
        secret(volume::ADMIN_TLS, node.admin_tls.secret.name.clone()),
        projected(volume::STORE_CA, 0o444, vec![ca_bundle(&node.store.ca_bundle_ref, paths::STORE_CA)]),
        projected(volume::STORE_TOKEN, GROUP_READABLE, vec![store_token(node)]),
        Volume {
            name: volume::RUN.to_owned(),
            empty_dir: Some(EmptyDirVolumeSource {
                medium: Some("Memory".to_owned()),
                size_limit: Some(Quantity("1Mi".to_owned())),
            }),
            ..Volume::default()
        },
    ];
    all.extend(database::volumes(node));
    all.extend(store_client_secret(node).map(|named| client_certificate(volume::STORE_CLIENT_TLS, named)));
    all.extend((!imports.is_empty()).then(|| projected(volume::IMPORTS, GROUP_READABLE, imports.to_vec())));
    all
}

/// The Secret with the certificate that the node shows the store, if it does not show its own.
fn store_client_secret(node: &Resolved) -> Option<&ObjectRef> {
    node.store.client_certificate.as_ref()?.secret_ref.as_ref()
}

/// Nothing of the Secret but certificate and key.
pub(super) fn client_certificate(volume: &str, named: &ObjectRef) -> Volume {
    let item = |key: &str| KeyToPath { key: key.to_owned(), path: key.to_owned(), mode: None };
    part_of_secret(volume, &named.name, [paths::CERTIFICATE_FILE, paths::KEY_FILE].map(item).to_vec())
}

pub(super) fn part_of_secret(volume: &str, secret: &str, items: Vec<KeyToPath>) -> Volume {
    Volume {
        name: volume.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            default_mode: Some(GROUP_READABLE),
            items: Some(items),
            optional: None,
        }),
        ..Volume::default()
    }
}

fn config_map(name: &str, config_map: String) -> Volume {
    Volume {
        name: name.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: config_map,
            default_mode: Some(0o444),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn secret(name: &str, secret: String) -> Volume {
    Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret),
            default_mode: Some(GROUP_READABLE),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

pub(super) fn projected(name: &str, mode: i32, sources: Vec<VolumeProjection>) -> Volume {
    Volume {
        name: name.to_owned(),
        projected: Some(ProjectedVolumeSource { default_mode: Some(mode), sources: Some(sources) }),
        ..Volume::default()
    }
}

/// The node's own part, and the list of all nodes of the network, which may come later than the pod.
fn dynamic(node: &Resolved) -> Vec<VolumeProjection> {
    let part = |name: String, optional| VolumeProjection {
        config_map: Some(ConfigMapProjection { name, items: None, optional }),
        ..VolumeProjection::default()
    };
    vec![
        part(names::node::dynamic_config(&node.name), None),
        part(names::network::peers(&node.network), Some(true)),
    ]
}

/// The bundle, to be mounted as the file at `path`.
pub(super) fn ca_bundle(bundle: &CaBundleRef, path: &str) -> VolumeProjection {
    VolumeProjection {
        config_map: Some(ConfigMapProjection {
            name: bundle.name.to_string(),
            items: Some(vec![KeyToPath { key: bundle.key.to_string(), path: file(path), mode: None }]),
            optional: None,
        }),
        ..VolumeProjection::default()
    }
}

/// The store's URL as audience: the token is worthless anywhere else.
fn store_token(node: &Resolved) -> VolumeProjection {
    VolumeProjection {
        service_account_token: Some(ServiceAccountTokenProjection {
            audience: Some(node.store.address.to_string()),
            expiration_seconds: Some(TOKEN_SECONDS),
            path: file(paths::STORE_TOKEN),
        }),
        ..VolumeProjection::default()
    }
}
