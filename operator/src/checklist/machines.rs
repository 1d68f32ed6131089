//! What runs on a machine beside the pods that it is looked at for. Pure.

use std::net::IpAddr;

use jiff::Timestamp;
use kube::api::ObjectMeta;
use tessera_crds::names::label;

/// One machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// A taint keeps pods away that do not tolerate it.
    pub tainted: bool,
    /// Pods of no `DaemonSet` and not of the system, as `namespace/name`, the oldest first: a text that names the first stays while
    /// younger ones come and go, such as those of jobs.
    pub pods: Vec<Box<str>>,
    /// The first of them that is not of Tessera.
    pub stranger: Option<Box<str>>,
    /// Where other machines of the cluster reach it.
    pub addresses: Vec<IpAddr>,
    /// The port of its kubelet.
    pub kubelet_port: Option<u16>,
}

/// Taints that come and go with a machine's state dedicate it to nothing.
const OF_STATE: [&str; 3] =
    ["node.kubernetes.io/", "node.cloudprovider.kubernetes.io/", "ToBeDeletedByClusterAutoscaler"];

impl Machine {
    /// A machine with taints of these keys and effects.
    pub fn with_taints<'t>(taints: impl IntoIterator<Item = (&'t str, &'t str)>) -> Self {
        let mut taints = taints.into_iter();
        let tainted = taints.any(|(key, effect)| {
            matches!(effect, "NoSchedule" | "NoExecute")
                && !OF_STATE.iter().any(|prefix| key.starts_with(prefix))
        });
        Self { tainted, ..Self::default() }
    }

    /// Takes in the pods that run there; `is_managed` tells the namespaces of nodes, `operators` is the operator's own.
    pub fn take_in<'p>(
        &mut self,
        pods: impl IntoIterator<Item = &'p ObjectMeta>,
        is_managed: impl Fn(&str) -> bool,
        operators: &str,
    ) {
        let lodgers = pods.into_iter().filter(|pod| !is_of_the_machine(pod));
        let mut lodgers: Vec<(Timestamp, Box<str>, bool)> = lodgers
            .map(|pod| (born_at(pod), path(pod).into(), is_ours(pod, &is_managed, operators)))
            .collect();
        lodgers.sort_unstable();
        self.stranger = lodgers.iter().find(|(.., ours)| !ours).map(|(_, path, _)| path.clone());
        self.pods = lodgers.into_iter().map(|(_, path, _)| path).collect();
    }

    /// The first of its pods that is none of `tenants`.
    pub fn first_other(&self, tenants: &[String]) -> Option<&str> {
        self.pods.iter().map(AsRef::as_ref).find(|pod: &&str| !tenants.iter().any(|tenant| tenant == pod))
    }
}

/// The pod as `namespace/name`.
pub fn path(pod: &ObjectMeta) -> String {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{}/{}", text(&pod.namespace), text(&pod.name))
}

/// The API server gives each pod a time; one without would be older than all.
fn born_at(pod: &ObjectMeta) -> Timestamp {
    pod.creation_timestamp.as_ref().map_or(Timestamp::MIN, |time| time.0)
}

/// Static pods are mirrored with their machine as owner.
fn is_of_the_machine(pod: &ObjectMeta) -> bool {
    let owners = pod.owner_references.iter().flatten();
    pod.namespace.as_deref() == Some("kube-system")
        || owners
            .filter(|owner| owner.controller == Some(true))
            .any(|owner| matches!(owner.kind.as_str(), "DaemonSet" | "Node"))
}

/// The chart's policies give these labels to nobody else's pods there.
fn is_ours(pod: &ObjectMeta, is_managed: impl Fn(&str) -> bool, operators: &str) -> bool {
    let name = pod.labels.as_ref().and_then(|labels| labels.get(label::NAME)).map(String::as_str);
    let namespace = pod.namespace.as_deref().unwrap_or_default();
    match name {
        Some(label::NODE_APP | label::IMAGE_CHECK_APP) => is_managed(namespace),
        Some("tessera-operator") => namespace == operators,
        _ => false,
    }
}
