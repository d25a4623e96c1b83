//! Groups under many hands: leases and lists that are others', what changes or goes while members read, and many groups of many
//! members.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use crate::client::Client;
use crate::env::{DEADLINE, Env, Test, TestResult, until};
use crate::groups::{commit, filled, make, offsets, path, show, take, tell};
use crate::samples::encode;
use crate::streams::send;
use crate::tests;

pub const TESTS: &[Test] = tests!(
    a_lease_is_of_its_group_and_counts_once,
    others_lists_and_their_cursors_say_nothing,
    a_group_that_changes_while_it_is_read_loses_nothing,
    a_group_that_goes_while_it_is_read_is_gone_for_all,
    many_groups_of_many_members_each_get_everything_once,
);

fn a_lease_is_of_its_group_and_counts_once(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let other = tidegate.with(&env.key("other", "ingest,read,consume"));
    for (client, stream) in [(client, "s"), (client, "t"), (&other, "s")] {
        filled(client, stream, 6);
        make(client, stream, json!({ "name": "g", "ack_timeout": "10m" }));
        make(client, stream, json!({ "name": "ordered", "ordered_by": "source_module", "ack_timeout": "10m" }));
    }
    for group in ["g", "ordered"] {
        let taken = take(client, "s", group, "member=m&limit=3");
        let lease = taken["lease"].as_str().unwrap();
        // Of another group of its stream, of another stream, and of another tenant.
        for (client, stream, group) in
            [(client, "s", if group == "g" { "ordered" } else { "g" }), (client, "t", group), (&other, "s", group)]
        {
            for what in ["ack", "nack", "extend"] {
                tell(client, stream, group, what, json!({ "lease": lease })).problem(409, "lease_over");
            }
        }
        // Numbers near it, and the same number of another generation.
        let (generation, number) = lease.split_once('-').unwrap();
        let [generation, number] = [generation, number].map(|part| part.parse::<i64>().unwrap());
        for forged in
            [(generation, number - 1), (generation, number + 1), (generation + 1, number), (generation - 1, number)]
        {
            let forged = format!("{}-{}", forged.0, forged.1);
            for what in ["ack", "nack", "extend"] {
                tell(client, "s", group, what, json!({ "lease": forged })).problem(409, "lease_over");
            }
        }
        // Said by many at once it counts once, whatever is said.
        let done = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for n in 0..8 {
                let done = &done;
                scope.spawn(move || {
                    let what = ["ack", "nack"][n % 2];
                    let answer = tell(client, "s", group, what, json!({ "lease": lease, }));
                    assert!(matches!(answer.status, 200 | 409), "{}", answer.text());
                    done.fetch_add(usize::from(answer.status == 200), Ordering::Relaxed);
                });
            }
        });
        assert_eq!(done.load(Ordering::Relaxed), 1, "{group}");
        // An ordered group's lease is not one to commit by.
        if group == "ordered" {
            commit(client, "s", group, &taken).problem(400, "group_kind");
        }
    }
    // A key that may only read takes and acknowledges nothing.
    let reader = tidegate.with(&env.key("default", "read"));
    reader.get(&format!("{}/events", path("s", "g"))).problem(403, "forbidden");
    for what in ["ack", "nack", "extend", "offset", "leave", "park", "takeover", "reset", "pause", "parked/drop"] {
        tell(&reader, "s", "g", what, json!({})).problem(403, "forbidden");
    }
    Ok(())
}

