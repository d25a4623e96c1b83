//! Rows from before there were series: each gets the id of its dimensions, its series a row in the catalog, and its closed
//! buckets are recomputed.
//!
//! Not in the migration, which would rewrite every sample that has dimensions in one transaction: a stretch of time and a tenant
//! at once, the newest first, beside live traffic. What is done again changes nothing, so that a process may end at any moment.
//! In the columnstore the rows of a tenant that change are opened, written as rows, and compressed again by the lifecycle job.

use std::time::{Duration, Instant};

use deadpool_postgres::Object;
use jiff::Timestamp;

use super::floors::seconds;
use crate::config::{Config, RetentionConfig};
use crate::jobs::{Job, RunCounts};
use crate::limits::ROLLUP_RUN_MAX;
use crate::model::Level;
use crate::storage::StorageError;

pub struct SeriesIds(RetentionConfig);

impl SeriesIds {
    pub fn new(config: &Config) -> Self {
        Self(config.retention.clone())
    }
}

impl Job for SeriesIds {
    fn name(&self) -> &'static str {
        "series_ids"
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(5)
    }

    async fn run_once(&self, client: &mut Object) -> Result<RunCounts, StorageError> {
        let deadline = Instant::now() + ROLLUP_RUN_MAX;
        let (mut samples, mut stretches) = (0, 0);
        while Instant::now() < deadline {
            let next = "SELECT from_at, to_at FROM series_pending ORDER BY from_at DESC LIMIT 1";
            let Some(row) = client.query_opt(next, &[]).await? else { break };
            samples += stretch(client, &self.0, (row.get(0), row.get(1))).await?;
            stretches += 1;
        }
        if stretches > 0 && client.query_opt("SELECT FROM series_pending LIMIT 1", &[]).await?.is_none() {
            client.execute(include_str!("../../sql/queries/series_backfill_end.sql"), &[]).await?;
            tracing::info!("all samples from before there were series have theirs");
        }
        Ok(vec![("samples", samples), ("stretches", stretches)])
    }
}

/// Goes through a stretch of time, tenant by tenant, and takes it from the list: how many samples were given an id.
async fn stretch(
    client: &mut Object,
    retention: &RetentionConfig,
    (from, to): (Timestamp, Timestamp),
) -> Result<u64, StorageError> {
    let tenants = "SELECT DISTINCT tenant_id FROM metrics WHERE timestamp >= $1 AND timestamp < $2 ORDER BY 1";
    let tenants: Vec<String> = client.query(tenants, &[&from, &to]).await?.iter().map(|row| row.get(0)).collect();
    let mut samples = 0;
    for tenant_id in &tenants {
        let transaction = client.transaction().await?;
        // As many as there are of the columnstore's rows are opened.
        transaction.batch_execute("SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0").await?;
        let update = include_str!("../../sql/queries/series_backfill.sql");
        samples += transaction.execute(update, &[tenant_id, &from, &to]).await?;
        transaction.commit().await?;
        let catalog = include_str!("../../sql/queries/series_backfill_catalog.sql");
        client.execute(catalog, &[tenant_id, &from, &to]).await?;
    }
    let (levels, back): (Vec<&str>, Vec<Option<f64>>) =
        Level::of_metrics().map(|level| (level.name, retention.recomputed_back(level).map(seconds))).unzip();
    client.execute(include_str!("../../sql/queries/series_backfill_dirty.sql"), &[&from, &to, &levels, &back]).await?;
    Ok(samples)
}
