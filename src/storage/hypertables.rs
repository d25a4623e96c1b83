//! What layouts of hypertables need beside the migrations.

use tokio_postgres::Client;

use super::StorageError;
use crate::config::Config;

pub(super) async fn apply_rowstore(client: &Client) -> Result<(), StorageError> {
    let present: bool = client.query_one("SELECT to_regclass('tidegate.events_unique') IS NOT NULL", &[]).await?.get(0);
    if !present {
        let sql = include_str!("../../sql/profile/rowstore.sql");
        client.batch_execute(&format!("BEGIN; {sql} COMMIT;")).await?;
    }
    Ok(())
}

/// Chunk widths as configured, and no policy that the lifecycle job has replaced.
pub(super) async fn apply_policies(client: &Client, config: &Config) -> Result<(), StorageError> {
    let sql = format!(
        "BEGIN; SET LOCAL tidegate.chunk_s = '{}'; {} COMMIT;",
        config.chunk_interval.as_secs(),
        include_str!("../../sql/queries/timescale_policies.sql"),
    );
    client
        .batch_execute(&sql)
        .await
        .map_err(|error| StorageError::from(error).doing("setting chunk widths and TimescaleDB's policies"))
}
