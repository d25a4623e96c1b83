//! History: events of many days that come late, in slices of a week where those are old; and chunks of days that were
//! cut in another number of partitions than new ones are.

use std::collections::BTreeMap;

use tidegate::wire::item::space::space;

use crate::env::{Engine, Env, Test, TestResult, until};
use crate::lifecycle::{ended, idle, run};
use crate::metrics_columnstore::no_row_is_hidden;
use crate::process::Tidegate;
use crate::samples::{array, event_with, hours_from_now, metric_with, on_one_day};
use crate::tests;

pub const TESTS: &[Test] =
    tests!(an_old_week_is_one_slice, a_week_that_has_a_day_stays_days, weeks_expire_as_days_do, a_shuffled_year,);

pub const PARTITIONS: &[Test] = tests!(timescale:
    more_partitions_for_new_slices,
    partitions_are_raised_under_a_running_process,
    what_somebody_else_cut_is_written_to_all_the_same,
    a_number_that_cannot_be_is_refused,
);

/// How wide the chunks or partitions of events that are over are, in days, by the age of their end in days.
fn widths(env: &Env) -> BTreeMap<i64, i64> {
    let sql = match env.engine {
        Engine::Timescale => {
            "SELECT DISTINCT extract(epoch FROM now() - range_end)::bigint / 86400, \
             extract(epoch FROM range_end - range_start)::bigint / 86400 \
             FROM timescaledb_information.chunks WHERE hypertable_schema = 'tidegate' AND hypertable_name = 'events'"
        }
        Engine::Postgres => {
            "SELECT extract(epoch FROM now() - bound[2]::timestamptz)::bigint / 86400, \
             extract(epoch FROM bound[2]::timestamptz - bound[1]::timestamptz)::bigint / 86400 \
             FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid CROSS JOIN LATERAL \
             regexp_match(pg_get_expr(c.relpartbound, c.oid), $$FROM \\('([^']+)'\\) TO \\('([^']+)'\\)$$) AS bound \
             WHERE inhparent = 'tidegate.events'::regclass"
        }
    };
    let widths = env.sql().rows(sql, &[]).into_iter().map(|row| (row.get(0), row.get(1)));
    widths.filter(|(age, _)| *age >= 0).collect()
}

