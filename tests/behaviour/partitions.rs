//! The postgres engine's partitions: made ahead and on demand, dropped when expired.

use jiff::{SignedDuration, Timestamp};

use crate::derived::settled;
use crate::env::{Env, Test, TestResult, until};
use crate::lifecycle::run_once;
use crate::samples::{array, batch, event_with, hours_from_now, on_one_day};
use crate::tests;

pub const TESTS: &[Test] = tests!(postgres:
    made_ahead,
    made_for_late_data,
    dropped_when_expired,
    of_another_width_beside_old_ones,
    made_by_several_requests_at_once,
    leftovers_are_cleared,
    what_an_operator_detached_stays,
    one_that_cannot_be_dropped_does_not_keep_the_others,
    a_job_notices_that_its_partition_is_gone,
    none_is_made_for_what_is_not_recomputed,
);

/// Names of the partitions, oldest first.
fn partitions(env: &Env) -> Vec<String> {
    env.sql().column(
        "SELECT relname::text FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid \
         WHERE inhparent = 'tidegate.events'::regclass ORDER BY 1",
    )
}

/// The name of the partition of a day, counted from today.
fn of_day(day: i64) -> String {
    let at = Timestamp::now().checked_add(SignedDuration::from_hours(24 * day)).unwrap();
    at.strftime("events_p%Y%m%d_000000").to_string()
}

/// The name of the partition of the week of a day, counted from today.
fn of_week(day: i64) -> String {
    let days = Timestamp::now().as_second().div_euclid(86_400) + day;
    let begins = Timestamp::from_second(days.div_euclid(7) * 7 * 86_400).unwrap();
    begins.strftime("events_p%Y%m%d_000000").to_string()
}

fn ahead() -> Vec<String> {
    (-1..=7).map(of_day).collect()
}

fn made_ahead(env: &Env) -> TestResult {
    on_one_day();
    let _tidegate = env.serve();
    until("yesterday's to next week's", || (partitions(env) == ahead()).then_some(()));
    let bound: String = env.sql().one(&format!(
        "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = 'tidegate.{}'::regclass",
        of_day(0)
    ));
    let day = |n: i64| of_day(n)[8..16].to_owned();
    assert_eq!(
        bound.replace('-', ""),
        format!("FOR VALUES FROM ('{} 00:00:00+00') TO ('{} 00:00:00+00')", day(0), day(1))
    );
    Ok(())
}

