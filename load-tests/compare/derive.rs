//! What Tidegate would have derived from a data set while it came in: rollups, correlations, series and assets. Made at once,
//! window by window, with the statements that the product's jobs and policies run.

use std::time::Instant;

use jiff::Timestamp;
use tidegate::config::parse_duration;
use tidegate::model::{Keep, Level};
use tokio_postgres::Client;

use super::common::{DAY_US, Result, as_f64, per_row};
use super::dataset::{Dataset, Span};
use super::figures::Figures;
use super::fill::make_partitions;
use super::target::Target;

/// Days that a level is kept where nothing is configured; None: longer than a data set.
fn kept_days(level: &Level) -> Option<u32> {
    let keep = match level.keep {
        Keep::Fixed(keep) => keep,
        Keep::Configured { default, .. } => parse_duration(default?).ok()?,
    };
    u32::try_from(keep.as_secs() / 86_400).ok()
}

const OLD_CHUNKS: &str = "SELECT c::text FROM public.show_chunks($1::text::regclass, older_than => now() - INTERVAL '12 hours') c \
     WHERE NOT (SELECT is_compressed FROM timescaledb_information.chunks WHERE format('%I.%I', chunk_schema, chunk_name)::regclass = c)";

/// Pairs of an event and its parent, over the last hours: the most certain of what the correlation job finds.
const CORRELATIONS: &str = "INSERT INTO correlations (id, timestamp, tenant_id, correlation_type, primary_event_id, \
     related_event_id, primary_timestamp, related_timestamp, strength, confidence) \
     SELECT gen_random_uuid(), c.timestamp, c.tenant_id, 'causal', p.id, c.id, p.timestamp, c.timestamp, 1, 1 \
     FROM events c JOIN events p ON p.tenant_id = c.tenant_id AND p.id = c.parent_event_id \
     AND p.timestamp >= now() - INTERVAL '6 hours' \
     WHERE c.parent_event_id IS NOT NULL AND c.timestamp >= now() - INTERVAL '6 hours'";
const CATALOG: &str = "INSERT INTO metric_series (tenant_id, asset_id, metric_type, metric_name, series_id, dimensions, first_seen, last_seen) \
     SELECT tenant_id, asset_id, metric_type, metric_name, series_id, metric_dimensions(dimensions), min(timestamp), max(timestamp) \
     FROM metrics GROUP BY 1, 2, 3, 4, 5, 6 ON CONFLICT DO NOTHING";
const ASSETS: &str = "INSERT INTO asset_metadata (tenant_id, asset_id, asset_name, first_seen, last_seen) \
     SELECT tenant_id, asset_id, asset_id, min(timestamp), max(timestamp) FROM events WHERE asset_id IS NOT NULL GROUP BY 1, 2";

/// Makes a level over the whole data set, `window_days` at a time.
pub async fn make_level(
    target: &Target,
    level: &Level,
    dataset: Dataset,
    window_days: u32,
    figures: &mut Figures,
) -> Result<()> {
    let mut span = dataset.span(level.source());
    if let Some(days) = kept_days(level) {
        let first_us = span.from_us.max(span.to_us - i64::from(days) * DAY_US);
        let rows = span.numbers(first_us, span.to_us);
        span = Span { from_us: first_us, per_tenant: rows.end - rows.start, ..span };
    }
    let windows = windows(&span, level.width_us(), window_days);
    let to_us = windows.last().map_or(span.from_us, |window| window.1);
    if !target.is_timescale() {
        make_partitions(target, level.closed, span.from_us, to_us).await?;
        target.owner.batch_execute(&format!("TRUNCATE {}", level.closed)).await?;
    }
    let (started, mut compressing_s) = (Instant::now(), 0.0);
    for (from_us, to_us) in windows {
        let (from, to) = (Timestamp::from_microsecond(from_us)?, Timestamp::from_microsecond(to_us)?);
        target.owner.batch_execute(&make_sql(target, level, from, to)).await?;
        if level.compress_after.is_some() && target.is_timescale() {
            compressing_s += compress_old(&target.owner, level.buckets).await?;
        }
    }
    if !target.is_timescale() {
        let closed = "UPDATE rollup_levels SET closed_until = $2 WHERE level = $1 AND closed_until < $2";
        target.owner.execute(closed, &[&level.name, &Timestamp::from_microsecond(to_us)?]).await?;
    }
    let elapsed_s = started.elapsed().as_secs_f64();
    let (relation, rows) = (relation(target, level), span.per_tenant * dataset.tenants as u64);
    let buckets = target.count(&format!("SELECT count(*) FROM {relation}")).await?;
    let values = [
        ("of rows", as_f64(rows)),
        ("buckets", as_f64(buckets)),
        ("s", elapsed_s),
        ("s, compressing", compressing_s),
        ("us/row", per_row(elapsed_s * 1e6, rows)),
        ("bytes/bucket", per_row(target.bytes_of(relation).await?, buckets)),
    ];
    figures.add_all(level.name, &values);
    Ok(())
}

