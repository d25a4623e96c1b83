//! Consumer groups where several do something at once: sinks that acknowledge beside others that reset, drop and replay; bounds that
//! several come to; and the database's clock, which may be set back meanwhile.

use std::time::Instant;

use serde_json::{Value, json};

use crate::client::Answer;
use crate::env::{Env, Test, TestResult, until};
use crate::groups::{at_last, filled, make, next, offsets, path, show, take, tell, tell_now};
use crate::groups_sinks::Sink;
use crate::tests;

pub const TESTS: &[Test] = tests!(
    what_a_sink_acknowledges_is_left_to_it,
    of_those_that_come_at_once_as_many_pass_as_there_is_room_for,
    a_clock_that_is_set_back_keeps_nothing_for_longer,
);

fn what_a_sink_acknowledges_is_left_to_it(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let sink = Sink::make(env, "default");
    filled(client, "s", 6);
    make(client, "s", json!({ "name": "g", "ack_timeout": "5m" }));
    let offered = take(client, "s", "g", "member=m");
    for offset in [1, 3, 5] {
        tell(client, "s", "g", "park", json!({ "offset": offset })).expect(200);
    }
    tell(client, "s", "g", "parked/replay", json!({ "all": true })).expect(200);
    let ack = |taken: &Value| {
        format!("SELECT tidegate.ack_lease('default', 's', 'g', '{}')", taken["lease"].as_str().unwrap())
    };
    let replays = [1, 3, 5].map(|offset| {
        let taken = take(client, "s", "g", "member=m");
        assert_eq!(offsets(&taken), [offset]);
        taken
    });
    let sql = sink.sql();
    // Otherwise it ends what is open for a minute, in which a busy machine may not get to the end.
    sql.run(&format!("SET idle_in_transaction_session_timeout = 0; BEGIN; {}", ack(&replays[2])));
    // Nobody waits for it, and it waits for nobody, in whichever order it acknowledges.
    tell_now(client, "s", "g", "parked/drop", &json!({ "offsets": [5] })).problem(409, "group_busy");
    sql.run(&ack(&replays[1]));
    let dropped = tell(client, "s", "g", "parked/drop", json!({ "all": true })).expect(200);
    assert_eq!(dropped, json!({ "dropped": 1, "left": 2 }));
    assert_eq!(tell(client, "s", "g", "parked/replay", json!({ "all": true })).expect(200)["replayed"], 0);
    tell(client, "s", "g", "reset", json!({ "to": "latest" })).expect(200);
    tell(client, "s", "g", "reset", json!({ "to": "earliest" })).expect(200);
    let outcomes = || -> Vec<String> {
        let letters = client.get("/v1/dead-letters?stage=consume&limit=10").expect(200);
        letters["data"].as_array().unwrap().iter().map(|letter| letter["outcome"].to_string()).collect()
    };
    assert_eq!(outcomes().iter().filter(|outcome| *outcome == "null").count(), 2, "{:?}", outcomes());
    sql.run("COMMIT");
    let mut told = outcomes();
    told.sort();
    assert_eq!(told, ["\"consumed\"", "\"consumed\"", "\"dropped\""]);
    // What it holds of the group itself is waited for, for a moment; then nothing is done, and the sink goes on.
    let again = take(client, "s", "g", "member=m&limit=2");
    let more = take(client, "s", "g", "member=m&limit=2");
    sql.run(&format!("BEGIN; {}", ack(&more)));
    tell_now(client, "s", "g", "reset", &json!({ "to": "latest" })).problem(409, "group_busy");
    assert_eq!(client.send("DELETE", &path("s", "g"), &[], &[])?.status, 409);
    sql.run(&format!("{}; COMMIT", ack(&again)));
    let behind = more["next_offset"].as_i64();
    until("what it acknowledged is passed", || (show(client, "s", "g")["committed"].as_i64() >= behind).then_some(()));
    let generation = show(client, "s", "g")["generation"].as_i64().unwrap();
    assert_eq!(generation, offered["generation"].as_i64().unwrap() + 2, "two resets, and none that gave up");
    Ok(())
}

/// Asks from eight threads at once, each until it is its turn; how many were answered so.
fn at_once(ask: impl Fn(usize) -> Answer + Sync, statuses: [u16; 2]) -> [usize; 2] {
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8)
            .map(|n| {
                scope.spawn({
                    let ask = &ask;
                    move || at_last(|| ask(n)).status
                })
            })
            .collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|status| statuses.contains(status)), "{answers:?}");
    statuses.map(|status| answers.iter().filter(|answer| **answer == status).count())
}

