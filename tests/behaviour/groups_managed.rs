//! Consumer groups that are put somewhere else, paused, deleted, narrowed; and events that are parked.

use serde_json::{Value, json};

use crate::env::{Env, Test, TestResult, until};
use crate::groups::{NOTHING, commit, filled, make, next, offsets, path, show, take, tell, wait};
use crate::samples::{array, event_with, seconds_from_now};
use crate::streams::{follow, reaches};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    a_group_is_put_somewhere_else,
    a_paused_group_hands_out_nothing,
    a_deleted_group_is_gone_and_its_name_free,
    only_what_is_wanted_is_handed_out,
    an_event_that_is_never_committed_is_parked,
    parked_events_are_replayed_and_dropped,
);

fn a_group_is_put_somewhere_else(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    for (first, ago_s) in [(0, 3000), (3, 2000), (6, 1000)] {
        let at = seconds_from_now(-ago_s);
        let items = (first..first + 3).map(|n| event_with(n, &format!(r#""stream":"s","timestamp":"{at}""#)));
        client.events(array(items)).accepted(3, 0);
        reaches(client, "s", i64::try_from(first + 3).unwrap());
    }
    make(client, "s", json!({ "name": "g" }));
    let five = take(client, "s", "g", "limit=5");
    commit(client, "s", "g", &five).expect(200);
    let reset = |query: &str, body: Value| {
        client.post(&format!("{}/reset{query}", path("s", "g")), &[], body.to_string()).expect(200)
    };
    let counted =
        |reset: &Value| json!([reset["from"], reset["to"], reset["again"], reset["skipped"], reset["events"]]);
    for (query, body) in [
        ("?dry_run", json!({ "to": "earliest" })),
        ("?dry_run=true", json!({ "offset": 0 })),
        ("", json!({ "to": "earliest", "dry_run": true })),
    ] {
        let dry = reset(query, body);
        assert_eq!((counted(&dry), &dry["generation"]), (json!([5, 0, 5, 0, 5]), &json!(1)), "{dry}");
    }
    assert_eq!(counted(&reset("?dry_run", json!({ "to": "latest" }))), json!([5, 9, 0, 4, 4]));
    assert_eq!(offsets(&take(client, "s", "g", "limit=1")), [5], "nothing has changed");
    let zombies = take(client, "s", "g", "");
    let done = reset("", json!({ "to": "latest" }));
    assert_eq!((counted(&done), &done["generation"]), (json!([5, 9, 0, 4, 4]), &json!(2)), "{done}");
    commit(client, "s", "g", &zombies).problem(409, "generation_over");
    assert_eq!(offsets(&take(client, "s", "g", "")), NOTHING);
    // All since then.
    let since = seconds_from_now(-1500);
    for body in
        [json!({ "to": "timestamp", "timestamp": since }), json!({ "to": since }), json!({ "timestamp": since })]
    {
        assert_eq!(counted(&reset("", body))[1], 6);
        assert_eq!(offsets(&take(client, "s", "g", "")), [6, 7, 8]);
    }
    assert_eq!(counted(&reset("", json!({ "to": "-40m" })))[1], 3);
    assert_eq!(counted(&reset("", json!({ "to": "now" })))[1], 9, "nothing is that new");
    let cursor = five["cursor"].clone();
    for body in [json!({ "to": "cursor", "cursor": cursor }), json!({ "to": cursor }), json!({ "cursor": cursor })] {
        assert_eq!(counted(&reset("", body))[1], 5);
    }
    assert_eq!(offsets(&take(client, "s", "g", "")), [5, 6, 7, 8]);
    tell(client, "s", "g", "reset", json!({ "offset": 10 })).problem(400, "offset_past_end");
    // What a field is called is what is meant: an epoch is no offset, and no word is a cursor.
    for (epoch, to) in [(json!("5"), 0), (json!(5), 0), (json!("4102444800"), 9), (json!(4_102_444_800_000_i64), 9)] {
        let dry = reset("?dry_run", json!({ "timestamp": epoch }));
        assert_eq!(dry["to"], to, "{epoch}: {dry}");
    }
    for wrong in [json!({ "timestamp": "latest" }), json!({ "timestamp": true }), json!({ "timestamp": -5 })] {
        tell(client, "s", "g", "reset", wrong).problem(400, "invalid_body");
    }
    for wrong in ["latest", "5"] {
        tell(client, "s", "g", "reset", json!({ "cursor": wrong })).problem(400, "invalid_parameter");
    }
    tell(client, "s", "g", "reset", json!({ "to": "cursor", "timestamp": 5 })).problem(400, "invalid_body");
    tell(client, "s", "g", "reset", json!({ "offset": u64::MAX })).problem(400, "invalid_body");
    for wrong in [json!({}), json!({ "to": "cursor" }), json!({ "to": "latest", "offset": 1 }), json!({ "to": "" })] {
        tell(client, "s", "g", "reset", wrong).problem(400, "invalid_body");
    }
    tell(client, "s", "g", "reset", json!({ "to": "nowhere" })).problem(400, "invalid_parameter");
    Ok(())
}

fn a_paused_group_hands_out_nothing(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 4);
    make(client, "s", json!({ "name": "g" }));
    let taken = take(client, "s", "g", "limit=2");
    let paused = tell(client, "s", "g", "pause", json!({})).expect(200);
    assert!(paused["paused"] == true && paused["paused_at"].is_string(), "{paused}");
    for query in ["", "member=m", "wait=200ms"] {
        let nothing = take(client, "s", "g", query);
        assert_eq!((offsets(&nothing), &nothing["paused"]), (vec![], &json!(true)), "{query}");
    }
    assert_eq!(commit(client, "s", "g", &taken).expect(200)["committed"], 2, "what is out comes to its end");
    let waiting = {
        let client = client.clone();
        std::thread::spawn(move || wait(&client, "s", "g", "member=m"))
    };
    follow(client, 1);
    assert_eq!(tell(client, "s", "g", "resume", json!({})).expect(200)["paused"], false);
    assert_eq!(offsets(&waiting.join().unwrap()), [2, 3]);
    Ok(())
}

fn a_deleted_group_is_gone_and_its_name_free(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 4);
    make(client, "s", json!({ "name": "g" }));
    let old = take(client, "s", "g", "");
    let lease = take(client, "s", "g", "member=m");
    client.send("DELETE", &path("s", "g"), &[], &[])?.expect(204);
    client.send("DELETE", &path("s", "g"), &[], &[])?.problem(404, "not_found");
    client.get(&format!("{}/events", path("s", "g"))).problem(404, "not_found");
    commit(client, "s", "g", &old).problem(404, "not_found");
    // Another of its name is another.
    let again = make(client, "s", json!({ "name": "g" }));
    assert_eq!(again["committed"], 0);
    commit(client, "s", "g", &old).problem(409, "generation_over");
    tell(client, "s", "g", "ack", json!({ "lease": lease["lease"] })).problem(409, "lease_over");
    assert_eq!(offsets(&take(client, "s", "g", "")), [0, 1, 2, 3]);
    let sql = env.sql();
    assert_eq!(sql.count("consumer_groups"), 2, "it is kept for a while");
    sql.run("UPDATE consumer_groups SET deleted_at = deleted_at - interval '31 days' WHERE deleted_at IS NOT NULL");
    until("what it had is gone", || {
        (sql.count("consumer_groups") == 1 && sql.count("consumer_offsets") == 1).then_some(())
    });
    Ok(())
}

fn only_what_is_wanted_is_handed_out(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    // Every fiftieth of many.
    for first in (0..3000).step_by(1000) {
        let items = (first..first + 1000).map(|n| {
            let kind = if n % 50 == 7 { "rare" } else { "common" };
            format!(r#"{{"stream":"s","event_type":"{kind}","source_module":"tests","payload":{{"n":{n}}}}}"#)
        });
        client.events(array(items)).accepted(1000, 0);
    }
    reaches(client, "s", 3000);
    let rare: Vec<i64> = (0..60).map(|k| k * 50 + 7).collect();
    for (name, member) in [("alone", ""), ("shared", "&member=m")] {
        make(client, "s", json!({ "name": name, "event_types": ["rare", "none"] }));
        let mut found = Vec::new();
        while found.len() < 60 {
            let taken = next(client, "s", name, &format!("limit=25{member}"));
            found.extend(offsets(&taken));
            match taken["lease"].as_str() {
                Some(lease) => drop(tell(client, "s", name, "ack", json!({ "lease": lease })).expect(200)),
                None => drop(commit(client, "s", name, &taken).expect(200)),
            }
        }
        assert_eq!(found, rare, "{name}");
        assert_eq!(offsets(&take(client, "s", name, &member.replace('&', ""))), NOTHING);
        until("it has passed what it does not want", || (show(client, "s", name)["lag"] == 0).then_some(()));
    }
    // From now on others.
    let altered =
        client.send("PATCH", &path("s", "alone"), &[], br#"{"event_types":["common"],"ack_timeout":"5m"}"#)?;
    assert_eq!(
        (&altered.expect(200)["event_types"], &altered.json()["ack_timeout"]),
        (&json!(["common"]), &json!("300s"))
    );
    tell(client, "s", "alone", "reset", json!({ "offset": 2950 })).expect(200);
    let taken = take(client, "s", "alone", "");
    assert_eq!((offsets(&taken).len(), offsets(&taken).contains(&2957)), (49, false));
    Ok(())
}

fn an_event_that_is_never_committed_is_parked(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    filled(client, "s", 4);
    make(client, "s", json!({ "name": "g", "max_deliveries": 3 }));
    make(client, "s", json!({ "name": "never", "max_deliveries": 0 }));
    let deliveries = |taken: &Value| (offsets(taken), taken["deliveries"].as_i64().unwrap());
    // A reader that dies of what it reads.
    for n in 1..=2 {
        assert_eq!(deliveries(&take(client, "s", "g", "")), (vec![0, 1, 2, 3], n));
    }
    assert_eq!(deliveries(&take(client, "s", "g", "")), (vec![0], 3), "the last time it comes alone");
    let on = take(client, "s", "g", "");
    assert_eq!(deliveries(&on), (vec![1, 2, 3], 1), "it is parked, and the group goes on");
    commit(client, "s", "g", &on).expect(200);
    let group = show(client, "s", "g");
    assert_eq!((&group["lag"], &group["parked"]), (&json!(0), &json!(1)), "{group}");
    let parked = client.get(&format!("{}/parked", path("s", "g"))).expect(200);
    let [event] = &parked["data"].as_array().unwrap()[..] else { panic!("{parked}") };
    assert_eq!(
        (&event["offset"], &event["code"], &event["deliveries"]),
        (&json!(0), &json!("max_deliveries"), &json!(3))
    );
    assert_eq!((&event["event"]["payload"]["n"], &event["event"]["offset"]), (&json!(0), &json!(0)), "{event}");
    // It is a dead letter, of its own stage.
    let letters = client.get("/v1/dead-letters?stage=consume").expect(200);
    let letter = &letters["data"][0];
    assert_eq!((&letter["id"], &letter["code"]), (&event["id"], &json!("max_deliveries")), "{letters}");
    let about = json!({ "stream": "s", "group": "g", "offset": 0 });
    assert_eq!((&letter["parameters"], &letter["event_id"]), (&about, &event["event"]["id"]));
    // It is its group's to replay, and no sender's item.
    let id = letter["id"].as_str().unwrap();
    let refused = client.post(&format!("/v1/dead-letters/{id}/replay"), &[], "").problem(422, "not_replayable");
    assert!(refused["detail"].as_str().unwrap().contains("/v1/streams/s/groups/g/parked/replay"), "{refused}");
    let by_filter = client.post("/v1/dead-letters/replay", &[], "").expect(200);
    assert_eq!((&by_filter["stored"], &by_filter["refused"]), (&json!(0), &json!(0)), "{by_filter}");
    for _ in 0..8 {
        assert_eq!(offsets(&take(client, "s", "never", "")), [0, 1, 2, 3]);
    }
    Ok(())
}

fn parked_events_are_replayed_and_dropped(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 6);
    make(client, "s", json!({ "name": "g", "max_deliveries": 2 }));
    make(client, "s", json!({ "name": "other" }));
    for (offset, before) in [(1, false), (4, false), (2, false), (4, true)] {
        let parked = tell(client, "s", "g", "park", json!({ "offset": offset, "reason": "not now" })).expect(200);
        assert_eq!(parked["before"], before, "{offset}");
    }
    tell(client, "s", "g", "park", json!({ "offset": 6 })).problem(404, "not_found");
    let taken = take(client, "s", "g", "");
    assert_eq!(offsets(&taken), [0, 3, 5], "they are passed over");
    assert_eq!(offsets(&take(client, "s", "other", "")), [0, 1, 2, 3, 4, 5], "by this group alone");
    commit(client, "s", "g", &taken).expect(200);
    let parked = |query: &str| client.get(&format!("{}/parked?{query}", path("s", "g"))).expect(200);
    let at = |listed: &Value| -> Vec<i64> {
        listed["data"].as_array().unwrap().iter().map(|event| event["offset"].as_i64().unwrap()).collect()
    };
    let first = parked("limit=2");
    assert_eq!((at(&first), &first["data"][0]["reason"]), (vec![1, 2], &json!("not now")));
    assert_eq!(at(&parked(&format!("cursor={}", first["next_cursor"].as_str().unwrap()))), [4]);

    // One comes again under a lease, and is acknowledged.
    let replayed = tell(client, "s", "g", "parked/replay", json!({ "offsets": [2] })).expect(200);
    assert_eq!(replayed, json!({ "replayed": 1, "left": 2 }));
    let again = take(client, "s", "g", "");
    assert!(offsets(&again) == [2] && again["lease"].is_string(), "{again}");
    tell(client, "s", "g", "ack", json!({ "lease": again["lease"] })).expect(200);
    assert_eq!((at(&parked("")), offsets(&take(client, "s", "g", ""))), (vec![1, 4], vec![]));
    let outcome =
        |outcome: &str| client.get(&format!("/v1/dead-letters?outcome={outcome}")).expect(200)["data"].clone();
    assert_eq!(outcome("consumed")[0]["parameters"]["offset"], 2);

    // One that fails again stays parked.
    tell(client, "s", "g", "parked/replay", json!({ "offsets": [1] })).expect(200);
    for error in ["no", "no again"] {
        let taken = take(client, "s", "g", "");
        assert_eq!(offsets(&taken), [1]);
        tell(client, "s", "g", "nack", json!({ "lease": taken["lease"], "error": error })).expect(200);
    }
    assert_eq!(offsets(&take(client, "s", "g", "")), NOTHING);
    let one = parked("limit=1");
    let [event] = &one["data"].as_array().unwrap()[..] else { panic!("{one}") };
    assert_eq!((&event["offset"], &event["state"], &event["outcome"]), (&json!(1), &json!("parked"), &json!("failed")));
    assert!(event["outcome_detail"].as_str().unwrap().contains("no again"), "{event}");

    // All that is left is given up.
    assert_eq!(
        tell(client, "s", "g", "parked/drop", json!({ "all": true })).expect(200),
        json!({ "dropped": 2, "left": 0 })
    );
    assert_eq!((at(&parked("")), outcome("dropped").as_array().unwrap().len()), (vec![], 2));
    tell(client, "s", "g", "parked/replay", json!({ "offsets": [1] })).problem(404, "not_found");
    assert_eq!(tell(client, "s", "g", "parked/replay", json!({ "all": true })).expect(200)["replayed"], 0);
    for wrong in [json!({}), json!({ "offsets": [] }), json!({ "offsets": [1], "all": true })] {
        tell(client, "s", "g", "parked/replay", wrong).problem(400, "invalid_body");
    }
    let sql = env.sql();
    until("what the group has passed is forgotten", || (sql.count("consumer_parked") == 0).then_some(()));
    // Put back to the beginning it reads all, also what was consumed and given up.
    tell(client, "s", "g", "reset", json!({ "to": "earliest" })).expect(200);
    assert_eq!(offsets(&take(client, "s", "g", "")), [0, 1, 2, 3, 4, 5]);
    Ok(())
}
