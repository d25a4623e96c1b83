//! Consumer groups beside whatever else goes on: open transactions, other tenants, copies that lag, the upkeep of old days.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::env::{DEADLINE, Env, Test, TestResult, until};
use crate::groups::{commit, filled, make, next, offsets, path, show, take, tell, tell_now};
use crate::samples::{array, event_with, hours_from_now};
use crate::streams::{reaches, send};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    open_and_prepared_transactions_stop_no_group,
    one_that_is_held_holds_up_no_other,
    who_waits_for_a_transaction_holds_up_no_other_tenant,
    what_is_free_is_taken_one_by_one_whatever_the_plan,
    what_a_copy_does_not_have_is_passed_by_nobody,
    old_days_are_compacted_and_groups_stay_where_they_are,
    a_reset_looks_at_no_more_than_it_passes,
);

fn ack(taken: &Value) -> Value {
    json!({ "lease": taken["lease"] })
}

fn open_and_prepared_transactions_stop_no_group(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let kinds =
        [("alone", "", json!(null)), ("g", "member=m", json!(null)), ("ordered", "member=m", json!("asset_id"))];
    for (name, _, by) in &kinds {
        make(client, "s", json!({ "name": name, "ordered_by": by }));
    }
    let (idle, snapshot, prepared) = (env.sql(), env.sql(), env.sql());
    idle.run("BEGIN; SELECT pg_current_xact_id()");
    snapshot.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM consumer_offsets");
    let name = format!("groups {}", env.database());
    prepared.run(&format!("BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION '{name}'"));
    for n in 0..4 {
        send(client, "s", n, 1);
        for (group, query, _) in &kinds {
            let taken = next(client, "s", group, query);
            assert_eq!(offsets(&taken), [i64::try_from(n).unwrap()], "{group}");
            match taken["lease"].is_null() {
                true => commit(client, "s", group, &taken).expect(200),
                false => tell(client, "s", group, "ack", ack(&taken)).expect(200),
            };
        }
    }
    until("what was acknowledged is passed", || (show(client, "s", "g")["lag"] == 0).then_some(()));
    prepared.run(&format!("ROLLBACK PREPARED '{name}'"));
    idle.run("COMMIT");
    snapshot.run("COMMIT");
    Ok(())
}

fn one_that_is_held_holds_up_no_other(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 6);
    for name in ["held", "g"] {
        make(client, "s", json!({ "name": name }));
    }
    let taken = ["held", "g"].map(|group| take(client, "s", group, "member=m&limit=3"));
    // As a sink does that commits a part of what it holds.
    let holder = env.sql();
    holder.run(
        "BEGIN; SELECT FROM consumer_offsets o JOIN consumer_groups g USING (group_id) WHERE g.name = 'held' FOR UPDATE OF o",
    );
    for (group, taken) in ["held", "g"].into_iter().zip(&taken) {
        tell(client, "s", group, "ack", ack(taken)).expect(200);
    }
    until("the other one is passed", || (show(client, "s", "g")["committed"] == 3).then_some(()));
    assert_eq!(show(client, "s", "held")["committed"], 0);
    holder.run("COMMIT");
    until("so is this one", || (show(client, "s", "held")["committed"] == 3).then_some(()));
    Ok(())
}

fn median(took: &[Duration]) -> Duration {
    let mut took = took.to_vec();
    took.sort_unstable();
    took[took.len() / 2]
}

fn who_waits_for_a_transaction_holds_up_no_other_tenant(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let other = tidegate.with(&env.key("other", "ingest,read,consume"));
    for client in [client, &other] {
        filled(client, "s", 3);
        make(client, "s", json!({ "name": "g" }));
    }
    let (holder, sql) = (env.sql(), env.sql());
    holder.run(
        "BEGIN; SELECT FROM consumer_offsets o JOIN consumer_groups g USING (group_id) WHERE g.tenant_id = 'default' FOR UPDATE OF o",
    );
    let done = AtomicBool::new(false);
    let took = std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let answer = tell_now(client, "s", "g", "takeover", &json!({}));
                    assert!([409, 429].contains(&answer.status), "{}", answer.text());
                }
            });
        }
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' \
                       AND application_name = 'tidegate consumer'";
        until("they wait", || (sql.one::<i64>(waiting) >= 4).then_some(()));
        let begun = Instant::now();
        let mut took = Vec::new();
        // Behind all of them each look would wait for several times as long as one waits for the lock. Of so many a busy machine may
        // delay some.
        while took.len() < 10 || median(&took) >= Duration::from_millis(1500) {
            assert!(begun.elapsed() < DEADLINE, "{took:?}");
            let looked = Instant::now();
            let answer = other.get(&path("s", "g"));
            assert_eq!(answer.status, 200, "{}", answer.text());
            took.push(looked.elapsed());
        }
        done.store(true, Ordering::Relaxed);
        took
    });
    println!("{}: another tenant's looks took {:?}, the middle one", env.engine.as_str(), median(&took));
    holder.run("COMMIT");
    Ok(())
}

