//! Consumer groups against what nobody should ask: names and numbers at their bounds, forged cursors, and more than there may be.

use serde_json::{Value, json};

use crate::env::{Env, Test, TestResult};
use crate::groups::{NOTHING, commit, filled, make, next, offsets, path, show, take, tell};
use crate::samples::{array, encode};
use crate::streams::reaches;
use crate::tests;

pub const TESTS: &[Test] = tests!(
    numbers_at_their_bounds_are_refused,
    whatever_is_no_object_is_refused,
    forged_cursors_are_refused,
    names_are_whatever_a_stream_or_a_group_may_be_called,
    there_are_no_more_than_there_may_be,
    a_deleted_group_leaves_little,
    lists_are_as_long_as_there_is_memory,
    more_members_than_slots_share_what_there_is,
    a_large_batch_is_handed_out_once,
    what_may_be_handed_out_once_is_parked_by_itself,
);

const LARGEST: i64 = i64::MAX;

fn numbers_at_their_bounds_are_refused(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    filled(client, "s", 3);
    make(client, "s", json!({ "name": "alone" }));
    make(client, "s", json!({ "name": "g" }));
    make(client, "s", json!({ "name": "ordered", "ordered_by": "source_module" }));
    for group in ["g", "ordered"] {
        let lease = take(client, "s", group, "member=m")["lease"].clone();
        for offset in [LARGEST, LARGEST - 1, 3, -1, i64::MIN] {
            tell(client, "s", group, "nack", json!({ "lease": lease, "offset": offset })).problem(409, "lease_over");
            tell(client, "s", group, "park", json!({ "offset": offset })).problem(404, "not_found");
            tell(client, "s", group, "parked/replay", json!({ "offsets": [offset] })).problem(404, "not_found");
            tell(client, "s", group, "parked/drop", json!({ "offsets": [offset] })).problem(404, "not_found");
        }
        for delay in ["25h", "99999999999999999999d", "-1s", "1", ""] {
            tell(client, "s", group, "nack", json!({ "lease": lease, "delay": delay })).problem(400, "invalid_body");
        }
        for lease in ["9223372036854775807-9223372036854775807", "1-9223372036854775807", "0-0"] {
            for what in ["ack", "nack", "extend"] {
                tell(client, "s", group, what, json!({ "lease": lease })).problem(409, "lease_over");
            }
        }
        tell(client, "s", group, "ack", json!({ "lease": lease })).expect(200);
    }
    for (offset, status, code) in
        [(LARGEST, 400, "offset_past_end"), (4, 400, "offset_past_end"), (i64::MIN, 400, "invalid_body")]
    {
        let body = json!({ "next_offset": offset, "generation": 1 });
        tell(client, "s", "alone", "offset", body).problem(status, code);
    }
    for generation in [LARGEST, i64::MIN, 0] {
        let body = json!({ "next_offset": 0, "generation": generation });
        tell(client, "s", "alone", "offset", body).problem(409, "generation_over");
    }
    for (offset, code) in [
        (json!(LARGEST), "offset_past_end"),
        (json!(u64::MAX), "invalid_body"),
        (json!(-1), "invalid_body"),
        (json!(0.5), "invalid_body"),
    ] {
        tell(client, "s", "alone", "reset", json!({ "offset": offset })).problem(400, code);
    }
    for query in
        ["limit=0", "limit=18446744073709551616", "limit=-1", "wait=1h", "wait=-1s", "wait=99999999999999999999s"]
    {
        client.get(&format!("{}/events?{query}", path("s", "alone"))).problem(400, "invalid_parameter");
        client.get(&format!("/v1/streams/s/events?{query}")).problem(400, "invalid_parameter");
    }
    for place in ["offset=9223372036854775807", "offset=4"] {
        client.get(&format!("/v1/streams/s/events?{place}")).problem(400, "offset_past_end");
    }
    for place in ["offset=9223372036854775808", "offset=-1", "offset=%2B1", "offset=0x1", "offset="] {
        client.get(&format!("/v1/streams/s/events?{place}")).problem(400, "invalid_parameter");
    }
    assert_eq!(offsets(&take(client, "s", "alone", "wait=0&limit=1")), [0], "nothing of it changed anything");
    Ok(())
}

