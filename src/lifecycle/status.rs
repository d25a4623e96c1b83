//! What the lifecycle has to look after and how it stands: chunks, bytes, ratio, jobs, lag. One answer, for
//! `tidegate lifecycle status`, GET /v1/lifecycle and `doctor`.

use std::path::PathBuf;
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::{GenericClient, Row};

use super::growth::{Growth, growth, own_disk};
use super::plan::{ChunkPlan, Due, is_open, plan};
use super::samples;
use super::series::SeriesCounts;
use crate::config::Config;
use crate::limits::READ_TIMEOUT;
use crate::storage::{Layout, StorageError, StoredChunk, give_back};

#[derive(Debug, Serialize)]
pub struct LifecycleStatus {
    pub engine: &'static str,
    /// What is kept in chunks or partitions.
    pub relations: Vec<RelationStatus>,
    /// Tidegate's jobs, and TimescaleDB's policies.
    pub jobs: Vec<JobStatus>,
    pub rollups: Vec<RollupStatus>,
    /// What organizations have more of than they may.
    pub over_quota: Vec<OverQuota>,
    /// None: sizes have not been noted yet.
    pub growth: Option<Growth>,
    /// Where tenants' rows are in cells: how each of these stands.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cells: Vec<CellStatus>,
}

/// How it stands in one cell.
#[derive(Debug, Serialize)]
pub struct CellStatus {
    pub cell: String,
    /// Host and port of the server that has it.
    pub worker: String,
    /// Why it could not be asked.
    pub error: Option<String>,
    pub status: Option<Box<LifecycleStatus>>,
}

#[derive(Debug, Clone, Serialize)]
pub struct OverQuota {
    /// `assets`: `limits.assets_per_tenant`; `series`: `limits.series_per_tenant`.
    pub what: String,
    /// How many organizations.
    pub organizations: i64,
    /// How often something of theirs was not made.
    pub refused: i64,
    /// Since when.
    pub since: Timestamp,
}

#[derive(Debug, Default, Serialize)]
pub struct RelationStatus {
    pub relation: &'static str,
    pub chunks: u64,
    /// Of them: still written to by live traffic.
    pub open: u64,
    /// Wholly or partly in the columnstore.
    pub compressed: u64,
    /// Closed, and waiting to be compressed or put in order.
    pub waiting: u64,
    /// When the one that waits longest was closed.
    pub waiting_since: Option<Timestamp>,
    /// Expired, and not dropped yet.
    pub expired: u64,
    /// All of it on disk, with indexes.
    pub bytes: i64,
    /// Of chunks that were compressed from rows: before.
    pub bytes_before_compression: Option<i64>,
    pub bytes_after_compression: Option<i64>,
    /// How many times smaller the columnstore is than its rows would be, without indexes: a sample of the newest closed chunks.
    pub compression_ratio: Option<f64>,
    pub oldest: Option<Timestamp>,
    pub newest: Option<Timestamp>,
    /// How long a chunk is kept after its end, in seconds; null: forever.
    pub keep_s: Option<u64>,
    /// When it is compressed, in seconds after its end; null: never.
    pub compress_after_s: Option<u64>,
}

#[derive(Debug, Serialize)]
pub struct JobStatus {
    pub job: String,
    /// `tidegate` or `timescaledb`: who runs it.
    pub by: String,
    /// Between two runs, in seconds.
    pub interval_s: f64,
    pub last_run: Option<Timestamp>,
    pub last_finished: Option<Timestamp>,
    pub next_run: Option<Timestamp>,
    pub failing: bool,
    /// Why a run failed, the last time that one did.
    pub last_error: Option<String>,
    pub last_error_at: Option<Timestamp>,
    pub runs: i64,
    pub failures: i64,
    pub counts: serde_json::Value,
}

#[derive(Debug, Clone, Serialize)]
pub struct RollupStatus {
    pub relation: String,
    /// Width of a bucket, in seconds.
    pub bucket_s: f64,
    /// Buckets before this are stored; later ones are computed when they are read. Null: none is.
    pub stored_until: Option<Timestamp>,
    /// How long ago that is, in seconds.
    pub lag_s: Option<f64>,
    /// Stored buckets that late rows touched and that are not recomputed yet.
    pub waiting: i64,
    /// How long the first of them has waited, in seconds.
    pub waiting_s: Option<f64>,
}

