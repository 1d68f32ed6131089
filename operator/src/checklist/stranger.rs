//! What came of the operator's connects to a pod that must not let it in. Pure.

use jiff::Timestamp;
use tessera_node_api::paths::{P2P_PORT, Q2T_PORT};

/// A port of a node that the operator must not reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClosedPort {
    /// Its name in texts.
    pub name: &'static str,
    /// Its number, in each node and in each operator's canary.
    pub number: u16,
}

/// All of them.
pub const CLOSED_PORTS: [ClosedPort; 2] =
    [ClosedPort { name: "P2P", number: P2P_PORT }, ClosedPort { name: "Q2T", number: Q2T_PORT }];

/// One round of connects to one pod: first those that must fail, then the admin port, then the control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrangerRound {
    /// When it ended.
    pub at: Timestamp,
    /// The ports that let the operator in.
    pub reached: Vec<ClosedPort>,
    /// Why a failure was not the network's: the connect was not even sent.
    pub not_sent: Option<String>,
    /// What the admin port of the same pod answered.
    pub admin: AdminAnswer,
    /// Whether the operator could reach the same port numbers elsewhere.
    pub control: Control,
}

/// What the admin port answered in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminAnswer {
    /// The node serves, so its listeners are there to be reached.
    Serves,
    /// The node starts: whether its other ports listen is not known.
    Starting,
    /// Nothing.
    None,
}

/// A connect to the same port numbers in a pod that lets the operator in: another operator's canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// All ports were reached.
    Reached,
    /// There is nothing to connect to: no other operator runs.
    Absent,
    /// A port was not reached; which, and why.
    Failed(String),
}

impl StrangerRound {
    /// Whether the next one can wait for its period. A control that nobody has will not come soon.
    pub fn is_conclusive(&self) -> bool {
        let has_failed = matches!(self.control, Control::Failed(_));
        let refused = self.not_sent.is_none() && self.admin == AdminAnswer::Serves && !has_failed;
        !self.reached.is_empty() || refused
    }
}
