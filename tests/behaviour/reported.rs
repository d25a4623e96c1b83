//! What users of other brokers, queues and event stores have reported of them, tried here. Each names its reports.

use std::time::Instant;

use serde_json::{Value, json};

use crate::client::Client;
use crate::env::{Env, Test, TestResult, until};
use crate::groups::{self, NOTHING, commit, filled, make, offsets, path, show, take, tell, wait};
use crate::postgres::SUPERUSER;
use crate::server_sent::Feed;
use crate::streams::{follow, next, node, numbers, page, reaches, send};
use crate::tests;
use crate::waits::waits;

pub const TESTS: &[Test] = tests!(
    a_replayed_event_is_parked_again_when_it_is_said_so,
    a_replay_moves_no_group_and_comes_once,
    a_group_at_the_end_misses_nothing_before_its_first_commit,
    what_an_older_generation_says_moves_nothing,
    who_waits_is_reached_when_messages_were_lost,
    a_full_queue_of_messages_stops_nobody,
    who_comes_back_too_late_is_told,
    what_was_handed_out_once_is_no_redelivery,
);

fn parked(client: &Client, group: &str) -> Vec<Value> {
    client.get(&format!("{}/parked", path("s", group))).expect(200)["data"].as_array().unwrap().clone()
}

fn park(client: &Client, group: &str, offset: i64, reason: &str) -> Value {
    tell(client, "s", group, "park", json!({ "offset": offset, "reason": reason })).expect(200)
}

/// The kinds of groups: name, settings, and how a member asks.
fn kinds(client: &Client, settings: &Value) -> [(&'static str, &'static str); 3] {
    let kinds = [("alone", "limit=100"), ("shared", "member=m"), ("ordered", "member=m")];
    for (group, _) in kinds {
        let mut settings = settings.clone();
        settings["name"] = json!(group);
        if group == "ordered" {
            settings["ordered_by"] = json!("source_module");
        }
        make(client, "s", settings);
    }
    kinds
}

/// KurrentDB 3692: an event whose lease ran out is parked by both that had it, and was listed twice. 3696: replayed together with
/// others and given up again on purpose, it was handed out as often as it may be all the same.
fn a_replayed_event_is_parked_again_when_it_is_said_so(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    filled(client, "s", 6);
    for (group, query) in kinds(client, &json!({ "ack_timeout": "10m" })) {
        for offset in [1, 2, 4] {
            assert_eq!(park(client, group, offset, "first")["before"], false, "{group}");
            assert_eq!(park(client, group, offset, "again")["before"], true, "{group}");
        }
        assert_eq!(parked(client, group).len(), 3, "{group}: each once");
        tell(client, "s", group, "parked/replay", json!({ "all": true })).expect(200);
        let mut again = Vec::new();
        for _ in 0..3 {
            let taken = take(client, "s", group, query);
            let [offset] = offsets(&taken)[..] else { panic!("{group}: {taken}") };
            again.push(offset);
            // Given up again: its lease ends by that.
            assert_eq!(park(client, group, offset, "still broken")["before"], false, "{group}, {offset}");
            tell(client, "s", group, "ack", json!({ "lease": taken["lease"] })).problem(409, "lease_over");
        }
        again.sort_unstable();
        assert_eq!(again, [1, 2, 4], "{group}");
        let listed = parked(client, group);
        assert_eq!(listed.len(), 3, "{group}");
        for event in &listed {
            let said = ["state", "outcome", "outcome_detail"].map(|name| &event[name]);
            assert_eq!(said, [&json!("parked"), &json!("failed"), &json!("still broken")], "{group}: {event}");
        }
        // It does not come a second time; the others do.
        let rest = take(client, "s", group, query);
        assert_eq!(offsets(&rest), [0, 3, 5], "{group}");
        // Replayed and taken at last it is done with; what is parked after that is parked once more.
        tell(client, "s", group, "parked/replay", json!({ "offsets": [2] })).expect(200);
        let taken = take(client, "s", group, query);
        assert_eq!(offsets(&taken), [2], "{group}");
        tell(client, "s", group, "ack", json!({ "lease": taken["lease"] })).expect(200);
        tell(client, "s", group, "parked/drop", json!({ "offsets": [1] })).expect(200);
        for offset in [1, 2] {
            assert_eq!(park(client, group, offset, "for later")["before"], false, "{group}, {offset}");
        }
        let listed = parked(client, group);
        let reasons: Vec<&Value> = listed.iter().map(|event| &event["reason"]).collect();
        assert_eq!(reasons, ["for later", "for later", "first"], "{group}");
        tell(client, "s", group, "parked/drop", json!({ "all": true })).expect(200);
    }
    Ok(())
}