/// Where closed buckets are; on the timescale engine the continuous aggregate.
fn relation(target: &Target, level: &Level) -> &'static str {
    if target.is_timescale() { level.buckets } else { level.closed }
}

/// The continuous aggregate's refresh, or the INSERT of the portable rollup.
fn make_sql(target: &Target, level: &Level, from: Timestamp, to: Timestamp) -> String {
    let (from, to) = (format!("TIMESTAMPTZ '{from}'"), format!("TIMESTAMPTZ '{to}'"));
    if target.is_timescale() {
        // A window at once: by default it is done ten buckets at a time, which is a hundred times as much work for minutes.
        return format!(
            "CALL public.refresh_continuous_aggregate('tidegate.{}', {from}, {to}, \
             options => '{{\"buckets_per_batch\": 0}}')",
            level.buckets
        );
    }
    format!("INSERT INTO {} SELECT * FROM {}", level.closed, level.computed(&from, &to))
}

/// From the day of the first row to the last bucket that is over, in steps of whole days.
fn windows(span: &Span, width_us: i64, window_days: u32) -> Vec<(i64, i64)> {
    let to_us = span.to_us.div_euclid(width_us) * width_us;
    let first_us = span.from_us.div_euclid(DAY_US) * DAY_US;
    let step_us = i64::from(window_days) * DAY_US;
    let starts = (0i64..).map(|n| first_us + n * step_us).take_while(|start| *start < to_us);
    starts.map(|start| (start, (start + step_us).min(to_us))).collect()
}

async fn compress_old(owner: &Client, level: &str) -> Result<f64> {
    let started = Instant::now();
    for row in owner.query(OLD_CHUNKS, &[&format!("tidegate.{level}")]).await? {
        let sql = "SELECT public.compress_chunk($1::text::regclass, if_not_compressed => true)";
        owner.execute(sql, &[&row.get::<_, &str>(0)]).await?;
    }
    Ok(started.elapsed().as_secs_f64())
}

/// Makes the other derived tables, each by one statement; and statistics, as autovacuum has made them by the time that
/// somebody asks.
pub async fn make_others(target: &Target, dataset: Dataset, figures: &mut Figures) -> Result<()> {
    if !target.is_timescale() {
        make_partitions(target, "correlations", dataset.events.to_us - DAY_US, dataset.events.to_us).await?;
    }
    for (table, sql) in [("correlations", CORRELATIONS), ("metric_series", CATALOG), ("asset_metadata", ASSETS)] {
        target.owner.batch_execute(&format!("TRUNCATE {table}")).await?;
        let started = Instant::now();
        let rows = target.owner.execute(sql, &[]).await?;
        figures.add_all(table, &[("rows", as_f64(rows)), ("s", started.elapsed().as_secs_f64())]);
    }
    // The locks of jobs are held, and would be waited for.
    let statistics = if target.is_timescale() { "ANALYZE (SKIP_LOCKED)" } else { "VACUUM (ANALYZE, SKIP_LOCKED)" };
    Ok(target.owner.batch_execute(statistics).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_follow_each_other_up_to_the_last_bucket_that_is_over() {
        let span = Span { from_us: DAY_US + 5, to_us: 3 * DAY_US + 3_600_000_001, per_tenant: 1 };
        assert_eq!(windows(&span, DAY_US, 1), [(DAY_US, 2 * DAY_US), (2 * DAY_US, 3 * DAY_US)]);
        assert_eq!(windows(&span, 3_600_000_000, 2), [(DAY_US, 3 * DAY_US), (3 * DAY_US, 3 * DAY_US + 3_600_000_000)]);
    }
}
