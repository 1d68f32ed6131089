//! Why the database could not do what it was asked.

use tokio_postgres::error::SqlState;

/// None of these means "no such row".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// No connection, and why the last attempt failed.
    #[error("the database cannot be used: {0}")]
    Unavailable(String),
    /// The connection was lost before the answer. A write may have been done.
    #[error("the connection to the database was lost before its answer")]
    Lost,
    /// No answer in time. A write may have been done.
    #[error("the database did not answer in time")]
    Silent,
    /// Tables changed under a connection.
    #[error("the database's tables were changed: try again")]
    Changed,
    /// A standby answered.
    #[error("the server is a standby: only a primary knows what is stored")]
    Standby,
    /// Its disk is full, or a quota of it is used up. Reads go on.
    #[error("the database's disk is full: add space, writes then resume")]
    Full,
    /// More is being written than the database takes.
    #[error("the queue of writes to the database is full; try again later")]
    Busy,
    /// Larger than what is accepted.
    #[error("a payload of {bytes} bytes is larger than the {limit} that are accepted")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The server refused a statement, in its words.
    #[error("the database refused: {0}")]
    Refused(String),
    /// A row holds what no Tessera writes there.
    #[error("a row in the database cannot be read: {0}")]
    Row(&'static str),
    /// The node is shutting down.
    #[error("the database is closed")]
    Closed,
}

impl DatabaseError {
    /// Whether another connection may know better. Every statement of ours may be done twice.
    pub(crate) fn may_be_repeated(&self) -> bool {
        matches!(self, Self::Lost | Self::Changed)
    }
}

impl From<tokio_postgres::Error> for DatabaseError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(refusal) = error.as_db_error() else { return Self::Lost };
        match *refusal.code() {
            SqlState::DISK_FULL => Self::Full,
            SqlState::READ_ONLY_SQL_TRANSACTION => Self::Standby,
            // An administrator ends sessions or the server.
            SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN | SqlState::CANNOT_CONNECT_NOW => Self::Lost,
            SqlState::LOCK_NOT_AVAILABLE => Self::Busy,
            SqlState::QUERY_CANCELED => Self::Silent,
            // A statement was prepared on what the tables were, or a pooler gave the connection to another of the server's.
            SqlState::FEATURE_NOT_SUPPORTED
            | SqlState::INVALID_SQL_STATEMENT_NAME
            | SqlState::UNDEFINED_COLUMN
            | SqlState::UNDEFINED_TABLE => Self::Changed,
            _ => Self::Refused(words(refusal)),
        }
    }
}

/// Characters of a server's sentence that are repeated. A server may send any text, and logs and statuses repeat it.
const MAX_SENTENCE: usize = 300;
/// Characters of a code.
const SQLSTATE: usize = 5;

/// The server's sentence with its code. Its detail is left out: it quotes values.
pub(crate) fn words(refusal: &tokio_postgres::error::DbError) -> String {
    let code = refusal.code().code().chars().filter(char::is_ascii_alphanumeric).take(SQLSTATE);
    format!("{} ({})", one_line(refusal.message()), code.collect::<String>())
}

pub(crate) fn one_line(sentence: &str) -> String {
    sentence.chars().filter(|character| !character.is_control()).take(MAX_SENTENCE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_s_sentence_is_one_line_and_short() {
        assert_eq!(one_line("no\u{1b}[2J\nentry"), "no[2Jentry");
        assert_eq!(one_line(&"é".repeat(1000)).chars().count(), MAX_SENTENCE);
    }
}