/// As a planner may do it that was told of one row: for each row it looks again for what is free.
const OTHER_PLAN: &str = "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off; SET enable_memoize = off; \
                          SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off; SET join_collapse_limit = 1";

fn what_is_free_is_taken_one_by_one_whatever_the_plan(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 6);
    make(client, "s", json!({ "name": "g" }));
    make(client, "s", json!({ "name": "ordered", "ordered_by": "asset_id" }));
    for _ in 0..3 {
        take(client, "s", "g", "member=m&limit=2");
    }
    drop(tidegate);
    let sql = env.sql();
    sql.run("UPDATE consumer_leases SET until = now()");
    sql.run(OTHER_PLAN);
    let groups: Vec<i64> = sql.column("SELECT group_id FROM consumer_groups ORDER BY name");
    let retake = include_str!("../../sql/queries/group_retake.sql");
    let slots: &[i16] = &[];
    let taken = sql.rows(retake, &[&groups[0], &"n", &60_000_i64, &false, &slots]);
    assert_eq!(taken.iter().map(|row| row.get::<_, i64>(0)).collect::<Vec<_>>(), [0]);
    let take = include_str!("../../sql/queries/group_slots_take.sql");
    assert_eq!(sql.rows(take, &[&groups[1], &"n", &5_i64]).len(), 5);
    Ok(())
}

/// Readers are led to a copy that does not have the log yet: so it looks to them.
fn lags(env: &Env) {
    env.sql().run(
        "ALTER TABLE batch_log ENABLE ROW LEVEL SECURITY; \
         CREATE POLICY there ON batch_log TO tidegate_writer USING (true); \
         CREATE POLICY behind ON batch_log TO tidegate_reader USING (false)",
    );
}

fn has_come(env: &Env) {
    env.sql().run("DROP POLICY there ON batch_log; DROP POLICY behind ON batch_log; ALTER TABLE batch_log DISABLE ROW LEVEL SECURITY");
}

fn what_a_copy_does_not_have_is_passed_by_nobody(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 3);
    let kinds =
        [("alone", "", json!(null)), ("g", "member=m", json!(null)), ("ordered", "member=m", json!("source_module"))];
    for (name, query, by) in &kinds {
        make(client, "s", json!({ "name": name, "max_deliveries": 1, "ordered_by": by }));
        assert_eq!(offsets(&take(client, "s", name, query)), [0], "{name}");
        tell(client, "s", name, "park", json!({ "offset": 2 })).expect(200);
        tell(client, "s", name, "parked/replay", json!({ "all": true })).expect(200);
    }
    env.sql().run("UPDATE consumer_leases SET until = now(); UPDATE consumer_slots SET lease_until = now()");
    lags(env);
    for (name, query, _) in &kinds {
        let taken = take(client, "s", name, query);
        assert_eq!((offsets(&taken), show(client, "s", name)["committed"].as_i64()), (vec![], Some(0)), "{name}");
        let parked = client.get(&format!("{}/parked", path("s", name))).expect(200);
        let states: Vec<_> = parked["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| [&one["offset"], &one["state"], &one["outcome"]])
            .collect();
        assert_eq!(json!(states), json!([[2, "replaying", null]]), "{name}: nothing is said of what could not be read");
    }
    has_come(env);
    for (name, query, _) in &kinds {
        let mut found: Vec<i64> = Vec::new();
        until("what is next comes", || {
            let taken = take(client, "s", name, query);
            found.extend(offsets(&taken));
            if taken["lease"].is_string() {
                tell(client, "s", name, "ack", ack(&taken)).expect(200);
            } else if !offsets(&taken).is_empty() {
                commit(client, "s", name, &taken).expect(200);
            }
            (found.contains(&1) && found.contains(&2)).then_some(())
        });
        let parked = client.get(&format!("{}/parked", path("s", name))).expect(200);
        assert_eq!(
            (&parked["data"][0]["offset"], &parked["data"][0]["code"]),
            (&json!(0), &json!("max_deliveries")),
            "{name}"
        );
    }
    Ok(())
}

