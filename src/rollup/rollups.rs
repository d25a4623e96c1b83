//! The job that keeps the rollups: floors, and refresh policies of continuous aggregates or, where there are none, the closing
//! of buckets; either way it tells how far they are behind.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use deadpool_postgres::Object;
use tokio_postgres::Client;

use super::{closing, floors, policies};
use crate::config::{Config, RetentionConfig, RollupsConfig};
use crate::jobs::{Job, RunCounts};
use crate::storage::{StorageError, Store};

/// Between two looks at what retention and levels ask for.
const FOLLOW_EVERY: Duration = Duration::from_secs(30);
/// Between two looks at how far the rollups are behind.
const LAG_EVERY: Duration = Duration::from_secs(5);

pub struct Rollups {
    store: Store,
    retention: RetentionConfig,
    rollups: RollupsConfig,
    done: Mutex<LastDone>,
}

/// When this process last did what it does not do in every run.
#[derive(Debug, Clone, Copy, Default)]
struct LastDone {
    followed: Option<Instant>,
    lag: Option<Instant>,
}

fn is_due(last: Option<Instant>, every: Duration) -> bool {
    last.is_none_or(|last| last.elapsed() >= every)
}

impl Rollups {
    pub fn new(store: &Store, config: &Config) -> Self {
        let (retention, rollups) = (config.retention.clone(), config.rollups.clone());
        Self { store: store.clone(), retention, rollups, done: Mutex::default() }
    }

    fn done(&self) -> LastDone {
        *self.done.lock().expect("no code panics while holding it")
    }

    fn note(&self, change: impl FnOnce(&mut LastDone)) {
        change(&mut self.done.lock().expect("no code panics while holding it"));
    }
}

impl Job for Rollups {
    fn name(&self) -> &'static str {
        "rollups"
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn run_once(&self, client: &mut Object) -> Result<RunCounts, StorageError> {
        let mut counts = RunCounts::new();
        let done = self.done();
        let follow = is_due(done.followed, FOLLOW_EVERY);
        if self.store.layout().has_hypertables() {
            if follow {
                let renew = done.followed.is_none();
                let changed = policies::follow(client, &self.retention, &self.rollups, renew).await?;
                counts.push(("policies_changed", changed));
            }
        } else {
            if follow {
                floors::advance(client, &self.retention, &self.rollups).await?;
            }
            let steps = closing::close(client, &self.store, &self.retention, &self.rollups).await?;
            counts.push(("steps_closed", steps));
        }
        if follow {
            self.note(|done| done.followed = Some(Instant::now()));
        }
        if is_due(done.lag, LAG_EVERY) {
            for lag in rollup_lags(client).await? {
                if let Some(lag_s) = lag.lag_s {
                    metrics::gauge!("tidegate_rollup_lag_seconds", "level" => lag.level.clone()).set(lag_s);
                }
                #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; so many buckets are not")]
                metrics::gauge!("tidegate_rollup_dirty_buckets", "level" => lag.level).set(lag.dirty_buckets as f64);
            }
            self.note(|done| done.lag = Some(Instant::now()));
        }
        Ok(counts)
    }
}

/// How far a rollup is behind. What is not closed yet is computed when it is read: a lag costs time, not correctness.
#[derive(Debug, Clone, PartialEq)]
pub struct RollupLag {
    pub level: String,
    /// Seconds since the end of what is closed; None before the first run.
    pub lag_s: Option<f64>,
    /// Closed buckets that wait to be recomputed.
    pub dirty_buckets: i64,
    /// Seconds that the oldest of them has waited.
    pub dirty_s: Option<f64>,
}

/// How far each rollup is behind, the finest first. One that is switched off falls behind and may.
pub async fn rollup_lags(client: &Client) -> Result<Vec<RollupLag>, StorageError> {
    let sql = include_str!("../../sql/queries/rollup_lags.sql");
    let rows = client.query(sql, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| RollupLag { level: row.get(0), lag_s: row.get(1), dirty_buckets: row.get(2), dirty_s: row.get(3) })
        .collect())
}