fn made_for_late_data(env: &Env) -> TestResult {
    on_one_day();
    let tidegate = env.serve();
    let items = (0..10).map(|n| event_with(n, &format!(r#""timestamp":"{}""#, hours_from_now(-300 * 24))));
    tidegate.client.events(array(items)).accepted(10, 0);
    let late = of_week(-300);
    assert_eq!(env.sql().count(&late), 10);
    // The new partition has what the others have.
    let indexes = |table: &str| -> i64 {
        env.sql()
            .one(&format!("SELECT count(*) FROM pg_index WHERE indrelid = 'tidegate.{table}'::regclass AND indisvalid"))
    };
    assert_eq!((indexes(&late), indexes("events")), (7, 7));
    Ok(())
}

fn dropped_when_expired(env: &Env) -> TestResult {
    on_one_day();
    let tidegate = env.serve();
    // The fourth day back has expired at any time of today: events outlive their retention by an hour.
    let days = [-300, -10, -4, -1, 0];
    let items = days.iter().map(|day| event_with(0, &format!(r#""timestamp":"{}""#, hours_from_now(day * 24))));
    tidegate.client.events(array(items)).accepted(5, 0);
    until("partitions ahead", || (partitions(env).len() == 12).then_some(()));
    drop(tidegate);
    // A partition goes when all of it is older than retention.
    let settings = ["retention.events=2d"];
    let tidegate = env.serve_with(&settings);
    // The rollups are done with them first.
    until("the expired ones are gone", || {
        run_once(env, &settings);
        (partitions(env) == ahead()).then_some(())
    });
    let sql = env.sql();
    assert_eq!(
        (sql.count("events"), sql.one::<bool>(&format!("SELECT to_regclass('tidegate.{}') IS NULL", of_day(-10)))),
        (2, true)
    );
    tidegate.client.events(batch(5)).accepted(5, 0);
    let late = event_with(1, &format!(r#""timestamp":"{}""#, hours_from_now(-72)));
    assert_eq!(tidegate.client.events(late).expect(422)["errors"][0]["code"], "out_of_window");
    Ok(())
}

fn of_another_width_beside_old_ones(env: &Env) -> TestResult {
    on_one_day();
    let tidegate = env.serve();
    until("partitions ahead", || (partitions(env) == ahead()).then_some(()));
    drop(tidegate);
    let tidegate = env.serve_with(&["chunk_interval=168h"]);
    let days = [-20, -3, 0, 6];
    let items = days.iter().map(|day| event_with(0, &format!(r#""timestamp":"{}""#, hours_from_now(day * 24))));
    tidegate.client.events(array(items)).accepted(4, 0);
    assert_eq!(env.sql().count("events"), 4);
    Ok(())
}

fn made_by_several_requests_at_once(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["writers=4", "batch.linger_ms=0"]);
    std::thread::scope(|scope| {
        for n in 0..12_i64 {
            let client = &tidegate.client;
            scope.spawn(move || {
                let items = (0..20).map(|day| {
                    event_with(
                        0,
                        &format!(r#""timestamp":"{}""#, hours_from_now(-24 * (30 + (day * (n % 3 + 1)) % 20))),
                    )
                });
                // Those that come first make partitions, and the others wait for them.
                client.events(array(items)).accepted(20, 0);
            });
        }
    });
    let sql = env.sql();
    assert_eq!(sql.count("events"), 240);
    assert_eq!(sql.one::<i64>("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"), 0);
    Ok(())
}

/// An expiry that is killed while it waits for a reader of the partition.
fn leftovers_are_cleared(env: &Env) -> TestResult {
    on_one_day();
    let tidegate = env.serve();
    let late = event_with(1, &format!(r#""timestamp":"{}""#, hours_from_now(-100 * 24)));
    tidegate.client.events(late).accepted(1, 0);
    until("partitions ahead", || (partitions(env).len() == 10).then_some(()));
    drop(tidegate);
    let settings = ["retention.events=10d"];
    let (reader, killer) = (env.sql(), env.sql());
    // Before there is a process for which it has expired.
    reader.run("BEGIN");
    assert_eq!(reader.count("events"), 1);
    let _tidegate = env.serve_with(&settings);
    let killing = std::thread::spawn(move || {
        let pid: i32 = until("the detach waits for the reader", || {
            let waits = "SELECT pid FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE datname = current_database() \
                         AND query LIKE 'ALTER TABLE tidegate.events DETACH%' AND locktype = 'virtualxid' AND NOT granted";
            killer.column(waits).pop()
        });
        // That it is pending is committed before it waits, and stays; the next run may finish it at any moment.
        assert!(killer.one::<bool>("SELECT EXISTS (SELECT FROM pg_inherits WHERE inhdetachpending)"));
        killer.run(&format!("SELECT pg_terminate_backend({pid})"));
        let dead = format!("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {pid})");
        until("it is killed", || killer.one::<bool>(&dead).then_some(()));
        reader.run("COMMIT");
    });
    let sql = env.sql();
    let gone = format!("SELECT to_regclass('tidegate.{}') IS NULL", of_week(-100));
    until("the detached table is dropped", || {
        // One that is killed fails.
        env.cli(&["lifecycle", "run", "--set", settings[0]]);
        sql.one::<bool>(&gone).then_some(())
    });
    killing.join().unwrap();
    Ok(())
}

fn one_that_cannot_be_dropped_does_not_keep_the_others(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let days = [-100, -80];
    let items = days.iter().map(|day| event_with(0, &format!(r#""timestamp":"{}""#, hours_from_now(day * 24))));
    tidegate.client.events(array(items)).accepted(2, 0);
    drop(tidegate);
    let sql = env.sql();
    sql.alter(&format!("CREATE VIEW held AS SELECT * FROM {}", of_week(-100)));
    let run = || env.cli(&["lifecycle", "run", "--set", "retention.events=10d"]);
    let gone = |day| sql.one::<bool>(&format!("SELECT to_regclass('tidegate.{}') IS NULL", of_week(day)));
    for _ in 0..2 {
        let finished = run();
        assert!(finished.code == Some(1) && finished.stderr.contains(&of_week(-100)), "{finished:?}");
        assert_eq!((gone(-100), gone(-80)), (false, true));
    }
    sql.alter("DROP VIEW held");
    assert_eq!(run().code, Some(0));
    assert!(gone(-100));
    Ok(())
}

/// Somebody wants the rows for himself: to archive or to repair them.
fn what_an_operator_detached_stays(env: &Env) -> TestResult {
    on_one_day();
    let tidegate = env.serve();
    let days = [-300, -100, -3];
    let items = days.iter().map(|day| event_with(0, &format!(r#""timestamp":"{}""#, hours_from_now(day * 24))));
    tidegate.client.events(array(items)).accepted(3, 0);
    until("partitions ahead", || (partitions(env).len() == 12).then_some(()));
    drop(tidegate);
    let sql = env.sql();
    for partition in [of_week(-100), of_day(-3)] {
        sql.alter(&format!("ALTER TABLE events DETACH PARTITION {partition}"));
    }
    // Of two that are expired and one that is not the one that nobody detached goes.
    let settings = ["retention.events=10d"];
    let tidegate = env.serve_with(&settings);
    until("the expired one is gone", || {
        run_once(env, &settings);
        (partitions(env) == ahead()).then_some(())
    });
    run_once(env, &settings);
    assert_eq!((sql.count(&of_week(-100)), sql.count(&of_day(-3))), (1, 1));
    // What comes for its time meanwhile is stored beside it.
    let late = event_with(1, &format!(r#""timestamp":"{}""#, hours_from_now(-3 * 24)));
    tidegate.client.events(late).accepted(1, 0);
    assert_eq!((sql.count("events"), sql.count(&of_day(-3))), (1, 1));
    Ok(())
}

/// An operator detaches a partition that a job writes to: it makes another one beside it, in the same process.
fn a_job_notices_that_its_partition_is_gone(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let sql = env.sql();
    let at = hours_from_now(-3 * 24);
    let id = uuid::Uuid::now_v7();
    let send = |count: usize| {
        let items = (0..count).map(|n| event_with(n, &format!(r#""timestamp":"{at}","correlation_id":"{id}""#)));
        tidegate.client.events(array(items)).accepted(count as u64, 0);
    };
    send(2);
    // No job is at anything any more that would make another partition at once.
    settled(&sql);
    let partition: String = sql.one("SELECT tableoid::regclass::text FROM correlations LIMIT 1");
    sql.alter(&format!("ALTER TABLE correlations DETACH PARTITION {partition}"));
    assert_eq!(sql.count("correlations"), 0);
    send(2);
    until("pairs are written again", || (sql.count("correlations") > 0).then_some(()));
    Ok(())
}

/// Minutes are counted again only while they are kept: an older one that was touched leaves no partition behind, which would
/// be dropped and made in turn for as long as history is loaded. The hour beside it is counted.
fn none_is_made_for_what_is_not_recomputed(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let sql = env.sql();
    let at = hours_from_now(-30 * 24);
    tidegate.client.events(array((0..3).map(|n| event_with(n, &format!(r#""timestamp":"{at}""#))))).accepted(3, 0);
    let waiting = "SELECT (SELECT count(*) FROM touched) + (SELECT count(*) FROM rollup_dirty)";
    until("nothing waits", || (sql.one::<i64>(waiting) == 0).then_some(()));
    assert_eq!(sql.one::<i64>("SELECT sum(count)::bigint FROM event_counts_hourly_closed"), 3);
    let reach_back = |table: &str| -> bool {
        sql.one(&format!(
            "SELECT count(*) > 0 FROM pg_inherits WHERE inhparent = 'tidegate.{table}'::regclass \
             AND (regexp_match(pg_get_expr((SELECT relpartbound FROM pg_class WHERE oid = inhrelid), inhrelid), \
                  'FROM .''([^'']+)'''))[1]::timestamptz < now() - INTERVAL '20 days'"
        ))
    };
    assert!(reach_back("event_counts_hourly_closed"));
    assert!(!reach_back("event_counts_1m_closed"));
    Ok(())
}
