//! The command line; the only reader of the environment.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use k8s_openapi::api::networking::v1::NetworkPolicyEgressRule;
use tessera_log_shipping::Endpoint;
use tessera_node_api::stamp::{StampError, is_label};

use crate::kube::fault::FaultPoint;
use crate::probe::canary::Canary;
use crate::process::logs::OwnLog;
use crate::settings::ClusterSettings;
use crate::watch::client_namespaces::ClientNamespaces;

/// Runs fleets of Tessera nodes from TesseraNetwork and TesseraNode resources.
#[derive(Debug, Clone, Parser)]
#[command(name = "tessera-operator", version)]
pub struct Args {
    /// The namespaces to manage, separated by commas.
    #[arg(long, env = "TESSERA_NAMESPACES", value_delimiter = ',', required = true)]
    pub namespaces: Vec<String>,
    /// Namespaces that are not managed and may hold certificates of clients, each with a managed namespace whose nodes may put
    /// them there, separated by commas: `ledger-a=org-a,ledger-b=org-b`.
    #[arg(long, env = "TESSERA_CLIENT_NAMESPACES", value_delimiter = ',', value_parser = client_namespace)]
    pub client_namespaces: Vec<(String, String)>,
    /// The cluster's name, which stands on the keys of its nodes in the secret store: two clusters with one store need two
    /// names, and a cluster that is rebuilt keeps its own.
    #[arg(long, env = "TESSERA_CLUSTER_NAME", value_parser = cluster_name)]
    pub cluster_name: String,
    /// The operator's own namespace: CA state and Lease live there.
    #[arg(long, env = "TESSERA_OPERATOR_NAMESPACE")]
    pub operator_namespace: String,
    /// How a pod reaches the cluster's DNS: an egress rule of a `NetworkPolicy`, in JSON. Every node's policy gets it.
    #[arg(long, env = "TESSERA_DNS_EGRESS", value_parser = egress_rule, default_value = DEFAULT_DNS)]
    pub dns_egress: NetworkPolicyEgressRule,
    /// The group that owns a node's volume and Secrets; `platform` where the platform assigns one to each namespace, as
    /// `OpenShift` does.
    #[arg(long, env = "TESSERA_NODE_FS_GROUP", value_parser = fs_group, default_value = "65532")]
    pub node_fs_group: FsGroup,
    /// Act only while holding the Lease: for more than one replica.
    #[arg(long, env = "TESSERA_LEADER_ELECT")]
    pub leader_elect: bool,
    /// Write the checklist of each network and node as an OpenReports `Report`, too, where the API server serves that API.
    #[arg(long, env = "TESSERA_OPEN_REPORTS")]
    pub open_reports: bool,
    /// Where the kubelet asks for liveness and readiness (plain HTTP).
    #[arg(long, env = "TESSERA_HEALTH_BIND", default_value = "[::]:8081")]
    pub health_bind: SocketAddr,
    /// A name whose addresses are those of all operators' pods. With it this one listens on the nodes' port numbers, so that
    /// another knows itself free to reach them.
    #[arg(long, env = "TESSERA_CANARY_HOST")]
    pub canary_host: Option<String>,
    /// The addresses of this process's own pod, separated by commas.
    #[arg(long, env = "POD_IPS", value_delimiter = ',')]
    pub pod_ips: Vec<IpAddr>,
    /// This process's name in the Lease and in Events.
    #[arg(long, env = "POD_NAME", default_value = "tessera-operator")]
    pub identity: String,
    /// Which messages to log, in the syntax of tracing's `EnvFilter`.
    #[arg(long, env = "TESSERA_LOG", default_value = "info")]
    pub log: String,
    /// A collector of this process's own log, which speaks OTLP over HTTP and mutual TLS: `https://host[:port][/path]`. Records go
    /// to standard output all the same.
    #[arg(long, env = "TESSERA_LOGS_ENDPOINT", value_parser = endpoint)]
    pub logs_endpoint: Option<Endpoint>,
    /// The directory of what verifies the collector (ca.crt) and of the certificate to show it (tls.crt, tls.key).
    #[arg(long, env = "TESSERA_LOGS_TLS", default_value = "/etc/tessera-operator/collector")]
    pub logs_tls: PathBuf,
    /// Kill this process at the nth write: before:<n> or after:<n>. For tests; no release build has it.
    #[cfg_attr(debug_assertions, arg(long, hide = true))]
    #[cfg_attr(not(debug_assertions), arg(skip))]
    pub fault_point: Option<FaultPoint>,
}

