//! Offsets: what is committed gets one, in the order in which it is seen, and no event is missed or counted twice, whatever
//! commits late or dies.

use std::time::Instant;

use tidegate::limits::LOG_UPKEEP_EVERY;

use crate::env::{Env, Test, TestResult, until};
use crate::postgres::Sql;
use crate::samples::{array, event_with, hours_from_now, on_one_day, seconds_from_now};
use crate::streams::{all, next, node, numbers, page, send};
use crate::{old, tests};

pub const TESTS: &[Test] = tests!(
    a_sender_that_waits_is_read_in_its_order_through_two_nodes,
    what_commits_late_is_read_behind_what_came_meanwhile,
    open_and_prepared_transactions_stop_nothing,
    offsets_rise_and_never_repeat_over_kills,
    what_was_stored_before_the_log_has_offsets,
    offsets_stay_when_chunks_are_compacted,
    two_that_take_each_other_for_gone_append_once,
);

pub const ROWSTORE: &[Test] = tests!(timescale: a_batch_without_a_row_left_has_its_offsets);

/// What holds of every log: offsets from 0 on without a hole, every batch once, and no batch left out.
pub fn assert_whole(sql: &Sql) {
    let whole = "SELECT count(*) FROM (SELECT base, lag(base + span, 1, 0::bigint) OVER (PARTITION BY tenant_id, stream ORDER BY base) \
                 AS before FROM batch_log) l WHERE base <> before";
    assert_eq!(sql.one::<i64>(whole), 0, "every batch begins where the one before ends");
    let unlogged = "SELECT count(*) FROM ingest_batches m WHERE kind = 'events' \
                    AND NOT EXISTS (SELECT FROM batch_log l WHERE (l.tenant_id, l.batch_id) = (m.tenant_id, m.batch_id))";
    until("everything is logged", || (sql.one::<i64>(unlogged) == 0).then_some(()));
    let alike = "SELECT count(*) FROM ingest_batches m JOIN batch_log l USING (tenant_id, batch_id) \
                 WHERE (m.stream, m.seq_span, m.event_count) IS DISTINCT FROM (l.stream, l.span, l.event_count)";
    assert_eq!(sql.one::<i64>(alike), 0);
}

fn a_sender_that_waits_is_read_in_its_order_through_two_nodes(env: &Env) -> TestResult {
    let nodes = [1, 2].map(|number| node(env, number));
    std::thread::scope(|scope| {
        for sender in 0..3 {
            let nodes = &nodes;
            scope.spawn(move || {
                for n in 0..20 {
                    send(&nodes[(n + sender) % 2].client, &format!("s{sender}"), n, 1);
                }
            });
        }
    });
    for (sender, node) in [(0, 0), (1, 1), (2, 0)] {
        let found = all(&nodes[node].client, &format!("s{sender}"), 20);
        assert_eq!(found, (0..20).map(|n| (n, n)).collect::<Vec<_>>());
    }
    let sql = env.sql();
    assert_whole(&sql);
    let leaders: i64 = sql.one("SELECT count(*) FROM job_runs WHERE job = 'sequencer'");
    assert!(leaders <= 1);
    Ok(())
}

/// A batch of one event as Tidegate's writers make it, written and not committed. A request's own transaction is given up after 10 s,
/// in which a busy machine may not get far.
fn written(env: &Env, n: i64) -> Sql {
    let open = env.sql();
    open.run(&format!(
        "BEGIN; INSERT INTO events (id, timestamp, tenant_id, stream, source_module, event_type, event_version, severity, environment, \
         payload, batch_id, batch_seq, created_at) \
         VALUES (gen_random_uuid(), now(), 'default', 's', 'm', 't', 1, 'info', 'production', '{{\"n\":{n}}}', -{n}, 0, now()); \
         INSERT INTO ingest_batches (kind, tenant_id, batch_id, stream, event_count, min_timestamp, max_timestamp, touched_hours, seq_span) \
         VALUES ('events', 'default', -{n}, 's', 1, now(), now(), '{{}}', 1); \
         INSERT INTO batch_queue (tenant_id, stream, batch_id, span, event_count, min_timestamp, max_timestamp) \
         VALUES ('default', 's', -{n}, 1, 1, now(), now())"
    ));
    open
}

fn what_commits_late_is_read_behind_what_came_meanwhile(env: &Env) -> TestResult {
    // The first row of a day makes its chunk, and others wait for that.
    on_one_day();
    let tidegate = env.serve();
    let (client, sql) = (&tidegate.client, env.sql());
    // Two, since TimescaleDB notes of a chunk of the columnstore that it has rows as well, and others wait for that.
    (0..2).for_each(|n| send(client, "s", n, 1));
    assert_eq!(all(client, "s", 2), [(0, 0), (1, 1)]);
    let [a, b] = [100, 101].map(|n| written(env, n));
    // Those behind them do not wait for them, whatever their numbers.
    for n in 2..4 {
        send(client, "s", n, 1);
    }
    assert_eq!(all(client, "s", 4), [(0, 0), (1, 1), (2, 2), (3, 3)]);
    b.run("COMMIT");
    assert_eq!(numbers(&next(client, "s", "offset=4")), [(4, 101)]);
    send(client, "s", 4, 1);
    assert_eq!(numbers(&next(client, "s", "offset=5")), [(5, 4)]);
    a.run("COMMIT");
    assert_eq!(numbers(&next(client, "s", "offset=6")), [(6, 100)]);
    assert_whole(&sql);
    Ok(())
}

