//! Chunks of the timescale engine: listed from the catalogue, dropped, compressed and put in order, each in a transaction of
//! its own that waits for no lock longer than [`LIFECYCLE_LOCK_TIMEOUT`].
//!
//! No statement here locks a hypertable against its writers; docs/ARCHITECTURE.md, "Lifecycle", says which locks were found.

use deadpool_postgres::{Object, Transaction};
use tokio_postgres::{GenericClient, Row};

use super::plan::{Chunk, Kept};
use crate::limits::LIFECYCLE_LOCK_TIMEOUT;
use crate::storage::{Engine, StorageError};

/// The chunks or partitions that there are of what is planned, oldest first.
pub async fn list(client: &impl GenericClient, engine: Engine, plan: &[Kept]) -> Result<Vec<Chunk>, StorageError> {
    let tables: Vec<&str> = plan.iter().map(|kept| kept.table).collect();
    let rows = match engine {
        Engine::Timescale => client.query(include_str!("../../sql/queries/lifecycle_chunks.sql"), &[]).await?,
        Engine::Postgres => {
            client.query(include_str!("../../sql/queries/lifecycle_partitions.sql"), &[&tables]).await?
        }
    };
    let chunk = |row: &Row| {
        let name: &str = row.get(0);
        let kept = plan.iter().find(|kept| match engine {
            Engine::Timescale => kept.relation == name,
            Engine::Postgres => kept.table == name,
        });
        Some(Chunk {
            relation: kept?.relation,
            name: row.get(1),
            from_us: row.get(2),
            to_us: row.get(3),
            status: row.get(4),
            columnstore: row.get(5),
        })
    };
    Ok(rows.iter().filter_map(chunk).collect())
}

/// A transaction whose locks are not waited for.
pub async fn begin(client: &mut Object) -> Result<Transaction<'_>, StorageError> {
    let transaction = client.transaction().await?;
    let settings = format!("SET LOCAL lock_timeout = '{}ms'", LIFECYCLE_LOCK_TIMEOUT.as_millis());
    transaction.batch_execute(&settings).await?;
    Ok(transaction)
}

/// Drops the chunks of one slice of time, all of one relation: its space partitions expire together.
///
/// A reader of the whole table holds locks on other chunks of the slice, and may want those that are locked here already. So
/// the first is waited for with nothing in hand, the others not at all: whoever waits for nothing is in no deadlock.
pub async fn drop_slice(client: &mut Object, slice: &[&Chunk]) -> Result<u64, StorageError> {
    let Some(first) = slice.first() else { return Ok(0) };
    let transaction = begin(client).await?;
    for chunk in slice {
        let wait = if chunk.name == first.name { "" } else { "NOWAIT" };
        transaction.batch_execute(&format!("LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE {wait}", chunk.name)).await?;
    }
    let dropped: i64 = transaction
        .query_one(
            "SELECT count(*) FROM public.drop_chunks($1::text::regclass, \
             older_than => to_timestamp($3::bigint / 1e6), newer_than => to_timestamp($2::bigint / 1e6))",
            &[&format!("tidegate.{}", first.relation), &first.from_us, &first.to_us],
        )
        .await?
        .get(0);
    transaction.commit().await?;
    Ok(dropped.unsigned_abs())
}

/// Steps in which a chunk is brought into order: rows beside the columnstore are taken in first, what is unordered is written
/// anew after that.
const STEPS_MAX: usize = 3;

/// Brings a whole chunk into the columnstore, and into its order. True when that is done.
pub async fn compress(client: &mut Object, chunk: &Chunk) -> Result<bool, StorageError> {
    for _ in 0..STEPS_MAX {
        let transaction = begin(client).await?;
        // Small chunks compress poorly, and that is no news; `doctor` looks at the ratio of whole tables.
        transaction.batch_execute("SET LOCAL timescaledb.enable_compression_ratio_warnings = off").await?;
        let sql =
            "SELECT public.compress_chunk($1::text::regclass, if_not_compressed => true, recompress => true)::text";
        transaction.query_one(sql, &[&chunk.name]).await?;
        transaction.commit().await?;
        let sql = "SELECT status FROM _timescaledb_catalog.chunk WHERE format('%I.%I', schema_name, table_name) = $1";
        let status: Option<i32> = client.query_opt(sql, &[&chunk.name]).await?.map(|row| row.get(0));
        let Some(status) = status else { return Ok(true) };
        if !(Chunk { status, ..chunk.clone() }).is_disordered() {
            return Ok(true);
        }
    }
    Ok(false)
}
