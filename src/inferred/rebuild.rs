//! Computing a table again from the rows that are stored: chunk by chunk, the oldest first, beside live traffic.
//!
//! Every minute that has rows is noted again, as if it had been written, and the job works through it as usual. What is in the
//! table and outlived its rows stays: times only ever widen.

use std::time::Duration;

use deadpool_postgres::Pool;

use super::{Inferred, TABLES};
use crate::jobs::minutes::MinuteQueues;
use crate::jobs::run_now;
use crate::model::Relation;
use crate::storage::{StorageError, Store};

/// Between two looks at whether another node has worked through what was noted.
const PAUSE: Duration = Duration::from_millis(200);

/// The names of the tables that can be rebuilt.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|table| table.queue.name)
}

/// How far a rebuild is.
#[derive(Debug, Clone, Copy)]
pub struct Rebuilt {
    pub chunks_done: usize,
    pub chunks: usize,
    /// Minutes of tenants that were gone through.
    pub minutes: u64,
}

/// Computes a table of [`names`] again; `progress` is told after each chunk. A run that was cut short is simply begun again.
pub async fn rebuild(
    store: &Store,
    owner: &Pool,
    name: &str,
    assets_max: usize,
    mut progress: impl FnMut(Rebuilt),
) -> Result<Rebuilt, StorageError> {
    let table = TABLES.iter().find(|table| table.queue.name == name);
    let queue = table.ok_or_else(|| StorageError::fatal(format!("no inferred table is called {name}")))?.queue;
    let Some(kind) = queue.rows else {
        return Err(StorageError::fatal(format!("{name} is not made from rows that are stored")));
    };
    let job = Inferred::new(&mut MinuteQueues::default(), assets_max);
    let mut chunks = store.layout().list(&**owner.get().await?).await?;
    chunks.retain(|chunk| chunk.relation == Relation::Raw(kind));
    // Those of one time are taken together: partitions in space.
    chunks.sort_unstable_by_key(|chunk| (chunk.from_us, chunk.to_us));
    chunks.dedup_by_key(|chunk| (chunk.from_us, chunk.to_us));
    let mut rebuilt = Rebuilt { chunks_done: 0, chunks: chunks.len(), minutes: 0 };
    let note = format!(
        "INSERT INTO touched_minutes (job, tenant_id, minute, since) {} ON CONFLICT DO NOTHING",
        include_str!("../../sql/queries/rebuild_minutes.sql").replace("{table}", kind.table())
    );
    for chunk in chunks {
        let (from_s, to_s) = (chunk.from_us as f64 / 1e6, chunk.to_us as f64 / 1e6);
        rebuilt.minutes += owner.get().await?.execute(&note, &[&queue.name, &from_s, &to_s]).await?;
        while waiting(owner, queue.name).await? {
            match run_now(&job, owner).await {
                Ok(_counts) => {}
                // Another node is at it, and does the same work.
                Err(error) if error.is_contention() => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(error),
            }
        }
        rebuilt.chunks_done += 1;
        progress(rebuilt);
    }
    Ok(rebuilt)
}

/// Whether anything that is due waits in a queue, or is under way.
async fn waiting(owner: &Pool, queue: &str) -> Result<bool, StorageError> {
    let sql = "SELECT EXISTS (SELECT FROM touched_minutes WHERE job = $1 AND since NOT BETWEEN now() - INTERVAL '60 seconds' AND now() + INTERVAL '60 seconds') \
               OR EXISTS (SELECT FROM touched_passes WHERE job = $1)";
    Ok(owner.get().await?.query_one(sql, &[&queue]).await?.get(0))
}