fn at_day(n: usize, days_ago: i64) -> String {
    event_with(n, &format!(r#""timestamp":"{}","asset_id":"a{}""#, hours_from_now(-24 * days_ago), n % 5))
}

fn an_old_week_is_one_slice(env: &Env) -> TestResult {
    on_one_day();
    let tidegate = env.serve();
    let store = |tidegate: &Tidegate, items: &[u8], count: u64| {
        tidegate.client.events(items).accepted(count, 0);
    };
    store(&tidegate, &array((0..60).map(|day| at_day(0, day))), 60);
    for (age, width) in widths(env) {
        // Between 7 and 14 days ago begin the weeks that are old, as the calendar has it.
        let expected = if age < 7 {
            vec![1]
        } else if age < 14 {
            vec![1, 7]
        } else {
            vec![7]
        };
        assert!(expected.contains(&width), "{width} days, which ended {age} days ago");
    }
    assert!(widths(env).values().filter(|width| **width == 7).count() >= 6, "{:?}", widths(env));
    let before = widths(env);
    // More for the same days, many and few, and by another process that has learnt none of it.
    let more = array((0..60).flat_map(|day| (0..60).map(move |n| at_day(n, day))));
    store(&tidegate, &more, 3600);
    drop(tidegate);
    let tidegate = env.serve();
    store(&tidegate, &array((0..60).map(|day| at_day(1, day))), 60);
    store(&tidegate, &more, 3600);
    assert_eq!(widths(env), before);
    let read = tidegate.client.get("/v1/events/counts?from=-60d&bucket=1d").expect(200);
    let counted: i64 = read["data"].as_array().unwrap().iter().map(|row| row["count"].as_i64().unwrap()).sum();
    let stored: i64 = env.sql().one("SELECT count(*) FROM events WHERE timestamp >= now() - INTERVAL '60 days'");
    assert_eq!((env.sql().count("events"), counted), (7320, stored));
    if env.engine == Engine::Timescale {
        no_row_is_hidden(env);
        let chunks: Vec<i64> = env.sql().column(
            "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = 'events' \
             AND range_end - range_start = INTERVAL '7 days' GROUP BY range_start",
        );
        assert!(chunks.len() >= 6 && chunks.iter().all(|count| *count == 1), "{chunks:?}");
    }
    Ok(())
}

fn a_week_that_has_a_day_stays_days(env: &Env) -> TestResult {
    on_one_day();
    ended(env, env.serve());
    let sql = env.sql();
    let day: String =
        sql.one("SELECT (date_bin('7 days', now() - INTERVAL '30 days', '1970-01-01') + INTERVAL '2 days')::text");
    if env.engine == Engine::Postgres {
        sql.run(&format!(
            "CREATE TABLE events_day PARTITION OF events FOR VALUES FROM ('{day}') TO ('{day}'::timestamptz + INTERVAL '1 day')"
        ));
    }
    sql.run(&format!(
        "INSERT INTO events (id, timestamp, tenant_id, stream, source_module, event_type, event_version, severity, \
         environment, payload, batch_id, batch_seq, created_at) \
         SELECT gen_random_uuid(), '{day}'::timestamptz + INTERVAL '2 hours', 'default', 'default', 's', 'e', 1, 'info', 'p', \
         '{{}}', 1, n, now() FROM generate_series(1, 3) n"
    ));
    let tidegate = env.serve();
    tidegate.client.events(array((0..50).map(|day| at_day(0, day)))).accepted(50, 0);
    let days = widths(env).into_iter().filter(|(age, width)| *age >= 14 && *width == 1).count();
    assert_eq!(days, 7, "{:?}", widths(env));
    assert_eq!(sql.count("events"), 53);
    Ok(())
}

fn weeks_expire_as_days_do(env: &Env) -> TestResult {
    let tidegate = env.serve();
    tidegate.client.events(array((0..100).map(|day| at_day(0, day)))).accepted(100, 0);
    drop(tidegate);
    let settings = ["retention.events=40d"];
    let _tidegate = idle(env.serve_with(&settings));
    let sql = env.sql();
    // What is whole and older goes; the week in which retention ends stays until all of it is, and for an hour more.
    until("the expired weeks are gone", || {
        run(env, &settings);
        let expired = "SELECT count(*) FROM events WHERE timestamp < now() - INTERVAL '47 days 1 hour'";
        (sql.one::<i64>(expired) == 0).then_some(())
    });
    let kept: i64 = sql.count("events");
    assert!((40..=48).contains(&kept), "{kept}");
    let ages: Vec<i64> = widths(env).into_keys().collect();
    assert!(ages.iter().all(|age| *age <= 40), "{ages:?}");
    Ok(())
}

/// Requests whose rows lie anywhere in a year, several at once, beside live traffic.
fn a_shuffled_year(env: &Env) -> TestResult {
    const SENDERS: usize = 4;
    const REQUESTS: usize = 3;
    let tidegate = env.serve();
    // A step that shares no factor with the number of days visits them all.
    let body = |seed: usize| array((0..500).map(|n| at_day(n, i64::try_from((n + seed) * 151 % 363).unwrap())));
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (client, body) = (&tidegate.client, &body);
            scope.spawn(move || {
                for request in 0..REQUESTS {
                    client.events(body(sender * 97 + request)).accepted(500, 0);
                    client.events(array((0..20).map(|n| at_day(n, 0)))).accepted(20, 0);
                }
            });
        }
    });
    assert_eq!(env.sql().count("events"), i64::try_from(SENDERS * REQUESTS * 520)?);
    let slices = widths(env).len();
    assert!(slices < 90, "{slices} slices for a year");
    if env.engine == Engine::Timescale {
        no_row_is_hidden(env);
    }
    Ok(())
}

/// The bounds in space of the chunks of each slice of metrics, the oldest first.
fn cut(env: &Env) -> Vec<Vec<(i64, i64)>> {
    let sql = "SELECT extract(epoch FROM range_start)::bigint, (s.slices -> 'asset_id' ->> 0)::bigint, \
               (s.slices -> 'asset_id' ->> 1)::bigint FROM timescaledb_information.chunks, \
               LATERAL _timescaledb_functions.show_chunk(format('%I.%I', chunk_schema, chunk_name)::regclass) s \
               WHERE hypertable_schema = 'tidegate' AND hypertable_name = 'metrics' ORDER BY 1, 2";
    let mut cut: BTreeMap<i64, Vec<(i64, i64)>> = BTreeMap::new();
    for row in env.sql().rows(sql, &[]) {
        cut.entry(row.get(0)).or_default().push((row.get(1), row.get(2)));
    }
    cut.into_values().collect()
}

