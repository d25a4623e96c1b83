//! What each organization sends, by day: the job that adds up what writers have noted, and the list for a command.

use std::time::Duration;

use deadpool_postgres::Object;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tokio_postgres::{Client, Row};

use crate::jobs::{Job, RunCounts};
use crate::limits::{USAGE_FOLD_EVERY, USAGE_FOLD_ROWS, USAGE_FOLDS_PER_RUN};
use crate::storage::StorageError;

const FOLD: &str = include_str!("../../sql/queries/usage_fold.sql");
const LIST: &str = include_str!("../../sql/queries/usage_list.sql");

/// Adds up notes of use. What is read is the same before and after.
pub struct UsageFold;

impl Job for UsageFold {
    fn name(&self) -> &'static str {
        "usage"
    }

    fn interval(&self) -> Duration {
        USAGE_FOLD_EVERY
    }

    async fn run_once(&self, client: &mut Object) -> Result<RunCounts, StorageError> {
        let mut folded = 0;
        for _ in 0..USAGE_FOLDS_PER_RUN {
            let notes: i64 = client.query_one(FOLD, &[&USAGE_FOLD_ROWS]).await?.get(0);
            folded += notes.unsigned_abs();
            if notes < USAGE_FOLD_ROWS {
                break;
            }
        }
        Ok(vec![("notes_folded", folded)])
    }
}

/// The names of the columns of [`list`], and whether they are numbers.
pub const COLUMNS: [(&str, bool); 7] = [
    ("day", false),
    ("tenant_id", false),
    ("requests", true),
    ("events", true),
    ("samples", true),
    ("rejected", true),
    ("bytes", true),
];

/// The use of one tenant, or of all, on days of UTC that have a part in `[from, to)`; as text, the newest day first.
pub async fn list(
    client: &Client,
    tenant_id: Option<&str>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
) -> Result<Vec<[String; 7]>, StorageError> {
    let day = |at: Timestamp| -> Date { at.to_zoned(TimeZone::UTC).date() };
    let last = to.map(|to| day(Timestamp::from_nanosecond(to.as_nanosecond() - 1).unwrap_or(to)));
    let rows = client.query(LIST, &[&tenant_id, &from.map(day), &last]).await?;
    Ok(rows.iter().map(|row: &Row| std::array::from_fn(|column| row.get(column))).collect())
}