impl Args {
    /// What the cluster around the networks is like.
    pub fn settings(&self) -> ClusterSettings {
        ClusterSettings {
            cluster_name: self.cluster_name.clone(),
            operator_namespace: self.operator_namespace.clone(),
            node_fs_group: self.node_fs_group.0,
            dns: self.dns_egress.clone(),
        }
    }

    /// Where else clients may have their certificates.
    pub fn client_namespaces(&self) -> ClientNamespaces {
        ClientNamespaces::new(
            self.client_namespaces.iter().map(|(namespace, of)| (namespace.as_str(), of.as_str())),
        )
    }

    /// The shipping of this process's own log, if it is wanted.
    pub fn own_log(&self) -> Option<OwnLog> {
        let endpoint = self.logs_endpoint.clone()?;
        Some(OwnLog { endpoint, directory: self.logs_tls.clone(), queue: Arc::default() })
    }

    /// Where other operators listen.
    pub fn canary(&self) -> Canary {
        Canary::new(self.canary_host.clone(), self.pod_ips.clone())
    }

    /// The managed namespaces, each once.
    pub fn managed_namespaces(&self) -> Vec<String> {
        let mut namespaces: Vec<_> = self
            .namespaces
            .iter()
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect();
        namespaces.sort();
        namespaces.dedup();
        namespaces
    }
}

/// `CoreDNS` as most clusters have it: on 53 or, without privileges, behind its Service on 1053.
const DEFAULT_DNS: &str = r#"{
    "to": [{
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}
    }],
    "ports": [
        {"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53},
        {"protocol": "UDP", "port": 1053}, {"protocol": "TCP", "port": 1053}
    ]
}"#;

/// The group of a node's files; `None`: the platform assigns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FsGroup(pub Option<i64>);

fn cluster_name(text: &str) -> Result<String, String> {
    is_label(text).then(|| text.to_owned()).ok_or_else(|| StampError::Cluster.to_string())
}

fn client_namespace(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').map(|(namespace, of)| (namespace.trim(), of.trim()));
    let pair = pair.filter(|(namespace, of)| !namespace.is_empty() && !of.is_empty());
    pair.map(|(namespace, of)| (namespace.to_owned(), of.to_owned()))
        .ok_or_else(|| "must be a namespace and a managed one, as in ledger-a=org-a".to_owned())
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    Endpoint::parse(text).ok_or_else(|| "must be https://host[:port][/path]".to_owned())
}

fn fs_group(text: &str) -> Result<FsGroup, String> {
    if text == "platform" {
        return Ok(FsGroup(None));
    }
    let group = text.parse::<u32>().ok().filter(|group| *group > 0);
    group
        .map(|group| FsGroup(Some(group.into())))
        .ok_or_else(|| "must be a group above 0, or `platform`".to_owned())
}

