//! Why the secret store does not give a key, one variant for each remedy.

use std::io;

use tessera_enclave::ArenaError;
use tessera_node_api::secret_store::TokenError;
use tessera_node_api::stamp::{Stamp, StampError};

/// Why the secret store does not give a key. No message holds a key, a token or a stored field but the stamp.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The address is unusable.
    #[error("secret store address {address:?} is not of the form https://host:port")]
    Address {
        /// As configured.
        address: String,
    },
    /// The CA bundle is unusable.
    #[error("ca bundle {path} of the secret store is unusable ({problem}): put the PEM of its CA there")]
    Ca {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// The HTTP client cannot be built.
    #[error("cannot set up a connection to the secret store: {problem}")]
    Client {
        /// What is wrong.
        problem: String,
    },
    /// No connection, no TLS, or no answer in time.
    #[error("secret store {address} cannot be reached: {problem}")]
    Unreachable {
        /// The store.
        address: String,
        /// What went wrong on the way.
        problem: String,
    },
    /// The store is sealed.
    #[error("secret store {address} is sealed: unseal it")]
    Sealed {
        /// The store.
        address: String,
    },
    /// The store cannot serve for another reason.
    #[error("secret store {address} answered {status}: {reason}")]
    Unavailable {
        /// The store.
        address: String,
        /// The HTTP status.
        status: u16,
        /// What the store says.
        reason: String,
    },
    /// The ServiceAccount token cannot be read.
    #[error("cannot read the token {path} that logs in at the secret store")]
    TokenFile {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The ServiceAccount token is not for this store.
    #[error("the token {path} {problem}")]
    Token {
        /// The file.
        path: String,
        /// What is wrong with it; no part of it but its audiences.
        problem: TokenError,
    },
    /// The store's certificate does not verify.
    #[error(
        "the certificate of secret store {address} does not verify ({problem}): check its address and its CA bundle"
    )]
    Untrusted {
        /// The store.
        address: String,
        /// What went wrong on the way.
        problem: String,
    },
    /// The certificate that the node should show is unusable.
    #[error("the client certificate {path} for the secret store is unusable ({problem}): correct its Secret")]
    ClientCertificate {
        /// The directory.
        path: String,
        /// What is wrong; no byte of the key.
        problem: String,
    },
    /// The store refuses the node's client certificate, or that it has none.
    #[error(
        "secret store {address} refuses this node's client certificate ({problem}): check \
         secretStore.vault.clientCertificate, and that the store trusts its CA"
    )]
    Refused {
        /// The store.
        address: String,
        /// How it refused.
        problem: String,
    },
    /// The login was refused.
    #[error(
        "login as role {role:?} at auth mount {mount:?} was refused ({status}: {reason}): check the role's service \
         account, namespace and audience"
    )]
    LoginDenied {
        /// The mount of the auth method.
        mount: String,
        /// The role.
        role: String,
        /// The HTTP status.
        status: u16,
        /// What the store says.
        reason: String,
    },
    /// There is no such role.
    #[error("role {role:?} does not exist at auth mount {mount:?}: run `kubectl tessera store-setup`")]
    RoleMissing {
        /// The mount of the auth method.
        mount: String,
        /// The role.
        role: String,
    },
    /// The policy does not allow the path.
    #[error("access to {path} is forbidden: the role's policy must allow create and read there")]
    Forbidden {
        /// `<mount>/<path>`.
        path: String,
    },
    /// No KV version 2 engine there.
    #[error("there is no KV version 2 engine at mount {mount:?} of the secret store")]
    NoEngine {
        /// The mount.
        mount: String,
    },
    /// The directory belongs to another cluster or network.
    #[error(
        "{path} gives these keys to {found}, and this node belongs to {expected}: give the network a path prefix of its \
         own, or, if {found} no longer runs, move the keys with `kubectl tessera store-setup {} -n {} --adopt {found}`",
        .expected.network().1, .expected.network().0
    )]
    ForeignStore {
        /// `<mount>/<path>` of the stamp.
        path: String,
        /// The stamp there.
        found: Stamp,
        /// Our own.
        expected: Stamp,
    },
    /// The stamp is not what we write.
    #[error("{path} does not say whose these keys are ({error}): restore its last good version")]
    MalformedStamp {
        /// `<mount>/<path>`.
        path: String,
        /// What is wrong with it.
        error: StampError,
    },
    /// Somebody deleted the key or the stamp.
    #[error(
        "the secret at {path} was deleted or destroyed: undelete its last version, or restore it from its backup"
    )]
    Deleted {
        /// `<mount>/<path>`.
        path: String,
    },
    /// The secret is not what we write.
    #[error("field {field:?} of {path} {problem}: restore the key from its backup")]
    Malformed {
        /// `<mount>/<path>`.
        path: String,
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The answer is not that of a KV version 2 engine.
    #[error("the secret store's answer for {path} is not understood ({problem}): check address and mount")]
    Answer {
        /// `<mount>/<path>`.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A new key's sample payload cannot be kept, so no key is stored.
    #[error("the sample payload of a new key cannot be kept in the payload store: {problem}")]
    Sample {
        /// What the payload store says.
        problem: String,
    },
    /// There is no locked memory for the key, and no other memory may hold it.
    #[error(transparent)]
    Memory(ArenaError),
    /// The key's name cannot be a part of a path.
    #[error(
        "key name {name:?} cannot be a part of a path in the secret store: use letters, digits, '-', '_' and '.'"
    )]
    KeyName {
        /// As given.
        name: String,
    },
}

