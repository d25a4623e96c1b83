//! Which assets and series there are, and when each was first and last seen: `asset_metadata` and `metric_catalog`, made of the
//! minutes that events and metrics were written to. Times only ever widen, so that making them again changes nothing, and
//! late data moves the first one back.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Object, Pool, Transaction};
use serde_json::{Value, json};

use crate::correlate::{Anomalies, Correlations};
use crate::jobs::minutes::{self, Range, Tally, Work};
use crate::jobs::{self as job, Counts, Job, Running};
use crate::limits::{EVENT_BLOCK_MINUTES, SEEN_PER_SLICE};
use crate::storage::{Engine, PartitionedTables, StorageError};

/// Starts everything that derives something from touched minutes; pairs are kept for `kept`.
pub fn start_derived(
    owner: &Pool,
    partitions: Option<&Arc<PartitionedTables>>,
    engine: Engine,
    kept: Duration,
) -> Vec<Running> {
    let partitions = partitions.cloned();
    vec![
        job::start(Correlations::new(partitions.clone(), engine, kept), owner.clone()),
        job::start(Anomalies { partitions, kept }, owner.clone()),
        job::start(Seen, owner.clone()),
    ]
}

/// Notes assets and series. One job for both, because both write assets, and two transactions that write the same assets at
/// once would wait for each other.
struct Seen;

impl Job for Seen {
    const NAME: &'static str = "seen";
    const INTERVAL: Duration = Duration::from_secs(1);

    async fn run_once(&self, client: &mut Object) -> Result<Counts, StorageError> {
        let mut tally = Tally::default();
        minutes::work(&Assets, client, &mut tally).await?;
        minutes::work(&SeriesOf, client, &mut tally).await?;
        Ok(tally.into_counts())
    }
}

struct Assets;

/// Series and assets of metrics.
struct SeriesOf;

impl Work for Assets {
    const QUEUES: &'static [&'static str] = &["assets"];
    const BLOCK_MINUTES: i32 = EVENT_BLOCK_MINUTES;

    async fn slice(
        &self,
        transaction: &Transaction<'_>,
        range: &Range,
        position: Option<&Value>,
        tally: &mut Tally,
    ) -> Result<Option<Value>, StorageError> {
        note(transaction, range, position, include_str!("../../sql/queries/seen_assets.sql"), "assets", tally).await
    }
}

impl Work for SeriesOf {
    const QUEUES: &'static [&'static str] = &["series"];
    const BLOCK_MINUTES: i32 = EVENT_BLOCK_MINUTES;

    async fn slice(
        &self,
        transaction: &Transaction<'_>,
        range: &Range,
        position: Option<&Value>,
        tally: &mut Tally,
    ) -> Result<Option<Value>, StorageError> {
        note(transaction, range, position, include_str!("../../sql/queries/seen_series.sql"), "series", tally).await
    }
}

/// Notes the next of a range, after the one at `position`.
async fn note(
    transaction: &Transaction<'_>,
    range: &Range,
    position: Option<&Value>,
    sql: &str,
    what: &'static str,
    tally: &mut Tally,
) -> Result<Option<Value>, StorageError> {
    let after: [String; 3] =
        position.and_then(|position| serde_json::from_value(position.clone()).ok()).unwrap_or_default();
    let statement = transaction.prepare_cached(sql).await?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
        [&range.tenant_id, &range.starts_at(), &range.ends_at(), &after[0], &after[1], &after[2], &SEEN_PER_SLICE];
    let row = transaction.query_one(&statement, &parameters).await?;
    let (found, written): (i64, i64) = (row.get(0), row.get(1));
    tally.add(what, usize::try_from(written).unwrap_or(usize::MAX));
    let last: [Option<String>; 3] = [row.get(2), row.get(3), row.get(4)];
    Ok((found == SEEN_PER_SLICE).then(|| json!(last.map(Option::unwrap_or_default))))
}