/// Looks at the lifecycle through a pool, for handlers.
pub struct LifecycleView {
    pool: Pool,
    layout: Layout,
    plan: Vec<ChunkPlan>,
    disk: Option<PathBuf>,
    pub series: SeriesCounts,
}

impl LifecycleView {
    /// Asked through `pool`.
    pub fn new(pool: Pool, layout: Layout, config: &Config) -> Self {
        Self { pool, layout, plan: plan(layout, config), disk: own_disk(config), series: SeriesCounts::default() }
    }

    pub async fn status(&self) -> Result<LifecycleStatus, StorageError> {
        let client = self.pool.get().await?;
        match tokio::time::timeout(READ_TIMEOUT, look(&**client, self.layout, &self.plan, (self.disk.clone(), true)))
            .await
        {
            Ok(Ok(status)) => Ok(status),
            Ok(Err(error)) => {
                give_back(client, &error);
                Err(error)
            }
            Err(_elapsed) => {
                // A query may still be under way.
                drop(Object::take(client));
                Err(StorageError::retryable("the database did not say in time how its chunks stand"))
            }
        }
    }
}

/// Of whose database tenants' rows are elsewhere, nothing that is theirs is asked.
pub(super) async fn look(
    client: &impl GenericClient,
    layout: Layout,
    plan: &[ChunkPlan],
    (disk, of_tenants): (Option<PathBuf>, bool),
) -> Result<LifecycleStatus, StorageError> {
    let found = layout.list(client).await?;
    let bytes = samples::bytes(client, &found).await?;
    let now_us = Timestamp::now().as_microsecond();
    let has_hypertables = layout.has_hypertables();
    let mut relations = Vec::new();
    for kept in plan {
        let own: Vec<(&StoredChunk, i64)> =
            found.iter().zip(bytes.iter().copied()).filter(|(chunk, _)| chunk.relation == kept.relation).collect();
        let mut status = relation(kept, &own, now_us);
        status.compression_ratio = ratio(client, &own, now_us).await?;
        relations.push(status);
    }
    if has_hypertables {
        for row in client.query(include_str!("../../sql/queries/lifecycle_compressed.sql"), &[]).await? {
            let name: &str = row.get(0);
            if let Some(status) = relations.iter_mut().find(|status| status.relation == name) {
                (status.bytes_before_compression, status.bytes_after_compression) = (row.get(1), row.get(2));
            }
        }
    }
    let mut jobs = jobs(client, include_str!("../../sql/queries/lifecycle_jobs.sql")).await?;
    if has_hypertables {
        let policies = include_str!("../../sql/queries/lifecycle_policies.sql");
        jobs.extend(self::jobs(client, policies).await?);
    }
    let (rollups, over_quota) = match of_tenants {
        true => (rollups(client).await?, over_quota(client).await?),
        false => Default::default(),
    };
    let growth = growth(client, disk).await?;
    Ok(LifecycleStatus { engine: layout.engine(), relations, jobs, rollups, over_quota, growth, cells: Vec::new() })
}

fn relation(kept: &ChunkPlan, chunks: &[(&StoredChunk, i64)], now_us: i64) -> RelationStatus {
    let mut status = RelationStatus {
        relation: kept.relation.name(),
        keep_s: kept.keep.map(|keep| keep.as_secs()),
        compress_after_s: kept.compress_after.map(|age| age.as_secs()),
        oldest: chunks.iter().map(|(chunk, _)| chunk.from_us).min().and_then(at),
        newest: chunks.iter().map(|(chunk, _)| chunk.to_us).max().and_then(at),
        ..RelationStatus::default()
    };
    let mut waiting_us: Option<i64> = None;
    for (chunk, bytes) in chunks {
        status.chunks += 1;
        status.bytes += bytes;
        status.open += u64::from(is_open(chunk, now_us));
        status.compressed += u64::from(chunk.is_compressed());
        match kept.due(chunk, now_us, i64::MAX) {
            Some(Due::Drop) => status.expired += 1,
            Some(due) => {
                status.waiting += 1;
                let since_us = kept.due_since_us(chunk, due);
                waiting_us = Some(waiting_us.map_or(since_us, |oldest| oldest.min(since_us)));
            }
            None => {}
        }
    }
    status.waiting_since = waiting_us.and_then(at);
    status
}