fn whatever_is_no_object_is_refused(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    filled(client, "s", 1);
    make(client, "s", json!({ "name": "g" }));
    let place = path("s", "g");
    let all = ["offset", "ack", "nack", "extend", "leave", "park", "parked/replay", "parked/drop", "reset"];
    for body in ["[]", "[1]", "1", "null", "true", "\"x\"", "[{}]"] {
        for what in all {
            client.post(&format!("{place}/{what}"), &[], body).problem(400, "invalid_body");
        }
        client.post("/v1/streams/s/groups", &[], body).problem(400, "invalid_body");
        client.send("PATCH", &place, &[], body.as_bytes())?.problem(400, "invalid_body");
    }
    for body in ["{", "\u{feff}{}", "NaN", "\u{0}"] {
        for what in all {
            client.post(&format!("{place}/{what}"), &[], body).problem(400, "body_not_json");
        }
    }
    for member in [json!("\u{0}"), json!("a\u{0}b"), json!(""), json!("x".repeat(101)), json!(null), json!(7)] {
        tell(client, "s", "g", "leave", json!({ "member": member })).problem(400, "invalid_body");
    }
    for (what, body) in [
        ("nack", json!({ "lease": "1-1", "error": "a\u{0}" })),
        ("park", json!({ "offset": 0, "reason": "\u{0}" })),
        ("ack", json!({ "lease": "1-\u{0}" })),
    ] {
        tell(client, "s", "g", what, body).problem(400, "invalid_body");
    }
    client.get(&format!("{place}/events?member=a%00")).problem(400, "invalid_parameter");
    client.get("/v1/streams/s%00/groups/g").problem(404, "not_found");
    client.get("/v1/streams/s/groups/%FF").problem(404, "not_found");
    assert_eq!(show(client, "s", "g")["committed"], 0);
    Ok(())
}

fn forged_cursors_are_refused(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    let other = tidegate.with(&env.key("other", "ingest,read,consume"));
    for (client, stream) in [(client, "s"), (client, "t"), (&other, "s")] {
        filled(client, stream, 3);
        make(client, stream, json!({ "name": "g" }));
    }
    let cursor = |client, stream| take(client, stream, "g", "limit=2")["cursor"].as_str().unwrap().to_owned();
    let (own, sibling, foreign) = (cursor(client, "s"), cursor(client, "t"), cursor(&other, "s"));
    let mut forged = vec![sibling, foreign.clone(), String::from("%"), "x".repeat(4000), format!("{own}{own}")];
    forged.extend((1..own.len()).map(|length| own[..length].to_owned()));
    forged.extend((0..own.len()).map(|at| {
        let mut bytes = own.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    }));
    for cursor in &forged {
        let quoted = encode(cursor);
        let body = json!({ "cursor": cursor, "generation": 1 });
        for answer in [
            client.get(&format!("/v1/streams/s/events?cursor={quoted}")),
            client.get(&format!("{}/events?cursor={quoted}", path("s", "g"))),
            tell(client, "s", "g", "offset", body),
            tell(client, "s", "g", "reset", json!({ "to": "cursor", "cursor": cursor, "dry_run": true })),
        ] {
            // What was changed may be read as another place of the same stream; it is none that there is not.
            let is_place = answer.status == 200 || answer.status == 410;
            assert!(is_place || answer.status == 400 || answer.status == 404, "{cursor}: {}", answer.text());
            let elsewhere = cursor == &forged[0] || cursor == &forged[1];
            assert!(!(elsewhere && is_place), "{cursor}: {}", answer.text());
        }
    }
    assert!(show(client, "s", "g")["committed"].as_i64().unwrap() <= 3);
    Ok(())
}

