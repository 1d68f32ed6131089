//! The command line; the only reader of the environment.

use std::net::SocketAddr;

use clap::Parser;

use crate::kube::fault::FaultPoint;

/// Runs fleets of Tessera nodes from TesseraNetwork and TesseraNode resources.
#[derive(Debug, Clone, Parser)]
#[command(name = "tessera-operator", version)]
pub struct Args {
    /// The namespaces to manage, separated by commas.
    #[arg(long, env = "TESSERA_NAMESPACES", value_delimiter = ',', required = true)]
    pub namespaces: Vec<String>,
    /// The operator's own namespace: CA state and Lease live there.
    #[arg(long, env = "TESSERA_OPERATOR_NAMESPACE")]
    pub operator_namespace: String,
    /// Act only while holding the Lease: for more than one replica.
    #[arg(long, env = "TESSERA_LEADER_ELECT")]
    pub leader_elect: bool,
    /// Where the kubelet asks for liveness and readiness (plain HTTP).
    #[arg(long, env = "TESSERA_HEALTH_BIND", default_value = "0.0.0.0:8081")]
    pub health_bind: SocketAddr,
    /// This process's name in the Lease and in Events.
    #[arg(long, env = "POD_NAME", default_value = "tessera-operator")]
    pub identity: String,
    /// Which messages to log, in the syntax of tracing's `EnvFilter`.
    #[arg(long, env = "TESSERA_LOG", default_value = "info")]
    pub log: String,
    /// Kill this process at the nth write: before:<n> or after:<n>. For tests.
    #[arg(long, hide = true)]
    pub fault_point: Option<FaultPoint>,
}

impl Args {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from([&["tessera-operator"], arguments].concat())
    }

    #[test]
    fn namespaces_are_a_list_without_repetition() {
        let args = parse(&["--namespaces", "b, a,b", "--operator-namespace", "o"]).unwrap();
        assert_eq!(args.managed_namespaces(), ["a", "b"]);
        assert_eq!(args.health_bind.port(), 8081);
        assert!(!args.leader_elect);
    }

    #[test]
    fn an_operator_without_namespaces_is_refused() {
        assert!(parse(&["--operator-namespace", "o"]).is_err());
    }

    #[test]
    fn a_fault_point_is_checked() {
        let with = |point| parse(&["--namespaces", "a", "--operator-namespace", "o", "--fault-point", point]);
        assert_eq!(with("after:2").unwrap().fault_point, Some(FaultPoint::After(2)));
        assert!(with("2").is_err());
    }
}
