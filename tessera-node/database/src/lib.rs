//! Payloads in PostgreSQL, in the tables of Java Tessera.
//!
//! ```text
//! files (connection string, CA, client certificate) ── credentials ──┐   read anew for each connection
//!                                                                    ▼
//! Database ──► writer ──► link ──► session ──► the primary         link: one connection, made again when it ends
//!     │  inserts of concurrent callers share a transaction    ▲    session: checked, then statements that are prepared
//!     └────────► reads, merges ───────────────────────────────┘
//! ```
//!
//! - **Only the primary answers.** A session is used after the server said that it is no standby, that `fsync` is on and that
//!   it takes writes; each read asks again whether the server is a standby. A server that writes an older timeline than one that
//!   this process has seen is refused: it is a primary that came back after a failover. An isolated primary whose successor this
//!   process has not seen cannot be told from the right one: an administrator of several servers fences the old one.
//! - **Acknowledged is durable**: `synchronous_commit` is at least `on` in each session.
//! - **Java's tables are never altered**, only made where there are none. Without the column `payload_codec`, which old ones
//!   lack, everything is written in the old codec. Our own tables (`tessera_node_*`) hold the store's identity, and what
//!   several nodes on one database share ([`Shared`]).
//! - **No connection is held by a caller**: statements of many callers follow each other on a few connections.
//! - A connection pooler must give each of our connections one of the server's (`pool_mode = session`): settings of the session
//!   and prepared statements are used.
//!
//! The library keeps the connection string's password in memory that it does not clear. A role that logs in with a certificate
//! has none.

mod connection_string;
mod credentials;
mod database;
mod error;
mod health;
mod link;
mod primary;
mod replicas;
mod rows;
mod schema;
mod session;
mod stats;
mod trial;
mod writer;

pub use credentials::Credentials;
pub use database::{Database, Options};
pub use error::DatabaseError;
pub use health::{Health, HealthChanges};
pub use replicas::{PeerRow, PeerRows, Replica, Shared};
pub use rows::RawRow;
pub use schema::DDL;
pub use stats::Stats;
pub use trial::Trials;