fn names_are_whatever_a_stream_or_a_group_may_be_called(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    let long = "𝔊".repeat(100);
    let names =
        ["a/b", "ü %2F", "..", ".", "*", "'; DROP TABLE events; --", "\"", "$1", "%00", "\\", "e\u{301}", " ", &long];
    for (n, name) in names.into_iter().enumerate() {
        let body =
            format!(r#"{{"stream":{},"event_type":"t","source_module":"m","payload":{{"n":{n}}}}}"#, Value::from(name));
        client.events(body).accepted(1, 0);
        reaches(client, &encode(name), 1);
        make(client, name, json!({ "name": name }));
        let taken = take(client, name, name, &format!("member={}", encode(name)));
        assert_eq!((offsets(&taken), &taken["events"][0]["payload"]["n"]), (vec![0], &json!(n)), "{name}");
        tell(client, name, name, "ack", json!({ "lease": taken["lease"] })).expect(200);
        tell(client, name, name, "leave", json!({ "member": name })).expect(200);
        assert_eq!(show(client, name, name)["name"], name);
        let listed = client.get(&format!("/v1/streams/{}/groups", encode(name))).expect(200);
        assert_eq!(listed["data"].as_array().unwrap().len(), 1, "{name}");
    }
    // No stream is called so, however its name is spelled.
    let random: String = (0..3000_u32).map(|n| char::from(b'a' + (n * n / 7 % 26) as u8)).collect();
    for name in ["x".repeat(101), "é".repeat(255), random] {
        let place = format!("/v1/streams/{}/groups", encode(&name));
        client.post(&place, &[], r#"{"name":"g"}"#).problem(400, "invalid_parameter");
        assert_eq!(client.get(&place).expect(200)["data"], json!([]));
        client.get(&format!("{place}/g")).problem(404, "not_found");
    }
    Ok(())
}

fn there_are_no_more_than_there_may_be(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 2);
    make(client, "s", json!({ "name": "g", "ordered_by": "source_module" }));
    let sql = env.sql();
    sql.run(
        "INSERT INTO consumer_members SELECT group_id, 'm' || n, now() + interval '1 hour' FROM consumer_groups, generate_series(1, 1000) n",
    );
    let full = client.get(&format!("{}/events?member=new", path("s", "g"))).problem(422, "group_quota");
    assert!(full["detail"].as_str().unwrap().contains("members"), "{full}");
    assert_eq!(sql.count("consumer_members"), 1000, "and it is not one of them");
    take(client, "s", "g", "member=m7");
    sql.run(
        "INSERT INTO consumer_parked (group_id, \"offset\", dead_letter_id, deliveries) \
         SELECT group_id, 1000 + n, gen_random_uuid(), 1 FROM consumer_groups, generate_series(1, 10000) n",
    );
    let full = tell(client, "s", "g", "park", json!({ "offset": 0 })).problem(422, "group_quota");
    assert!(full["detail"].as_str().unwrap().contains("parked"), "{full}");
    sql.run("DELETE FROM consumer_parked WHERE \"offset\" = 1001");
    tell(client, "s", "g", "park", json!({ "offset": 0 })).expect(200);
    // What a group says of itself is bounded, too.
    let types: Vec<String> = (0..100).map(|n| format!("{n:𝔊>50}")).collect();
    let many = json!({ "name": "h", "event_types": types });
    client.post("/v1/streams/s/groups", &[], many.to_string()).problem(400, "invalid_body");
    make(client, "s", json!({ "name": "h", "event_types": types[..40] }));
    sql.run(
        "INSERT INTO consumer_groups (tenant_id, stream, name, max_deliveries, ack_timeout_ms) \
         SELECT 'default', 'u', 'g' || n, 1, 1000 FROM generate_series(1, 998) n",
    );
    client.post("/v1/streams/s/groups", &[], r#"{"name":"i"}"#).problem(422, "group_quota");
    Ok(())
}

fn a_deleted_group_leaves_little(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 4);
    for n in 0..3 {
        make(client, "s", json!({ "name": "ordered", "ordered_by": "source_module" }));
        make(client, "s", json!({ "name": "shared" }));
        for group in ["ordered", "shared"] {
            assert!(!offsets(&take(client, "s", group, "member=m&limit=2")).is_empty(), "{n}");
            client.send("DELETE", &path("s", group), &[], &[])?.expect(204);
        }
    }
    let sql = env.sql();
    let left = ["consumer_slots", "consumer_members", "consumer_leases"].map(|table| sql.count(table));
    assert_eq!((left, sql.count("consumer_groups")), ([0, 0, 0], 6));
    Ok(())
}

/// What is listed is held, so that it takes no more than answers may.
fn lists_are_as_long_as_there_is_memory(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["limits.body_bytes=64KiB", "limits.memory_bytes=512KiB"]);
    let client = &tidegate.client;
    filled(client, "s", 30);
    for n in 0..12 {
        make(client, "s", json!({ "name": format!("g{n:02}") }));
    }
    (0..20).for_each(|offset| drop(tell(client, "s", "g00", "park", json!({ "offset": offset })).expect(200)));
    for (list, count) in [("/v1/streams/s/groups".to_owned(), 12), (format!("{}/parked", path("s", "g00")), 20)] {
        let (mut found, mut pages, mut cursor) = (0, 0, String::new());
        loop {
            let page = client.get(&format!("{list}?limit=1000{cursor}")).expect(200);
            found += page["data"].as_array().unwrap().len();
            pages += 1;
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={}", encode(next));
        }
        assert!(found == count && pages > 1, "{list}: {found} on {pages} pages");
    }
    Ok(())
}

