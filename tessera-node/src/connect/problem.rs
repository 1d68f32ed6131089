//! What the ledger gets when there is no answer of the node: one line of plain text, without quotes (a ledger puts the
//! text into JSON by hand), that names the node.

use std::time::Duration;

use http::StatusCode;
use tessera_node_api::identity::Identity;
use tessera_node_api::plain_words;
use tessera_tls::ConnectError;

use super::head::Refused;

/// Why a request has no answer of the node.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// The request is none that is carried.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Nothing to show the node.
    #[error("there is no valid certificate of client {0} to show it")]
    NoCertificate(Identity),
    /// All connections are in use.
    #[error("all connections to it are in use: try again")]
    Busy,
    /// No connection.
    #[error("it cannot be reached")]
    Connect(#[source] std::io::Error),
    /// No connection in time.
    #[error("it cannot be reached within {} s", .0.as_secs())]
    Timeout(Duration),
    /// A connection to something else, or to a node that refuses us.
    #[error("no connection that both sides trust")]
    Tls(#[source] ConnectError),
    /// The connection broke. The request was not sent, or only in part, or the node may have done what it says.
    #[error("the connection broke before its answer; it may have taken the request")]
    Broken(#[source] hyper::Error),
    /// Nothing moves.
    #[error("no answer: nothing moved for {} s; it may have taken the request", .0.as_secs())]
    Quiet(Duration),
    /// An answer to another question.
    #[error("its answer is another protocol")]
    Protocol,
}

impl Problem {
    /// 503: nothing was sent. 502 and 504: nobody knows.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Refused(_) => StatusCode::BAD_REQUEST,
            Self::NoCertificate(_) | Self::Busy | Self::Connect(_) | Self::Timeout(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Tls(_) | Self::Broken(_) | Self::Protocol => StatusCode::BAD_GATEWAY,
            Self::Quiet(_) => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The kind, for the log's limit.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Refused(_) => "Refused",
            Self::NoCertificate(_) => "NoCertificate",
            Self::Busy => "Busy",
            Self::Connect(_) | Self::Timeout(_) => "Connect",
            Self::Tls(_) => "Tls",
            Self::Broken(_) => "Broken",
            Self::Quiet(_) => "Quiet",
            Self::Protocol => "Protocol",
        }
    }

    /// The line for the ledger of `node`.
    pub(super) fn text(&self, node: &str) -> String {
        let text = match self {
            Self::Refused(refused) => format!("tessera-node connect, the sidecar of node {node}: {refused}"),
            other => format!("node {node}: {}", plain_words::chain(other)),
        };
        text.replace(['"', '\n', '\r'], " ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_problem_names_the_node_in_one_line_without_quotes() {
        let refused = std::io::Error::from_raw_os_error(111);
        assert_eq!(
            Problem::Connect(refused).text("node-a"),
            "node node-a: it cannot be reached: Connection refused"
        );
        let client = Identity::client("org-a.example", "node-a", "quorum").unwrap();
        for problem in [
            Problem::Refused(Refused::Target),
            Problem::NoCertificate(client),
            Problem::Busy,
            Problem::Tls(ConnectError::Name("a \"b\"".to_owned())),
            Problem::Quiet(Duration::from_mins(1)),
        ] {
            let text = problem.text("node-a");
            assert!(text.contains("node node-a:") && !text.contains(['"', '\n']), "{text}");
            assert!(problem.status().is_client_error() || problem.status().is_server_error());
        }
    }
}