/// A rule that names neither a destination nor a port would allow everything.
fn egress_rule(text: &str) -> Result<NetworkPolicyEgressRule, String> {
    let rule: NetworkPolicyEgressRule = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if rule.to.as_ref().is_none_or(Vec::is_empty) || rule.ports.as_ref().is_none_or(Vec::is_empty) {
        return Err("both `to` and `ports` must name something".to_owned());
    }
    Ok(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from([&["tessera-operator", "--cluster-name", "c"], arguments].concat())
    }

    #[test]
    fn namespaces_are_a_list_without_repetition() {
        let args = parse(&["--namespaces", "b, a,b", "--operator-namespace", "o"]).unwrap();
        assert_eq!(args.managed_namespaces(), ["a", "b"]);
        assert_eq!(args.health_bind.port(), 8081);
        assert!(!args.leader_elect);
    }

    #[test]
    fn the_pod_s_addresses_are_a_list() {
        let with = |ips| parse(&["--namespaces", "a", "--operator-namespace", "o", "--pod-ips", ips]);
        assert_eq!(with("10.0.0.7,fd00::7").unwrap().pod_ips.len(), 2);
        assert!(with("here").is_err());
    }

    #[test]
    fn an_operator_without_namespaces_is_refused() {
        assert!(parse(&["--operator-namespace", "o"]).is_err());
    }

    #[test]
    fn a_cluster_without_a_proper_name_is_refused() {
        let with = |arguments: &[&str]| {
            let rest = ["tessera-operator", "--namespaces", "a", "--operator-namespace", "o"];
            Args::try_parse_from([&rest, arguments].concat())
        };
        assert_eq!(with(&["--cluster-name", "prod-eu1"]).unwrap().settings().cluster_name, "prod-eu1");
        assert!(with(&[]).is_err());
        for name in ["", "Prod", "a/b", "-a", "a."] {
            assert!(with(&["--cluster-name", name]).is_err(), "{name:?}");
        }
    }

    #[test]
    fn namespaces_of_clients_name_whose_they_are() {
        let with =
            |pairs| parse(&["--namespaces", "a", "--operator-namespace", "o", "--client-namespaces", pairs]);
        let all = with("ledger=a,other=a").unwrap().client_namespaces();
        assert!(all.given_to("a", "other").is_some() && all.given_to("b", "other").is_none());
        assert!(with("ledger").is_err() && with("=a").is_err());
    }

    #[test]
    fn the_way_to_dns_names_where_and_which_port() {
        let with = |rule| parse(&["--namespaces", "a", "--operator-namespace", "o", "--dns-egress", rule]);
        let rule = with(r#"{"to":[{"ipBlock":{"cidr":"169.254.20.10/32"}}],"ports":[{"port":53}]}"#).unwrap();
        assert_eq!(rule.settings().dns.ports.map(|ports| ports.len()), Some(1));
        assert!(with(r#"{"to":[{"ipBlock":{"cidr":"169.254.20.10/32"}}]}"#).is_err());
        assert!(with("{}").is_err());
        assert!(with("kube-dns").is_err());
    }

    #[cfg(debug_assertions)]
    #[test]
    fn the_group_of_files_is_a_number_or_the_platforms() {
        let with = |group| {
            parse(&["--namespaces", "a", "--operator-namespace", "o", "--node-fs-group", group])
                .map(|args| args.settings().node_fs_group)
        };
        assert_eq!(with("65532").unwrap(), Some(65532));
        assert_eq!(with("platform").unwrap(), None);
        assert!(with("0").is_err());
        assert!(with("root").is_err());
    }

    #[test]
    fn a_collector_is_reached_by_tls_alone_and_there_is_none_unless_it_is_named() {
        let with = |url| parse(&["--namespaces", "a", "--operator-namespace", "o", "--logs-endpoint", url]);
        assert_eq!(with("https://otel:4318").unwrap().own_log().unwrap().endpoint.host(), "otel");
        for url in ["http://otel:4318", "otel:4318", ""] {
            assert!(with(url).is_err(), "{url:?}");
        }
        assert!(parse(&["--namespaces", "a", "--operator-namespace", "o"]).unwrap().own_log().is_none());
    }

    #[test]
    fn a_fault_point_is_checked() {
        let with = |point| parse(&["--namespaces", "a", "--operator-namespace", "o", "--fault-point", point]);
        assert_eq!(with("after:2").unwrap().fault_point, Some(FaultPoint::After(2)));
        assert!(with("2").is_err());
    }
}