/// Samples of a moment, of assets of these partitions of eight.
fn samples(partitions: std::ops::Range<u32>, count: usize, at: &str) -> Vec<u8> {
    let of = |asset: &usize| partitions.contains(&(space(&format!("asset-{asset}")) / (i32::MAX as u32 / 8)));
    let assets = (0..).filter(of).take(count);
    array(assets.map(|n| metric_with(&format!("asset-{n}"), &format!(r#""value":{n},"timestamp":"{at}""#))))
}

fn ranges(partitions: i64) -> Vec<(i64, i64)> {
    let width = i64::from(i32::MAX) / partitions;
    let from = |n: i64| if n == 0 { i64::MIN } else { n * width };
    let to = |n: i64| if n + 1 == partitions { i64::MAX } else { (n + 1) * width };
    (0..partitions).map(|n| (from(n), to(n))).collect()
}

fn more_partitions_for_new_slices(env: &Env) -> TestResult {
    let (today, yesterday) = (hours_from_now(0), hours_from_now(-24));
    let tidegate = env.serve();
    // Today has four of its eight chunks.
    tidegate.client.metrics(samples(0..4, 400, &today)).accepted(400, 0);
    drop(tidegate);
    let tidegate = env.serve_with(&["partitions.metrics=16", "partitions.events=6"]);
    for count in [30, 900] {
        for day in [&today, &yesterday] {
            tidegate.client.metrics(samples(0..8, count, day)).accepted(count as u64, 0);
        }
    }
    assert_eq!(cut(env), [ranges(16), ranges(8)], "yesterday, today");
    assert_eq!(env.sql().count("metrics"), 400 + 2 * 930);
    no_row_is_hidden(env);
    drop(tidegate);
    // Without the key it stays as it is.
    drop(env.serve());
    let partitions: Vec<i32> = env.sql().column(
        "SELECT num_partitions::integer FROM timescaledb_information.dimensions WHERE hypertable_schema = 'tidegate' \
         AND hypertable_name IN ('events', 'metrics') AND num_partitions IS NOT NULL ORDER BY hypertable_name",
    );
    assert_eq!(partitions, [6, 16]);
    Ok(())
}

/// One process knows the old number, and is not told.
fn partitions_are_raised_under_a_running_process(env: &Env) -> TestResult {
    let running = env.serve();
    let days = [0, 1, 2, 3].map(|days| hours_from_now(-24 * days));
    let store = |items: Vec<u8>, count: u64| {
        running.client.metrics(items).accepted(count, 0);
    };
    store(samples(0..3, 300, &days[0]), 300);
    let other = env.cli(&["migrate", "--set", "partitions.metrics=16", "--json"]);
    assert_eq!(other.code, Some(0), "{other:?}");
    // Days that it has not seen, and the rest of one that it has; large and small at once.
    std::thread::scope(|scope| {
        for sender in 0..4_usize {
            let (store, days) = (&store, &days);
            scope.spawn(move || {
                for (n, day) in days.iter().enumerate() {
                    let count = if (sender + n).is_multiple_of(2) { 600 } else { 40 };
                    store(samples(0..8, count, day), count as u64);
                }
            });
        }
    });
    assert_eq!(cut(env), [ranges(16), ranges(16), ranges(16), ranges(8)]);
    assert_eq!(env.sql().count("metrics"), 300 + 8 * 640);
    no_row_is_hidden(env);
    Ok(())
}

/// An operator raised it by hand, so that one slice has chunks of both numbers.
fn what_somebody_else_cut_is_written_to_all_the_same(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let at = hours_from_now(0);
    tidegate.client.metrics(samples(0..2, 200, &at)).accepted(200, 0);
    let sql = env.sql();
    sql.run("SELECT public.set_number_partitions('tidegate.metrics', 12, 'asset_id')");
    sql.run(&format!(
        "INSERT INTO metrics SELECT 1, n, '{at}', now(), 'default', 'by-hand-' || n, 'gauge', 'latency', 1, n \
         FROM generate_series(1, 60) n"
    ));
    drop(tidegate);
    let tidegate = env.serve();
    for count in [800, 40, 800, 40] {
        tidegate.client.metrics(samples(0..8, count, &at)).accepted(count as u64, 0);
    }
    assert_eq!(sql.count("metrics"), 200 + 60 + 2 * 840);
    no_row_is_hidden(env);
    Ok(())
}

fn a_number_that_cannot_be_is_refused(env: &Env) -> TestResult {
    for wrong in ["0", "257", "-1", "many"] {
        let finished = env.serve_fails(&[&format!("partitions.events={wrong}")]);
        assert_eq!(finished.code, Some(64), "{finished:?}");
        assert!(finished.stderr.contains("partitions.events"), "{finished:?}");
    }
    Ok(())
}