fn others_lists_and_their_cursors_say_nothing(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let other = tidegate.with(&env.key("other", "ingest,read,consume"));
    for stream in ["s", "t", "u"] {
        filled(client, stream, 3);
    }
    for group in ["a", "b", "c"] {
        make(client, "s", json!({ "name": group }));
        for offset in 0..3 {
            tell(client, "s", group, "park", json!({ "offset": offset })).expect(200);
        }
    }
    let lists = ["/v1/streams", "/v1/streams/s/groups", "/v1/streams/s/groups/a/parked", "/v1/dead-letters"];
    for list in lists {
        let page = client.get(&format!("{list}?limit=1")).expect(200);
        let cursor = page["next_cursor"].as_str().unwrap_or_else(|| panic!("{list}: {page}"));
        let of = |client: &Client, cursor: &str| client.get(&format!("{list}?limit=1&cursor={}", encode(cursor)));
        of(client, cursor).expect(200);
        // Another tenant's, to whom the group is not there either.
        let answer = of(&other, cursor);
        assert!(matches!(answer.status, 400 | 404) || answer.json()["data"] == json!([]), "{list}: {}", answer.text());
        for forged in
            ["\u{0}", "%", "-1", "-9223372036854775808", "9223372036854775807", "99999999999999999999", "ü", "'", ""]
        {
            let answer = of(client, forged);
            assert!(matches!(answer.status, 200 | 400 | 404), "{list}: {forged:?}: {}", answer.text());
        }
        let long = of(client, &"x".repeat(6000));
        assert!(long.status < 500, "{list}: {}", long.text());
    }
    Ok(())
}

/// Members of a group that read and acknowledge for as long as they are to; what each acknowledgement said is what counts.
fn members(
    client: &Client,
    group: &str,
    number: usize,
    done: &AtomicBool,
    seen: impl Fn(&Value) + Sync,
    statuses: &[u16],
) {
    std::thread::scope(|scope| {
        for member in 0..number {
            let seen = &seen;
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let place = format!("{}/events?limit=7&wait=300ms&member=m{member}", path("s", group));
                    let answer = client.get(&place);
                    assert!(statuses.contains(&answer.status), "{}", answer.text());
                    if answer.status != 200 {
                        continue;
                    }
                    let taken = answer.json();
                    if taken["lease"].is_null() {
                        continue;
                    }
                    let answer = tell(client, "s", group, "ack", json!({ "lease": taken["lease"] }));
                    assert!(statuses.contains(&answer.status), "{}", answer.text());
                    if answer.status == 200 {
                        seen(&taken);
                    }
                }
            });
        }
    });
}

fn a_group_that_changes_while_it_is_read_loses_nothing(env: &Env) -> TestResult {
    const EVENTS: usize = 60;
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", EVENTS);
    for (group, by) in [("g", Value::Null), ("ordered", json!("asset_id"))] {
        make(client, "s", json!({ "name": group, "ordered_by": by, "max_deliveries": 0, "ack_timeout": "10m" }));
        let (done, seen) = (AtomicBool::new(false), Mutex::new(BTreeSet::<i64>::new()));
        std::thread::scope(|scope| {
            let (done, seen) = (&done, &seen);
            let read = |taken: &Value| seen.lock().unwrap().extend(offsets(taken));
            // 409: reset meanwhile, or held by somebody else's change.
            scope.spawn(move || members(client, group, 4, done, read, &[200, 409]));
            let tell = |what: &str, body: Value| {
                let answer = tell(client, "s", group, what, body);
                assert!(matches!(answer.status, 200 | 409), "{what}: {}", answer.text());
                answer.status == 200
            };
            for round in 0..12 {
                tell("pause", json!({}));
                let to = json!({ "offset": round * 5 });
                until("it is reset", || tell("reset", to.clone()).then_some(()));
                tell("resume", json!({}));
                let settings = json!({ "ack_timeout": format!("{}s", 600 + round), "max_deliveries": 0 });
                client.send("PATCH", &path("s", group), &[], settings.to_string().as_bytes()).unwrap();
                tell("leave", json!({ "member": format!("m{}", round % 4) }));
            }
            // From here on nothing changes, and each event comes, once more or for the first time.
            until("it is paused", || tell("pause", json!({})).then_some(()));
            until("it is reset", || tell("reset", json!({ "to": "earliest" })).then_some(()));
            seen.lock().unwrap().clear();
            until("it is resumed", || tell("resume", json!({})).then_some(()));
            until("all is read", || {
                let group = show(client, "s", group);
                (group["lag"] == 0 && group["leases"] == 0).then_some(())
            });
            done.store(true, Ordering::Relaxed);
        });
        let every: BTreeSet<i64> = (0..i64::try_from(EVENTS).unwrap()).collect();
        assert_eq!(seen.into_inner().unwrap(), every, "{group}");
    }
    Ok(())
}