fn more_members_than_slots_share_what_there_is(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let items = (0..200).map(|n| {
        format!(r#"{{"stream":"s","event_type":"t","source_module":"m","asset_id":"k{n}","payload":{{"n":{n}}}}}"#)
    });
    client.events(array(items)).accepted(200, 0);
    reaches(client, "s", 200);
    make(client, "s", json!({ "name": "g", "ordered_by": "asset_id" }));
    let mut found = Vec::new();
    // Each comes, again and again, and none takes more than a slot once all have come.
    for _ in 0..3 {
        for member in 0..70 {
            let taken = take(client, "s", "g", &format!("member=m{member}&limit=1000"));
            if taken["lease"].is_string() {
                found.extend(offsets(&taken));
                tell(client, "s", "g", "ack", json!({ "lease": taken["lease"] })).expect(200);
            }
        }
    }
    found.sort_unstable();
    assert_eq!(found, (0..200).collect::<Vec<_>>());
    let group = show(client, "s", "g");
    assert_eq!((&group["members"], &group["lag"]), (&json!(70), &json!(0)), "{group}");
    let most: i64 = env.sql().one("SELECT max(count) FROM (SELECT count(*) FROM consumer_slots GROUP BY member) s");
    assert_eq!(most, 1);
    Ok(())
}

/// One request of many ordinals, and one large event in the middle of them.
fn a_large_batch_is_handed_out_once(env: &Env) -> TestResult {
    const COUNT: usize = 20_000;
    let tidegate = env.serve();
    let client = &tidegate.client;
    let large = "x".repeat(1 << 20);
    let items = (0..COUNT).map(|n| {
        let text = if n == COUNT / 2 { &*large } else { "" };
        format!(r#"{{"stream":"s","event_type":"t","source_module":"m","payload":{{"t":"{text}"}}}}"#)
    });
    client.events(array(items)).accepted(COUNT as u64, 0);
    reaches(client, "s", i64::try_from(COUNT).unwrap());
    make(client, "s", json!({ "name": "g" }));
    make(client, "s", json!({ "name": "alone" }));
    let (mut shared, mut alone) = (Vec::new(), Vec::new());
    while shared.len() < COUNT {
        let taken = take(client, "s", "g", &format!("member=m{}&limit=1000", shared.len() % 3));
        assert_ne!(offsets(&taken), NOTHING);
        shared.extend(offsets(&taken));
        tell(client, "s", "g", "ack", json!({ "lease": taken["lease"] })).expect(200);
        let taken = take(client, "s", "alone", "limit=1000");
        alone.extend(offsets(&taken));
        commit(client, "s", "alone", &taken).expect(200);
    }
    shared.sort_unstable();
    let every: Vec<i64> = (0..i64::try_from(COUNT).unwrap()).collect();
    assert!(shared == every);
    while alone.len() < COUNT {
        let taken = take(client, "s", "alone", "limit=1000");
        assert_ne!(offsets(&taken), NOTHING);
        alone.extend(offsets(&taken));
        commit(client, "s", "alone", &taken).expect(200);
    }
    assert!(alone == every, "in order");
    Ok(())
}

fn what_may_be_handed_out_once_is_parked_by_itself(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    filled(client, "s", 3);
    for (name, query) in [("alone", ""), ("g", "member=m"), ("ordered", "member=m")] {
        let by = if name == "ordered" { json!("source_module") } else { json!(null) };
        make(client, "s", json!({ "name": name, "max_deliveries": 1, "ack_timeout": "100ms", "ordered_by": by }));
        // Who asks for the head of an answer is not handed anything.
        let head = client.send("HEAD", &format!("{}/events?{query}", path("s", name)), &[], &[])?;
        assert_eq!(head.status, 405, "{name}");
        let mut given = Vec::new();
        while given.len() < 3 {
            let taken = next(client, "s", name, query);
            assert!(offsets(&taken).len() == 1 && taken["deliveries"] == 1, "{name}: {taken}");
            given.extend(offsets(&taken));
        }
        assert_eq!(given, [0, 1, 2], "{name}: each once, by itself");
        // The last one is parked when somebody asks for what is next.
        crate::env::until("all are parked", || {
            assert_eq!(offsets(&take(client, "s", name, query)), NOTHING, "{name}");
            (show(client, "s", name)["parked"] == 3).then_some(())
        });
    }
    Ok(())
}
