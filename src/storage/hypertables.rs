//! What layouts of hypertables need beside the migrations.

use tokio_postgres::Client;

use super::StorageError;
use crate::config::Config;
use crate::model::Kind;

pub(super) async fn apply_rowstore(client: &Client) -> Result<(), StorageError> {
    let present: bool = client.query_one("SELECT to_regclass('tidegate.events_unique') IS NOT NULL", &[]).await?.get(0);
    if !present {
        let sql = include_str!("../../sql/profile/rowstore.sql");
        client.batch_execute(&format!("BEGIN; {sql} COMMIT;")).await?;
    }
    Ok(())
}

/// How many partitions new slices are cut into, where that is configured. Who makes a chunk holds the lock of its
/// birth, so that nobody makes one by the old number meanwhile; what has chunks keeps its number
/// ([`super::slices`]).
pub(super) async fn apply_partitions(client: &Client, config: &Config) -> Result<(), StorageError> {
    for kind in Kind::ALL {
        let (Some(wanted), table) = (*config.partitions.of(kind), kind.table()) else { continue };
        let found = "SELECT coalesce(max(num_partitions), 1)::integer FROM timescaledb_information.dimensions \
                     WHERE hypertable_schema = 'tidegate' AND hypertable_name = $1";
        let found: i32 = client.query_one(found, &[&table]).await?.get(0);
        if u32::try_from(found) == Ok(wanted) {
            continue;
        }
        let sql = format!(
            "BEGIN; SELECT FROM birth_locks WHERE kind = '{table}' ORDER BY slot FOR UPDATE; \
             SELECT public.set_number_partitions('tidegate.{table}', {wanted}, '{}'); COMMIT",
            kind.space()
        );
        let doing = format!("cutting new slices of {table} into {wanted} partitions");
        client.batch_execute(&sql).await.map_err(|error| StorageError::from(error).doing(&doing))?;
        tracing::info!(
            table,
            before = found,
            partitions = wanted,
            "new slices of time are cut into another number of partitions"
        );
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
