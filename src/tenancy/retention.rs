//! How long an organization's rows are kept, where that is shorter than the tables' own retention.

use std::fmt;

use serde::Serialize;
use tokio_postgres::{Client, Row};

use super::admin::{ORGANIZATION, Organization, find_organization, organization};
use crate::config::RetentionConfig;
use crate::storage::StorageError;

/// Days that an organization's rows are kept; None: as long as the table's own retention.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct OrgRetention {
    pub events_retention_days: Option<i32>,
    pub metrics_retention_days: Option<i32>,
    pub correlations_retention_days: Option<i32>,
}

impl OrgRetention {
    /// Of three columns of a row, from `first` on.
    pub fn of(row: &Row, first: usize) -> Self {
        Self {
            events_retention_days: row.get(first),
            metrics_retention_days: row.get(first + 1),
            correlations_retention_days: row.get(first + 2),
        }
    }
}

impl fmt::Display for OrgRetention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [
            ("events", self.events_retention_days),
            ("metrics", self.metrics_retention_days),
            ("correlations", self.correlations_retention_days),
        ];
        let own: Vec<String> =
            named.into_iter().filter_map(|(name, days)| Some(format!("{name} {}d", days?))).collect();
        if own.is_empty() { f.write_str("default") } else { f.write_str(&own.join(", ")) }
    }
}

/// What to change: None leaves it as it is, `Some(None)` is the table's own again.
#[derive(Debug, Clone, Copy)]
pub struct RetentionChange {
    pub events_days: Option<Option<u32>>,
    /// Days of raw metrics.
    pub metrics_days: Option<Option<u32>>,
    pub correlations_days: Option<Option<u32>>,
}

const DAY_S: u64 = 86_400;
/// Samples are taken until a day before they expire, as with `retention.metrics`.
const METRICS_DAYS_MIN: u32 = 2;

/// Changes how long an organization's rows are kept; every node knows it within 5 s, and rows go with the next runs of the
/// lifecycle job.
pub async fn change(
    client: &Client,
    name: &str,
    change: RetentionChange,
    table: &RetentionConfig,
) -> Result<Organization, StorageError> {
    for (key, wanted, keep) in [
        ("events", change.events_days, table.events),
        ("metrics", change.metrics_days, table.metrics),
        ("correlations", change.correlations_days, table.correlations),
    ] {
        let Some(days) = wanted.flatten() else { continue };
        if u64::from(days) * DAY_S > keep.as_secs() {
            return Err(StorageError::fatal(format!(
                "--{key} {days}d is longer than retention.{key}, which is {}d for everybody; make that longer first, or name \
                 fewer days",
                keep.as_secs() / DAY_S
            )));
        }
        if key == "metrics" && days < METRICS_DAYS_MIN {
            return Err(StorageError::fatal(format!(
                "--metrics must be at least {METRICS_DAYS_MIN}d: samples are taken until a day before they expire"
            )));
        }
    }
    let id = find_organization(client, name, false).await?;
    let sql = format!(
        "UPDATE organizations SET \
             events_retention_days = CASE WHEN $2 THEN $3 ELSE events_retention_days END, \
             metrics_retention_days = CASE WHEN $4 THEN $5 ELSE metrics_retention_days END, \
             correlations_retention_days = CASE WHEN $6 THEN $7 ELSE correlations_retention_days END \
         WHERE id = $1 RETURNING {ORGANIZATION}"
    );
    let days = |change: Option<Option<u32>>| change.flatten().and_then(|days| i32::try_from(days).ok());
    let RetentionChange { events_days, metrics_days, correlations_days } = change;
    let row = client
        .query_one(
            &sql,
            &[
                &id,
                &events_days.is_some(),
                &days(events_days),
                &metrics_days.is_some(),
                &days(metrics_days),
                &correlations_days.is_some(),
                &days(correlations_days),
            ],
        )
        .await?;
    Ok(organization(&row))
}

#[cfg(test)]
mod tests {
    use super::OrgRetention;

    #[test]
    fn what_is_kept_is_shown_in_words() {
        assert_eq!(OrgRetention::default().to_string(), "default");
        let own = OrgRetention {
            events_retention_days: Some(30),
            metrics_retention_days: None,
            correlations_retention_days: Some(7),
        };
        assert_eq!(own.to_string(), "events 30d, correlations 7d");
    }
}
