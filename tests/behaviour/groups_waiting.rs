//! Who waits for a group's events: it is told what others give back, at whichever node, and knows what comes by its time; it does
//! not look again and again.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::env::{DEADLINE, Env, Test, TestResult};
use crate::groups::{filled, make, next, offsets, path, show, take, tell};
use crate::postgres::{SUPERUSER, Sql};
use crate::process::Tidegate;
use crate::streams::{follow, node, send};
use crate::tests;
use crate::waits::waits;

pub const TESTS: &[Test] = tests!(
    who_waits_is_told_what_others_give_back,
    who_waits_is_told_that_its_group_stands_elsewhere,
    what_comes_by_its_time_comes_then,
    who_waits_for_nothing_looks_seldom,
);

/// Who is not told looks again after two seconds. Far more than it takes to be told, also beside other tests.
const TOLD_WITHIN: Duration = Duration::from_millis(1500);
/// At least so many.
const ROUNDS: usize = 5;

/// Waits with `query` at a node, meanwhile does something, and returns what was answered and how long after that.
fn waiting(at: &Tidegate, group: &str, query: &str, meanwhile: impl FnOnce()) -> (Answer, Duration) {
    let (client, place) = (at.client.clone(), format!("{}/events?wait=30s{query}", path("s", group)));
    let asked = std::thread::spawn(move || {
        let answer = waits(&client, &place, &[]);
        (answer, Instant::now())
    });
    follow(&at.client, 1);
    meanwhile();
    let done = Instant::now();
    let (answer, answered) = asked.join().unwrap();
    (answer, answered.saturating_duration_since(done))
}

/// Goes round until most of those that wait were told each time, and did not just look again: of what a round took a busy machine may
/// delay some.
fn until_told<const N: usize>(env: &Env, what: &str, mut round: impl FnMut() -> [Duration; N]) {
    let begun = Instant::now();
    let mut took: [Vec<Duration>; N] = std::array::from_fn(|_| Vec::new());
    let middle = |took: &mut Vec<Duration>| {
        took.sort_unstable();
        took[took.len() / 2]
    };
    loop {
        took.iter_mut().zip(round()).for_each(|(took, one)| took.push(one));
        if took[0].len() >= ROUNDS && took.iter_mut().all(|took| middle(took) < TOLD_WITHIN) {
            println!("{}: {what}: told after {took:?}", env.engine.as_str());
            return;
        }
        assert!(begun.elapsed() < DEADLINE, "{what}: {took:?}");
    }
}

fn ack(client: &Client, group: &str, taken: &Value) {
    tell(client, "s", group, "ack", json!({ "lease": taken["lease"] })).expect(200);
}

fn who_waits_is_told_what_others_give_back(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let other = node(env, 2);
    let client = &tidegate.client;
    filled(client, "s", 3);
    for (group, by) in [("g", Value::Null), ("ordered", json!("source_module"))] {
        make(client, "s", json!({ "name": group, "ordered_by": by, "ack_timeout": "10m", "max_deliveries": 0 }));
        until_told(env, &format!("{group}: given back, left"), || {
            let taken = next(client, "s", group, "member=a");
            assert_eq!(offsets(&taken), [0, 1, 2], "{group}");
            // The same member where the group is ordered, since its slot stays its own; at another node.
            let member = if group == "ordered" { "a" } else { "b" };
            let (again, given_back) = waiting(&other, group, &format!("&member={member}"), || {
                tell(client, "s", group, "nack", json!({ "lease": taken["lease"] })).expect(200);
            });
            assert_eq!(offsets(&again.expect(200)), [0, 1, 2], "{group}");
            // Who goes leaves what it holds, and its slots, to who waits for them.
            let (again, left) = waiting(&other, group, "&member=c", || {
                tell(client, "s", group, "leave", json!({ "member": member })).expect(200);
            });
            assert_eq!(offsets(&again.expect(200)), [0, 1, 2], "{group}");
            tell(client, "s", group, "leave", json!({ "member": "c" })).expect(200);
            [given_back, left]
        });
    }
    Ok(())
}

fn who_waits_is_told_that_its_group_stands_elsewhere(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let other = node(env, 2);
    let client = &tidegate.client;
    filled(client, "s", 3);
    for (group, by, query) in
        [("alone", Value::Null, ""), ("g", Value::Null, "&member=m"), ("ordered", json!("source_module"), "&member=m")]
    {
        make(client, "s", json!({ "name": group, "ordered_by": by, "start": "latest" }));
        until_told(env, &format!("{group}: reset, resumed, replayed"), || {
            let (again, reset) = waiting(&other, group, query, || {
                tell(client, "s", group, "reset", json!({ "to": "earliest" })).expect(200);
            });
            assert_eq!(offsets(&again.expect(200)), [0, 1, 2], "{group}");
            tell(client, "s", group, "pause", json!({})).expect(200);
            tell(client, "s", group, "reset", json!({ "to": "earliest" })).expect(200);
            let (again, resumed) = waiting(&other, group, query, || {
                tell(client, "s", group, "resume", json!({})).expect(200);
            });
            assert_eq!(offsets(&again.expect(200)), [0, 1, 2], "{group}");
            tell(client, "s", group, "reset", json!({ "to": "latest" })).expect(200);
            tell(client, "s", group, "park", json!({ "offset": 1 })).expect(200);
            let (again, replayed) = waiting(&other, group, query, || {
                tell(client, "s", group, "parked/replay", json!({ "all": true })).expect(200);
            });
            let again = again.expect(200);
            assert_eq!(offsets(&again), [1], "{group}");
            ack(client, group, &again);
            [reset, resumed, replayed]
        });
        let (gone, deleted) = waiting(&other, group, query, || {
            client.send("DELETE", &path("s", group), &[], &[]).unwrap().expect(204);
        });
        gone.problem(404, "not_found");
        println!("{}: {group}: told of its end after {deleted:?}", env.engine.as_str());
    }
    Ok(())
}

