//! The three query patterns of seed ADR-002, word for word, as the reader: what they answer does not change with the migrations that
//! gave samples their series and events their columns.

use tidegate::storage::embedded::READER;

use crate::env::{Engine, Env, Test, TestResult, until};
use crate::{old, tests};

pub const TESTS: &[Test] = tests!(the_same_before_and_after_the_migrations);

/// The last version before samples had series and events the columns of their requests.
const BEFORE: i32 = 18;

pub const RECENT_EVENTS: &str = "SELECT * FROM events
WHERE asset_id = 'gpt-4'
  AND timestamp >= NOW() - INTERVAL '24 hours'
ORDER BY timestamp DESC
LIMIT 1000";
pub const AGGREGATED_METRICS: &str = "SELECT
    bucket,
    avg_value,
    p95_value,
    p99_value
FROM metrics_hourly
WHERE asset_id = 'gpt-4'
  AND metric_name = 'latency'
  AND bucket >= NOW() - INTERVAL '7 days'
ORDER BY bucket DESC";
pub const CROSS_MODULE: &str = "SELECT
    e1.id as primary_event,
    e1.event_type as primary_type,
    e2.id as related_event,
    e2.event_type as related_type,
    c.correlation_type,
    c.strength
FROM correlations c
JOIN events e1 ON c.primary_event_id = e1.id
JOIN events e2 ON c.related_event_id = e2.id
WHERE c.timestamp >= NOW() - INTERVAL '1 hour'
  AND c.strength > 0.8
ORDER BY c.strength DESC";

/// Two days of events and a week of samples of two assets, each of one series, and pairs of the newest events.
const ROWS: &str = "INSERT INTO events (batch_id, batch_seq, timestamp, created_at, id, tenant_id, stream, source_module, event_type, \
         event_version, severity, environment, asset_id, payload, metadata) \
     SELECT 1, n, now() - n * INTERVAL '7 minutes', now(), ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'default', 'default', \
         'm' || n % 3, 't' || n % 5, 1, 'info', 'production', CASE WHEN n % 4 = 0 THEN 'other' ELSE 'gpt-4' END, \
         jsonb_build_object('n', n), CASE WHEN n % 2 = 0 THEN '{\"own\": true}'::jsonb END \
     FROM generate_series(1, 400) n; \
     INSERT INTO metrics (batch_id, batch_seq, timestamp, created_at, tenant_id, asset_id, metric_type, metric_name, value_count, value_sum, \
         dimensions) \
     SELECT 1, n, now() - n * INTERVAL '11 minutes', now(), 'default', CASE WHEN n % 3 = 0 THEN 'other' ELSE 'gpt-4' END, 'gauge', 'latency', 1, \
         n * 37 % 101, '{\"region\": \"eu\"}' \
     FROM generate_series(0, 900) n; \
     INSERT INTO correlations (id, timestamp, tenant_id, correlation_type, primary_event_id, related_event_id, primary_timestamp, \
         related_timestamp, strength, confidence) \
     SELECT gen_random_uuid(), a.timestamp, 'default', 'causal', b.id, a.id, b.timestamp, a.timestamp, 0.75 + a.batch_seq / 40.0, 1 \
     FROM events a JOIN events b ON b.batch_seq = a.batch_seq + 1 WHERE a.batch_seq < 8";

fn the_same_before_and_after_the_migrations(env: &Env) -> TestResult {
    env.begin_empty();
    let sql = env.sql();
    old::install(&sql, env.engine, BEFORE);
    if env.engine == Engine::Postgres {
        sql.run(
            "DO $partitions$ DECLARE day timestamptz; of_table text; BEGIN
                FOR day, of_table IN SELECT date_trunc('day', now(), 'UTC') - n * INTERVAL '1 day', name
                        -- Tomorrow's too: midnight may come before the rows.
                        FROM generate_series(-1, 8) n CROSS JOIN unnest(ARRAY['events', 'metrics', 'correlations']) name LOOP
                    EXECUTE format('CREATE TABLE tidegate.%1$s_p%2$s PARTITION OF tidegate.%1$s FOR VALUES FROM (%3$L) TO (%4$L)',
                        of_table, to_char(day AT TIME ZONE 'UTC', 'YYYYMMDD_HH24MISS'), day, day + INTERVAL '1 day');
                END LOOP;
             END $partitions$;
             -- Nothing is closed yet of these days.
             UPDATE rollup_levels SET closed_until = date_trunc('day', now(), 'UTC') - INTERVAL '8 days',
                 noted_before = date_trunc('day', now(), 'UTC') - INTERVAL '8 days'",
        );
    }
    sql.run(ROWS);
    let reader = env.sql_as(READER);
    // What was there is compared by name: an event has columns that it had not.
    let columns: Vec<String> = sql.column(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = 'tidegate.events'::regclass AND attnum > 0 AND NOT attisdropped",
    );
    let known = columns.iter().map(|name| format!("'{name}', q.{name}")).collect::<Vec<_>>().join(", ");
    let events = || -> Vec<String> {
        reader.column(&format!("SELECT json_build_object({known})::text FROM ({RECENT_EVENTS}) q"))
    };
    let metrics = || -> Vec<String> { reader.column(&format!("SELECT q::text FROM ({AGGREGATED_METRICS}) q")) };
    let pairs = || -> Vec<String> { reader.column(&format!("SELECT q::text FROM ({CROSS_MODULE}) q")) };
    let before = (events(), metrics(), pairs());
    assert_eq!((before.0.len(), before.2.len()), (154, 5));
    assert!((160..=169).contains(&before.1.len()), "{}", before.1.len());

    let migrated = env.cli(&["migrate", "--json"]);
    assert_eq!(migrated.json()["applied"][0], BEFORE + 1, "{migrated:?}");
    // The clock moves on: what leaves the 24 hours leaves at the end.
    let same_events = |found: &[String]| before.0.starts_with(found) && found.len() + 1 >= before.0.len();
    assert!(same_events(&events()), "as migrated");
    assert_eq!((metrics(), pairs()), (before.1.clone(), before.2.clone()), "as migrated");
    let _tidegate = env.serve();
    until("all samples have their series", || (sql.count("series_pending") == 0).then_some(()));
    let waiting = "SELECT (SELECT count(*) FROM touched) + (SELECT count(*) FROM rollup_dirty)";
    until("nothing waits", || (sql.one::<i64>(waiting) == 0).then_some(()));
    let (events_after, metrics_after, pairs_after) = (events(), metrics(), pairs());
    assert_eq!((&metrics_after, &pairs_after), (&before.1, &before.2), "once all is done");
    assert!(same_events(&events_after));
    Ok(())
}