/// KurrentDB 500, 3449: replays of parked events moved the subscription's checkpoint, and events were lost or it stood still. 3844,
/// 1438: replaying where nothing is parked replayed what had been, or blocked the next replay.
fn a_replay_moves_no_group_and_comes_once(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    filled(client, "s", 6);
    for (group, query) in kinds(client, &json!({})) {
        let none = tell(client, "s", group, "parked/replay", json!({ "all": true })).expect(200);
        assert_eq!((&none["replayed"], &none["left"]), (&json!(0), &json!(0)), "{group}");
        park(client, group, 5, "later");
        tell(client, "s", group, "parked/replay", json!({ "all": true })).expect(200);
        let replayed = take(client, "s", group, query);
        assert_eq!((offsets(&replayed), &replayed["next_offset"]), (vec![5], &json!(0)), "{group}");
        // What comes with it passes nothing, also where a member commits it as it does other answers.
        if group != "ordered" {
            assert_eq!(commit(client, "s", group, &replayed).expect(200)["committed"], 0, "{group}");
        }
        if group == "alone" {
            tell(client, "s", group, "nack", json!({ "lease": replayed["lease"] })).expect(200);
            let ahead = page(client, "s", "limit=3")["cursor"].as_str().unwrap().to_owned();
            let replayed = take(client, "s", group, &format!("cursor={ahead}"));
            assert_eq!(
                (offsets(&replayed), &replayed["next_offset"]),
                (vec![5], &json!(3)),
                "who reads on goes on there"
            );
            tell(client, "s", group, "ack", json!({ "lease": replayed["lease"] })).expect(200);
            tell(client, "s", group, "ack", json!({ "lease": replayed["lease"] })).problem(409, "lease_over");
        } else {
            tell(client, "s", group, "ack", json!({ "lease": replayed["lease"] })).expect(200);
        }
        assert_eq!(show(client, "s", group)["committed"], 0, "{group}");
        let none = tell(client, "s", group, "parked/replay", json!({ "all": true })).expect(200);
        assert_eq!(none["replayed"], 0, "{group}");
        let rest = take(client, "s", group, query);
        assert_eq!(offsets(&rest), [0, 1, 2, 3, 4], "{group}: nothing is lost, and 5 is done with");
        let done = match group {
            "alone" => commit(client, "s", group, &rest),
            _ => tell(client, "s", group, "ack", json!({ "lease": rest["lease"] })),
        };
        done.expect(200);
        assert_eq!(offsets(&take(client, "s", group, query)), NOTHING, "{group}");
        until("it has passed all", || (show(client, "s", group)["lag"] == 0).then_some(()));
    }
    Ok(())
}

/// ruby-kafka 215: a group that begins at the latest and has committed nothing yet asks for the latest with each fetch, and so misses what
/// comes between two of them.
fn a_group_at_the_end_misses_nothing_before_its_first_commit(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    filled(client, "s", 3);
    let kinds = kinds(client, &json!({ "start": "latest" }));
    for (group, query) in kinds {
        assert_eq!(offsets(&take(client, "s", group, &format!("{query}&wait=200ms"))), NOTHING);
    }
    send(client, "s", 3, 2);
    reaches(client, "s", 5);
    for (group, query) in kinds {
        assert_eq!(offsets(&take(client, "s", group, query)), [3, 4], "{group}");
    }
    // Who has no group goes on with the cursor that it was given, though nothing had come.
    let end = page(client, "s", "offset=latest&wait=200ms");
    send(client, "s", 5, 1);
    let on = next(client, "s", &format!("cursor={}", end["cursor"].as_str().unwrap()));
    assert_eq!(numbers(&on), [(5, 5)]);
    Ok(())
}

/// kafka-go 1308: who has lost its place commits what it had, and the next one begins ahead of, or behind, what it should. Sarama 1543:
/// both handle the same.
fn what_an_older_generation_says_moves_nothing(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let other = node(env, 2);
    filled(client, "s", 9);
    make(client, "s", json!({ "name": "g" }));
    let old = take(client, "s", "g", "limit=6");
    let taken_over = tell(&other.client, "s", "g", "takeover", json!({})).expect(200);
    let new = take(&other.client, "s", "g", "limit=3");
    assert_eq!((offsets(&new), &new["generation"]), (vec![0, 1, 2], &taken_over["generation"]));
    commit(client, "s", "g", &old).problem(409, "generation_over");
    assert_eq!(commit(&other.client, "s", "g", &new).expect(200)["committed"], 3);
    commit(client, "s", "g", &old).problem(409, "generation_over");
    // Neither further nor back.
    let back = json!({ "next_offset": 0, "generation": old["generation"] });
    tell(client, "s", "g", "offset", back).problem(409, "generation_over");
    assert_eq!(offsets(&take(&other.client, "s", "g", "limit=2")), [3, 4]);
    Ok(())
}

