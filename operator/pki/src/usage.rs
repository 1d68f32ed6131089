//! What a leaf certificate may be used for.

/// In which part of a handshake a leaf may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Usage {
    /// A peer: it accepts connections and makes them.
    ServerAndClient,
    /// A server only.
    Server,
    /// A client only.
    Client,
}

impl Usage {
    /// Whether the leaf may serve.
    pub fn server(self) -> bool {
        self != Self::Client
    }

    /// Whether the leaf may connect.
    pub fn client(self) -> bool {
        self != Self::Server
    }
}
