//! One connection to the primary, checked, with its prepared statements.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tessera_store::StoreId;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::sync::CancellationToken;

use crate::primary::{self, Primary, refuse_old, why};
use crate::replicas::LOCKS;
use crate::schema::{self, Schema, SchemaError};
use crate::{Credentials, DatabaseError, rows};

/// For a statement of a small payload.
const STATEMENT_TIME: Duration = Duration::from_secs(3);
/// The slowest way to the database that large payloads are meant for, in bytes a second.
const SLOWEST: u64 = 4 << 20;
/// For cancelling a statement.
const CANCEL_TIME: Duration = Duration::from_secs(1);
/// For the tables and statements of a new connection, all together.
const PREPARE_TIME: Duration = Duration::from_secs(10);

/// A connection that may be used. Many callers use it at the same time: their statements follow each other.
pub(crate) struct Session {
    client: Client,
    /// For the connection that cancels a statement.
    tls: MakeRustlsConnect,
    /// The server warned: a commit may have ended before its standby had it.
    warned: Arc<AtomicBool>,
    pub(crate) timeline: u32,
    pub(crate) statements: Statements,
    pub(crate) schema: Schema,
    /// Cancelled when it is lost or given up.
    over: CancellationToken,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl Session {
    /// Connects to the primary of `known`, or of a store that is not known yet. The error is a sentence for people.
    pub(crate) async fn open(
        credentials: &Credentials,
        known: Option<StoreId>,
        newest: &AtomicU32,
        replica: i32,
    ) -> Result<Self, String> {
        let login = credentials.read().await?;
        let tls = login.tls(login.own.clone());
        let primary = primary::find(&login.servers, &tls, newest).await?;
        timeout(PREPARE_TIME, Self::prepare(primary, tls, known, newest, replica))
            .await
            .unwrap_or_else(|_| Err("the server did not prepare the statements in time".to_owned()))
    }

    async fn prepare(
        primary: Primary,
        tls: MakeRustlsConnect,
        known: Option<StoreId>,
        newest: &AtomicU32,
        replica: i32,
    ) -> Result<Self, String> {
        let Primary { client, warned, timeline, over, guard } = primary;
        let schema = schema::prepare(&client, known).await.map_err(|error| match error {
            SchemaError::Database(error) => why(error),
            other => other.to_string(),
        })?;
        // Of another store's server, which a wrong connection string names, the timeline says nothing.
        refuse_old(timeline, newest.fetch_max(timeline, Ordering::SeqCst))?;
        hold_place(&client, replica).await.map_err(why)?;
        let statements = Statements::prepare(&client, schema.has_codec).await.map_err(why)?;
        // Of what was said before, nothing was about a commit of ours.
        warned.store(false, Ordering::SeqCst);
        guard.disarm();
        Ok(Self { client, tls, warned, timeline, statements, schema, over })
    }

    /// The rows of a statement that is not prepared beforehand.
    pub(crate) async fn rare(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, DatabaseError> {
        match timeout(STATEMENT_TIME, self.client.prepare(sql)).await {
            Ok(Ok(statement)) => self.query(&statement, values, 0).await,
            Ok(Err(error)) => Err(self.judge(error.into())),
            Err(_) => Err(self.judge(DatabaseError::Silent)),
        }
    }

    /// The rows of a statement that carries about `bytes`.
    pub(crate) async fn query(
        &self,
        statement: &Statement,
        parameters: &[&(dyn ToSql + Sync)],
        bytes: u64,
    ) -> Result<Vec<Row>, DatabaseError> {
        let time = STATEMENT_TIME + Duration::from_millis(bytes / (SLOWEST / 1000));
        match timeout(time, self.client.query(statement, parameters)).await {
            // Which of the statements under way it was about is not said.
            Ok(Ok(_)) if self.warned.load(Ordering::SeqCst) => Err(self.judge(DatabaseError::Lost)),
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(error)) => Err(self.judge(error.into())),
            // What follows on this connection would wait behind it.
            Err(_) => {
                self.cancel().await;
                Err(self.judge(DatabaseError::Silent))
            }
        }
    }

    /// An error, after which the connection may be of no use.
    pub(crate) fn judge(&self, error: DatabaseError) -> DatabaseError {
        use DatabaseError::{Changed, Lost, Silent, Standby};
        if matches!(error, Silent | Lost | Changed | Standby) {
            self.give_up();
        }
        error
    }

    /// Ends the statement at the server: it would keep its place among the server's connections as long as it waits.
    async fn cancel(&self) {
        let token = self.client.cancel_token();
        // Without an answer the statement ends by itself some time.
        let _ = timeout(CANCEL_TIME, token.cancel_query(self.tls.clone())).await;
    }

    /// Asks whether the server is still a primary that answers; gives the connection up if it is not.
    pub(crate) async fn ping(&self, newest_timeline: u32) {
        let answered = self.query(&self.statements.is_standby, &[], 0).await;
        let is_standby =
            answered.map(|rows| rows.first().is_none_or(|row| rows::get(row, 0).unwrap_or(true)));
        let is_old = self.timeline != 0 && self.timeline < newest_timeline;
        if is_old || is_standby.unwrap_or(true) {
            self.give_up();
        }
    }

    pub(crate) fn give_up(&self) {
        self.over.cancel();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    pub(crate) async fn ended(&self) {
        self.over.cancelled().await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// Says that this node lives, for as long as the connection does. The server probes a connection whose machine fell silent:
/// without, it would count for two hours.
async fn hold_place(client: &Client, replica: i32) -> Result<(), tokio_postgres::Error> {
    let statements = format!(
        "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; \
         SELECT pg_advisory_lock_shared({LOCKS}, {replica})"
    );
    client.batch_execute(&statements).await
}

/// The name of the column for the codec, once it is there.
const CODEC_COLUMN: &str = "(SELECT attname::text FROM pg_attribute WHERE attrelid = 'encrypted_transaction'::regclass \
     AND attname = 'payload_codec' AND NOT attisdropped)";

/// The statements of a connection. Each read is one row also where nothing is stored: then it says whether a primary said so.
#[derive(Debug)]
pub(crate) struct Statements {
    pub(crate) get: Statement,
    pub(crate) get_raw: Statement,
    pub(crate) size: Statement,
    pub(crate) size_raw: Statement,
    pub(crate) version: Statement,
    pub(crate) insert: Statement,
    pub(crate) insert_raw: Statement,
    pub(crate) replace: Statement,
    pub(crate) has_more_than: Statement,
    pub(crate) accept_loss: Statement,
    pub(crate) accepted_loss: Statement,
    pub(crate) is_standby: Statement,
}

impl Statements {
    async fn prepare(client: &Client, has_codec: bool) -> Result<Self, tokio_postgres::Error> {
        // Where the column was not when this was prepared, its name in place of a codec says that it is there by now.
        let codec = if has_codec { "t.payload_codec" } else { CODEC_COLUMN };
        let get = format!(
            "SELECT t.encoded_payload, {codec}, t.\"timestamp\"::bigint, t.xmin::text::bigint, pg_is_in_recovery() \
             FROM (VALUES (1)) one LEFT JOIN encrypted_transaction t ON t.hash = $1"
        );
        // The statement locks a row that is there already, and does not return it. A lock is a write, so the commit waits until the
        // row is on the disks of primary and standby, also if another session wrote the row and did not wait.
        // The rows are in the order of their hashes: two replicas that insert the same rows cannot deadlock.
        let insert = if has_codec {
            "INSERT INTO encrypted_transaction (hash, encoded_payload, \"timestamp\", payload_codec) \
             SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::text[]) \
             ON CONFLICT (hash) DO UPDATE SET hash = excluded.hash WHERE false RETURNING hash"
        } else {
            "INSERT INTO encrypted_transaction (hash, encoded_payload, \"timestamp\") \
             SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bigint[]) \
             ON CONFLICT (hash) DO UPDATE SET hash = excluded.hash WHERE false RETURNING hash"
        };
        let (codec, is_unchanged) = if has_codec {
            (", payload_codec = $4::text", String::new())
        } else {
            ("", format!(" AND {CODEC_COLUMN} IS NULL"))
        };
        let replace = format!(
            "UPDATE encrypted_transaction SET encoded_payload = $3{codec} \
             WHERE hash = $1 AND xmin = $2::bigint::text::xid{is_unchanged} RETURNING 1"
        );
        let prepare = |sql| client.prepare(sql);
        Ok(Self {
            get: prepare(&get).await?,
            get_raw: prepare(
                "SELECT t.encrypted_payload, t.encrypted_key, t.nonce, t.sender, pg_is_in_recovery() \
                 FROM (VALUES (1)) one LEFT JOIN encrypted_raw_transaction t ON t.hash = $1",
            )
            .await?,
            size: prepare(
                "SELECT octet_length(t.encoded_payload)::bigint, pg_is_in_recovery() \
                 FROM (VALUES (1)) one LEFT JOIN encrypted_transaction t ON t.hash = $1",
            )
            .await?,
            size_raw: prepare(
                "SELECT (octet_length(t.encrypted_payload) + octet_length(t.encrypted_key))::bigint, pg_is_in_recovery() \
                 FROM (VALUES (1)) one LEFT JOIN encrypted_raw_transaction t ON t.hash = $1",
            )
            .await?,
            version: prepare("SELECT xmin::text::bigint FROM encrypted_transaction WHERE hash = $1").await?,
            insert: prepare(insert).await?,
            insert_raw: prepare(
                "INSERT INTO encrypted_raw_transaction (hash, encrypted_payload, encrypted_key, nonce, sender, \"timestamp\") \
                 VALUES ($1, $2, $3, $4, $5, $6::bigint) ON CONFLICT (hash) DO UPDATE SET hash = excluded.hash WHERE false RETURNING 1",
            )
            .await?,
            replace: prepare(&replace).await?,
            has_more_than: prepare(
                "SELECT EXISTS (SELECT 1 FROM encrypted_transaction OFFSET $1::bigint LIMIT 1)",
            )
            .await?,
            accept_loss: prepare(
                "INSERT INTO tessera_node_accepted_loss (store, accepted_ms) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            )
            .await?,
            accepted_loss: prepare(
                "SELECT EXISTS (SELECT 1 FROM tessera_node_accepted_loss WHERE store = $1)",
            )
            .await?,
            is_standby: prepare("SELECT pg_is_in_recovery()").await?,
        })
    }
}