/// How soon it makes sense to try again. Backoff and jitter are the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It heals by itself: the network, a restart, an unseal.
    Soon,
    /// A person has to do something in the store; then it heals without a restart.
    Later,
    /// Only another configuration, and so another start, helps.
    Never,
}

impl VaultError {
    /// How soon it makes sense to try again.
    pub fn classify(&self) -> Retry {
        match self {
            Self::Unreachable { .. }
            | Self::Untrusted { .. }
            | Self::Sealed { .. }
            | Self::Unavailable { .. }
            | Self::TokenFile { .. }
            | Self::Sample { .. } => Retry::Soon,
            Self::Ca { .. }
            | Self::ClientCertificate { .. }
            | Self::Refused { .. }
            | Self::Token { .. }
            | Self::LoginDenied { .. }
            | Self::RoleMissing { .. }
            | Self::Forbidden { .. }
            | Self::NoEngine { .. }
            | Self::ForeignStore { .. }
            | Self::MalformedStamp { .. }
            | Self::Deleted { .. }
            | Self::Malformed { .. }
            | Self::Answer { .. }
            | Self::Memory(_) => Retry::Later,
            Self::Address { .. } | Self::Client { .. } | Self::KeyName { .. } => Retry::Never,
        }
    }

    /// A word for a metric's label or a condition's reason; constant per kind.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Address { .. } => "Address",
            Self::Ca { .. } => "CA",
            Self::Client { .. } => "Client",
            Self::Unreachable { .. } => "Unreachable",
            Self::Sealed { .. } => "Sealed",
            Self::Unavailable { .. } => "Unavailable",
            Self::TokenFile { .. } => "TokenFile",
            Self::Token { .. } => "Token",
            Self::Untrusted { .. } => "Untrusted",
            Self::ClientCertificate { .. } => "ClientCertificate",
            Self::Refused { .. } => "Refused",
            Self::LoginDenied { .. } => "LoginDenied",
            Self::RoleMissing { .. } => "RoleMissing",
            Self::Forbidden { .. } => "Forbidden",
            Self::NoEngine { .. } => "NoEngine",
            Self::ForeignStore { .. } => "ForeignStore",
            Self::MalformedStamp { .. } => "MalformedStamp",
            Self::Deleted { .. } => "Deleted",
            Self::Malformed { .. } => "Malformed",
            Self::Answer { .. } => "Answer",
            Self::Sample { .. } => "Sample",
            Self::Memory(_) => "Memory",
            Self::KeyName { .. } => "KeyName",
        }
    }
}
