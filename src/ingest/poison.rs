//! Rows that only PostgreSQL refuses, or in whose place another event is: cut out of their submissions and kept as dead
//! letters.

use std::collections::BTreeMap;
use std::time::Instant;

use super::connect::connection;
use super::isolate;
use super::plan::{Place, Plan, PlanConfig};
use super::submission::Submission;
use crate::limits::WRITE_DEADLINE;
use crate::storage::{Database, StorageError};
use crate::wire::item::{Code, Rejection, Stage};

/// Turns the rows that PostgreSQL refused into dead letters: the one at `(copy, line)` if that is known, else whatever
/// a search finds.
pub async fn cut_out(
    database: &Database,
    config: PlanConfig,
    batch: &mut [Submission],
    plan: &Plan,
    at: Option<(usize, u64)>,
    error: &StorageError,
) -> Result<(), StorageError> {
    let refused: Vec<(Place, String)> = match at.and_then(|(copy, line)| plan.copies[copy].place(line)) {
        Some(place) => vec![(place, error.to_string())],
        None => {
            let client = connection(database, Instant::now() + WRITE_DEADLINE).await?;
            let table = database.copied.of(batch[0].received.kind);
            match isolate::refused_rows(&client, table, batch, plan, config).await {
                Ok(refused) => refused,
                Err(error) => {
                    // Its transaction is not over.
                    drop(deadpool_postgres::Object::take(client));
                    return Err(error);
                }
            }
        }
    };
    if refused.is_empty() {
        // Together they fail, alone each goes in: nothing to cut out, and no reason to try forever.
        return Err(StorageError::fatal(format!("no single row explains the error: {error}")));
    }
    reject(batch, refused, Code::RowRefused, |reason| format!("PostgreSQL refused the row: {reason}"));
    Ok(())
}

/// Turns rows into dead letters whose id and timestamp another event has; of each it is said in which columns.
pub fn reject_conflicts(batch: &mut [Submission], conflicts: Vec<(Place, String)>) {
    reject(batch, conflicts, Code::IdConflict, |columns| {
        format!(
            "another event with this id and timestamp is stored, which differs in {columns}; give each event its own id"
        )
    });
}

/// Turns samples into dead letters of series that their organizations may not have as well.
pub fn reject_over_quota(batch: &mut [Submission], places: Vec<Place>, series_max: usize) {
    let rows = places.into_iter().map(|place| (place, series_max.to_string())).collect();
    reject(batch, rows, Code::SeriesQuota, |max| {
        format!(
            "this is a new series, and the organization has as many as limits.series_per_tenant allows ({max}); send fewer \
             different names and dimensions, or have it raised"
        )
    });
}

/// Turns events into dead letters of streams that their organizations may not have as well.
pub fn reject_over_streams(batch: &mut [Submission], places: Vec<Place>, streams_max: usize) {
    let rows = places.into_iter().map(|place| (place, streams_max.to_string())).collect();
    reject(batch, rows, Code::StreamQuota, |max| {
        format!(
            "this is a new stream, and the organization has as many as limits.streams_per_tenant allows ({max}); send to \
             those that there are, or have it raised"
        )
    });
}

/// Moves the items of the rows at these places to the rejected ones of their submissions.
fn reject(batch: &mut [Submission], refused: Vec<(Place, String)>, code: Code, message: fn(&str) -> String) {
    let item = |place: &Place| batch[place.submission].decoded.rows.rows[place.row].item;
    // Their numbers before anything moves; several rows of one item are one rejection.
    let items: BTreeMap<(usize, u32), String> =
        refused.into_iter().map(|(place, reason)| ((place.submission, item(&place)), reason)).collect();
    for ((submission, item), reason) in items {
        batch[submission].decoded.reject(item, Rejection::new(Stage::Write, code, message(&reason)));
    }
}
