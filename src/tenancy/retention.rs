//! How long an organization's rows are kept, where that is shorter than the tables' own retention.

use tokio_postgres::Client;
use uuid::Uuid;

use super::admin::{AdminError, ORGANIZATION, Organization, organization};
use crate::config::RetentionConfig;
use crate::model::{Kind, Relation};

/// What to change: None leaves it as it is, `Some(None)` is the table's own again.
#[derive(Debug, Clone, Copy, Default)]
pub struct RetentionChange {
    pub events_days: Option<Option<u32>>,
    pub metrics_days: Option<Option<u32>>,
    pub correlations_days: Option<Option<u32>>,
}

impl RetentionChange {
    /// Whether it changes anything.
    pub fn is_any(&self) -> bool {
        [self.events_days, self.metrics_days, self.correlations_days].iter().any(Option::is_some)
    }
}

const DAY_S: u64 = 86_400;
/// Samples are taken until a day before they expire, as with `retention.metrics`.
const METRICS_DAYS_MIN: u32 = 2;

/// Changes how long an organization's rows are kept; every node knows it within 5 s, and rows go with the next runs of the
/// lifecycle job.
pub async fn change(
    client: &Client,
    id: Uuid,
    change: RetentionChange,
    table: &RetentionConfig,
) -> Result<Organization, AdminError> {
    for relation in Relation::all() {
        let key = relation.name();
        let wanted = match relation {
            Relation::Raw(Kind::Events) => change.events_days,
            Relation::Raw(Kind::Metrics) => change.metrics_days,
            Relation::Correlations => change.correlations_days,
            Relation::Rollup(_) => None,
        };
        let (Some(days), Some(keep)) = (wanted.flatten(), table.of(relation)) else { continue };
        if u64::from(days) * DAY_S > keep.as_secs() {
            return Err(AdminError::Invalid(format!(
                "{key} {days}d is longer than retention.{key}, which is {}d for everybody; make that longer first, or name \
                 fewer days",
                keep.as_secs() / DAY_S
            )));
        }
        if relation == Relation::Raw(Kind::Metrics) && days < METRICS_DAYS_MIN {
            return Err(AdminError::Invalid(format!(
                "metrics must be at least {METRICS_DAYS_MIN}d: samples are taken until a day before they expire"
            )));
        }
    }
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