fn of_those_that_come_at_once_as_many_pass_as_there_is_room_for(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let sql = env.sql();
    filled(client, "s", 9);
    make(client, "s", json!({ "name": "parking" }));
    make(client, "s", json!({ "name": "ordered", "ordered_by": "asset_id" }));
    sql.run(
        "INSERT INTO consumer_groups (tenant_id, stream, name, max_deliveries, ack_timeout_ms) \
         SELECT 'default', 'others', 'g' || n, 5, 30000 FROM generate_series(1, 995) n; \
         INSERT INTO consumer_members SELECT group_id, 'm' || n, now() + interval '5 min' \
         FROM consumer_groups, generate_series(1, 998) n WHERE name = 'ordered'; \
         INSERT INTO consumer_parked (group_id, \"offset\", dead_letter_id, deliveries) \
         SELECT group_id, 1000 + n, gen_random_uuid(), 1 FROM consumer_groups, generate_series(1, 9997) n WHERE name = 'parking'",
    );
    let made = at_once(
        |n| client.post("/v1/streams/s/groups", &[], json!({ "name": format!("new {n}") }).to_string()),
        [201, 422],
    );
    assert_eq!(made, [3, 5]);
    sql.run("UPDATE consumer_members SET until = now() + interval '5 min'");
    let joined = at_once(|n| client.get(&format!("{}/events?member=n{n}", path("s", "ordered"))), [200, 422]);
    assert_eq!(joined, [2, 6]);
    let parked = at_once(|n| tell(client, "s", "parking", "park", json!({ "offset": n })), [200, 422]);
    assert_eq!(parked, [3, 5]);
    // Who is there already stays.
    client.get(&format!("{}/events?member=m1", path("s", "ordered"))).expect(200);
    Ok(())
}

/// As if a day had been taken back since.
const DAY_BACK: &str = "UPDATE consumer_leases SET until = until + interval '1 day' WHERE NOT done; \
                        UPDATE consumer_slots SET lease_until = lease_until + interval '1 day'; \
                        UPDATE consumer_members SET until = until + interval '1 day'";

fn a_clock_that_is_set_back_keeps_nothing_for_longer(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 3);
    make(client, "s", json!({ "name": "g", "ack_timeout": "1s" }));
    make(client, "s", json!({ "name": "long", "ack_timeout": "1h" }));
    make(client, "s", json!({ "name": "ordered", "ack_timeout": "1s", "ordered_by": "asset_id" }));
    for group in ["g", "long", "ordered"] {
        assert_eq!(offsets(&take(client, "s", group, "member=dead&limit=3")).len(), 3, "{group}");
    }
    let sql = env.sql();
    let back = Instant::now();
    sql.run(DAY_BACK);
    assert_eq!(offsets(&next(client, "s", "g", "member=n")), [0, 1, 2]);
    until("slots and members end as well", || {
        let soon = "SELECT (SELECT max(lease_until) FROM consumer_slots) < now() + interval '10 s' \
                    AND (SELECT max(until) FROM consumer_members) < now() + interval '10 s'";
        sql.one::<bool>(soon).then_some(())
    });
    let left = "SELECT extract(epoch FROM until - now())::bigint FROM consumer_leases JOIN consumer_groups USING (group_id) \
                WHERE name = 'long'";
    let (left, passed) = (sql.one::<i64>(left), i64::try_from(back.elapsed().as_secs())?);
    assert!((3599 - passed..=3601).contains(&left), "no less than it was given for: {left}, after {passed}");
    assert_eq!(offsets(&next(client, "s", "ordered", "member=n")).len(), 3);
    drop(tidegate);
    // A delay is shortened by as much as the clock was seen to go back.
    let given_back = Instant::now();
    sql.run("UPDATE consumer_leases SET lease = NULL, until = now() + interval '2 h'; UPDATE consumer_slots SET not_before = now() + interval '2 h'");
    let bound = include_str!("../../sql/queries/group_clock.sql");
    let mended = sql.rows(bound, &[&3_600_000_i64, &5000_i64]);
    assert!(mended[0].get::<_, i64>(0) >= 66, "each slot, and each lease");
    for (relation, column) in [("consumer_leases", "until"), ("consumer_slots", "not_before")] {
        let left: i64 = sql.one(&format!("SELECT extract(epoch FROM max({column}) - now())::bigint FROM {relation}"));
        let passed = i64::try_from(given_back.elapsed().as_secs())?;
        assert!((3599 - passed..=3600).contains(&left), "{relation}: {left}, after {passed}");
    }
    Ok(())
}
