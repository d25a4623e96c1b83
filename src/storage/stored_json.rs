//! How a database keeps payload and metadata: chosen when it is installed, told by its columns ever after.

use tokio_postgres::Client;

use super::{Layout, StorageError};
use crate::config::Config;
use crate::model::StoredJson;

/// As the columns are; None before they are there.
pub async fn standing_json(client: &Client) -> Result<Option<StoredJson>, StorageError> {
    let sql = "SELECT format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = to_regclass('tidegate.events') \
               AND attname IN ('payload', 'metadata') ORDER BY attname DESC";
    let types: Vec<String> = client.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect();
    if types.is_empty() {
        return Ok(None);
    }
    let standing = StoredJson::ALL.into_iter().find(|(name, _)| types == [*name, *name]);
    let (_, stored) = standing.ok_or_else(|| {
        StorageError::not_ready(format!(
            "the columns payload and metadata of tidegate.events are {}, and must both be jsonb or both be json, as \
             Tidegate makes them: ALTER TABLE changes them back",
            types.join(" and ")
        ))
    })?;
    Ok(Some(stored))
}

/// What is stored decides; a configuration that asks for something else is refused.
pub(super) async fn agreed_json(client: &Client, config: &Config) -> Result<StoredJson, StorageError> {
    let standing = standing_json(client).await?.unwrap_or_default();
    match config.database.stored_json.filter(|wanted| *wanted != standing) {
        None => Ok(standing),
        Some(wanted) => Err(StorageError::not_ready(format!(
            "this database was installed with storage_payload = {was}, and now {now} is asked for; what is stored is \
             not rewritten: set storage_payload = {was} or leave it out, or use a new database",
            was = standing.type_name(),
            now = wanted.type_name()
        ))),
    }
}

/// Makes the columns of a database that is being installed, whose tables hold nothing yet.
pub(super) async fn make(client: &Client, layout: Layout, config: &Config) -> Result<StoredJson, StorageError> {
    let wanted = config.database.stored_json.unwrap_or_default();
    if standing_json(client).await? == Some(wanted) {
        return Ok(wanted);
    }
    let sql = if layout.has_hypertables() {
        include_str!("../../sql/profile/payload_timescale.sql")
    } else {
        include_str!("../../sql/profile/payload_postgres.sql")
    };
    let sql = format!("BEGIN; SET LOCAL tidegate.payload = '{}'; {sql} COMMIT", wanted.type_name());
    let made = client.batch_execute(&sql).await;
    made.map_err(|error| StorageError::from(error).doing("making the columns payload and metadata"))?;
    Ok(wanted)
}
