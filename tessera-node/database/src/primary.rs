//! Finds the primary among the hosts of the connection string, and refuses a server whose answers could be untrue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use futures::StreamExt;
use tessera_node_api::plain_words;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_postgres::error::{Severity, SqlState};
use tokio_postgres::{AsyncMessage, Client, Config, Connection};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::connection_string::Server;
use crate::{DatabaseError, error};

/// For one host: TCP, TLS, login and checks.
const HOST_TIME: Duration = Duration::from_secs(5);

/// A connection to a server that passed all checks.
pub(crate) struct Primary {
    pub(crate) client: Client,
    /// The server warned: a commit may have ended before its standby had it.
    pub(crate) warned: Arc<AtomicBool>,
    /// How many primaries were made before this one; 0: the server does not say.
    pub(crate) timeline: u32,
    /// Cancelled when the connection is lost.
    pub(crate) over: CancellationToken,
    /// Ends the connection when dropped.
    pub(crate) guard: DropGuard,
}

/// The first host that is a primary, and none older than the `newest` timeline that was seen. The error names each host.
pub(crate) async fn find(
    servers: &[Server],
    tls: &MakeRustlsConnect,
    newest: &AtomicU32,
) -> Result<Primary, String> {
    let mut refused = Vec::new();
    for Server { name, config } in servers {
        match timeout(HOST_TIME, connect(config, tls, newest)).await {
            Ok(Ok(primary)) => return Ok(primary),
            Ok(Err(why)) => refused.push(format!("{name}: {why}")),
            Err(_) => refused.push(format!("{name}: the server did not answer in time")),
        }
    }
    Err(refused.join("; "))
}

async fn connect(config: &Config, tls: &MakeRustlsConnect, newest: &AtomicU32) -> Result<Primary, String> {
    let (client, connection) = config.connect(tls.clone()).await.map_err(why)?;
    let over = CancellationToken::new();
    let (lost, given_up) = (over.clone().drop_guard(), over.clone());
    let warned = Arc::new(AtomicBool::new(false));
    let driven = drive(connection, Arc::clone(&warned));
    tokio::spawn(async move {
        let _ended = given_up.run_until_cancelled(driven).await;
        drop(lost);
    });
    let guard = over.clone().drop_guard();
    check(&client).await?;
    let timeline = timeline(&client).await?;
    refuse_old(timeline, newest.load(Ordering::SeqCst))?;
    Ok(Primary { client, warned, timeline, over, guard })
}

/// Runs the connection to its end. Why it ended, its callers learn.
async fn drive<S, T>(mut connection: Connection<S, T>, warned: Arc<AtomicBool>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut messages = futures::stream::poll_fn(move |context| connection.poll_message(context));
    while let Some(Ok(message)) = messages.next().await {
        // The notice comes before the end of its statement.
        if let AsyncMessage::Notice(notice) = message
            && notice.parsed_severity() == Some(Severity::Warning)
        {
            warned.store(true, Ordering::SeqCst);
        }
    }
}

/// Refuses a server that cannot keep what it acknowledges, or that is no primary, and asks for durable commits.
async fn check(client: &Client) -> Result<(), String> {
    let settings =
        "SELECT pg_is_in_recovery(), current_setting('fsync'), current_setting('synchronous_commit')";
    let row = client.query_one(settings, &[]).await.map_err(why)?;
    let read = |error: tokio_postgres::Error| error::one_line(&error.to_string());
    let (is_standby, fsync) = (row.try_get(0).map_err(read)?, row.try_get::<_, &str>(1).map_err(read)?);
    let commit: &str = row.try_get(2).map_err(read)?;
    if is_standby {
        return Err(DatabaseError::Standby.to_string());
    }
    if fsync != "on" {
        return Err(
            "the server runs with fsync = off, so that it loses what it has acknowledged: set it to on"
                .to_owned(),
        );
    }
    // What waits for more than the disks of primary and standby is kept, whatever a later reload of the server says.
    let commit = if commit == "remote_apply" { commit } else { "on" };
    // A policy that hides rows is an error, and not "no such row". A lock that a person holds delays nobody for long.
    let settings = format!(
        "SET synchronous_commit = {commit}; SET default_transaction_isolation = 'read committed'; \
         SET row_security = off; SET lock_timeout = '2s'"
    );
    client.batch_execute(&settings).await.map_err(why)
}

/// The timeline that the server writes: each primary that is made of a standby begins a higher one.
async fn timeline(client: &Client) -> Result<u32, String> {
    let name = client
        .query_one_scalar::<String, _>("SELECT pg_walfile_name(pg_current_wal_insert_lsn())", &[])
        .await;
    match name {
        Ok(name) => Ok(name.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0)),
        // Services that keep the log apart from the servers have no such function, and fence by that log.
        Err(error) if error.code().is_some_and(|code| *code != SqlState::ADMIN_SHUTDOWN) => Ok(0),
        Err(error) => Err(why(error)),
    }
}

/// A primary that came back after another took over lacks what the other acknowledged.
pub(crate) fn refuse_old(timeline: u32, newest: u32) -> Result<(), String> {
    if timeline != 0 && timeline < newest {
        return Err(format!(
            "the server is an old primary: it writes timeline {timeline}, and a primary of timeline {newest} was seen. \
             Stop it, and make it a standby; or if the database was restored or moved, restart this node"
        ));
    }
    Ok(())
}

/// Why a connection could not be made, in one sentence. Nothing of the connection string is in it but names.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(crate) fn why(error: tokio_postgres::Error) -> String {
    if let Some(refusal) = error.as_db_error() {
        return error::words(refusal);
    }
    // A server may have written a part of it.
    error::one_line(&plain_words::root_cause(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lower_timeline_is_old() {
        for (timeline, newest) in [(1, 0), (2, 2), (3, 2), (0, 2)] {
            assert_eq!(refuse_old(timeline, newest), Ok(()), "{timeline} {newest}");
        }
        assert!(refuse_old(1, 2).is_err_and(|why| why.contains("timeline 1")));
    }
}