fn at(us: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(us).ok()
}

/// Chunks that are looked into for the ratio, and rows of each whose width is measured.
const RATIO_CHUNKS: usize = 3;
const RATIO_ROWS: usize = 500;
/// Head of a row and its pointer on a page, in bytes.
const ROW_OVERHEAD_BYTES: f64 = 28.0;
/// Below this a chunk is mostly the first pages of its indexes, and says nothing.
const RATIO_CHUNK_BYTES_MIN: i64 = 256 * 1024;

/// What rows would take divided by what they take: chunks that were born in the columnstore have no size from before.
async fn ratio(
    client: &impl GenericClient,
    chunks: &[(&StoredChunk, i64)],
    now_us: i64,
) -> Result<Option<f64>, StorageError> {
    let (mut rows_bytes, mut stored_bytes) = (0.0, 0.0);
    let whole = chunks.iter().rev().filter(|(chunk, bytes)| {
        chunk.is_compressed() && !chunk.is_disordered() && !is_open(chunk, now_us) && *bytes >= RATIO_CHUNK_BYTES_MIN
    });
    for (chunk, bytes) in whole.take(RATIO_CHUNKS) {
        let sql = format!(
            "SELECT (SELECT count(*) FROM {name})::float8, \
             (SELECT avg(pg_column_size(r.*)) FROM (SELECT * FROM {name} LIMIT {RATIO_ROWS}) r)::float8",
            name = chunk.name
        );
        let row = match client.query_one(&sql, &[]).await {
            Ok(row) => row,
            // Dropped since it was listed.
            Err(error) if error.code() == Some(&tokio_postgres::error::SqlState::UNDEFINED_TABLE) => continue,
            Err(error) => return Err(error.into()),
        };
        let (rows, width): (f64, Option<f64>) = (row.get(0), row.get(1));
        let Some(width) = width else { continue };
        rows_bytes += rows * (width + ROW_OVERHEAD_BYTES);
        stored_bytes += float(*bytes);
    }
    Ok((stored_bytes > 0.0).then(|| (rows_bytes / stored_bytes * 100.0).round() / 100.0))
}

#[expect(clippy::cast_precision_loss, reason = "for a ratio of two digits")]
fn float(bytes: i64) -> f64 {
    bytes as f64
}

async fn jobs(client: &impl GenericClient, sql: &str) -> Result<Vec<JobStatus>, StorageError> {
    let job = |row: &Row| JobStatus {
        job: row.get("job"),
        by: row.get("by"),
        interval_s: row.get("interval_s"),
        last_run: row.get("started_at"),
        last_finished: row.get("finished_at"),
        next_run: row.get("next_run"),
        failing: row.get("failing"),
        last_error: row.get("last_error"),
        last_error_at: row.get("last_error_at"),
        runs: row.get("runs"),
        failures: row.get("failures"),
        counts: row.get("counts"),
    };
    Ok(client.query(sql, &[]).await?.iter().map(job).collect())
}

async fn rollups(client: &impl GenericClient) -> Result<Vec<RollupStatus>, StorageError> {
    let sql = include_str!("../../sql/queries/lifecycle_rollups.sql");
    let rollup = |row: &Row| RollupStatus {
        relation: row.get(0),
        bucket_s: row.get(1),
        stored_until: row.get(2),
        lag_s: row.get(3),
        waiting: row.get(4),
        waiting_s: row.get(5),
    };
    Ok(client.query(sql, &[]).await?.iter().map(rollup).collect())
}

async fn over_quota(client: &impl GenericClient) -> Result<Vec<OverQuota>, StorageError> {
    let sql = "SELECT what, count(*), sum(refused)::bigint, min(since) FROM over_quota GROUP BY what ORDER BY what";
    let quota =
        |row: &Row| OverQuota { what: row.get(0), organizations: row.get(1), refused: row.get(2), since: row.get(3) };
    Ok(client.query(sql, &[]).await?.iter().map(quota).collect())
}

/// How long a chunk has waited for what it needs.
pub fn waited(status: &RelationStatus) -> Option<Duration> {
    let since = status.waiting_since?;
    Duration::try_from(Timestamp::now().duration_since(since)).ok()
}
