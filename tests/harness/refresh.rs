//! Metrics put straight into the database, and rollups closed by hand: tests that look at reading them need neither ingestion
//! nor a clock.

use tidegate::model::{Content, EVENT_MINUTES, LEVELS, Level};

use crate::env::{Engine, Env, until};

/// Days back for which there are partitions once [`make_room`] has been called.
const DAYS: i64 = 120;
/// The same of the levels that are kept for 7 days unless configured otherwise: the program drops what is older at any moment.
const DAYS_FINE: i64 = 6;
/// The same of counts by the minute, which are kept for 2 days.
const DAYS_MINUTES: i64 = 2;
/// Of so many days partitions are made by one statement: none runs for long, nor keeps the program from making its own.
const DAYS_AT_ONCE: usize = 30;

/// What reads are about.
fn levels() -> impl Iterator<Item = &'static Level> {
    LEVELS.iter().filter(|level| level.content != Content::CorrelationGroups)
}

fn back(level: &Level) -> i64 {
    match level {
        minutes if minutes == EVENT_MINUTES => DAYS_MINUTES,
        fine if fine.optional => DAYS_FINE,
        _ => DAYS,
    }
}

/// On the postgres engine, makes the partitions of the last days, where the program has not.
pub fn make_room(env: &Env) {
    if env.engine == Engine::Timescale {
        return;
    }
    let tables = [("events", 1, DAYS), ("metrics", 1, DAYS), ("correlations", 1, DAYS)];
    let levels = levels().map(|level| (level.closed, level.partition.as_secs() / 86_400, back(level)));
    for (table, days, back) in tables.into_iter().chain(levels) {
        let ago: Vec<i64> = (-7..=back).collect();
        for part in ago.chunks(DAYS_AT_ONCE) {
            make_partitions(env, table, days, part[0], part[part.len() - 1]);
        }
    }
}

/// Those from so many days ago on to so many, each so many days wide.
fn make_partitions(env: &Env, table: &str, days: u64, last: i64, first: i64) {
    env.sql().run(&format!(
        "DO $room$ DECLARE day bigint; name text; BEGIN
            LOCK TABLE tidegate.lock_partitions IN EXCLUSIVE MODE;
            FOR day IN SELECT DISTINCT n / {days} * {days}
                       FROM generate_series(extract(epoch FROM now())::bigint / 86400 - {first},
                                            extract(epoch FROM now())::bigint / 86400 - ({last})) n LOOP
                name := 'tidegate.{table}_p' || to_char(to_timestamp(day * 86400) AT TIME ZONE 'UTC', 'YYYYMMDD_HH24MISS');
                IF to_regclass(name) IS NULL THEN
                    EXECUTE format('CREATE TABLE %s (LIKE tidegate.{table} INCLUDING ALL)', name);
                    EXECUTE format('ALTER TABLE tidegate.{table} ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
                        name, to_timestamp(day * 86400), to_timestamp((day + {days}) * 86400));
                END IF;
            END LOOP;
         END $room$"
    ));
}

/// Writes metrics as ingestion does: the rows of a query (timestamp, tenant_id, asset_id, metric_type, metric_name, value_count,
/// value_sum, value_min, value_max, value_m2, dimensions), and which minutes they touch, in one transaction.
pub fn put_metrics(env: &Env, rows: &str) {
    env.sql().run(&format!(
        "WITH put AS (
            INSERT INTO metrics (batch_id, batch_seq, timestamp, created_at, tenant_id, asset_id, metric_type, metric_name,
                                 value_count, value_sum, value_min, value_max, value_m2, dimensions, series_id)
            SELECT nextval('ingest_batch_id'), (row_number() OVER ())::integer, r.*
            FROM (SELECT timestamp, now(), tenant_id, asset_id, metric_type, metric_name, value_count, value_sum, value_min,
                         value_max, value_m2, dimensions, metric_series_id(dimensions) FROM ({rows}) r) r
            RETURNING tenant_id, timestamp
         )
         INSERT INTO touched (kind, tenant_id, minutes)
         SELECT 'metrics', tenant_id, array_agg(DISTINCT floor(extract(epoch FROM timestamp) / 60)::integer)
         FROM put GROUP BY tenant_id"
    ));
}

/// Brings every level up to date with what is committed.
pub fn close(env: &Env) {
    let sql = env.sql();
    if env.engine == Engine::Timescale {
        for level in levels().map(|level| level.buckets) {
            // Another refresh, or the program's job, may be at work.
            until(level, || {
                sql.try_run(&format!("CALL refresh_continuous_aggregate('{level}', NULL, now()::timestamptz)")).ok()
            });
        }
        return;
    }
    until("the queue is spread", || (sql.count("touched") == 0).then_some(()));
    for level in levels() {
        let made = level.computed("d.bucket", &format!("d.bucket + INTERVAL '{}'", level.interval()));
        let (level, back) = (level.name, back(level));
        // What is not closed yet is the program's to close.
        let closed = format!(
            "d.level = '{level}' AND d.bucket < (SELECT closed_until FROM rollup_levels WHERE level = '{level}')"
        );
        // The program closes buckets all the time: one that it closed between two of these statements would be there twice.
        sql.run(&format!(
            "BEGIN; SELECT FROM rollup_levels WHERE level = '{level}' FOR UPDATE; LOCK TABLE rollup_dirty IN EXCLUSIVE MODE;
             DELETE FROM {level}_closed c USING rollup_dirty d
             WHERE {closed} AND c.bucket = d.bucket AND c.tenant_id = d.tenant_id;
             INSERT INTO {level}_closed
             SELECT r.* FROM rollup_dirty d CROSS JOIN LATERAL {made} r WHERE {closed} AND r.tenant_id = d.tenant_id
             AND d.bucket >= date_trunc('day', now(), 'UTC') - INTERVAL '{back} days';
             DELETE FROM rollup_dirty d WHERE {closed}; COMMIT"
        ));
    }
}
