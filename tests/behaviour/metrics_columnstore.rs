//! Metrics on the timescale engine: spread over eight chunks a day, straight into the columnstore, and never lost from sight
//! or deadlocked, in whatever order writers work beside each other.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use tidegate::wire::item::space::space;

use crate::books::Books;
use crate::env::{Env, Test, TestResult, until};
use crate::postgres::Sql;
use crate::samples::{array, hours_from_now, metric_with};
use crate::tests;

pub const TESTS: &[Test] = tests!(timescale:
    the_hypertable,
    a_rows_chunk_is_known_beforehand,
    many_rows_go_straight_into_the_columnstore,
    few_rows_stay_in_row_form,
    the_first_direct_rows_beside_plain_ones,
    plain_rows_beside_the_first_direct_ones,
    direct_rows_beside_plain_ones_in_a_new_chunk,
    large_and_small_tenants_at_once,
    writers_take_chunks_in_one_order,
    a_unique_index_is_refused_at_start,
);

/// Samples of one moment, each of another asset.
fn batch_at(count: usize, at: &str) -> Vec<u8> {
    array((0..count).map(|n| sample(n, n, at)))
}

fn sample(asset: usize, n: usize, at: &str) -> String {
    metric_with(&format!("asset-{asset}"), &format!(r#""value":{n},"timestamp":"{at}""#))
}

/// Rows in row form, and chunks with a columnstore.
fn layout(sql: &Sql) -> (i64, i64) {
    let chunks: Vec<String> = sql.column("SELECT show_chunks('tidegate.metrics')::text");
    let rows = chunks.iter().map(|chunk| sql.one::<i64>(&format!("SELECT count(*) FROM ONLY {chunk}"))).sum();
    let compressed = sql.one(
        "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_schema = 'tidegate' \
         AND hypertable_name = 'metrics' AND is_compressed",
    );
    (rows, compressed)
}

/// What doctor looks for.
pub fn no_row_is_hidden(env: &Env) {
    let findings = env.cli(&["doctor", "--json"]).stdout;
    let findings: serde_json::Value = serde_json::from_str(&findings).unwrap();
    let found = findings.as_array().unwrap().iter().find(|finding| finding["check"] == "hidden rows");
    assert_eq!(found.unwrap()["state"], "ok", "{findings}");
}

fn the_hypertable(env: &Env) -> TestResult {
    let _tidegate = env.serve();
    let sql = env.sql();
    let dimensions: Vec<String> = sql.column(
        "SELECT concat_ws(' ', column_name, time_interval, num_partitions) FROM timescaledb_information.dimensions \
         WHERE hypertable_schema = 'tidegate' AND hypertable_name = 'metrics' ORDER BY dimension_number",
    );
    assert_eq!(dimensions, ["timestamp 1 day", "asset_id 8"]);
    Ok(())
}

/// The hash that is known here decides the chunk there.
fn a_rows_chunk_is_known_beforehand(env: &Env) -> TestResult {
    let tidegate = env.serve();
    tidegate.client.metrics(batch_at(500, &hours_from_now(0))).accepted(500, 0);
    let rows = env.sql().rows("SELECT asset_id, tableoid::bigint FROM metrics", &[]);
    let mut chunks = std::collections::BTreeMap::new();
    for row in &rows {
        let (asset, chunk): (&str, i64) = (row.get(0), row.get(1));
        let expected = (space(asset) / (i32::MAX as u32 / 8)).min(7);
        assert_eq!(*chunks.entry(expected).or_insert(chunk), chunk, "{asset}");
    }
    let distinct: std::collections::BTreeSet<i64> = chunks.values().copied().collect();
    assert_eq!((chunks.len(), distinct.len()), (8, 8));
    Ok(())
}

fn many_rows_go_straight_into_the_columnstore(env: &Env) -> TestResult {
    let tidegate = env.serve();
    tidegate.client.metrics(batch_at(2000, &hours_from_now(0))).accepted(2000, 0);
    let sql = env.sql();
    assert_eq!(layout(&sql), (0, 8));
    assert_eq!(sql.count("metrics"), 2000);
    assert!(Books::of(&tidegate.client).get("tidegate_direct_compress_disabled_total") < 0.5);
    no_row_is_hidden(env);
    Ok(())
}

fn few_rows_stay_in_row_form(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let (at, sql) = (hours_from_now(0), env.sql());
    let of_one_asset = |count: usize| array((0..count).map(|n| sample(1, n, &at)));
    // A chunk is born in the columnstore, however few its first rows.
    tidegate.client.metrics(of_one_asset(10)).accepted(10, 0);
    assert_eq!(layout(&sql), (0, 1));
    tidegate.client.metrics(of_one_asset(49)).accepted(49, 0);
    assert_eq!(layout(&sql), (49, 1));
    tidegate.client.metrics(of_one_asset(50)).accepted(50, 0);
    assert_eq!((layout(&sql), sql.count("metrics")), ((49, 1), 109));
    Ok(())
}

/// Days ahead, in whose chunks the race is run: the late lane would keep the two apart.
const DAYS: i64 = 4;
/// How long a writer is waited for that may know better than to overlap: far less than it and its sender are patient.
const OVERLAPS_WITHIN: Duration = Duration::from_secs(1);

/// Two requests for one chunk, whose transactions overlap: each waits at its manifest until both are at work.
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
            tidegate.client.metrics(array((0..count).map(|n| sample(1, n, &at)))).accepted(count as u64, 0);
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
                (waiting() == 2 || begun.elapsed() > OVERLAPS_WITHIN || other.is_finished()).then_some(())
            });
            blocker.run("ROLLBACK");
        });
    }
    let sql = env.sql();
    let expected = DAYS * i64::try_from(before + first + second)?;
    assert_eq!(sql.count("metrics"), expected, "what was acknowledged can be read");
    no_row_is_hidden(env);
    Ok(())
}

