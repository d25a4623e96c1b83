//! The way round a unique index (rowstore profile): COPY into a staging table, then insert what is not there yet.
//!
//! Of events alone, metrics have no key. Taken only after an ordinary COPY met a duplicate key: a duplicate event is
//! no poison row, its neighbours go in and the answer says how many were there already. Another event under the same
//! key is no duplicate: it is named, and becomes a dead letter.

use jiff::Timestamp;
use tokio_postgres::Client;

use super::copy::{copy_sql, send};
use super::plan::{Place, Plan};
use super::submission::Submission;
use crate::model::Kind;
use crate::storage::StorageError;
use crate::wire::event::COPY_COLUMNS;

const CREATE: &str = "CREATE TEMP TABLE IF NOT EXISTS events_staging (LIKE events) ON COMMIT DELETE ROWS";
const COMPARE: &str = include_str!("../../sql/queries/staging_compare.sql");

/// What became of the plan's rows.
pub struct Staged {
    /// Of each submission, how many of its rows were there already.
    pub duplicates: Vec<u32>,
    /// Rows whose id and timestamp another event has, and in which columns that one differs. If there are any, nothing
    /// is to be committed.
    pub conflicts: Vec<(Place, String)>,
}

/// Writes the plan's rows.
pub async fn copy(client: &Client, batch: &[Submission], plan: &mut Plan) -> Result<Staged, StorageError> {
    client.batch_execute(CREATE).await?;
    for copy in &plan.copies {
        let sql = copy_sql("events_staging", Kind::Events);
        send(client, &sql, plan.stream(batch, copy)).await?;
    }
    let insert = format!(
        "WITH stored AS (INSERT INTO events ({COPY_COLUMNS}) SELECT {COPY_COLUMNS} FROM events_staging \
         ORDER BY timestamp, tenant_id, id, batch_id, batch_seq \
         ON CONFLICT (tenant_id, id, timestamp) DO NOTHING RETURNING batch_id, batch_seq) \
         SELECT batch_id, batch_seq FROM events_staging EXCEPT SELECT batch_id, batch_seq FROM stored"
    );
    let missed = client.query(&insert, &[]).await?;
    let missed = missed.iter().map(|row| (row.get(0), row.get(1))).collect();
    compare(client, batch, plan, missed).await
}

/// Compares rows that were not stored, by batch and ordinal, with those that stand in their place.
async fn compare(
    client: &Client,
    batch: &[Submission],
    plan: &mut Plan,
    missed: Vec<(i64, i32)>,
) -> Result<Staged, StorageError> {
    let mut staged = Staged { duplicates: vec![0; batch.len()], conflicts: Vec::new() };
    let place = |plan: &Plan, batch_id, batch_seq| {
        plan.place_of(batch_id, batch_seq).expect("the staging table holds this plan's rows only")
    };
    let times_us = missed.iter().map(|&(batch_id, batch_seq)| {
        let Place { submission, row } = place(plan, batch_id, batch_seq);
        batch[submission].decoded.rows.rows[row].timestamp_us
    });
    let (Some(first_us), Some(last_us)) = (times_us.clone().min(), times_us.max()) else { return Ok(staged) };
    let at = |us| Timestamp::from_microsecond(us).expect("a time that was validated");
    let (batch_ids, batch_seqs): (Vec<i64>, Vec<i32>) = missed.into_iter().unzip();
    for row in client.query(COMPARE, &[&batch_ids, &batch_seqs, &at(first_us), &at(last_us)]).await? {
        let (batch_id, gone, differing): (i64, bool, String) = (row.get(0), row.get(2), row.get(3));
        let place = place(plan, batch_id, row.get(1));
        if gone {
            return Err(StorageError::retryable("an event that stood in another one's place has just expired"));
        }
        if differing.is_empty() {
            staged.duplicates[place.submission] += 1;
            plan.discount(batch_id);
        } else {
            staged.conflicts.push((place, differing));
        }
    }
    Ok(staged)
}
