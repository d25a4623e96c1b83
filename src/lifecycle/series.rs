//! How many series and assets each organization has: counted by the job's leader, and told in /metrics.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deadpool_postgres::Object;

use crate::jobs::{Job, RunCounts};
use crate::limits::{ASSET_SILENT_AFTER, ASSETS_REMEMBERED_FOR, SERIES_ACTIVE_FOR};
use crate::storage::StorageError;

/// What there is of an organization's series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SeriesCount {
    /// In the catalog.
    pub stored: i64,
    /// Of them, those with a sample of the last [`SERIES_ACTIVE_FOR`].
    pub active: i64,
}

/// What there is of an organization's assets that were heard of in the last [`ASSETS_REMEMBERED_FOR`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AssetCount {
    /// In the last [`ASSET_SILENT_AFTER`].
    pub heard: i64,
    /// Before that, and not since.
    pub silent: i64,
}

/// The last count; empty where another node leads the job.
#[derive(Debug, Clone, Default)]
pub struct SeriesCounts {
    series: Arc<Mutex<HashMap<String, SeriesCount>>>,
    /// In the order of the tenants.
    assets: Arc<Mutex<Vec<(String, AssetCount)>>>,
}

impl SeriesCounts {
    pub fn of(&self, tenant_id: &str) -> Option<SeriesCount> {
        self.series.lock().expect("no code panics while holding it").get(tenant_id).copied()
    }

    /// Of all organizations, also of those of which this process has had nothing: it is them that have fallen silent.
    pub fn assets(&self) -> Vec<(String, AssetCount)> {
        self.assets.lock().expect("no code panics while holding it").clone()
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
        *self.series.lock().expect("no code panics while holding it") = counts.collect();
        let sql = "SELECT tenant_id, count(*) FILTER (WHERE last_seen > now() - make_interval(secs => $1::float8)), \
                     count(*) FILTER (WHERE last_seen <= now() - make_interval(secs => $1::float8)) \
                   FROM asset_metadata WHERE last_seen > now() - make_interval(secs => $2::float8) GROUP BY tenant_id ORDER BY tenant_id";
        let times = [ASSET_SILENT_AFTER, ASSETS_REMEMBERED_FOR].map(|time| time.as_secs_f64());
        let rows = client.query(sql, &[&times[0], &times[1]]).await?;
        let counts = rows.iter().map(|row| (row.get(0), AssetCount { heard: row.get(1), silent: row.get(2) }));
        *self.assets.lock().expect("no code panics while holding it") = counts.collect();
        Ok(RunCounts::new())
    }
}
