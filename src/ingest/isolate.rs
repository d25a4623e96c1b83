//! Finds, by bisecting, the rows that PostgreSQL refuses when its error names no line, or when too many rows of one
//! batch are poisoned to cut them out one by one. Everything happens in a transaction that is rolled back.

use tokio_postgres::Client;

use super::plan::{Place, Plan, PlanConfig};
use super::request::Submission;
use super::transaction::{send, set_direct_compress};
use crate::event::pgcopy::COPY_COLUMNS;
use crate::storage::{Fate, StorageError};

/// The refused rows of one COPY of the plan, each with PostgreSQL's reason.
pub async fn refused_rows(
    client: &Client,
    batch: &[Submission],
    plan: &Plan,
    copy: usize,
    config: PlanConfig,
) -> Result<Vec<(Place, String)>, StorageError> {
    let copy = &plan.copies[copy];
    client.batch_execute("BEGIN").await?;
    let found = bisect(client, batch, plan, &copy.places, config.direct_compress.then_some(copy.direct)).await;
    client.batch_execute("ROLLBACK").await?;
    found
}

async fn bisect(
    client: &Client,
    batch: &[Submission],
    plan: &Plan,
    places: &[Place],
    direct: Option<bool>,
) -> Result<Vec<(Place, String)>, StorageError> {
    if let Some(direct) = direct {
        set_direct_compress(client, direct).await?;
    }
    let sql = format!("COPY events ({COPY_COLUMNS}) FROM STDIN (FORMAT binary)");
    let mut refused = Vec::new();
    // A stack instead of recursion; halves in order, so that the reasons come in the order of the rows.
    let mut waiting = vec![places];
    while let Some(part) = waiting.pop() {
        client.batch_execute("SAVEPOINT part").await?;
        let result = send(client, &sql, plan.stream(batch, part)).await.map_err(StorageError::from);
        client.batch_execute("ROLLBACK TO SAVEPOINT part").await?;
        match result {
            Ok(()) => {}
            Err(error) if !matches!(error.fate(), Fate::RejectRow { .. }) => return Err(error),
            Err(error) if part.len() == 1 => refused.push((part[0], error.to_string())),
            Err(_) => {
                let (left, right) = part.split_at(part.len() / 2);
                waiting.extend([right, left]);
            }
        }
    }
    Ok(refused)
}