fn old_days_are_compacted_and_groups_stay_where_they_are(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    for (first, hours) in [(0, -72), (3, -48), (6, -72), (9, -1)] {
        let when = hours_from_now(hours);
        let items = (first..first + 3)
            .map(|n| event_with(n, &format!(r#""stream":"s","timestamp":"{when}","asset_id":"a{}""#, n % 2)));
        client.events(array(items)).accepted(3, 0);
        reaches(client, "s", i64::try_from(first + 3).unwrap());
    }
    for (name, by) in [("alone", json!(null)), ("g", json!(null)), ("ordered", json!("asset_id"))] {
        make(client, "s", json!({ "name": name, "ordered_by": by }));
    }
    let read = take(client, "s", "alone", "limit=4");
    commit(client, "s", "alone", &read).expect(200);
    let [out, done] = ["limit=2", "limit=3"].map(|query| take(client, "s", "g", &format!("member=m&{query}")));
    tell(client, "s", "g", "ack", ack(&done)).expect(200);
    let ordered = take(client, "s", "ordered", "member=m&limit=5");
    tell(client, "s", "ordered", "ack", ack(&ordered)).expect(200);
    tell(client, "s", "alone", "park", json!({ "offset": 7 })).expect(200);
    let stands = || {
        ["alone", "g", "ordered"].map(|group| {
            let group = show(client, "s", group);
            ["committed", "end", "lag", "generation", "leases", "parked"].map(|name| group[name].clone())
        })
    };
    let before = stands();
    until("nobody else is at it", || {
        let counts = env.cli(&["lifecycle", "run", "--json", "--set", "compress_after.events=1d"]).json();
        (counts["chunks_busy"].as_u64().unwrap_or(0) == 0).then_some(())
    });
    assert_eq!(stands(), before);
    tell(client, "s", "g", "ack", ack(&out)).expect(200);
    assert_eq!(offsets(&take(client, "s", "alone", "")), [4, 5, 6, 8, 9, 10, 11], "but for what is parked");
    assert_eq!(offsets(&take(client, "s", "g", "member=n")), (5..12).collect::<Vec<_>>());
    assert_eq!(offsets(&take(client, "s", "ordered", "member=m")), (5..12).collect::<Vec<_>>());
    let again = tell(client, "s", "alone", "reset", json!({ "to": "earliest" })).expect(200);
    assert_eq!((&again["again"], &again["to"]), (&json!(4), &json!(0)));
    assert_eq!(offsets(&take(client, "s", "alone", "")), [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11]);
    Ok(())
}

/// Near the end of a long log a look from its beginning would open all of it.
fn a_reset_looks_at_no_more_than_it_passes(env: &Env) -> TestResult {
    let tidegate = env.serve();
    filled(&tidegate.client, "s", 1);
    drop(tidegate);
    let sql = env.sql();
    sql.run(
        "INSERT INTO batch_log SELECT 'default', 'long', n * 3, 3, -n, 3, now(), now() FROM generate_series(0, 19999) n; \
         INSERT INTO batch_log SELECT 'default', 's' || n, 0, 3, -100000 - n, 3, now(), now() FROM generate_series(1, 10000) n; ANALYZE batch_log",
    );
    let explained = |file: &str, values: &[(&str, &str)]| {
        let mut statement = file.to_owned();
        for (name, value) in values {
            statement = statement.replace(name, value);
        }
        let lines: Vec<String> = sql.column(&format!("EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF, BUFFERS) {statement}"));
        lines.join("\n")
    };
    let stream = [("$1", "'default'"), ("$2", "'long'")];
    let between = include_str!("../../sql/queries/group_events_between.sql");
    let between = explained(between, &[&stream[..], &[("$3", "59990"), ("$4", "60000")]].concat());
    let since = include_str!("../../sql/queries/group_since.sql");
    let since = explained(
        since,
        &[&stream[..], &[("$3", "now() + interval '1 day'"), ("$4", "59990"), ("$5", "60000")]].concat(),
    );
    for plan in [between, since] {
        assert!(!plan.contains("Seq Scan"), "{plan}");
        let removed = plan.lines().filter_map(|line| line.trim().strip_prefix("Rows Removed by Filter: "));
        assert!(removed.map(|rows| rows.parse::<u64>().unwrap()).sum::<u64>() < 20, "{plan}");
    }
    // Of very many batches offsets are counted, so that a reset does not wait for it.
    sql.run(
        "INSERT INTO batch_log SELECT 'default', 'very long', n * 3, 3, -200000 - n, 2, now(), now() FROM generate_series(0, 100099) n",
    );
    let between = include_str!("../../sql/queries/group_events_between.sql");
    let events = |to: i64| sql.rows(between, &[&"default", &"very long", &0_i64, &to])[0].get::<_, i64>(0);
    assert_eq!([3, 30, 300_000, 300_300].map(events), [2, 20, 200_000, 300_300]);
    Ok(())
}
