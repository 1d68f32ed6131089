//! The parts of a ledger's pod: the native sidecar, which starts before the ledger and ends after it. [pure]

use std::num::NonZero;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, EnvVar, EnvVarSource, ExecAction, ObjectFieldSelector,
    PodSecurityContext, PodSpec, Probe, ResourceRequirements, SeccompProfile, SecretVolumeSource,
    SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use tessera_node_api::identity::Identity;
use tessera_node_api::paths;

/// The sidecar, and the volume that it shares with the ledger.
const SIDECAR: &str = "tessera-connect";
/// The volume with the client's certificate.
const TLS: &str = "tessera-client-tls";
/// The ledger's own container, by a name to replace.
const LEDGER: &str = "ledger";
const BINARY: &str = "/tessera-node";
/// Any group will do, as long as both containers have it.
const FS_GROUP: i64 = 65_532;
/// Readable by owner and group.
const GROUP_READABLE: i32 = 0o440;

/// The arguments of the sidecar.
pub(super) struct Sidecar {
    pub(super) image: String,
    pub(super) node_url: String,
    pub(super) identity: Identity,
    pub(super) client: String,
    pub(super) secret: String,
    pub(super) loopback: Option<NonZero<u16>>,
}

impl Sidecar {
    /// All parts; `flags` are the ledger's.
    pub(super) fn pod_spec(&self, flags: &[String]) -> PodSpec {
        let ledger = Container {
            name: LEDGER.to_owned(),
            args: Some(flags.to_vec()),
            volume_mounts: Some(vec![mount(SIDECAR, paths::CONNECT_RUN, false)]),
            ..Container::default()
        };
        PodSpec {
            security_context: Some(PodSecurityContext {
                fs_group: Some(FS_GROUP),
                ..PodSecurityContext::default()
            }),
            init_containers: Some(vec![self.container()]),
            containers: vec![ledger],
            volumes: Some(self.volumes()),
            ..PodSpec::default()
        }
    }

    fn container(&self) -> Container {
        Container {
            name: SIDECAR.to_owned(),
            image: Some(self.image.clone()),
            image_pull_policy: Some("IfNotPresent".to_owned()),
            // A native sidecar.
            restart_policy: Some("Always".to_owned()),
            command: Some(vec![BINARY.to_owned()]),
            args: Some(self.args()),
            env: self.loopback.map(|_| {
                vec![
                    field(paths::CONNECT_POD_IPS, "status.podIPs"),
                    field(paths::CONNECT_HOST_IPS, "status.hostIPs"),
                ]
            }),
            resources: Some(resources()),
            security_context: Some(restricted()),
            // The ledger starts once its socket is there and the certificate is valid. Readiness is the ledger's own: it goes on
            // without its private transactions.
            startup_probe: Some(probe("ready", 1, 600)),
            liveness_probe: Some(probe("live", 10, 6)),
            termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
            volume_mounts: Some(vec![
                mount(SIDECAR, paths::CONNECT_RUN, false),
                mount(TLS, paths::CONNECT_TLS, true),
            ]),
            ..Container::default()
        }
    }

    fn args(&self) -> Vec<String> {
        let identity = self.identity.to_string();
        let fixed = ["connect", "--node-url", &self.node_url, "--node", &identity, "--client", &self.client];
        let mut args = fixed.map(str::to_owned).to_vec();
        args.extend(self.loopback.iter().flat_map(|port| ["--listen-loopback".to_owned(), port.to_string()]));
        args
    }

    fn volumes(&self) -> Vec<Volume> {
        vec![
            Volume {
                name: SIDECAR.to_owned(),
                empty_dir: Some(EmptyDirVolumeSource {
                    medium: Some("Memory".to_owned()),
                    size_limit: Some(Quantity("1Mi".to_owned())),
                }),
                ..Volume::default()
            },
            Volume {
                name: TLS.to_owned(),
                secret: Some(SecretVolumeSource {
                    secret_name: Some(self.secret.clone()),
                    default_mode: Some(GROUP_READABLE),
                    ..SecretVolumeSource::default()
                }),
                ..Volume::default()
            },
        ]
    }
}

fn mount(volume: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn field(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector { api_version: None, field_path: path.to_owned() }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

fn probe(question: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    let command = [BINARY, "probe", question, "--socket", paths::CONNECT_PROBE_SOCKET];
    Probe {
        exec: Some(ExecAction { command: Some(command.map(str::to_owned).to_vec()) }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(5),
        failure_threshold: Some(failure_threshold),
        ..Probe::default()
    }
}

/// Room for 128 connections of the ledger and 64 requests at once.
fn resources() -> ResourceRequirements {
    let quantities = |pairs: &[(&str, &str)]| {
        let quantity = |(name, value): &(&str, &str)| ((*name).to_owned(), Quantity((*value).to_owned()));
        Some(pairs.iter().map(quantity).collect())
    };
    ResourceRequirements {
        requests: quantities(&[("cpu", "10m"), ("memory", "32Mi"), ("ephemeral-storage", "16Mi")]),
        limits: quantities(&[("memory", "64Mi"), ("ephemeral-storage", "1Gi")]),
        ..ResourceRequirements::default()
    }
}

/// Pod Security `restricted` whatever the pod says, with a read-only root.
fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..SecurityContext::default()
    }
}
