//! Finds the rows that PostgreSQL refuses when its error names no line, or when too many rows of one batch are
//! poisoned to cut them out one by one. Everything happens in a transaction that is rolled back, and as row inserts:
//! whether a row is refused does not depend on how it is stored.

use tokio_postgres::Client;

use super::copy::{copy_sql, send, set_direct_compress};
use super::plan::{Place, Plan, PlanConfig, trial_stream};
use super::submission::Submission;
use super::transaction::BEGIN;
use crate::limits::WRITE_DEADLINE;
use crate::storage::{Fate, StorageError};

/// Rows tried at once: a poisoned one costs the COPY of what is left of its slice.
const SLICE_ROWS: usize = 64;

/// The refused rows of the plan, each with PostgreSQL's reason; `table` is what COPY writes to.
pub async fn refused_rows(
    client: &Client,
    table: &str,
    batch: &[Submission],
    plan: &Plan,
    config: PlanConfig,
) -> Result<Vec<(Place, String)>, StorageError> {
    in_time(client.batch_execute(BEGIN)).await?;
    if config.direct_compress {
        in_time(set_direct_compress(client, false)).await?;
    }
    let sql = copy_sql(table, batch[0].received.kind);
    refuse_nothing(client, &sql, batch).await?;
    let mut refused = Vec::new();
    for copy in &plan.copies {
        search(client, &sql, batch, &copy.places().collect::<Vec<_>>(), &mut refused).await?;
    }
    in_time(client.batch_execute("ROLLBACK")).await?;
    Ok(refused)
}

/// What refuses even a COPY of no rows, as a trigger for the statement may, says nothing about a row.
async fn refuse_nothing(client: &Client, sql: &str, batch: &[Submission]) -> Result<(), StorageError> {
    in_time(client.batch_execute("SAVEPOINT nothing")).await?;
    in_time(send(client, sql, trial_stream(batch, &[]))).await
}

/// The search takes as long as there are refused rows; the database answers each question in time.
async fn in_time<T>(answer: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, StorageError> {
    match tokio::time::timeout(WRITE_DEADLINE, answer).await {
        Ok(result) => result.map_err(StorageError::from),
        Err(_elapsed) => Err(StorageError::silence()),
    }
}

async fn search(
    client: &Client,
    sql: &str,
    batch: &[Submission],
    places: &[Place],
    refused: &mut Vec<(Place, String)>,
) -> Result<(), StorageError> {
    // A stack instead of recursion; the first slice on top.
    let mut waiting: Vec<&[Place]> = places.chunks(SLICE_ROWS).rev().collect();
    while let Some(part) = waiting.pop() {
        in_time(client.batch_execute("SAVEPOINT part")).await?;
        let result = in_time(send(client, sql, trial_stream(batch, part))).await;
        in_time(client.batch_execute("ROLLBACK TO SAVEPOINT part")).await?;
        let Err(error) = result else { continue };
        match error.fate() {
            Fate::RejectRow { line } => match line.and_then(|line| usize::try_from(line).ok()) {
                // The rows before the named one were taken; what follows it is still to be tried.
                Some(line @ 1..) if line <= part.len() => {
                    refused.push((part[line - 1], error.to_string()));
                    waiting.push(&part[line..]);
                }
                _ if part.len() == 1 => refused.push((part[0], error.to_string())),
                _ => waiting.extend([&part[part.len() / 2..], &part[..part.len() / 2]]),
            },
            // A row that is there already (rowstore profile) is not refused; its neighbours are tried without it.
            Fate::DuplicateRow if part.len() == 1 => {}
            Fate::DuplicateRow => waiting.extend([&part[part.len() / 2..], &part[..part.len() / 2]]),
            _ => return Err(error),
        }
    }
    Ok(())
}
