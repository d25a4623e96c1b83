//! What is derived from events and metrics: waiting until the jobs are through, and what must have come of it.

use jiff::Timestamp;

use crate::env::until;
use crate::postgres::Sql;

/// The full hour so many hours ago, in seconds since 1970: a time to count from that is over.
pub fn hours_ago(hours: i64) -> i64 {
    let now = Timestamp::now().as_second();
    now - now.rem_euclid(3600) - hours * 3600
}

/// RFC 3339 of a time in milliseconds since 1970.
pub fn time(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms).unwrap().to_string()
}

/// An id from a number.
pub fn id(number: u64) -> String {
    uuid::Uuid::from_u128(u128::from(number) | 0x4000_8000_0000_0000_0000).to_string()
}

/// Notes everything that is stored as written to, and waits until the jobs are through.
pub fn again(sql: &Sql) {
    sql.run(
        "INSERT INTO touched SELECT 'events', tenant_id, array_agg(DISTINCT floor(extract(epoch FROM timestamp) / 60)::int) \
         FROM events GROUP BY tenant_id; \
         INSERT INTO touched SELECT 'metrics', tenant_id, array_agg(DISTINCT floor(extract(epoch FROM timestamp) / 60)::int) \
         FROM metrics GROUP BY tenant_id",
    );
    settled(sql);
}

/// Makes minutes that are not over yet due now. It waits for no row, as jobs take them in their own order.
pub fn hurry(sql: &Sql) {
    sql.run(
        "UPDATE touched_minutes SET since = since - INTERVAL '2 minutes' WHERE ctid = ANY (ARRAY( \
             SELECT ctid FROM touched_minutes FOR UPDATE SKIP LOCKED))",
    );
}

/// Waits until nothing is waiting that is due: what is not yet over is left. The rollups show everything first, and hours need
/// not wait for them any longer.
pub fn settled(sql: &Sql) {
    until("everything written is noted", || (sql.count("touched") == 0).then_some(()));
    let missing = "SELECT count(*) FROM \
         (SELECT tenant_id, asset_id, metric_type, metric_name, bucket, count, avg_value, min_value, max_value \
            FROM metrics_rollup('1 hour', '-infinity', 'infinity') \
          EXCEPT SELECT tenant_id, asset_id, metric_type, metric_name, bucket, count, avg_value, min_value, max_value \
            FROM metrics_hourly) missing";
    until("the rollups show everything", || {
        let all = sql.one::<i64>(missing) == 0;
        if !all {
            refresh_hours(sql);
        }
        all.then_some(())
    });
    let waiting = "SELECT (SELECT count(*) FROM touched) \
         + (SELECT count(*) FROM touched_minutes WHERE CASE WHEN job IN ('anomalies', 'error_hours') \
            THEN minute - minute % 60 + 60 ELSE minute + 1 END <= floor(extract(epoch FROM now()) / 60)) \
         + (SELECT count(*) FROM touched_passes) + (SELECT count(*) FROM orphans WHERE NOT searched)";
    until("everything written is worked through", || {
        sql.run(
            "UPDATE touched_minutes SET since = since - INTERVAL '1 hour' WHERE ctid = ANY (ARRAY( \
                 SELECT ctid FROM touched_minutes WHERE job IN ('anomalies', 'error_hours') \
                 AND since > now() - INTERVAL '30 minutes' FOR UPDATE SKIP LOCKED))",
        );
        (sql.one::<i64>(waiting) == 0).then_some(())
    });
}

/// What the program does every half minute where there are continuous aggregates; another refresh may be at work.
fn refresh_hours(sql: &Sql) {
    if sql.one::<bool>("SELECT to_regclass('timescaledb_information.jobs') IS NULL") {
        return;
    }
    let policies = "SELECT job_id FROM timescaledb_information.jobs \
         WHERE proc_name = 'policy_refresh_continuous_aggregate' AND hypertable_name = 'metrics_hourly_buckets'";
    for job in sql.column::<i32>(policies) {
        let _ = sql.try_run(&format!("CALL public.run_job({job})"));
    }
}

/// The pairs that shared correlation ids make, computed at once from the events: each with the one right before it within a
/// day. As text, in order.
pub fn chains(sql: &Sql) -> Vec<String> {
    sql.column(
        "SELECT concat_ws(' ', tenant_id, before, before_at, id, timestamp) FROM ( \
            SELECT tenant_id, id, timestamp, lag(id) OVER w AS before, lag(timestamp) OVER w AS before_at \
            FROM (SELECT DISTINCT tenant_id, correlation_id, timestamp, id FROM events WHERE correlation_id IS NOT NULL) e \
            WINDOW w AS (PARTITION BY tenant_id, correlation_id ORDER BY timestamp, id)) e \
         WHERE timestamp - before_at <= INTERVAL '24 hours' AND before <> id ORDER BY 1",
    )
}

/// The same as it is stored.
pub fn stored_chains(sql: &Sql) -> Vec<String> {
    sql.column(
        "SELECT concat_ws(' ', tenant_id, primary_event_id, primary_timestamp, related_event_id, related_timestamp) \
         FROM correlations WHERE correlation_type = 'causal' AND metadata ->> 'rule' = 'correlation_id' ORDER BY 1",
    )
}

/// Asserts that both are the same; returns how many pairs there are.
pub fn assert_chains(sql: &Sql) -> usize {
    let (computed, stored) = (chains(sql), stored_chains(sql));
    let missing: Vec<&String> = computed.iter().filter(|pair| stored.binary_search(pair).is_err()).take(5).collect();
    let wrong: Vec<&String> = stored.iter().filter(|pair| computed.binary_search(pair).is_err()).take(5).collect();
    assert!(missing.is_empty() && wrong.is_empty(), "missing: {missing:#?}\nwrong: {wrong:#?}");
    assert_eq!(computed.len(), stored.len());
    stored.len()
}

/// Every row of correlations, with when it was written.
pub fn all_pairs(sql: &Sql) -> Vec<String> {
    sql.column("SELECT c::text FROM correlations c ORDER BY 1")
}
