//! Who makes a request.

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::chart::{self, RELEASE};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// An administrator of the cluster: the policies bind even her.
    Admin,
    Operator,
    StatefulSetController,
    ReplicaSetController,
    GarbageCollector,
    NamespaceController,
    /// Some controller of the cluster, for example of load balancers or of volumes.
    OtherController,
    Kubelet,
    BreakGlass,
}

impl User {
    fn name(self) -> String {
        let controller = |name| format!("system:serviceaccount:kube-system:{name}");
        match self {
            Self::Admin => "alice".to_owned(),
            Self::Operator => format!("system:serviceaccount:{RELEASE}:tessera-operator"),
            Self::BreakGlass => format!("system:serviceaccount:{RELEASE}:tessera-break-glass"),
            Self::StatefulSetController => controller("statefulset-controller"),
            Self::ReplicaSetController => controller("replicaset-controller"),
            Self::GarbageCollector => controller("generic-garbage-collector"),
            Self::NamespaceController => controller("namespace-controller"),
            Self::OtherController => controller("service-controller"),
            Self::Kubelet => "system:node:worker-1".to_owned(),
        }
    }

    /// A client of this user, when the policies are in force.
    pub(crate) async fn client(self) -> Client {
        chart::in_force().await;
        let mut groups = vec!["system:masters".to_owned()];
        if self == Self::Kubelet {
            groups.push("system:nodes".to_owned());
        }
        impersonate(Some((self.name(), groups))).await
    }
}

/// A client of the API server under test, as it is or impersonating somebody.
pub(crate) async fn impersonate(who: Option<(String, Vec<String>)>) -> Client {
    let Ok(path) = std::env::var("TESSERA_TEST_KUBECONFIG") else {
        panic!("no API server: run `hack/apiserver -- cargo test --workspace --test admission`")
    };
    // Another test of this process may have been first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let kubeconfig = Kubeconfig::read_from(path).expect("the kubeconfig can be read");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let mut config = config.expect("the kubeconfig is complete");
    if let Some((user, groups)) = who {
        config.auth_info.impersonate = Some(user);
        config.auth_info.impersonate_groups = Some(groups);
    }
    Client::try_from(config).expect("a client can be made")
}
