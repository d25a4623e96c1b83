//! The timescale engine: what goes into the columnstore, what stays in row form, and the policies.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::books::Books;
use crate::env::{Env, Test, TestResult, until};
use crate::postgres::Sql;
use crate::samples::{array, batch, event, event_with, hours_from_now};
use crate::tests;

pub const TESTS: &[Test] = tests!(timescale:
    a_thousand_rows_go_straight_into_the_columnstore,
    a_few_rows_stay_in_row_form,
    both_in_one_batch,
    the_first_direct_rows_beside_plain_ones,
    plain_rows_beside_the_first_direct_ones,
    direct_rows_beside_plain_ones_in_a_new_chunk,
    plain_rows_beside_direct_ones_in_a_new_chunk,
    a_unique_index_is_refused_at_start,
    a_trigger_is_refused_at_start,
    the_hypertable,
    chunk_widths_follow_the_configuration,
    auto_follows_an_installation_without_timescaledb,
);

pub const ROWSTORE: &[Test] = tests!(timescale:
    duplicates_are_counted_and_neighbours_stored,
    duplicates_within_a_request,
    duplicates_beside_poison,
    a_request_with_duplicates_is_replayed_as_answered,
    the_rowstores_layout,
);

/// Rows in row form, and chunks with a compressed part.
fn layout(sql: &Sql) -> (i64, i64) {
    let chunks: Vec<String> = sql.column("SELECT show_chunks('tidegate.events')::text");
    let rows = chunks.iter().map(|chunk| sql.one::<i64>(&format!("SELECT count(*) FROM ONLY {chunk}"))).sum();
    let compressed = sql.one(
        "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_schema = 'tidegate' \
         AND hypertable_name = 'events' AND is_compressed",
    );
    (rows, compressed)
}

fn a_thousand_rows_go_straight_into_the_columnstore(env: &Env) -> TestResult {
    let tidegate = env.serve();
    tidegate.client.events(batch_at(1000, &hours_from_now(0))).accepted(1000, 0);
    let sql = env.sql();
    assert_eq!(layout(&sql), (0, 1));
    assert_eq!(sql.count("events"), 1000);
    assert!((Books::of(&tidegate.client).get("tidegate_direct_compress_disabled_total")) < 0.5);
    Ok(())
}

