//! Ordered consumer groups: what is of one key is handed out in order, and to one member at a time, however members come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use crate::client::Client;
use crate::env::{DEADLINE, Env, Test, TestResult, until};
use crate::groups::{NOTHING, at_last, make, next, offsets, path, show, take, tell};
use crate::samples::{array, event_with};
use crate::streams::{node, reaches};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    a_key_is_one_members_and_in_order,
    members_come_and_go_at_two_nodes,
    the_slots_of_who_is_silent_are_others,
    what_is_given_back_comes_before_what_follows,
    what_comes_too_often_is_parked_and_its_key_goes_on,
    keys_are_of_the_columns_that_may_be_named,
    a_reset_puts_every_slot_there,
);

/// Sends events of these keys, one after the other; `n` counts within a key.
fn send_keys(client: &Client, keys: &[&str], rounds: std::ops::Range<usize>) {
    for n in rounds {
        let items = keys.iter().map(|key| event_with(n, &format!(r#""stream":"s","asset_id":"{key}""#)));
        client.events(array(items)).accepted(keys.len() as u64, 0);
    }
}

/// Key and number of each event.
fn keyed(taken: &Value) -> Vec<(String, i64)> {
    let of =
        |event: &Value| (event["asset_id"].as_str().unwrap_or("-").to_owned(), event["payload"]["n"].as_i64().unwrap());
    taken["events"].as_array().unwrap().iter().map(of).collect()
}

fn ack(client: &Client, taken: &Value) -> u16 {
    tell(client, "s", "g", "ack", json!({ "lease": taken["lease"] })).status
}

fn a_key_is_one_members_and_in_order(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    let keys: Vec<String> = (0..20).map(|n| format!("asset-{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    send_keys(client, &keys, 0..3);
    reaches(client, "s", 60);
    make(client, "s", json!({ "name": "g", "ordered_by": "asset_id" }));
    // The first member has all slots, until the next one asks.
    let first = take(client, "s", "g", "member=a&limit=40");
    assert_eq!(offsets(&first), (0..40).collect::<Vec<_>>());
    assert_eq!(
        offsets(&take(client, "s", "g", "member=a")),
        NOTHING,
        "nothing more of a slot before its lease is settled"
    );
    assert_eq!(offsets(&take(client, "s", "g", "member=b")), NOTHING, "nor to others");
    assert_eq!(ack(client, &first), 200);
    let a = take(client, "s", "g", "member=a");
    let b = take(client, "s", "g", "member=b");
    let own = |taken: &Value| keyed(taken).into_iter().map(|(key, _)| key).collect::<BTreeSet<_>>();
    assert!(own(&a).is_disjoint(&own(&b)) && !own(&b).is_empty(), "{a} {b}");
    assert_eq!(own(&a).union(&own(&b)).count(), 20);
    assert!([&a, &b].iter().all(|taken| keyed(taken).iter().all(|(_, n)| *n == 2)), "{a} {b}");
    let group = show(client, "s", "g");
    assert_eq!((&group["members"], &group["leases"]), (&json!(2), &json!(group["leases"])), "{group}");
    assert_eq!((ack(client, &a), ack(client, &b)), (200, 200));
    assert_eq!(ack(client, &a), 409);
    // Where there is no event, slots follow when others pass.
    until("everything is passed", || {
        for member in ["a", "b"] {
            assert_eq!(offsets(&take(client, "s", "g", &format!("member={member}"))), NOTHING);
        }
        (show(client, "s", "g")["lag"] == 0).then_some(())
    });
    Ok(())
}

/// What members got, and what each handled last of every key.
#[derive(Default)]
struct Seen {
    by_key: BTreeMap<String, Vec<i64>>,
}

/// A member that acknowledges what it gets, until it is told to go; `handled` counts that.
fn work(client: &Client, member: &str, seen: &Mutex<Seen>, handled: &AtomicUsize, stop: &AtomicBool) {
    let begun = Instant::now();
    let place = format!("{}/events?member={member}&limit=17&wait=300ms", path("s", "g"));
    while !stop.load(Ordering::Relaxed) {
        assert!(begun.elapsed() < 4 * DEADLINE, "{member} is never told to stop");
        let taken = at_last(|| client.get(&place)).expect(200);
        if offsets(&taken).is_empty() {
            continue;
        }
        // In effect when it is acknowledged: nobody else may have anything of these keys until then.
        let mut seen = seen.lock().unwrap();
        for (key, n) in keyed(&taken) {
            seen.by_key.entry(key).or_default().push(n);
        }
        drop(seen);
        assert_eq!(ack(client, &taken), 200);
        handled.fetch_add(offsets(&taken).len(), Ordering::Relaxed);
    }
    at_last(|| tell(client, "s", "g", "leave", json!({ "member": member }))).expect(200);
}

fn members_come_and_go_at_two_nodes(env: &Env) -> TestResult {
    /// In each part, at least.
    const ROUNDS: usize = 15;
    /// No more events are sent while so many are not handled yet.
    const AHEAD: usize = 300;
    let nodes = [1, 2].map(|number| node(env, number));
    let keys: Vec<String> = (0..15).map(|n| format!("asset-{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    make(&nodes[0].client, "s", json!({ "name": "g", "ordered_by": "asset_id" }));
    let (seen, stops) = (Mutex::new(Seen::default()), [(); 4].map(|()| AtomicBool::new(false)));
    let handled = [(); 4].map(|()| AtomicUsize::new(0));
    let mut sent = 0;
    std::thread::scope(|scope| {
        let (nodes, seen, handled, stops) = (&nodes, &seen, &handled, &stops);
        let start = |number: usize| {
            let client = &nodes[number % 2].client;
            let name = ["a", "b", "c", "d"][number];
            scope.spawn(move || work(client, name, seen, &handled[number], &stops[number]));
        };
        let all = || seen.lock().unwrap().by_key.values().map(Vec::len).sum::<usize>();
        // Events go on coming until each of these has had some.
        let mut part = |members: &[usize]| {
            let enough = sent + ROUNDS;
            until("each member has had something", || {
                if all() + AHEAD > sent * keys.len() {
                    send_keys(&nodes[0].client, &keys, sent..sent + 1);
                    sent += 1;
                }
                let each = members.iter().all(|number| handled[*number].load(Ordering::Relaxed) > 0);
                (each && sent >= enough).then_some(())
            });
        };
        (0..3).for_each(start);
        part(&[0, 1, 2]);
        stops[1].store(true, Ordering::Relaxed);
        part(&[]);
        start(3);
        part(&[3]);
        stops[0].store(true, Ordering::Relaxed);
        part(&[]);
        until("all is handled", || (all() == sent * keys.len()).then_some(()));
        stops.iter().for_each(|stop| stop.store(true, Ordering::Relaxed));
    });
    let expected: Vec<i64> = (0..i64::try_from(sent).unwrap()).collect();
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.by_key.len(), keys.len());
    for (key, numbers) in &seen.by_key {
        assert_eq!(*numbers, expected, "{key} in order, each once");
    }
    println!("{}: {handled:?} events", env.engine.as_str());
    Ok(())
}

fn the_slots_of_who_is_silent_are_others(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    send_keys(client, &["x", "y"], 0..2);
    reaches(client, "s", 4);
    make(client, "s", json!({ "name": "g", "ordered_by": "asset_id", "ack_timeout": "500ms" }));
    let gone = take(client, "s", "g", "member=gone&limit=2");
    assert_eq!(offsets(&gone), [0, 1]);
    // What is handed out from now on, and who asks for it, has more time.
    client.send("PATCH", &path("s", "g"), &[], br#"{"ack_timeout":"1h"}"#)?.expect(200);
    // It is not heard of any more.
    let there = next(client, "s", "g", "member=there");
    assert_eq!((offsets(&there), &there["deliveries"]), (vec![0, 1, 2, 3], &json!(2)), "{there}");
    assert_eq!(ack(client, &gone), 409);
    // It comes back, and gets nothing of what is out.
    assert_eq!(offsets(&take(client, "s", "g", "member=gone")), NOTHING);
    assert_eq!(ack(client, &there), 200);
    until("everything is passed", || {
        for member in ["gone", "there"] {
            take(client, "s", "g", &format!("member={member}"));
        }
        (show(client, "s", "g")["lag"] == 0).then_some(())
    });
    Ok(())
}

fn what_is_given_back_comes_before_what_follows(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    send_keys(client, &["x", "y"], 0..3);
    reaches(client, "s", 6);
    make(client, "s", json!({ "name": "g", "ordered_by": "asset_id", "ack_timeout": "5m" }));
    let first = take(client, "s", "g", "member=a&limit=2");
    // That of x fails; y goes on.
    tell(client, "s", "g", "nack", json!({ "lease": first["lease"], "offset": 0, "delay": "10m" })).expect(200);
    assert_eq!(ack(client, &first), 200);
    let second = take(client, "s", "g", "member=a");
    assert_eq!(keyed(&second), [("y".to_owned(), 1), ("y".to_owned(), 2)], "x waits");
    assert_eq!(ack(client, &second), 200);
    // As if most of its delay were over.
    env.sql().run("UPDATE consumer_slots SET not_before = now() + interval '300 ms' WHERE not_before > now()");
    let third = next(client, "s", "g", "member=a");
    assert_eq!(keyed(&third), [0, 1, 2].map(|n| ("x".to_owned(), n)));
    assert_eq!(third["deliveries"], 2);
    tell(client, "s", "g", "extend", json!({ "lease": third["lease"] })).expect(200);
    tell(client, "s", "g", "nack", json!({ "lease": third["lease"] })).expect(200);
    assert_eq!(ack(client, &third), 409);
    let fourth = take(client, "s", "g", "member=a");
    assert_eq!((keyed(&fourth), ack(client, &fourth)), (keyed(&third), 200));
    Ok(())
}

fn what_comes_too_often_is_parked_and_its_key_goes_on(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    send_keys(client, &["x", "y"], 0..3);
    reaches(client, "s", 6);
    make(client, "s", json!({ "name": "g", "ordered_by": "asset_id", "max_deliveries": 3 }));
    // The second of x is broken, whatever comes with it.
    let (mut handled, mut tries, mut nothing) = (Vec::new(), 0, 0);
    while nothing < 2 {
        let taken = take(client, "s", "g", "member=m&limit=2");
        if offsets(&taken).is_empty() {
            nothing += 1;
            continue;
        }
        if keyed(&taken).contains(&("x".to_owned(), 1)) {
            tries += 1;
            tell(client, "s", "g", "nack", json!({ "lease": taken["lease"], "error": "broken" })).expect(200);
        } else {
            assert_eq!(ack(client, &taken), 200);
            handled.extend(keyed(&taken));
        }
    }
    let of = |key: &str| handled.iter().filter(|(of, _)| of == key).map(|(_, n)| *n).collect::<Vec<_>>();
    assert_eq!((of("x"), of("y"), tries), (vec![0, 2], vec![0, 1, 2], 3));
    let parked = client.get(&format!("{}/parked", path("s", "g"))).expect(200);
    let [event] = &parked["data"].as_array().unwrap()[..] else { panic!("{parked}") };
    assert!(event["offset"] == 2 && event["reason"].as_str().unwrap().contains("broken"), "{event}");
    // Replayed, it comes to who has its slot.
    tell(client, "s", "g", "parked/replay", json!({ "offsets": [2] })).expect(200);
    let again = take(client, "s", "g", "member=m");
    assert_eq!((keyed(&again), ack(client, &again)), (vec![("x".to_owned(), 1)], 200));
    assert_eq!(show(client, "s", "g")["parked"], 0);
    Ok(())
}

fn keys_are_of_the_columns_that_may_be_named(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    let ids = [(); 4].map(|()| uuid::Uuid::now_v7());
    let items = (0..40).map(|n| {
        let key = format!(r#""correlation_id":"{}","asset_id":"ä{}","#, ids[n % 4], n % 4);
        // Of some there is no key.
        let key = if n % 5 == 0 { String::new() } else { key };
        format!(r#"{{"stream":"s","event_type":"x",{key}"source_module":"m{}","payload":{{"n":{n}}}}}"#, n % 3)
    });
    client.events(array(items)).accepted(40, 0);
    reaches(client, "s", 40);
    for column in ["asset_id", "correlation_id", "source_module"] {
        make(client, "s", json!({ "name": column, "ordered_by": column }));
        let mut members: [BTreeSet<String>; 2] = Default::default();
        let mut found = Vec::new();
        // Both are there before anything is handed out.
        tell(client, "s", column, "pause", json!({})).expect(200);
        tell(client, "s", column, "resume", json!({})).expect(200);
        let sql = env.sql();
        sql.run(&format!(
            "INSERT INTO consumer_members SELECT group_id, 'b', now() + interval '1 hour' FROM consumer_groups WHERE name = '{column}'"
        ));
        for (at, member) in ["a", "b"].into_iter().enumerate() {
            let taken = take(client, "s", column, &format!("member={member}"));
            found.extend(offsets(&taken));
            let of = |event: &Value| event[column].as_str().map(str::to_owned);
            members[at].extend(taken["events"].as_array().unwrap().iter().filter_map(of));
        }
        found.sort_unstable();
        assert_eq!(
            found,
            (0..40).collect::<Vec<_>>(),
            "{column}: what SQL and the program take for a slot is the same"
        );
        assert!(members[0].is_disjoint(&members[1]), "{column}: {members:?}");
    }
    Ok(())
}

fn a_reset_puts_every_slot_there(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    send_keys(client, &["x", "y", "z"], 0..3);
    reaches(client, "s", 9);
    make(client, "s", json!({ "name": "g", "ordered_by": "asset_id" }));
    let out = take(client, "s", "g", "member=a&limit=5");
    tell(client, "s", "g", "reset", json!({ "offset": 6 })).expect(200);
    assert_eq!(ack(client, &out), 409);
    let group = show(client, "s", "g");
    assert_eq!((&group["committed"], &group["lag"], &group["generation"]), (&json!(6), &json!(3), &json!(2)));
    assert_eq!(offsets(&take(client, "s", "g", "member=a")), [6, 7, 8]);
    Ok(())
}