fn the_first_direct_rows_beside_plain_ones(env: &Env) -> TestResult {
    overlapping(env, 1, 20, 200)
}

fn plain_rows_beside_the_first_direct_ones(env: &Env) -> TestResult {
    overlapping(env, 1, 200, 20)
}

fn direct_rows_beside_plain_ones_in_a_new_chunk(env: &Env) -> TestResult {
    overlapping(env, 0, 20, 200)
}

const SENDERS: usize = 8;
const ROUNDS: usize = 6;

/// Eight senders for eight tenants, the even ones with few rows, the odd ones with many, each with its own order of assets.
fn large_and_small_tenants_at_once(env: &Env) -> TestResult {
    let rows_of = |sender: usize| if sender.is_multiple_of(2) { 30 } else { 900 };
    let tidegate = env.serve_with(&["writers=8", "batch.linger_ms=0"]);
    let keys: Vec<_> = (0..SENDERS).map(|n| env.key(&format!("tenant-{n}"), "ingest")).collect();
    let (gate, at) = (Barrier::new(SENDERS), hours_from_now(0));
    std::thread::scope(|scope| {
        for (n, key) in keys.iter().enumerate() {
            let (client, gate, at) = (tidegate.with(key), &gate, &at);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    // Prime to the number of assets: every asset, in another order.
                    let stride = [1, 3, 7, 11, 13, 17, 19, 1999][(n + round) % 8];
                    let body = array((0..rows_of(n)).map(|row| sample((row * stride + n) % 2000, row, at)));
                    gate.wait();
                    client.metrics(body).accepted(rows_of(n) as u64, 0);
                }
            });
        }
    });
    let sql = env.sql();
    assert_eq!(sql.count("metrics"), i64::try_from(ROUNDS * (0..SENDERS).map(rows_of).sum::<usize>())?);
    let (rows, compressed) = layout(&sql);
    assert!(rows > 0 && compressed == 8, "both ways of writing were used: {rows} rows, {compressed} chunks");
    no_row_is_hidden(env);
    Ok(())
}

/// Samples of a partition's assets.
fn of_partition(partition: u32, count: usize, at: &str) -> Vec<String> {
    let assets = (0..).filter(|n| space(&format!("asset-{n}")) / (i32::MAX as u32 / 8) == partition);
    assets.take(count).map(|n| sample(n, n, at)).collect()
}

/// The first COPY into a chunk that was just compressed changes its state and keeps it locked until COMMIT. One request names
/// three such chunks upwards, another downwards, and the one in the middle is held until both have taken what they can.
fn writers_take_chunks_in_one_order(env: &Env) -> TestResult {
    let mut tidegate = env.serve_with(&["writers=2", "batch.linger_ms=0"]);
    let (at, blocker, observer) = (hours_from_now(0), env.sql(), env.sql());
    let body = |partitions: [u32; 3], count: usize| {
        array(partitions.into_iter().flat_map(|partition| of_partition(partition, count, &at)))
    };
    let waiting = || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
             AND wait_event_type = 'Lock' AND query LIKE 'COPY metrics%'";
        observer.one::<i64>(sql)
    };
    tidegate.client.metrics(body([1, 3, 6], 60)).accepted(180, 0);
    // By direct-compress COPY, and by a plain one.
    for count in [60, 20] {
        let compress = "SELECT compress_chunk(chunk, recompress => true) FROM show_chunks('tidegate.metrics') AS chunk";
        blocker.rows(compress, &[]);
        let middle = of_partition(3, 1, &at)[0].clone();
        let asset = middle.split('"').nth(3).unwrap();
        blocker.run(&format!(
            "BEGIN; INSERT INTO metrics VALUES (0, 0, '{at}', now(), 'default', '{asset}', 'gauge', 'latency', 1, 0)"
        ));
        let send = |partitions| tidegate.client.metrics(body(partitions, count)).accepted(3 * count as u64, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| send([1, 3, 6]));
            until("the first waits", || (waiting() == 1).then_some(()));
            scope.spawn(|| send([6, 3, 1]));
            until("the second waits", || (waiting() == 2).then_some(()));
            blocker.run("ROLLBACK");
        });
    }
    assert_eq!(tidegate.stop(), Some(0));
    // Sessions report when they end, and those of the server are closed.
    let deadlocks: i64 = until("the sessions' counts are in", || {
        let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
             AND application_name = 'tidegate writer'";
        let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        (observer.one::<i64>(open) == 0).then(|| env.sql().one(deadlocks))
    });
    assert_eq!((deadlocks, env.sql().count("metrics")), (0, 180 + 2 * 180 + 2 * 60));
    assert!(!tidegate.log().contains("40P01"), "{}", tidegate.log());
    no_row_is_hidden(env);
    Ok(())
}

fn a_unique_index_is_refused_at_start(env: &Env) -> TestResult {
    drop(env.serve());
    env.sql().run("CREATE UNIQUE INDEX broken ON metrics (tenant_id, asset_id, timestamp)");
    let finished = env.serve_fails(&[]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("disabled direct compress for the table metrics"), "{finished:?}");
    Ok(())
}