/// Events of one moment, so that they are in one chunk also around midnight.
fn batch_at(count: usize, at: &str) -> Vec<u8> {
    array((0..count).map(|n| event_with(n, &format!(r#""timestamp":"{at}""#))))
}

fn a_few_rows_stay_in_row_form(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let (at, sql) = (hours_from_now(0), env.sql());
    // A chunk is born in the columnstore, however few its first rows.
    tidegate.client.events(batch_at(10, &at)).accepted(10, 0);
    assert_eq!(layout(&sql), (0, 1));
    tidegate.client.events(batch_at(49, &at)).accepted(49, 0);
    assert_eq!(layout(&sql), (49, 1));
    tidegate.client.events(batch_at(50, &at)).accepted(50, 0);
    assert_eq!((layout(&sql).0, sql.count("events")), (49, 109));
    Ok(())
}

fn both_in_one_batch(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["writers=1", "batch.linger_ms=300"]);
    let small = tidegate.with(&env.key("small", "ingest"));
    let (at, sql) = (hours_from_now(0), env.sql());
    small.events(batch_at(5, &at)).accepted(5, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| small.events(batch_at(10, &at)).accepted(10, 0));
        scope.spawn(|| tidegate.client.events(batch_at(200, &at)).accepted(200, 0));
    });
    assert_eq!((layout(&sql).0, sql.count("events")), (10, 215));
    Ok(())
}

/// Two requests of one tenant for one chunk, whose transactions overlap: each waits at its manifest until both are at
/// work. Again for one day after another, since the order of their ends is PostgreSQL's.
fn overlapping(env: &Env, before: usize, first: usize, second: usize) -> TestResult {
    let tidegate = env.serve_with(&["writers=2", "batch.linger_ms=0"]);
    let (blocker, observer) = (env.sql(), env.sql());
    let waiting = || -> i64 {
        observer.one(
            // Jobs wait as well: the lifecycle looks for expired manifests.
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' \
             AND application_name = 'tidegate writer'",
        )
    };
    for day in 1..=DAYS {
        let at = hours_from_now(24 * day);
        let send = |count: usize| {
            let items = (0..count).map(|n| event_with(n, &format!(r#""timestamp":"{at}""#)));
            tidegate.client.events(array(items)).accepted(count as u64, 0)
        };
        if before > 0 {
            send(before);
        }
        blocker.run("BEGIN; LOCK TABLE ingest_batches IN ACCESS EXCLUSIVE MODE");
        std::thread::scope(|scope| {
            scope.spawn(|| send(first));
            until("the first transaction waits", || (waiting() == 1).then_some(()));
            let other = scope.spawn(|| send(second));
            // A writer that knows better than to overlap may wait for the other without PostgreSQL's knowing of it.
            let begun = Instant::now();
            until("the second transaction waits", || {
                (waiting() == 2 || begun.elapsed() > OVERLAP_MAX || other.is_finished()).then_some(())
            });
            blocker.run("ROLLBACK");
        });
    }
    let sql = env.sql();
    let expected = DAYS * i64::try_from(before + first + second)?;
    assert_eq!(sql.one::<i64>("SELECT sum(event_count)::bigint FROM ingest_batches"), expected);
    assert_eq!(sql.count("events"), expected, "what was acknowledged can be read");
    Ok(())
}

/// Days ahead, in whose chunks the race is run: the late lane would keep the two apart.
const DAYS: i64 = 6;
/// Far less than the time for which a request waits for the database.
const OVERLAP_MAX: Duration = Duration::from_secs(1);

fn the_first_direct_rows_beside_plain_ones(env: &Env) -> TestResult {
    overlapping(env, 1, 20, 200)
}

fn plain_rows_beside_the_first_direct_ones(env: &Env) -> TestResult {
    overlapping(env, 1, 200, 20)
}

fn direct_rows_beside_plain_ones_in_a_new_chunk(env: &Env) -> TestResult {
    overlapping(env, 0, 20, 200)
}

fn plain_rows_beside_direct_ones_in_a_new_chunk(env: &Env) -> TestResult {
    overlapping(env, 0, 200, 20)
}

fn refused_at_start(env: &Env, ddl: &str) {
    drop(env.serve());
    env.sql().run(ddl);
    let finished = env.serve_fails(&[]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("disabled direct compress"), "{finished:?}");
    assert!(!finished.stdout.contains("ready"), "{finished:?}");
}

fn a_unique_index_is_refused_at_start(env: &Env) -> TestResult {
    refused_at_start(env, "CREATE UNIQUE INDEX broken ON events (tenant_id, id, timestamp)");
    env.sql().run("DROP INDEX broken");
    drop(env.serve());
    Ok(())
}

fn a_trigger_is_refused_at_start(env: &Env) -> TestResult {
    refused_at_start(
        env,
        "CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
         CREATE TRIGGER broken BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION noop()",
    );
    Ok(())
}

fn the_hypertable(env: &Env) -> TestResult {
    let _tidegate = env.serve();
    let sql = env.sql();
    let dimensions: Vec<String> = sql.column(
        "SELECT concat_ws(' ', column_name, time_interval, num_partitions) FROM timescaledb_information.dimensions \
         WHERE hypertable_schema = 'tidegate' AND hypertable_name = 'events' ORDER BY dimension_number",
    );
    assert_eq!(dimensions, ["timestamp 1 day", "tenant_id 4"]);
    let unique: i64 =
        sql.one("SELECT count(*) FROM pg_index WHERE indrelid = 'tidegate.events'::regclass AND indisunique");
    assert_eq!(unique, 0);
    Ok(())
}

fn chunk_widths_follow_the_configuration(env: &Env) -> TestResult {
    drop(env.serve());
    let widths = || -> Vec<String> {
        env.sql().column(
            "SELECT hypertable_name || ' ' || time_interval FROM timescaledb_information.dimensions \
             WHERE hypertable_schema = 'tidegate' AND dimension_number = 1 ORDER BY 1",
        )
    };
    assert_eq!(widths(), ["correlations 1 day", "events 1 day", "metrics 1 day"]);
    drop(env.serve_with(&["chunk_interval=12h"]));
    assert_eq!(widths(), ["correlations 12:00:00", "events 12:00:00", "metrics 12:00:00"]);
    Ok(())
}

fn auto_follows_an_installation_without_timescaledb(env: &Env) -> TestResult {
    env.begin_empty();
    drop(env.serve_with(&["engine=postgres"]));
    let tidegate = env.serve();
    assert!(tidegate.welcome.contains("  engine    postgres"), "{}", tidegate.welcome);
    drop(tidegate);
    let finished = env.serve_fails(&["engine=timescale"]);
    assert!(
        finished.code == Some(1) && finished.stderr.contains("was installed with engine = postgres"),
        "{finished:?}"
    );
    Ok(())
}

const ID: &str = "00000000-0000-0000-0000-0000000000";

fn identified(n: usize, at: &str) -> String {
    event_with(n, &format!(r#""id":"{ID}{n:02}","timestamp":"{at}""#))
}

fn duplicates_are_counted_and_neighbours_stored(env: &Env) -> TestResult {
    env.begin_empty();
    let tidegate = env.serve_with(&["storage_profile=rowstore"]);
    let at = hours_from_now(-1);
    tidegate.client.events(array((0..10).map(|n| identified(n, &at)))).accepted(10, 0);
    let answer = tidegate.client.events(array((5..20).map(|n| identified(n, &at)))).accepted(10, 0);
    assert_eq!((&answer["duplicates"], &answer["duplicate"]), (&json!(5), &json!(false)));
    let sql = env.sql();
    assert_eq!(sql.column::<i32>("SELECT (payload->>'n')::int FROM events ORDER BY 1"), (0..20).collect::<Vec<i32>>());
    assert_eq!(sql.count("dead_letter_events"), 0);
    // The same id at another time is another event, and so it is for another tenant.
    tidegate.client.events(identified(1, &hours_from_now(-2))).accepted(1, 0);
    tidegate.with(&env.key("other", "ingest")).events(identified(1, &at)).accepted(1, 0);
    Books::of(&tidegate.client).assert_items(&[("received", 27), ("committed", 22), ("deduplicated", 5)]);
    Ok(())
}

fn duplicates_within_a_request(env: &Env) -> TestResult {
    env.begin_empty();
    let tidegate = env.serve_with(&["storage_profile=rowstore"]);
    let at = hours_from_now(-1);
    let items = [identified(1, &at), identified(1, &at), identified(2, &at)];
    assert_eq!(tidegate.client.events(array(&items)).accepted(2, 0)["duplicates"], 1);
    assert_eq!(tidegate.client.events(array(&items)).accepted(0, 0)["duplicates"], 3);
    assert_eq!(env.sql().count("events"), 2);
    Books::of(&tidegate.client).assert_items(&[("received", 6), ("committed", 2), ("deduplicated", 4)]);
    Ok(())
}

fn duplicates_beside_poison(env: &Env) -> TestResult {
    env.begin_empty();
    let tidegate = env.serve_with(&["storage_profile=rowstore"]);
    let at = hours_from_now(-1);
    tidegate.client.keyed("a", array((0..5).map(|n| identified(n, &at)))).accepted(5, 0);
    env.sql().alter("ALTER TABLE events ADD CONSTRAINT no_forbidden CHECK (source_module <> 'forbidden')");
    let forbidden = event(7).replace("tests", "forbidden");
    let items = [identified(0, &at), forbidden, identified(8, &at), "{}".to_owned()];
    let answer = tidegate.client.keyed("b", array(&items)).accepted(1, 2);
    assert_eq!(answer["duplicates"], 1, "{answer}");
    assert_eq!((env.sql().count("events"), env.sql().count("dead_letter_events")), (6, 2));
    Books::of(&tidegate.client).assert_balanced();
    Ok(())
}

fn the_rowstores_layout(env: &Env) -> TestResult {
    env.begin_empty();
    let tidegate = env.serve_with(&["storage_profile=rowstore"]);
    tidegate.client.events(batch(200)).accepted(200, 0);
    let sql = env.sql();
    assert_eq!(layout(&sql), (200, 0));
    let unique: String = sql.one(
        "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'tidegate.events'::regclass AND indisunique",
    );
    assert!(unique.ends_with("(tenant_id, id, \"timestamp\")"), "{unique}");
    Ok(())
}

fn a_request_with_duplicates_is_replayed_as_answered(env: &Env) -> TestResult {
    env.begin_empty();
    let tidegate = env.serve_with(&["storage_profile=rowstore"]);
    let at = hours_from_now(-1);
    tidegate.client.events(identified(0, &at)).accepted(1, 0);
    let body = array((0..3).map(|n| identified(n, &at)));
    let mut first = tidegate.client.keyed("k", &body).accepted(2, 0);
    let again = tidegate.client.repeated("k", &body).expect(200);
    first["duplicate"] = true.into();
    assert_eq!(again, first, "but for `duplicate` the answers are the same");
    Ok(())
}