fn open_and_prepared_transactions_stop_nothing(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let (idle, snapshot, sql) = (env.sql(), env.sql(), env.sql());
    // What is stored before the log's first epoch begins is logged by that, which empties the queue.
    until("the log has begun", || (sql.count("sequencer_ticks") > 0).then_some(()));
    idle.run("BEGIN; SELECT pg_current_xact_id()");
    snapshot.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM batch_queue");
    let prepared = env.sql();
    let name = format!("held {}", env.database());
    prepared.run(&format!("BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION '{name}'"));
    for n in 0..5 {
        send(client, "s", n, 1);
        assert_eq!(numbers(&next(client, "s", &format!("offset={n}"))).len(), 1);
    }
    // One that is prepared with a batch in it is logged when it commits, also after a new start.
    prepared.run(&format!(
        "BEGIN; INSERT INTO ingest_batches (kind, tenant_id, batch_id, stream, event_count, min_timestamp, max_timestamp, \
         touched_hours, seq_span) VALUES ('events', 'default', 1, 's', 0, now(), now(), '{{}}', 2); \
         INSERT INTO batch_queue (tenant_id, stream, batch_id, span, event_count, min_timestamp, max_timestamp) \
         VALUES ('default', 's', 1, 2, 0, now(), now()); PREPARE TRANSACTION '{name} 2'"
    ));
    send(client, "s", 5, 1);
    assert_eq!(all(client, "s", 6).len(), 6);
    drop(tidegate);
    let tidegate = env.serve();
    let client = &tidegate.client;
    send(client, "s", 6, 1);
    assert_eq!(numbers(&next(client, "s", "offset=6")), [(6, 6)]);
    prepared.run(&format!("COMMIT PREPARED '{name} 2'"));
    prepared.run(&format!("ROLLBACK PREPARED '{name}'"));
    until("its batch is logged", || (page(client, "s", "offset=7")["end"] == 9).then_some(()));
    assert_eq!(page(client, "s", "offset=7")["next_offset"], 9);
    assert_eq!(sql.count("batch_queue"), 8, "one that is open keeps what came since");
    idle.run("COMMIT");
    snapshot.run("COMMIT");
    assert_whole(&sql);
    let before: String = sql.one("SELECT pg_snapshot_xmax(pg_current_snapshot())::text");
    let queued = format!("SELECT count(*) FROM batch_queue WHERE xid < '{before}'");
    let (mut sent, mut at) = (7, None::<Instant>);
    until("what the sequencer is done with goes", || {
        // What a tick leaves behind is told by its snapshot, which open transactions of other tests' databases hold back as well:
        // so what is asked for is what is older than all of those that may begin meanwhile. Only another batch makes another tick.
        if at.is_none_or(|at| at.elapsed() > 2 * LOG_UPKEEP_EVERY) {
            send(client, "s", sent, 1);
            (sent, at) = (sent + 1, Some(Instant::now()));
        }
        (sql.one::<i64>(&queued) == 0 && sql.count("sequencer_ticks") < 3).then_some(())
    });
    Ok(())
}

fn offsets_rise_and_never_repeat_over_kills(env: &Env) -> TestResult {
    let mut read: Vec<(i64, i64)> = Vec::new();
    let mut sent = 0;
    let mut other = node(env, 1);
    for round in 0..3 {
        let mut tidegate = node(env, 2);
        for _ in 0..4 {
            send(&tidegate.client, "s", sent, 3);
            send(&other.client, "s", sent + 3, 2);
            sent += 5;
        }
        // What was read before a kill is read the same after it.
        let now = all(&other.client, "s", sent);
        assert_eq!(now[..read.len()], read);
        read = now;
        tidegate.kill();
        if round == 1 {
            other.kill();
            other = node(env, 1);
        }
    }
    let expected: Vec<i64> = (0..60).collect();
    assert_eq!(read.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), expected);
    let mut numbers: Vec<i64> = read.iter().map(|(_, n)| *n).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, expected, "none is missing, none is there twice");
    assert_whole(&env.sql());
    Ok(())
}

/// The last migration before there was a log.
const WITHOUT_LOG: i32 = 26;

