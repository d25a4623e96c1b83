//! A table that is inferred by one statement from the rows of a range of minutes.

use deadpool_postgres::Transaction;
use serde_json::{Value, json};
use tokio_postgres::types::ToSql;

use crate::jobs::minutes::{MinuteQueue, MinuteRange, Tally, Work};
use crate::limits::{EVENT_BLOCK_MINUTES, INFERRED_PER_SLICE};
use crate::storage::StorageError;

/// How a table is inferred. Times of it only ever widen, so that computing a range again changes nothing, and late data moves
/// the first one back.
#[derive(Clone, Copy)]
pub(super) struct Table {
    /// By its name what was written is counted, and the table is rebuilt.
    pub queue: MinuteQueue,
    /// Takes tenant, from, to, the four texts of the key that the slice before ended with, how many rows to take, and how many
    /// assets a tenant may have; returns how many were found and written, the key of the last, and how many assets were not
    /// made.
    pub sql: &'static str,
}

/// A table with the most assets that it makes for a tenant.
#[derive(Clone, Copy)]
pub(super) struct Limited {
    pub table: Table,
    pub assets_max: i64,
}

impl Work for Limited {
    const BLOCK_MINUTES: i32 = EVENT_BLOCK_MINUTES;

    fn queues(&self) -> &[MinuteQueue] {
        std::slice::from_ref(&self.table.queue)
    }

    async fn slice(
        &self,
        transaction: &Transaction<'_>,
        range: &MinuteRange,
        position: Option<&Value>,
        tally: &mut Tally,
    ) -> Result<Option<Value>, StorageError> {
        let after: [String; 4] =
            position.and_then(|position| serde_json::from_value(position.clone()).ok()).unwrap_or_default();
        let statement = transaction.prepare_cached(self.table.sql).await?;
        let parameters: [&(dyn ToSql + Sync); 9] = [
            &range.tenant_id,
            &range.starts_at(),
            &range.ends_at(),
            &after[0],
            &after[1],
            &after[2],
            &after[3],
            &INFERRED_PER_SLICE,
            &self.assets_max,
        ];
        let row = transaction.query_one(&statement, &parameters).await?;
        let (found, written): (i64, i64) = (row.get(0), row.get(1));
        tally.add(self.table.queue.name, usize::try_from(written).unwrap_or(usize::MAX));
        let last: [Option<String>; 4] = [row.get(2), row.get(3), row.get(4), row.get(5)];
        let refused: i64 = row.get(6);
        if refused > 0 {
            tally.add("assets_over_quota", usize::try_from(refused).unwrap_or(usize::MAX));
            self.note(transaction, &range.tenant_id, refused).await?;
        }
        Ok((found == INFERRED_PER_SLICE).then(|| json!(last.map(Option::unwrap_or_default))))
    }
}

impl Limited {
    /// Notes which tenant has too many; said in the log when that begins.
    async fn note(&self, transaction: &Transaction<'_>, tenant_id: &str, refused: i64) -> Result<(), StorageError> {
        let statement = transaction.prepare_cached(include_str!("../../sql/queries/over_quota_note.sql")).await?;
        if transaction.query_one(&statement, &[&tenant_id, &refused, &"assets"]).await?.get(0) {
            tracing::warn!(
                tenant_id,
                assets_max = self.assets_max,
                "an organization has as many assets as limits.assets_per_tenant allows: no row is made for further ones; \
                 events and metrics are stored as before"
            );
        }
        Ok(())
    }
}