fn what_comes_by_its_time_comes_then(env: &Env) -> TestResult {
    const DELAY: Duration = Duration::from_millis(300);
    const TIMEOUT: Duration = Duration::from_secs(3);
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 3);
    for (group, by) in [("g", Value::Null), ("ordered", json!("source_module"))] {
        make(client, "s", json!({ "name": group, "ordered_by": by, "max_deliveries": 0 }));
        until_told(env, &format!("{group}: after its delay"), || {
            let taken = next(client, "s", group, "member=a");
            assert_eq!(offsets(&taken), [0, 1, 2], "{group}");
            // Asked for before it was given back: it is told of the delay, which ends before the lease would have.
            let given_back = Instant::now();
            let (again, took) = waiting(&tidegate, group, "&member=a", || {
                tell(client, "s", group, "nack", json!({ "lease": taken["lease"], "delay": "300ms" })).expect(200);
            });
            let again = again.expect(200);
            assert_eq!(offsets(&again), [0, 1, 2], "{group}");
            assert!(given_back.elapsed() >= DELAY, "{:?}", given_back.elapsed());
            tell(client, "s", group, "nack", json!({ "lease": again["lease"] })).expect(200);
            [took.saturating_sub(DELAY)]
        });
        // Not acknowledged at all.
        client.send("PATCH", &path("s", group), &[], br#"{"ack_timeout":"3s"}"#)?.expect(200);
        let asked = Instant::now();
        let taken = next(client, "s", group, "member=a");
        assert_eq!(offsets(&taken), [0, 1, 2], "{group}");
        let again = next(client, "s", group, "member=a");
        let passed = asked.elapsed();
        assert!(offsets(&again) == [0, 1, 2] && passed >= TIMEOUT, "{group}: {passed:?}");
        println!(
            "{}: {group}: handed out again {:?} after its time",
            env.engine.as_str(),
            passed.saturating_sub(TIMEOUT)
        );
    }
    Ok(())
}

/// How often it was looked for what is nobody's, which is a statement of its own; None where the server does not count them.
fn looks(env: &Env) -> Option<(Sql, i64)> {
    if !env.installation().stat_statements {
        return None;
    }
    let sql = env.sql_as(SUPERUSER);
    sql.run("CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public");
    let forgotten = sql.one("SELECT dealloc FROM public.pg_stat_statements_info");
    Some((sql, forgotten))
}

fn who_waits_for_nothing_looks_seldom(env: &Env) -> TestResult {
    const MEMBERS: usize = 10;
    const WAIT: Duration = Duration::from_secs(6);
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 3);
    make(client, "s", json!({ "name": "g", "start": "latest" }));
    let counted = looks(env);
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..MEMBERS)
            .map(|n| {
                scope.spawn(move || {
                    let begun = Instant::now();
                    let taken = take(client, "s", "g", &format!("member=m{n}&wait={}s", WAIT.as_secs()));
                    assert!(offsets(&taken).is_empty() && begun.elapsed() >= WAIT, "{taken}: {:?}", begun.elapsed());
                })
            })
            .collect();
        asked.into_iter().for_each(|asked| asked.join().unwrap());
    });
    if let Some((sql, forgotten)) = counted {
        let calls: i64 = sql.one(
            "SELECT coalesce(sum(calls), 0)::bigint FROM public.pg_stat_statements \
             WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \
             AND query LIKE '%UPDATE consumer_leases%RETURNING l.lo, l.hi, l.lease%'",
        );
        println!("{}: {MEMBERS} members that waited {WAIT:?} looked {calls} times", env.engine.as_str());
        let is_whole = sql.one::<i64>("SELECT dealloc FROM public.pg_stat_statements_info") == forgotten;
        // At first, every two seconds, and at the end; twice a second it would be 130 times.
        let most = i64::try_from(MEMBERS * 6).unwrap();
        assert!(!is_whole || (1..=most).contains(&calls), "{calls} looks");
    }
    // And what comes is had at once.
    let (taken, took) = waiting(&tidegate, "g", "&member=m0", || send(client, "s", 3, 1));
    assert_eq!((offsets(&taken.expect(200)), &show(client, "s", "g")["committed"]), (vec![3], &json!(3)));
    println!("{}: an event was had after {took:?}", env.engine.as_str());
    Ok(())
}
