//! Chains when events arrive in any order, late, while the job is killed, and after it has given up what it remembered: the
//! result is always that of computing everything at once.

use crate::correlations::{event, of_group};
use crate::derived::{again, all_pairs, assert_chains, hours_ago, id, settled};
use crate::env::{Engine, Env, Test, TestResult, until};
use crate::held::HeldJob;
use crate::postgres::Sql;
use crate::tests;

pub const TESTS: &[Test] = tests!(
    any_order_of_arrival_gives_the_same_pairs,
    two_late_events_hours_apart_in_either_order,
    late_events_after_the_ends_were_given_up,
    events_older_than_the_groups,
    killed_in_the_middle,
    touched_again_in_the_middle,
);

const SECOND: i64 = 1000;
const HOUR: i64 = 3600 * SECOND;

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1);
            items.swap(last, usize::try_from(other).unwrap());
        }
    }
}

/// Events of 40 groups in four days: in bursts, at equal times, in one minute, and more than a day apart; with and without a
/// parent.
fn events(rng: &mut Rng) -> Vec<String> {
    let start = hours_ago(96) * SECOND;
    let mut events = Vec::new();
    for group in 0..40 {
        let mut at = start + i64::try_from(rng.below(48 * 3600)).unwrap() * SECOND;
        for _ in 0..1 + rng.below(24) {
            let number = events.len() as u64 + 1;
            if rng.below(10) == 0 && number > 1 {
                let parent = id(1 + rng.below(number));
                let members = format!(r#","correlation_id":"{}","parent_event_id":"{parent}""#, id(1_000_000 + group));
                events.push(event(number, at, &members));
            } else {
                events.push(of_group(number, at, group));
            }
            let step = [0, 1, 700, 20 * SECOND, 300 * SECOND, 2 * HOUR, 23 * HOUR, 25 * HOUR]
                [usize::try_from(rng.below(8)).unwrap()];
            if at + step < start + 90 * HOUR {
                at += step;
            }
        }
    }
    events
}

fn any_order_of_arrival_gives_the_same_pairs(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let sql = env.sql();
    let mut rng = Rng(20_261_121);
    let mut events = events(&mut rng);
    rng.shuffle(&mut events);
    let total = events.len();
    let mut sent = 0;
    while sent < total {
        let part = (1 + usize::try_from(rng.below(total as u64 / 5))?).min(total - sent);
        let body = events[sent..sent + part].join(",");
        tidegate.client.events(format!("[{body}]")).accepted(part as u64, 0);
        sent += part;
        // Some parts are worked through on their own, some with the next.
        if rng.below(4) > 0 {
            settled(&sql);
            assert_pairs(&sql);
        }
    }
    settled(&sql);
    assert!(assert_pairs(&sql) > 200);
    let before = all_pairs(&sql);
    // As new: everything is forgotten but the events, and comes out the same.
    let held = HeldJob::hold(env, "correlations");
    sql.run("TRUNCATE correlations, group_edges, orphans, type_minutes");
    drop(held);
    again(&sql);
    let without_time = |rows: &[String]| -> Vec<String> {
        rows.iter().map(|row| row.rsplit_once(',').unwrap().0.to_owned()).collect()
    };
    assert_eq!(without_time(&all_pairs(&sql)), without_time(&before));
    Ok(())
}

/// Chains as computed at once, where a pair that is parent and child as well is stored as such; and parents within a day.
fn assert_pairs(sql: &Sql) -> usize {
    let computed = "SELECT concat_ws(' ', before, id, timestamp, \
         CASE WHEN parent_event_id = before THEN 'parent' ELSE 'correlation_id' END) FROM ( \
            SELECT tenant_id, id, timestamp, parent_event_id, lag(id) OVER w AS before, lag(timestamp) OVER w AS before_at \
            FROM events WHERE correlation_id IS NOT NULL \
            WINDOW w AS (PARTITION BY tenant_id, correlation_id ORDER BY timestamp, id)) e \
         WHERE timestamp - before_at <= INTERVAL '24 hours' \
         UNION SELECT concat_ws(' ', p.id, c.id, greatest(p.timestamp, c.timestamp), 'parent') FROM events c JOIN events p \
            ON p.id = c.parent_event_id AND p.id <> c.id AND p.timestamp BETWEEN c.timestamp - INTERVAL '24 hours' \
            AND c.timestamp + INTERVAL '5 minutes' ORDER BY 1";
    let stored = "SELECT concat_ws(' ', primary_event_id, related_event_id, timestamp, metadata->>'rule') FROM correlations \
         WHERE correlation_type = 'causal' ORDER BY 1";
    let (computed, stored): (Vec<String>, Vec<String>) = (sql.column(computed), sql.column(stored));
    let missing: Vec<_> = computed.iter().filter(|pair| !stored.contains(pair)).take(5).collect();
    let wrong: Vec<_> = stored.iter().filter(|pair| !computed.contains(pair)).take(5).collect();
    assert!(missing.is_empty() && wrong.is_empty(), "missing: {missing:#?}\nwrong: {wrong:#?}");
    stored.len()
}

fn two_late_events_hours_apart_in_either_order(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let sql = env.sql();
    let start = hours_ago(20) * SECOND;
    // Group 1 in order, group 2 in reverse; groups 3 and 4 the same after what was remembered is gone.
    for (number, at, group) in [(1, 0, 1), (2, 5 * HOUR, 1), (3, 5 * HOUR, 2), (4, 0, 2)] {
        tidegate.client.events(of_group(number, start + at, group)).accepted(1, 0);
        settled(&sql);
    }
    assert_eq!(assert_chains(&sql), 2);
    for (number, at, group) in [(5, 0, 3), (6, 5 * HOUR, 4)] {
        tidegate.client.events(of_group(number, start + at, group)).accepted(1, 0);
    }
    settled(&sql);
    give_up_ends(env, &sql);
    for (number, at, group) in [(7, 5 * HOUR, 3), (8, 0, 4)] {
        tidegate.client.events(of_group(number, start + at, group)).accepted(1, 0);
    }
    settled(&sql);
    assert_eq!(assert_chains(&sql), 4);
    Ok(())
}

/// Brings correlation_groups up to date and waits until the job has given up its own memory of the groups.
fn give_up_ends(env: &Env, sql: &Sql) {
    match env.engine {
        // Not while the program refreshes it: the second of two is refused.
        Engine::Timescale => until("a refresh", || {
            sql.try_run("CALL public.refresh_continuous_aggregate('tidegate.correlation_groups', NULL, NULL)").ok()
        }),
        Engine::Postgres => close_groups(sql),
    }
    until("the ends of groups are given up", || (sql.count("group_edges") == 0).then_some(()));
}

/// Makes the closed hours what they are when the rollup job has been through.
fn close_groups(sql: &Sql) {
    until("the rollup has every hour", || {
        let missing: i64 = sql.one(
            "SELECT count(*) FROM correlation_groups_rollup('-infinity', date_trunc('hour', now())) r \
             WHERE NOT EXISTS (SELECT FROM correlation_groups_closed c WHERE c.tenant_id = r.tenant_id \
                AND c.correlation_id = r.correlation_id AND c.bucket = r.bucket AND c.count = r.count)",
        );
        (missing == 0).then_some(())
    });
}

fn late_events_after_the_ends_were_given_up(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let sql = env.sql();
    let start = hours_ago(20) * SECOND;
    let mut number = 0;
    let mut send = |times: &[i64]| {
        let body: Vec<String> = times
            .iter()
            .flat_map(|at| [(1, *at), (2, *at + 7)])
            .map(|(group, at)| {
                number += 1;
                of_group(number, start + at, group)
            })
            .collect();
        tidegate.client.events(format!("[{}]", body.join(","))).accepted(body.len() as u64, 0);
        settled(&sql);
    };
    send(&[0, 10 * SECOND, 30 * 60 * SECOND, 50 * 60 * SECOND, 6 * HOUR, 6 * HOUR + 5 * SECOND]);
    give_up_ends(env, &sql);
    // Before all, within a minute, within an hour, between hours, after all; several of them at once and one by one.
    send(&[-HOUR, 5 * SECOND]);
    assert_chains(&sql);
    send(&[40 * 60 * SECOND]);
    assert_chains(&sql);
    give_up_ends(env, &sql);
    send(&[3 * HOUR, 6 * HOUR + 2 * SECOND, 12 * HOUR]);
    assert_eq!(assert_chains(&sql), 2 * 11);
    // Many groups at once share a scan.
    let all: Vec<String> =
        (0..100).map(|n| of_group(10_000 + n, start + i64::try_from(n).unwrap(), 100 + n % 50)).collect();
    let ends: Vec<String> = (0..50).map(|n| of_group(20_000 + n, start + 20 * 60 * SECOND, 100 + n)).collect();
    tidegate.client.events(format!("[{},{}]", all.join(","), ends.join(","))).accepted(150, 0);
    settled(&sql);
    give_up_ends(env, &sql);
    let between: Vec<String> =
        (0..50).map(|n| of_group(30_000 + n, start + 10 * 60 * SECOND + i64::try_from(n).unwrap(), 100 + n)).collect();
    tidegate.client.events(format!("[{}]", between.join(","))).accepted(50, 0);
    settled(&sql);
    assert_eq!(assert_chains(&sql), 2 * 11 + 150);
    Ok(())
}

fn events_older_than_the_groups(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let sql = env.sql();
    // Of what is this old nothing is remembered at all; and at the bound one side is, and the other not.
    for (days, first) in [(30, 0), (7, 1000), (6, 2000)] {
        let start = hours_ago(24 * days) * SECOND;
        let mut number = first;
        let mut send = |times: &[i64]| {
            let groups = if times.len() == 1 { 40 } else { 2 };
            let mut body = Vec::new();
            for at in times {
                for group in 0..groups {
                    number += 1;
                    let shift = i64::try_from(group).unwrap();
                    body.push(of_group(number, start + at + shift, first + group));
                }
            }
            tidegate.client.events(format!("[{}]", body.join(","))).accepted(body.len() as u64, 0);
            settled(&sql);
            let aged = "SELECT count(*) FROM group_edges WHERE minute < extract(epoch FROM now()) / 60 - 7 * 1440";
            until("old ends are given up", || (sql.one::<i64>(aged) == 0).then_some(()));
            assert_chains(&sql);
        };
        send(&[0, 23 * HOUR]);
        send(&[5 * SECOND, 12 * HOUR]);
        send(&[-HOUR, 6 * HOUR]);
        // Many at once share a scan.
        send(&[7 * HOUR]);
        send(&[-2 * HOUR]);
        send(&[3 * HOUR]);
    }
    // Each time two groups of nine events, and 38 of three.
    assert_eq!(assert_chains(&sql), 3 * (2 * 8 + 38 * 2));
    Ok(())
}

/// Has the job wait with the second slice of a block, until the holder lets it go on.
fn hold_second_slice(env: &Env, sql: &Sql) -> Sql {
    sql.run(
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         PERFORM pg_advisory_xact_lock_shared(77) FROM touched_passes WHERE job = 'correlations'; RETURN NULL; END $$; \
         CREATE TRIGGER hold BEFORE INSERT ON group_edges FOR EACH STATEMENT EXECUTE FUNCTION hold()",
    );
    let holder = env.sql();
    holder.run("SELECT pg_advisory_lock(77)");
    holder
}

fn second_slice_waits(sql: &Sql) {
    until("the second slice waits", || {
        let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 77 AND NOT granted \
                       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        (sql.one::<i64>(waiting) == 1).then_some(())
    });
    assert_eq!(sql.count("touched_passes WHERE job = 'correlations'"), 1);
    assert!(sql.count("correlations") > 0, "the first slice is there");
}

/// 12,000 events of seven groups within a minute.
fn three_slices(start: i64) -> String {
    let body: Vec<String> = (0..12_000).map(|n| of_group(n, start + n.cast_signed() * 4, n % 7)).collect();
    format!("[{}]", body.join(","))
}

fn killed_in_the_middle(env: &Env) -> TestResult {
    let mut tidegate = env.serve();
    let sql = env.sql();
    let holder = hold_second_slice(env, &sql);
    tidegate.client.events(three_slices(hours_ago(3) * SECOND)).accepted(12_000, 0);
    second_slice_waits(&sql);
    tidegate.kill();
    holder.run("SELECT pg_advisory_unlock(77)");
    let _tidegate = env.serve();
    // Nobody notes anything again: the pass goes on where it stopped.
    settled(&sql);
    assert_eq!(assert_chains(&sql), 12_000 - 7);
    Ok(())
}

fn touched_again_in_the_middle(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let sql = env.sql();
    let holder = hold_second_slice(env, &sql);
    let start = hours_ago(3) * SECOND;
    tidegate.client.events(three_slices(start)).accepted(12_000, 0);
    second_slice_waits(&sql);
    // Between events that the first slice has related already, and before all of them.
    let late = [of_group(20_000, start + 4001, 3), of_group(20_001, start - 5, 3)];
    tidegate.client.events(format!("[{}]", late.join(","))).accepted(2, 0);
    until("it is noted", || {
        (sql.one::<i64>("SELECT count(*) FROM touched_minutes WHERE job = 'correlations'") == 2).then_some(())
    });
    holder.run("SELECT pg_advisory_unlock(77)");
    settled(&sql);
    assert_eq!(assert_chains(&sql), 12_002 - 7);
    Ok(())
}