fn what_was_stored_before_the_log_has_offsets(env: &Env) -> TestResult {
    env.begin_empty();
    let sql = env.sql();
    old::install(&sql, env.engine, WITHOUT_LOG);
    // More than are logged in one step; created in another order than numbered.
    sql.run(
        "INSERT INTO ingest_batches (kind, tenant_id, batch_id, stream, event_count, min_timestamp, max_timestamp, touched_hours, created_at) \
         SELECT k, 'default', CASE k WHEN 'events' THEN n ELSE -n END, 's' || n % 2, 1 + n % 3, now(), now(), '{}', now() - n * interval '1 second' \
         FROM generate_series(1, 12000) n CROSS JOIN unnest(ARRAY['events', 'metrics']) k",
    );
    let tidegate = env.serve();
    send(&tidegate.client, "s1", 0, 2);
    let ends = |stream: &str| {
        sql.one::<i64>(&format!("SELECT coalesce(max(base + span), 0) FROM batch_log WHERE stream = '{stream}'"))
    };
    let expected: i64 = sql.one("SELECT sum(1 + n % 3)::bigint FROM generate_series(1, 12000) n WHERE n % 2 = 1");
    until("everything is logged", || (ends("s1") == expected + 2).then_some(()));
    assert_eq!(sql.one::<i64>("SELECT count(*) FROM batch_log"), 12_001);
    let in_order = "SELECT count(*) FROM (SELECT batch_id, lag(batch_id) OVER (PARTITION BY stream ORDER BY base) AS before \
                    FROM batch_log WHERE batch_id <= 12000) l WHERE before < batch_id";
    assert_eq!(sql.one::<i64>(in_order), 0, "the oldest first");
    assert_whole(&sql);
    assert_eq!(
        sql.one::<i64>("SELECT count(*) FROM ingest_batches WHERE kind = 'metrics' AND seq_span IS NOT NULL"),
        0
    );
    Ok(())
}

fn offsets_stay_when_chunks_are_compacted(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    // Closed days, in several batches, one of them over both.
    for (first, hours) in [(0, [-72, -72]), (2, [-48, -72]), (4, [-48, -48]), (6, [0, -72])] {
        let items = (0..2).map(|at| {
            let when = hours_from_now(hours[at]);
            event_with(first + at, &format!(r#""stream":"s","timestamp":"{when}","asset_id":"a{}""#, first % 3))
        });
        client.events(array(items)).accepted(2, 0);
    }
    let before = all(client, "s", 8);
    assert_eq!(before, (0..8).map(|n| (n, n)).collect::<Vec<_>>());
    let counts = until("nobody else is at it", || {
        let counts = env.cli(&["lifecycle", "run", "--json", "--set", "compress_after.events=1d"]).json();
        (counts["chunks_busy"].as_u64().unwrap_or(0) == 0).then_some(counts)
    });
    println!("{}: {counts}", env.engine.as_str());
    assert_eq!(all(client, "s", 8), before);
    assert_eq!(numbers(&page(client, "s", "offset=3&limit=3")), before[3..6]);
    Ok(())
}

/// The lock of a leader goes with a connection that it may not know it has lost.
fn two_that_take_each_other_for_gone_append_once(env: &Env) -> TestResult {
    let nodes = [1, 2, 3].map(|number| node(env, number));
    let sql = env.sql();
    for round in 0..30 {
        for (at, node) in nodes.iter().enumerate() {
            send(&node.client, "s", round * 3 + at, 1);
        }
        // The leader loses its lock in the middle of its work.
        sql.run(
            "SELECT pg_terminate_backend(l.pid) FROM pg_locks l WHERE l.relation = 'tidegate.lock_job_sequencer'::regclass \
             AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
             AND l.mode = 'ExclusiveLock' AND l.granted",
        );
    }
    assert_eq!(all(&nodes[0].client, "s", 90).len(), 90);
    assert_whole(&sql);
    Ok(())
}

fn a_batch_without_a_row_left_has_its_offsets(env: &Env) -> TestResult {
    env.begin_empty();
    let tidegate = env.serve_with(&["storage_profile=rowstore"]);
    let (client, at) = (&tidegate.client, seconds_from_now(-60));
    let event = |n: usize| {
        event_with(n, &format!(r#""stream":"s","id":"00000000-0000-0000-0000-00000000000{n}","timestamp":"{at}""#))
    };
    client.events(array([event(1), event(2)])).accepted(2, 0);
    assert_eq!(client.events(array([event(1), event(2)])).accepted(0, 0)["duplicates"], 2);
    assert_eq!(client.events(array([event(2), event(3), event(1), event(4)])).accepted(2, 0)["duplicates"], 2);
    assert_eq!(all(client, "s", 4), [(0, 1), (1, 2), (5, 3), (7, 4)]);
    let manifests: Vec<String> =
        env.sql().column("SELECT concat(event_count, ' of ', seq_span) FROM ingest_batches ORDER BY batch_id");
    assert_eq!(manifests, ["2 of 2", "0 of 2", "2 of 4"]);
    assert_whole(&env.sql());
    Ok(())
}
