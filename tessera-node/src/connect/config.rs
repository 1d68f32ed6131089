//! What the command line comes to.

use std::path::{Path, PathBuf};

use tessera_node_api::identity::{Identity, IdentityError, Role};

use super::host_network::{self, SharedNetwork};
use crate::args::ConnectArgs;
use crate::peers::NodeUrl;

/// There only on the network of the machine: Linux makes these settings for the first network namespace alone.
const FIRST_NETWORK_ONLY: &str = "/proc/sys/net/core/netdev_budget";

/// A sidecar with everything settled.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the node serves ledgers.
    pub node_url: NodeUrl,
    /// Who the node is.
    pub node: Identity,
    /// Who the ledger is.
    pub client: Identity,
    /// The directory with the ledger's certificate.
    pub tls: PathBuf,
    /// The ledger's socket.
    pub socket: PathBuf,
    /// The kubelet's socket.
    pub probe_socket: PathBuf,
    /// The port of 127.0.0.1, if any.
    pub loopback: Option<u16>,
    /// Connections of the ledger.
    pub max_connections: usize,
}

/// Why the command line cannot work.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not a URL for ledgers.
    #[error("--node-url {0:?} is not of the form https://host:port")]
    NodeUrl(String),
    /// Somebody else than a node.
    #[error("--node {0} is not a node: spiffe://<trustDomain>/node/<name>")]
    Node(Identity),
    /// Not a client's name.
    #[error("--client makes no identity")]
    Client(#[source] IdentityError),
    /// The loopback port would be one of the machine.
    #[error("--listen-loopback is refused: {0}; use the Unix socket, or a pod without hostNetwork")]
    Loopback(SharedNetwork),
}

impl Config {
    /// Settles what `args` say, and looks at the network that the process is in.
    pub fn new(args: ConnectArgs) -> Result<Self, ConfigError> {
        if !leads_to_a_node(&args.node_url) {
            return Err(ConfigError::NodeUrl(args.node_url.as_str().to_owned()));
        }
        if args.node.role() != Role::Node {
            return Err(ConfigError::Node(args.node));
        }
        let client = Identity::client(args.node.trust_domain(), args.node.name(), &args.client)
            .map_err(ConfigError::Client)?;
        if args.listen_loopback.is_some() {
            let of_machine = Path::new(FIRST_NETWORK_ONLY).exists();
            host_network::exclude(args.pod_ips.as_deref(), args.host_ips.as_deref(), of_machine)
                .map_err(ConfigError::Loopback)?;
        }
        Ok(Self {
            node_url: args.node_url,
            node: args.node,
            client,
            tls: args.tls,
            socket: args.socket,
            probe_socket: args.probe_socket,
            loopback: args.listen_loopback.map(std::num::NonZero::get),
            max_connections: args.max_connections,
        })
    }
}

/// A host and a port behind TLS, and nothing else: the authority becomes a header.
fn leads_to_a_node(url: &NodeUrl) -> bool {
    url.as_str() == format!("https://{}/", url.authority())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::args::{self, Action};

    fn config(line: &str) -> Result<Config, ConfigError> {
        let words = ["tessera-node", "connect", "--client", "quorum"].into_iter().chain(line.split(' '));
        match args::parse(words.map(OsString::from)) {
            Ok(Action::Connect(args)) => Config::new(*args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_client_is_one_of_its_node() {
        let config =
            config("--node-url https://a.org-a.svc:8080 --node spiffe://org-a.example/node/a").unwrap();
        assert_eq!(config.client.to_string(), "spiffe://org-a.example/client/a.quorum");
        assert_eq!(config.loopback, None);
    }

    #[test]
    fn only_a_node_behind_tls_is_spoken_to() {
        let node = "--node spiffe://org-a.example/node/a";
        for url in ["http://a.org-a.svc:8080", "https://a.org-a.svc:8080/under"] {
            let error = config(&format!("--node-url {url} {node}")).unwrap_err();
            assert!(matches!(error, ConfigError::NodeUrl(_)), "{url}: {error}");
        }
        for other in ["client/a.quorum", "operator/tessera-operator"] {
            let line = format!("--node-url https://a:8080 --node spiffe://org-a.example/{other}");
            assert!(matches!(config(&line), Err(ConfigError::Node(_))), "{other}");
        }
    }

    #[test]
    fn a_loopback_port_needs_proof_of_a_network_of_its_own() {
        let line = "--node-url https://a:8080 --node spiffe://org-a.example/node/a --listen-loopback 9101";
        assert!(matches!(config(line), Err(ConfigError::Loopback(_))));
        let shared = format!("{line} --pod-ips 10.0.0.1 --host-ips 10.0.0.1");
        assert!(matches!(config(&shared), Err(ConfigError::Loopback(_))));
    }
}
