//! How far rollups are behind while something is measured: now against what is materialized, level by level.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use super::bounds::LAG_BUCKETS_MAX;
use super::common::{Result, as_f64};
use super::target::Target;
use tidegate::model::LEVELS;

const EVERY: Duration = Duration::from_secs(1);

/// Level, and the end of what is materialized, in microseconds since 1970.
const WATERMARKS_TIMESCALE: &str = "SELECT regexp_replace(ca.view_name::text, '_buckets$', ''), _timescaledb_functions.cagg_watermark(h.id) \
     FROM timescaledb_information.continuous_aggregates ca \
     JOIN _timescaledb_catalog.hypertable h ON h.schema_name = ca.materialization_hypertable_schema \
     AND h.table_name = ca.materialization_hypertable_name WHERE ca.view_schema = 'tidegate'";
const WATERMARKS_POSTGRES: &str = "SELECT level, CASE WHEN isfinite(closed_until) \
     THEN (extract(epoch FROM closed_until) * 1000000)::bigint ELSE -210866803200000000 END FROM rollup_levels";

/// How far a rollup was behind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lag {
    /// Width of a bucket, in seconds.
    bucket_s: f64,
    /// The most that now was ahead of what is materialized, in seconds.
    max_s: f64,
    /// At the end.
    last_s: f64,
}

impl Lag {
    /// The most and the last, in buckets; none of a run that was too short: a level that stands still must come to be too
    /// late in it.
    pub fn buckets(&self, elapsed_s: f64) -> Option<(f64, f64)> {
        let told = elapsed_s >= self.bucket_s * (LAG_BUCKETS_MAX + 1.0);
        told.then(|| (self.max_s / self.bucket_s, self.last_s / self.bucket_s))
    }
}

/// Watches until it is stopped.
pub struct Watch(JoinHandle<Result<BTreeMap<String, Lag>>>, oneshot::Sender<()>);

impl Watch {
    /// Begins: nothing older than now counts as behind.
    pub async fn start(target: &Target) -> Result<Self> {
        let client = target.another_owner().await?;
        let sql = if target.is_timescale() { WATERMARKS_TIMESCALE } else { WATERMARKS_POSTGRES };
        let (stop, stopped) = oneshot::channel();
        Ok(Self(tokio::spawn(watch(client, sql, stopped)), stop))
    }

    /// What was seen.
    pub async fn stop(self) -> Result<BTreeMap<String, Lag>> {
        // It has ended by itself only after an error, which the join says.
        let _ = self.1.send(());
        self.0.await?
    }
}

async fn watch(client: Client, sql: &str, mut stopped: oneshot::Receiver<()>) -> Result<BTreeMap<String, Lag>> {
    let began_us = jiff::Timestamp::now().as_microsecond();
    let mut lags = BTreeMap::<String, Lag>::new();
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = &mut stopped => return Ok(lags),
        }
        let now_us = jiff::Timestamp::now().as_microsecond();
        for row in client.query(sql, &[]).await? {
            let (name, watermark_us): (String, i64) = (row.get(0), row.get(1));
            let Some(level) = LEVELS.iter().find(|level| level.name == name) else { continue };
            let lag_s = behind_s(now_us, watermark_us, began_us, level.width_us());
            let lag = lags.entry(name).or_default();
            lag.bucket_s = level.width.as_secs_f64();
            lag.max_s = lag.max_s.max(lag_s);
            lag.last_s = lag_s;
        }
    }
}

/// Seconds from the end of what is materialized up to now; of a level that has nothing yet, from the start of the bucket in
/// which the measurement began.
fn behind_s(now_us: i64, watermark_us: i64, began_us: i64, width_us: i64) -> f64 {
    let first_us = began_us.div_euclid(width_us) * width_us;
    let behind_us = u64::try_from(now_us - watermark_us.max(first_us)).unwrap_or(0);
    as_f64(behind_us) / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_before_the_measurement_is_no_lag() {
        let minute = 60_000_000;
        // Begun 10 s into the minute 100, now 95 s later.
        let (began, now) = (100 * minute + 10_000_000, 101 * minute + 45_000_000);
        assert!((behind_s(now, i64::MIN, began, minute) - 105.0).abs() < 1e-9);
        assert!((behind_s(now, 101 * minute, began, minute) - 45.0).abs() < 1e-9);
        assert!(behind_s(now, 102 * minute, began, minute) < 1e-9);
    }

    #[test]
    fn a_short_run_tells_nothing_of_hours() {
        let lag = |bucket_s| Lag { bucket_s, max_s: 90.0, last_s: 30.0 };
        assert_eq!((lag(60.0).buckets(200.0), lag(3600.0).buckets(200.0)), (Some((1.5, 0.5)), None));
    }
}
