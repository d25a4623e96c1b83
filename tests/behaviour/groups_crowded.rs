//! Groups under many hands: leases and lists that are others', what changes or goes while members read, and many groups of many
//! members.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::env::{DEADLINE, Env, Test, TestResult, until};
use crate::groups::{at_last, commit, filled, make, offsets, path, show, take, tell};
use crate::postgres::Sql;
use crate::samples::encode;
use crate::streams::send;
use crate::tests;

pub const TESTS: &[Test] = tests!(
    a_lease_is_of_its_group_and_counts_once,
    others_lists_and_their_cursors_say_nothing,
    a_group_that_changes_while_it_is_read_loses_nothing,
    a_group_that_goes_while_it_is_read_is_gone_for_all,
    what_is_added_while_a_group_goes_goes_with_it,
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
                    let answer = at_last(|| tell(client, "s", group, what, json!({ "lease": lease, })));
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
                    let answer = at_last(|| client.get(&place));
                    assert!(statuses.contains(&answer.status), "{}", answer.text());
                    if answer.status != 200 {
                        continue;
                    }
                    let taken = answer.json();
                    if taken["lease"].is_null() {
                        continue;
                    }
                    let answer = at_last(|| tell(client, "s", group, "ack", json!({ "lease": taken["lease"] })));
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
            // 409: reset meanwhile.
            scope.spawn(move || members(client, group, 4, done, read, &[200, 409]));
            let tell = |what: &str, body: Value| {
                let answer = at_last(|| tell(client, "s", group, what, body.clone()));
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
    assert_eq!(left(&env.sql()), [0, 0, 0], "those that read at that moment have left nothing");
    Ok(())
}

/// Slots, members and leases.
fn left(sql: &Sql) -> [i64; 3] {
    ["consumer_slots", "consumer_members", "consumer_leases"].map(|table| sql.count(table))
}

/// Who adds something to a group is in the middle of it when the group is deleted, or put somewhere else.
fn what_is_added_while_a_group_goes_goes_with_it(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 6);
    let sql = env.sql();
    sql.run("CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END $$");
    for table in ["consumer_leases", "consumer_members"] {
        sql.run(&format!("CREATE TRIGGER slowly BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION slowly()"));
    }
    let adds = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
    let delete = || client.send("DELETE", &path("s", "g"), &[], &[]).unwrap();
    let reset = || tell(client, "s", "g", "reset", json!({ "to": "latest" }));
    // Returns false where it was too late for it, which a busy machine may be.
    let beside = |add: &(dyn Fn() -> Answer + Sync), change: &dyn Fn() -> Answer| {
        std::thread::scope(|scope| {
            let adding = scope.spawn(|| at_last(add));
            until("it adds something", || (sql.one::<i64>(adds) > 0 || adding.is_finished()).then_some(()));
            let is_beside = !adding.is_finished();
            let changed = at_last(change);
            assert!(matches!(changed.status, 200 | 204), "{}", changed.text());
            let added = adding.join().unwrap();
            assert!(matches!(added.status, 200 | 404 | 409), "{}", added.text());
            is_beside
        })
    };
    let read = || client.get(&format!("{}/events?member=m&limit=3", path("s", "g")));
    let cuts = |lease: &Value| tell(client, "s", "g", "nack", json!({ "lease": lease, "offset": 1 }));
    let replays = || tell(client, "s", "g", "parked/replay", json!({ "all": true }));
    for by in [Value::Null, json!("source_module")] {
        for what in ["read", "cut", "replay"] {
            until("it goes while something is added", || {
                make(client, "s", json!({ "name": "g", "ordered_by": by }));
                let lease = if what == "cut" { read().expect(200)["lease"].clone() } else { Value::Null };
                let add = || match what {
                    "read" => read(),
                    "cut" => cuts(&lease),
                    _ => replays(),
                };
                if what == "replay" {
                    tell(client, "s", "g", "park", json!({ "offset": 2 })).expect(200);
                }
                // Of slots nothing is added where a lease is cut.
                let is_beside = beside(&add, &delete) || what == "cut" && !by.is_null();
                assert_eq!(left(&sql), [0, 0, 0], "{by} {what}");
                is_beside.then_some(())
            });
        }
    }
    for what in ["read", "cut"] {
        make(client, "s", json!({ "name": "g" }));
        let lease = if what == "cut" { read().expect(200)["lease"].clone() } else { Value::Null };
        beside(&|| if what == "cut" { cuts(&lease) } else { read() }, &reset);
        assert_eq!(sql.count("consumer_leases"), 0, "{what}: what was given out before is nobody's to have again");
        at_last(delete).expect(204);
    }
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
                    let mut went_on = Instant::now();
                    while seen.lock().unwrap().len() < EVENTS && went_on.elapsed() < DEADLINE {
                        let taken = at_last(|| client.get(&place)).expect(200);
                        if taken["lease"].is_null() {
                            continue;
                        }
                        let ack = json!({ "lease": taken["lease"] });
                        at_last(|| tell(client, "s", &format!("g{group}"), "ack", ack.clone())).expect(200);
                        seen.lock().unwrap().extend(offsets(&taken));
                        went_on = Instant::now();
                    }
                });
            }
        }
        let begun = Instant::now();
        (0..EVENTS / 6).for_each(|n| send(client, "s", n * 6, 6));
        let had = || seen.iter().map(|seen| seen.lock().unwrap().len()).sum::<usize>();
        while had() < GROUPS * EVENTS {
            let before = had();
            until("it goes on", || (had() > before).then_some(()));
        }
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
