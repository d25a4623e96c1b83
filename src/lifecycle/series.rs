//! How many series each organization has: counted by the job's leader, and told in /metrics.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deadpool_postgres::Object;

use crate::jobs::{Job, RunCounts};
use crate::limits::SERIES_ACTIVE_FOR;
use crate::storage::StorageError;

/// What there is of an organization's series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SeriesCount {
    /// In the catalog.
    pub stored: i64,
    /// Of them, those with a sample of the last [`SERIES_ACTIVE_FOR`].
    pub active: i64,
}

/// The last count; empty where another node leads the job.
#[derive(Debug, Clone, Default)]
pub struct SeriesCounts(Arc<Mutex<HashMap<String, SeriesCount>>>);

impl SeriesCounts {
    pub fn of(&self, tenant_id: &str) -> Option<SeriesCount> {
        self.0.lock().expect("no code panics while holding it").get(tenant_id).copied()
    }
}

impl Job for SeriesCounts {
    fn name(&self) -> &'static str {
        "series_counts"
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn run_once(&self, client: &mut Object) -> Result<RunCounts, StorageError> {
        let sql = "SELECT tenant_id, count(*), count(*) FILTER (WHERE last_seen > now() - make_interval(secs => $1::float8)) \
                   FROM metric_series GROUP BY tenant_id";
        let rows = client.query(sql, &[&SERIES_ACTIVE_FOR.as_secs_f64()]).await?;
        let counts = rows.iter().map(|row| (row.get(0), SeriesCount { stored: row.get(1), active: row.get(2) }));
        *self.0.lock().expect("no code panics while holding it") = counts.collect();
        Ok(RunCounts::new())
    }
}
