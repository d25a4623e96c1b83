//! `indexes.payload_gin`: an index of what payloads contain, made and taken away while others write.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::{Layout, StorageError};
use crate::config::Config;
use crate::limits::{MIGRATION_LOCK_TIMEOUT, MIGRATION_PAUSE, MIGRATION_TRIES};
use crate::model::StoredJson;

const NAME: &str = "events_payload_gin";
/// What it is of: paths with their values, as `@>` asks for them, a third of the size of all keys and values.
const OF: &str = "USING gin (payload jsonb_path_ops)";

/// Makes it what the configuration asks for, and says whether it is there. Called under the installers' lock.
pub(super) async fn apply(
    client: &Client,
    layout: Layout,
    stored_json: StoredJson,
    config: &Config,
) -> Result<bool, StorageError> {
    let is_there = payload_index(client).await?;
    match config.payload_gin {
        Some(true) => {
            possible(layout, stored_json)?;
            make(client, layout).await.map_err(|error| error.doing("making the index of payloads"))?;
            Ok(true)
        }
        Some(false) if is_there => {
            remove(client).await.map_err(|error| error.doing("removing the index of payloads"))?;
            tracing::info!("the index of payloads is removed");
            Ok(false)
        }
        Some(false) | None => Ok(is_there),
    }
}

/// Whether it is there, whole or not: half of it finds half of the partitions' rows sooner, and hides none.
pub async fn payload_index(client: &Client) -> Result<bool, StorageError> {
    let sql = format!("SELECT to_regclass('tidegate.{NAME}') IS NOT NULL");
    Ok(client.query_one(&sql, &[]).await?.get(0))
}

/// Why there can be none, if that is so.
fn possible(layout: Layout, stored_json: StoredJson) -> Result<(), StorageError> {
    let why = if layout.direct_compress() {
        "payloads go into the columnstore as they come, where no index sees them (storage_profile = columnstore); it is \
         for storage_profile = rowstore and engine = postgres"
    } else if stored_json == StoredJson::Json {
        // An index of the cast would parse each payload, which is what json is chosen to save.
        "payloads are kept as json (storage_payload), which has no containment to index"
    } else {
        return Ok(());
    };
    Err(StorageError::not_ready(format!(
        "indexes.payload_gin = true is configured, but in this database {why}; leave it out, or use a new database"
    )))
}

async fn make(client: &Client, layout: Layout) -> Result<(), StorageError> {
    if layout.has_hypertables() { make_by_chunk(client).await } else { make_by_partition(client).await }
}

/// A transaction a chunk: rows of one chunk at a time wait while its index is built.
async fn make_by_chunk(client: &Client) -> Result<(), StorageError> {
    let sql = format!("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('tidegate.{NAME}')");
    match client.query_opt(&sql, &[]).await?.map(|row| row.get(0)) {
        Some(true) => return Ok(()),
        // It was cut short.
        Some(false) => remove(client).await?,
        None => {}
    }
    tracing::info!("the index of payloads is made, chunk by chunk");
    let sql = format!("CREATE INDEX {NAME} ON tidegate.events {OF} WITH (timescaledb.transaction_per_chunk)");
    Ok(client.batch_execute(&sql).await?)
}

/// Of the table without its partitions first, from which moment new ones are made with theirs; then of each that is there,
/// beside its writers.
async fn make_by_partition(client: &Client) -> Result<(), StorageError> {
    client.batch_execute(&format!("CREATE INDEX IF NOT EXISTS {NAME} ON ONLY tidegate.events {OF}")).await?;
    for row in client.query(include_str!("../../sql/queries/payload_index_missing.sql"), &[]).await? {
        let (partition, index): (&str, &str) = (row.get(0), row.get(1));
        tracing::info!(partition, "the index of payloads is made");
        // What was cut short is there and of no use.
        client.batch_execute(&format!("DROP INDEX IF EXISTS tidegate.{index}")).await?;
        client.batch_execute(&format!("CREATE INDEX CONCURRENTLY {index} ON {partition} {OF}")).await?;
        client.batch_execute(&format!("ALTER INDEX tidegate.{NAME} ATTACH PARTITION tidegate.{index}")).await?;
    }
    Ok(())
}

/// Takes a moment, but a lock on all of the table: tried until nobody holds it.
async fn remove(client: &Client) -> Result<(), StorageError> {
    let sql = format!(
        "BEGIN; SET LOCAL lock_timeout = {}; DROP INDEX tidegate.{NAME}; COMMIT",
        MIGRATION_LOCK_TIMEOUT.as_millis()
    );
    let mut tries = 1;
    while let Err(error) = client.batch_execute(&sql).await {
        let _ = client.batch_execute("ROLLBACK").await;
        if error.code() != Some(&SqlState::LOCK_NOT_AVAILABLE) || tries == MIGRATION_TRIES {
            return Err(error.into());
        }
        tries += 1;
        tokio::time::sleep(MIGRATION_PAUSE).await;
    }
    Ok(())
}
