//! Organizations that keep their rows shorter than the others: what of theirs is in a chunk is deleted once the whole chunk is
//! older than they keep.
//!
//! In the columnstore the rows of a tenant are segments of their own, so that nothing is decompressed. How far an
//! organization is done is remembered in memory alone; a new leader asks each chunk once, which is a look into an index.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use deadpool_postgres::Object;

use super::chunks::begin;
use super::plan::{ChunkPlan, micros};
use super::rows::DELETE_ROWS;
use super::run::Run;
use crate::model::Relation;
use crate::storage::{Layout, StorageError, StoredChunk};

const DAY: Duration = Duration::from_secs(86_400);
/// Rows may still come to a chunk that was done: of a request that was accepted before the organization was given less. So
/// all is looked through again, this often.
const FORGET_AFTER: Duration = Duration::from_secs(86_400);

/// How far each organization is done.
#[derive(Default)]
pub struct Tenants {
    done: Mutex<Done>,
}

#[derive(Default)]
struct Done {
    since: Option<Instant>,
    /// Of a relation and tenant: chunks that end until then, in microseconds since 1970.
    until_us: HashMap<(&'static str, String), i64>,
}

/// An organization with a retention of its own for one relation.
struct Tier {
    tenant_id: String,
    /// Chunks that end until then hold nothing that it keeps.
    cut_us: i64,
    /// Those of them that end until then are done.
    done_us: i64,
}

impl Tenants {
    /// Deletes what organizations no longer keep; returns how many rows.
    pub async fn expire(&self, client: &mut Object, layout: Layout, run: &mut Run<'_>) -> Result<u64, StorageError> {
        let mut deleted = 0;
        for kept in run.plan {
            let Some(column) = kept.relation.retention_column() else { continue };
            let tiers = self.tiers(client, run, kept, column).await?;
            if !tiers.is_empty() {
                deleted += self.expire_in(client, layout, run, (kept.relation, &tiers)).await?;
            }
        }
        Ok(deleted)
    }

    async fn tiers(
        &self,
        client: &Object,
        run: &Run<'_>,
        kept: &ChunkPlan,
        column: &str,
    ) -> Result<Vec<Tier>, StorageError> {
        let relation = kept.relation;
        let sql = format!("SELECT tenant_id, {column} FROM organizations WHERE {column} IS NOT NULL ORDER BY 1");
        let rows = client.query(&sql, &[]).await?;
        let mut done = self.done.lock().expect("no code panics while holding it");
        if done.since.is_none_or(|since| since.elapsed() >= FORGET_AFTER) {
            *done = Done { since: Some(Instant::now()), until_us: HashMap::new() };
        }
        let tiers = rows.iter().map(|row| {
            let (tenant_id, days): (String, i32) = (row.get(0), row.get(1));
            let cut_us = run.now_us - micros(DAY * days.unsigned_abs() + relation.grace());
            let cut_us = cut_us.min(run.floor_us(relation, Some(&tenant_id)));
            let done_us = done.until_us.get(&(relation.name(), tenant_id.clone())).copied().unwrap_or(i64::MIN);
            Tier { tenant_id, cut_us, done_us }
        });
        Ok(tiers.collect())
    }

    async fn expire_in(
        &self,
        client: &mut Object,
        layout: Layout,
        run: &mut Run<'_>,
        (relation, tiers): (Relation, &[Tier]),
    ) -> Result<u64, StorageError> {
        let hold = layout.hold_sql(relation.table());
        let mut deleted = 0;
        let mut failed = false;
        let chunks: Vec<StoredChunk> = run.chunks.iter().filter(|chunk| chunk.relation == relation).cloned().collect();
        for chunk in &chunks {
            let due: Vec<&str> = tiers
                .iter()
                .filter(|tier| tier.done_us < chunk.to_us && chunk.to_us <= tier.cut_us)
                .map(|tier| tier.tenant_id.as_str())
                .collect();
            if due.is_empty() {
                continue;
            }
            if run.is_over() {
                run.left += 1;
                failed = true;
                continue;
            }
            match delete(client, (chunk, hold.as_deref()), &due, run).await {
                Ok((rows, whole)) => {
                    deleted += rows;
                    failed |= !whole;
                }
                Err(error) => {
                    run.note(&format!("deleting expired rows of organizations from {}", chunk.name), error);
                    failed = true;
                }
            }
        }
        if !failed {
            let mut done = self.done.lock().expect("no code panics while holding it");
            for tier in tiers {
                done.until_us.insert((relation.name(), tier.tenant_id.clone()), tier.cut_us);
            }
        }
        Ok(deleted)
    }
}

/// Deletes the rows of some tenants from one chunk, once it is held; returns how many, and whether that was all.
async fn delete(
    client: &mut Object,
    (chunk, hold): (&StoredChunk, Option<&str>),
    tenants: &[&str],
    run: &mut Run<'_>,
) -> Result<(u64, bool), StorageError> {
    let name = &chunk.name;
    let sql = format!("SELECT t FROM unnest($1::text[]) t WHERE EXISTS (SELECT FROM {name} WHERE tenant_id = t)");
    let present: Vec<String> = client.query(&sql, &[&tenants]).await?.iter().map(|row| row.get(0)).collect();
    let mut deleted = 0;
    for tenant in &present {
        if chunk.is_compressed() {
            let transaction = begin(client).await?;
            deleted += transaction.execute(&format!("DELETE FROM {name} WHERE tenant_id = $1"), &[tenant]).await?;
            transaction.commit().await?;
            continue;
        }
        let sql = format!(
            "DELETE FROM {name} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {name} WHERE tenant_id = $1 LIMIT {DELETE_ROWS}))"
        );
        loop {
            if run.is_over() {
                run.left += 1;
                return Ok((deleted, false));
            }
            let transaction = begin(client).await?;
            if let Some(hold) = hold {
                transaction.batch_execute(hold).await?;
            }
            let rows = transaction.execute(&sql, &[tenant]).await?;
            transaction.commit().await?;
            deleted += rows;
            if rows < DELETE_ROWS.unsigned_abs() {
                break;
            }
        }
    }
    // Autovacuum looks at a fifth of a table; the segments of one organization are mostly less, and nothing will be written
    // to where they were.
    if let Some(columnstore) = chunk.columnstore.as_ref().filter(|_| deleted > 0)
        && let Err(error) = client.batch_execute(&format!("VACUUM {columnstore}")).await
    {
        tracing::debug!(%error, columnstore, "segments were deleted and not vacuumed; autovacuum will");
    }
    Ok((deleted, true))
}
