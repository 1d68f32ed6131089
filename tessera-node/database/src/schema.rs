//! The tables: Java's, which are made where there are none and never altered, and ours beside them.

use tessera_store::StoreId;
use tokio_postgres::Client;

/// What is run where tables are missing and the role may make them. An administrator who keeps that right from the role runs it once.
pub const DDL: [(&str, &str); 7] = [
    (
        "encrypted_transaction",
        r#"CREATE TABLE IF NOT EXISTS encrypted_transaction (hash bytea PRIMARY KEY, encoded_payload bytea NOT NULL, payload_codec varchar(50), "timestamp" bigint)"#,
    ),
    (
        "encrypted_raw_transaction",
        r#"CREATE TABLE IF NOT EXISTS encrypted_raw_transaction (hash bytea PRIMARY KEY, encrypted_key bytea NOT NULL, encrypted_payload bytea NOT NULL, nonce bytea NOT NULL, sender bytea NOT NULL, "timestamp" bigint)"#,
    ),
    (
        "tessera_node_store",
        "CREATE TABLE IF NOT EXISTS tessera_node_store (is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only), id text NOT NULL)",
    ),
    (
        "tessera_node_accepted_loss",
        "CREATE TABLE IF NOT EXISTS tessera_node_accepted_loss (store text PRIMARY KEY, accepted_ms bigint NOT NULL)",
    ),
    (
        "tessera_node_replica",
        "CREATE TABLE IF NOT EXISTS tessera_node_replica (number integer PRIMARY KEY, name text NOT NULL, keys bytea[] NOT NULL)",
    ),
    ("tessera_node_key", "CREATE TABLE IF NOT EXISTS tessera_node_key (public_key bytea PRIMARY KEY)"),
    (
        "tessera_node_peer",
        "CREATE TABLE IF NOT EXISTS tessera_node_peer (identity text PRIMARY KEY, url text NOT NULL, hosts text[] NOT NULL, versions text NOT NULL, keys bytea[] NOT NULL, seen timestamptz NOT NULL, revision bigint NOT NULL)",
    ),
];

/// Of all replicas that start at once, one makes the tables. The number is ours alone: the bytes of `tessera`.
const LOCK: i64 = 0x0074_6573_7365_7261;

/// What a session finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Schema {
    /// Which store this database is.
    pub(crate) id: StoreId,
    /// Whether rows say which codec wrote them.
    pub(crate) has_codec: bool,
}

/// Looks at the tables, makes what is missing, and names the store if it has no name yet. Changes nothing where a store is
/// known: this must be the one.
pub(crate) async fn prepare(client: &Client, known: Option<StoreId>) -> Result<Schema, SchemaError> {
    let missing = missing(client).await?;
    match known {
        _ if missing.is_empty() => {}
        None => create(client).await?,
        Some(known) => return Err(SchemaError::Gone { missing: missing.join(", "), known }),
    }
    let id = match (id(client).await?, known) {
        (Some(id), _) => id,
        (None, None) => name(client).await?,
        (None, Some(_)) => return Err(SchemaError::Id),
    };
    if let Some(known) = known.filter(|known| *known != id) {
        return Err(SchemaError::Another { found: id, known });
    }
    let has_codec = look(client).await?;
    Ok(Schema { id, has_codec })
}

/// Whether there is a column for the codec. Refuses tables that would make an answer untrue.
async fn look(client: &Client) -> Result<bool, SchemaError> {
    let row = client
        .query_one(
            "SELECT EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = 'encrypted_transaction'::regclass \
                 AND attname = 'payload_codec' AND NOT attisdropped), \
             EXISTS (SELECT 1 FROM (SELECT hash FROM encrypted_transaction LIMIT 1) t WHERE octet_length(hash) <> 64), \
             (SELECT min(relname::text) FROM pg_class WHERE relpersistence <> 'p' AND oid IN \
                 ('encrypted_transaction'::regclass, 'encrypted_raw_transaction'::regclass))",
            &[],
        )
        .await?;
    let (has_codec, is_orion, unlogged): (bool, bool, Option<String>) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    match unlogged {
        Some(table) => Err(SchemaError::Unlogged(table)),
        None if is_orion => Err(SchemaError::Hashes),
        None => Ok(has_codec),
    }
}

/// Why the tables cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SchemaError {
    #[error(
        "the role could not make the missing table {table}: {refusal}. Run `tessera-node database-schema`, and have its lines run by a role that may"
    )]
    Create { table: &'static str, refusal: String },
    #[error(
        "the database lacks the tables {missing}, and had them at this node's start: it is not the payload store {known}"
    )]
    Gone { missing: String, known: StoreId },
    #[error("the database is another payload store than at this node's start: {found}, and not {known}")]
    Another { found: StoreId, known: StoreId },
    #[error("the table tessera_node_store holds no identifier of a payload store")]
    Id,
    #[error("the table {0} is not logged, so that a crash empties it: run ALTER TABLE {0} SET LOGGED")]
    Unlogged(String),
    #[error(
        "the table encrypted_transaction has hashes of another length than 64 bytes (Java's orion mode): this node cannot read it"
    )]
    Hashes,
    #[error(transparent)]
    Database(#[from] tokio_postgres::Error),
    #[error("no random bytes for the store's identity")]
    Random,
}

async fn missing(client: &Client) -> Result<Vec<&'static str>, tokio_postgres::Error> {
    let names: Vec<&str> = DDL.iter().map(|(name, _)| *name).collect();
    let rows = client
        .query("SELECT name FROM unnest($1::text[]) name WHERE to_regclass(name) IS NULL", &[&names])
        .await?;
    let absent: Vec<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    Ok(names.into_iter().filter(|name| absent.iter().any(|absent| absent == name)).collect())
}

async fn create(client: &Client) -> Result<(), SchemaError> {
    client.batch_execute(&format!("BEGIN; SELECT pg_advisory_xact_lock({LOCK})")).await?;
    // Another replica may have made them while this one waited. What lies elsewhere in the search path is not made a second time:
    // an empty table would hide it.
    let missing = missing(client).await?;
    for (name, ddl) in DDL.into_iter().filter(|(name, _)| missing.contains(name)) {
        if let Err(error) = client.batch_execute(ddl).await {
            let refusal = error.as_db_error().map(crate::error::words);
            // The session is given up, and its transaction with it.
            return Err(match refusal {
                Some(refusal) => SchemaError::Create { table: name, refusal },
                None => error.into(),
            });
        }
    }
    client.batch_execute("COMMIT").await?;
    tracing::info!("the database has all tables now");
    Ok(())
}

async fn id(client: &Client) -> Result<Option<StoreId>, SchemaError> {
    let row = client.query_opt("SELECT id FROM tessera_node_store", &[]).await?;
    row.map(|row| row.try_get::<_, &str>(0)?.parse().map_err(|_| SchemaError::Id)).transpose()
}

async fn name(client: &Client) -> Result<StoreId, SchemaError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| SchemaError::Random)?;
    client
        .execute(
            "INSERT INTO tessera_node_store (id) VALUES ($1) ON CONFLICT DO NOTHING",
            &[&hex::encode(bytes)],
        )
        .await?;
    // Another replica may have come first.
    id(client).await?.ok_or(SchemaError::Id)
}