/// River 1358, Hangfire.PostgreSql 410, Oban 832: the session that listens is ended, what is said meanwhile is lost, and who waits is
/// never told.
fn who_waits_is_reached_when_messages_were_lost(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 3);
    make(client, "s", json!({ "name": "g", "start": "latest" }));
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND application_name = 'tidegate listener'";
    let sql = env.sql_as(SUPERUSER);
    std::thread::scope(|scope| {
        let member = scope.spawn(|| wait(client, "s", "g", "member=m"));
        let reader = scope.spawn(|| waits(client, "/v1/streams/s/events?offset=3&wait=30s", &[]).expect(200));
        follow(client, 2);
        until("nobody listens", || {
            // Again and again, so that it is not there when the event comes.
            (sql.rows(end, &[]).is_empty()).then_some(())
        });
        let sent = Instant::now();
        send(client, "s", 3, 1);
        assert_eq!(offsets(&member.join().unwrap()), [3]);
        assert_eq!(numbers(&reader.join().unwrap()), [(3, 3)]);
        println!("{}: reached {:?} after the event, with nobody listening", env.engine.as_str(), sent.elapsed());
    });
    // And it listens again.
    until("it listens", || (!sql.rows(end, &[]).is_empty()).then_some(()));
    Ok(())
}

/// tls-observatory 109: somebody listens and keeps a transaction open, the server's queue of messages fills up, and each commit with one
/// fails. Here the sequencer must go on: the trigger says what the server would.
fn a_full_queue_of_messages_stops_nobody(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    send(client, "s", 0, 2);
    reaches(client, "s", 2);
    make(client, "s", json!({ "name": "g", "start": "latest" }));
    let sql = env.sql();
    sql.run(
        "CREATE FUNCTION full_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           IF current_query() LIKE '%pg_notify%' THEN \
             RAISE EXCEPTION 'too many notifications in the NOTIFY queue' USING ERRCODE = '54000'; \
           END IF; RETURN NULL; END $$; \
         CREATE TRIGGER full_up AFTER INSERT ON batch_log FOR EACH STATEMENT EXECUTE FUNCTION full_up()",
    );
    send(client, "s", 2, 2);
    assert_eq!(numbers(&next(client, "s", "offset=2")), [(2, 2), (3, 3)]);
    assert_eq!(offsets(&groups::next(client, "s", "g", "member=m")), [2, 3]);
    until("it is said", || tidegate.log().contains("the server's NOTIFY queue is full").then_some(()));
    sql.run("DROP TRIGGER full_up ON batch_log");
    send(client, "s", 4, 1);
    reaches(client, "s", 5);
    Ok(())
}

/// WHATWG 8297: a browser that comes back after what it saw last has expired is not told that it has missed something.
fn who_comes_back_too_late_is_told(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 6);
    let mut feed = Feed::of(client, "offset=0&limit=1", "");
    let (last, event) = feed.next().expect("an event");
    assert_eq!(event["offset"], 0);
    let aged =
        "min_timestamp = min_timestamp - interval '400 days', max_timestamp = max_timestamp - interval '400 days'";
    let sql = env.sql();
    let first: i64 = sql.one("SELECT batch_id FROM batch_log WHERE base = 0");
    sql.run(&format!(
        "UPDATE batch_log SET {aged} WHERE base = 0; UPDATE ingest_batches SET {aged} WHERE batch_id = {first}"
    ));
    env.cli(&["lifecycle", "run", "--json"]).json();
    let headers = [("accept", "text/event-stream"), ("last-event-id", &*last)];
    let gone = client.get_as("/v1/streams/s/events?offset=latest", &headers).problem(410, "offset_gone");
    assert_eq!((&gone["begin"], &gone["next_offset"]), (&json!(3), &json!(3)), "{gone}");
    let on = format!("last-event-id: {}\r\n", gone["cursor"].as_str().unwrap());
    assert_eq!(Feed::of(client, "limit=1", &on).next().expect("an event").1["offset"], 3);
    Ok(())
}

/// nats-server 6874: with one delivery at most, what was never handed out again is counted as redelivered. 6093: what a consumer held
/// that died is counted as held for ever.
fn what_was_handed_out_once_is_no_redelivery(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 3);
    for (group, query) in kinds(client, &json!({ "max_deliveries": 1, "ack_timeout": "300ms" })) {
        // Asked for three times, and never acknowledged.
        until("all three are parked", || {
            take(client, "s", group, &format!("{query}&wait=500ms"));
            (show(client, "s", group)["parked"] == 3).then_some(())
        });
        let group = until("nothing is held", || {
            let group = show(client, "s", group);
            (group["leases"] == 0 && group["lag"] == 0).then_some(group)
        });
        assert_eq!(group["redeliveries"], 0, "{group}");
    }
    let redelivered = "tidegate_group_redeliveries_total ";
    let metrics = client.get("/metrics").text().to_owned();
    let count = metrics.lines().find_map(|line| line.strip_prefix(redelivered));
    assert!(count.is_none_or(|count| count == "0"), "{count:?}");
    Ok(())
}