fn a_group_that_goes_while_it_is_read_is_gone_for_all(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 30);
    for (group, by) in [("g", Value::Null), ("ordered", json!("asset_id"))] {
        for _ in 0..5 {
            make(client, "s", json!({ "name": group, "ordered_by": by, "ack_timeout": "10m" }));
            let (done, acknowledged) = (AtomicBool::new(false), AtomicUsize::new(0));
            std::thread::scope(|scope| {
                let (done, acknowledged) = (&done, &acknowledged);
                let count = |taken: &Value| {
                    acknowledged.fetch_add(offsets(taken).len(), Ordering::Relaxed);
                };
                scope.spawn(move || members(client, group, 4, done, count, &[200, 404, 409]));
                until("it is read", || (acknowledged.load(Ordering::Relaxed) > 0).then_some(()));
                until("it is gone", || {
                    let answer = client.send("DELETE", &path("s", group), &[], &[]).unwrap();
                    assert!(matches!(answer.status, 204 | 409), "{}", answer.text());
                    (answer.status == 204).then_some(())
                });
                done.store(true, Ordering::Relaxed);
            });
            client.get(&format!("{}/events?member=m0", path("s", group))).problem(404, "not_found");
        }
    }
    // What one that read at that moment left goes with the groups, a month later.
    let sql = env.sql();
    sql.run("UPDATE consumer_groups SET deleted_at = deleted_at - interval '31 days' WHERE deleted_at IS NOT NULL");
    drop(tidegate);
    let _again = env.serve();
    until("slots, members and leases are gone", || {
        let left = ["consumer_slots", "consumer_members", "consumer_leases"].map(|table| sql.count(table));
        (left == [0, 0, 0]).then_some(())
    });
    Ok(())
}

fn many_groups_of_many_members_each_get_everything_once(env: &Env) -> TestResult {
    const GROUPS: usize = 40;
    const MEMBERS: usize = 5;
    const EVENTS: usize = 60;
    let tidegate = env.serve();
    let client = &tidegate.client;
    let kinds = [Value::Null, json!("asset_id")];
    for group in 0..GROUPS {
        make(client, "s", json!({ "name": format!("g{group}"), "ordered_by": kinds[group % 2], "ack_timeout": "10m" }));
    }
    let seen: Vec<Mutex<Vec<i64>>> = (0..GROUPS).map(|_| Mutex::default()).collect();
    std::thread::scope(|scope| {
        for (group, seen) in seen.iter().enumerate() {
            for member in 0..MEMBERS {
                let place = format!("{}/events?limit=9&wait=10s&member=m{member}", path("s", &format!("g{group}")));
                scope.spawn(move || {
                    let begun = Instant::now();
                    while seen.lock().unwrap().len() < EVENTS && begun.elapsed() < DEADLINE {
                        let answer = client.get(&place);
                        assert!(matches!(answer.status, 200 | 409 | 429 | 503), "{}", answer.text());
                        if answer.status != 200 || answer.json()["lease"].is_null() {
                            continue;
                        }
                        let taken = answer.json();
                        let ack = json!({ "lease": taken["lease"] });
                        until("it is acknowledged", || {
                            let answer = tell(client, "s", &format!("g{group}"), "ack", ack.clone());
                            assert!(matches!(answer.status, 200 | 429 | 503), "{}", answer.text());
                            (answer.status == 200).then_some(())
                        });
                        seen.lock().unwrap().extend(offsets(&taken));
                    }
                });
            }
        }
        let begun = Instant::now();
        (0..EVENTS / 6).for_each(|n| send(client, "s", n * 6, 6));
        until("all have all", || seen.iter().all(|seen| seen.lock().unwrap().len() >= EVENTS).then_some(()));
        println!(
            "{}: {GROUPS} groups of {MEMBERS} had {EVENTS} events each after {:?}",
            env.engine.as_str(),
            begun.elapsed()
        );
    });
    for (group, seen) in seen.iter().enumerate() {
        let mut seen = seen.lock().unwrap().clone();
        seen.sort_unstable();
        assert!(seen == (0..i64::try_from(EVENTS).unwrap()).collect::<Vec<_>>(), "g{group}: {seen:?}");
    }
    Ok(())
}
