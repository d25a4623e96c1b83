//! The way round a unique index (rowstore profile): COPY into a staging table, then insert what is not there yet.
//!
//! Of events alone, metrics have no key. Taken only after an ordinary COPY met a duplicate key: a duplicate event is
//! no poison row, its neighbours go in and the answer says how many were there already.

use tokio_postgres::Client;

use super::copy::{copy_sql, send};
use super::plan::Plan;
use super::submission::Submission;
use crate::model::Kind;
use crate::wire::event::COPY_COLUMNS;

const CREATE: &str = "CREATE TEMP TABLE IF NOT EXISTS events_staging (LIKE events) ON COMMIT DELETE ROWS";

/// Writes the plan's rows; returns, per submission, how many of its rows were there already.
pub async fn copy(client: &Client, batch: &[Submission], plan: &mut Plan) -> Result<Vec<u32>, tokio_postgres::Error> {
    let mut duplicates = vec![0; batch.len()];
    client.batch_execute(CREATE).await?;
    for copy in &plan.copies {
        let sql = copy_sql("events_staging", Kind::Events);
        send(client, &sql, plan.stream(batch, copy)).await?;
    }
    let insert = format!(
        "WITH stored AS (INSERT INTO events ({COPY_COLUMNS}) SELECT {COPY_COLUMNS} FROM events_staging \
         ORDER BY timestamp, tenant_id, id ON CONFLICT (tenant_id, id, timestamp) DO NOTHING RETURNING batch_id, batch_seq) \
         SELECT batch_id, batch_seq FROM events_staging EXCEPT SELECT batch_id, batch_seq FROM stored"
    );
    for row in client.query(&insert, &[]).await? {
        let (batch_id, batch_seq): (i64, i32) = (row.get(0), row.get(1));
        let submission =
            plan.submission_of(batch_id, batch_seq).expect("the staging table holds this plan's rows only");
        duplicates[submission] += 1;
        plan.discount(batch_id);
    }
    Ok(duplicates)
}
