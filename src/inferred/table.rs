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
    /// Takes tenant, from, to, the three texts of the key that the slice before ended with, and how many rows to take;
    /// returns how many were found and written, and the key of the last.
    pub sql: &'static str,
}

impl Work for Table {
    const BLOCK_MINUTES: i32 = EVENT_BLOCK_MINUTES;

    fn queues(&self) -> &[MinuteQueue] {
        std::slice::from_ref(&self.queue)
    }

    async fn slice(
        &self,
        transaction: &Transaction<'_>,
        range: &MinuteRange,
        position: Option<&Value>,
        tally: &mut Tally,
    ) -> Result<Option<Value>, StorageError> {
        let after: [String; 3] =
            position.and_then(|position| serde_json::from_value(position.clone()).ok()).unwrap_or_default();
        let statement = transaction.prepare_cached(self.sql).await?;
        let parameters: [&(dyn ToSql + Sync); 7] = [
            &range.tenant_id,
            &range.starts_at(),
            &range.ends_at(),
            &after[0],
            &after[1],
            &after[2],
            &INFERRED_PER_SLICE,
        ];
        let row = transaction.query_one(&statement, &parameters).await?;
        let (found, written): (i64, i64) = (row.get(0), row.get(1));
        tally.add(self.queue.name, usize::try_from(written).unwrap_or(usize::MAX));
        let last: [Option<String>; 3] = [row.get(2), row.get(3), row.get(4)];
        Ok((found == INFERRED_PER_SLICE).then(|| json!(last.map(Option::unwrap_or_default))))
    }
}
