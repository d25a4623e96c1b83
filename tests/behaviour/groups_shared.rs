//! Consumer groups with several members, in no order: leases, what becomes of them, and who has gone.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Client;
use crate::env::{DEADLINE, Env, Test, TestResult, until};
use crate::groups::{NOTHING, at_last, commit, filled, make, next, offsets, path, show, take, tell};
use crate::streams::{follow, node, reaches, send};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    members_hold_different_events,
    what_is_not_acknowledged_in_time_is_anothers,
    what_is_given_back_comes_again,
    what_comes_too_often_is_parked_and_its_neighbours_go_on,
    what_came_for_the_last_time_is_parked_at_once,
    who_hangs_up_holds_nothing,
    who_leaves_holds_nothing,
    one_member_may_commit_what_it_holds,
    members_at_two_nodes_share_everything,
    who_never_acknowledges_does_not_get_everything,
);

fn ack(client: &Client, taken: &Value) -> u16 {
    tell(client, "s", "g", "ack", json!({ "lease": taken["lease"] })).status
}

fn members_hold_different_events(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 9);
    make(client, "s", json!({ "name": "g" }));
    let [a, b] = ["member=a&limit=4", "member=b&limit=3"].map(|query| take(client, "s", "g", query));
    assert_eq!((offsets(&a), offsets(&b)), (vec![0, 1, 2, 3], vec![4, 5, 6]));
    assert_ne!(a["lease"], b["lease"]);
    let group = show(client, "s", "g");
    assert_eq!(
        (&group["members"], &group["leases"], &group["committed"]),
        (&json!(2), &json!(2), &json!(0)),
        "{group}"
    );
    // Who names nobody is not let in between, and nobody commits for the others.
    client.get(&format!("{}/events", path("s", "g"))).problem(409, "group_has_members");
    commit(client, "s", "g", &b).problem(409, "group_has_members");
    assert_eq!(ack(client, &b), 200);
    tell(client, "s", "g", "ack", json!({ "lease": b["lease"] })).problem(409, "lease_over");
    // The group stays where the first one is that is not acknowledged.
    let rest = take(client, "s", "g", "member=b");
    assert_eq!(offsets(&rest), [7, 8]);
    assert_eq!(ack(client, &rest), 200);
    assert_eq!(offsets(&take(client, "s", "g", "member=b")), NOTHING);
    assert_eq!(show(client, "s", "g")["committed"], 0);
    tell(client, "s", "g", "extend", json!({ "lease": a["lease"] })).expect(200);
    assert_eq!(ack(client, &a), 200);
    until("it has passed all of it", || (show(client, "s", "g")["lag"] == 0).then_some(()));
    tell(client, "s", "g", "extend", json!({ "lease": a["lease"] })).problem(409, "lease_over");
    // Nothing is left of the leases, and one alone may go on.
    send(client, "s", 9, 1);
    assert_eq!(offsets(&next(client, "s", "g", "")), [9]);
    assert_eq!(env.sql().count("consumer_leases"), 0);
    Ok(())
}

fn what_is_not_acknowledged_in_time_is_anothers(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    filled(client, "s", 3);
    make(client, "s", json!({ "name": "g" }));
    let a = take(client, "s", "g", "member=a");
    assert_eq!(offsets(&take(client, "s", "g", "member=b")), NOTHING);
    // From now on for that long, and so is what it holds.
    client.send("PATCH", &path("s", "g"), &[], br#"{"ack_timeout":"400ms"}"#)?.expect(200);
    tell(client, "s", "g", "extend", json!({ "lease": a["lease"] })).expect(200);
    let b = next(client, "s", "g", "member=b");
    assert_eq!((offsets(&b), &b["deliveries"]), (vec![0, 1, 2], &json!(2)));
    tell(client, "s", "g", "ack", json!({ "lease": a["lease"] })).problem(409, "lease_over");
    tell(client, "s", "g", "nack", json!({ "lease": a["lease"] })).problem(409, "lease_over");
    // Late, but before anybody else has it: it counts.
    let status = ack(client, &b);
    assert_eq!(status, 200);
    until("it has passed them", || (show(client, "s", "g")["committed"] == 3).then_some(()));
    // A reset ends what is out.
    let c = {
        tell(client, "s", "g", "reset", json!({ "to": "earliest" })).expect(200);
        take(client, "s", "g", "member=c")
    };
    tell(client, "s", "g", "reset", json!({ "to": "latest" })).expect(200);
    tell(client, "s", "g", "ack", json!({ "lease": c["lease"] })).problem(409, "lease_over");
    assert_eq!(offsets(&take(client, "s", "g", "member=c")), NOTHING);
    Ok(())
}

fn what_is_given_back_comes_again(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 5);
    make(client, "s", json!({ "name": "g" }));
    let a = take(client, "s", "g", "member=a");
    tell(client, "s", "g", "nack", json!({ "lease": a["lease"] })).expect(200);
    let b = take(client, "s", "g", "member=b");
    assert_eq!((offsets(&b), &b["deliveries"]), (vec![0, 1, 2, 3, 4], &json!(2)), "at once");
    // One of them, after a while; the rest stays b's.
    tell(client, "s", "g", "nack", json!({ "lease": b["lease"], "offset": 2, "delay": "10m", "error": "later" }))
        .expect(200);
    tell(client, "s", "g", "nack", json!({ "lease": b["lease"], "offset": 2 })).problem(409, "lease_over");
    tell(client, "s", "g", "nack", json!({ "lease": b["lease"], "offset": 9 })).problem(409, "lease_over");
    assert_eq!(offsets(&take(client, "s", "g", "member=a")), NOTHING);
    assert_eq!(ack(client, &b), 200);
    // As if most of it were over.
    let (sql, given_back) = (env.sql(), Instant::now());
    let left = "UPDATE consumer_leases SET until = now() + interval '700 ms' \
                WHERE lease IS NULL AND until > now() + interval '2 minutes' AND until <= now() + interval '10 minutes' RETURNING lo";
    assert_eq!(sql.column::<i64>(left), [2]);
    let again = next(client, "s", "g", "member=a");
    assert!(offsets(&again) == [2] && given_back.elapsed() >= Duration::from_millis(700), "{again}");
    // The first and the last one of a lease are given back the same way.
    assert_eq!(ack(client, &again), 200);
    until("it has passed them", || (show(client, "s", "g")["committed"] == 5).then_some(()));
    filled(client, "t", 4);
    make(client, "t", json!({ "name": "g" }));
    let whole = take(client, "t", "g", "member=a");
    for offset in [0, 3] {
        tell(client, "t", "g", "nack", json!({ "lease": whole["lease"], "offset": offset })).expect(200);
        let one = take(client, "t", "g", "member=b");
        assert_eq!(offsets(&one), [offset]);
        tell(client, "t", "g", "ack", json!({ "lease": one["lease"] })).expect(200);
    }
    tell(client, "t", "g", "ack", json!({ "lease": whole["lease"] })).expect(200);
    until("it has passed them", || (show(client, "t", "g")["committed"] == 4).then_some(()));
    Ok(())
}

fn what_comes_too_often_is_parked_and_its_neighbours_go_on(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    filled(client, "s", 6);
    make(client, "s", json!({ "name": "g", "max_deliveries": 3 }));
    let mut handled = BTreeSet::new();
    let mut tries = 0;
    // Number 2 fails, and with it what it comes with.
    loop {
        let taken = take(client, "s", "g", "member=m");
        let of = offsets(&taken);
        if of.is_empty() {
            break;
        }
        tries += i32::from(of.contains(&2));
        if of.contains(&2) {
            tell(client, "s", "g", "nack", json!({ "lease": taken["lease"], "error": "two is broken" })).expect(200);
        } else {
            assert_eq!(ack(client, &taken), 200);
            assert!(of.into_iter().all(|offset| handled.insert(offset)), "twice");
        }
    }
    assert_eq!((handled, tries), (BTreeSet::from([0, 1, 3, 4, 5]), 3));
    let parked = client.get(&format!("{}/parked", path("s", "g"))).expect(200);
    let [event] = &parked["data"].as_array().unwrap()[..] else { panic!("{parked}") };
    assert_eq!((&event["offset"], &event["deliveries"]), (&json!(2), &json!(3)), "{event}");
    assert!(event["reason"].as_str().unwrap().contains("two is broken"), "{event}");
    until("the group has passed it", || (show(client, "s", "g")["lag"] == 0).then_some(()));
    // Replayed, it comes to this group, as often as at first.
    tell(client, "s", "g", "parked/replay", json!({ "all": true })).expect(200);
    let again = take(client, "s", "g", "member=m");
    assert_eq!((offsets(&again), &again["deliveries"]), (vec![2], &json!(1)));
    assert_eq!(ack(client, &again), 200);
    assert_eq!(client.get(&format!("{}/parked", path("s", "g"))).expect(200)["data"], json!([]));
    Ok(())
}

fn what_came_for_the_last_time_is_parked_at_once(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 2);
    for ordered_by in [Value::Null, json!("source_module")] {
        make(client, "s", json!({ "name": "g", "max_deliveries": 2, "ordered_by": ordered_by }));
        // A delay is for what comes again.
        for (deliveries, delay) in [(1, "0s"), (2, "24h")] {
            let taken = take(client, "s", "g", "member=m&limit=1");
            assert_eq!((offsets(&taken), &taken["deliveries"]), (vec![0], &json!(deliveries)), "{ordered_by}");
            tell(client, "s", "g", "nack", json!({ "lease": taken["lease"], "delay": delay, "error": "broken" }))
                .expect(200);
        }
        let behind = take(client, "s", "g", "member=m");
        assert_eq!((offsets(&behind), ack(client, &behind)), (vec![1], 200), "{ordered_by}");
        until("the group has passed both", || {
            take(client, "s", "g", "member=m");
            (show(client, "s", "g")["lag"] == 0).then_some(())
        });
        let parked = client.get(&format!("{}/parked", path("s", "g"))).expect(200)["data"].clone();
        assert_eq!((parked.as_array().unwrap().len(), &parked[0]["offset"]), (1, &json!(0)), "{parked}");
        // So is what comes by a replay.
        tell(client, "s", "g", "parked/replay", json!({ "all": true })).expect(200);
        for delay in ["0s", "24h"] {
            let taken = take(client, "s", "g", "member=m");
            assert_eq!(offsets(&taken), [0], "{ordered_by}");
            tell(client, "s", "g", "nack", json!({ "lease": taken["lease"], "delay": delay })).expect(200);
        }
        assert_eq!(offsets(&take(client, "s", "g", "member=m")), NOTHING);
        let parked = client.get(&format!("{}/parked", path("s", "g"))).expect(200)["data"].clone();
        assert_eq!((&parked[0]["state"], &parked[0]["outcome"]), (&json!("parked"), &json!("failed")), "{parked}");
        client.send("DELETE", &path("s", "g"), &[], b"")?.expect(204);
    }
    Ok(())
}

fn who_hangs_up_holds_nothing(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 1);
    make(client, "s", json!({ "name": "g", "start": "latest", "ack_timeout": "10m" }));
    let mut gone = TcpStream::connect(&client.address)?;
    let ask = format!(
        "GET {}/events?member=gone&wait=30s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
        path("s", "g"),
        client.key()
    );
    gone.write_all(ask.as_bytes())?;
    follow(client, 1);
    drop(gone);
    follow(client, 0);
    send(client, "s", 1, 2);
    reaches(client, "s", 3);
    assert_eq!(offsets(&take(client, "s", "g", "member=there")), [1, 2]);
    Ok(())
}

fn who_leaves_holds_nothing(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    filled(client, "s", 4);
    make(client, "s", json!({ "name": "g", "ack_timeout": "10m" }));
    let a = take(client, "s", "g", "member=a&limit=2");
    let b = take(client, "s", "g", "member=b&limit=2");
    tell(client, "s", "g", "leave", json!({ "member": "a" })).expect(200);
    tell(client, "s", "g", "ack", json!({ "lease": a["lease"] })).problem(409, "lease_over");
    let again = take(client, "s", "g", "member=b");
    assert_eq!((offsets(&again), ack(client, &again), ack(client, &b)), (vec![0, 1], 200, 200));
    until("it has passed them", || (show(client, "s", "g")["lag"] == 0).then_some(()));
    Ok(())
}

fn one_member_may_commit_what_it_holds(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    filled(client, "s", 6);
    make(client, "s", json!({ "name": "g" }));
    let a = take(client, "s", "g", "member=a&limit=2");
    let more = take(client, "s", "g", "member=a&limit=3");
    assert_eq!(offsets(&more), [2, 3, 4]);
    // As if it were alone: everything before is done with, whatever leases it had.
    let body = json!({ "next_offset": 4, "generation": a["generation"] });
    assert_eq!(tell(client, "s", "g", "offset", body).expect(200)["committed"], 4);
    tell(client, "s", "g", "ack", json!({ "lease": a["lease"] })).problem(409, "lease_over");
    assert_eq!(ack(client, &more), 200, "the rest of it");
    until("it has passed them", || (show(client, "s", "g")["committed"] == 5).then_some(()));
    assert_eq!(offsets(&take(client, "s", "g", "member=b")), [5]);
    Ok(())
}

fn members_at_two_nodes_share_everything(env: &Env) -> TestResult {
    const EVENTS: usize = 600;
    let nodes = [1, 2].map(|number| node(env, number));
    make(&nodes[0].client, "s", json!({ "name": "g" }));
    let begun = AtomicUsize::new(0);
    let handled: Vec<Vec<i64>> = std::thread::scope(|scope| {
        let (nodes, begun) = (&nodes, &begun);
        let senders = scope.spawn(move || {
            for first in (0..EVENTS).step_by(20) {
                send(&nodes[first / 20 % 2].client, "s", first, 20);
            }
        });
        let members: Vec<_> = (0..6)
            .map(|member| {
                scope.spawn(move || {
                    let (client, started) = (&nodes[member % 2].client, Instant::now());
                    let place = format!("{}/events?member=m{member}&limit=13&wait=500ms", path("s", "g"));
                    let mut handled = Vec::new();
                    loop {
                        assert!(started.elapsed() < DEADLINE, "member {member} has {}", handled.len());
                        let taken = at_last(|| client.get(&place)).expect(200);
                        let of = offsets(&taken);
                        if of.is_empty() {
                            if show(client, "s", "g")["committed"] == json!(EVENTS) {
                                return handled;
                            }
                            continue;
                        }
                        assert_eq!(ack(client, &taken), 200);
                        if handled.is_empty() {
                            // The first one leaves something to another.
                            begun.fetch_add(1, Ordering::Relaxed);
                            until("another has something", || (begun.load(Ordering::Relaxed) > 1).then_some(()));
                        }
                        handled.extend(of);
                    }
                })
            })
            .collect();
        senders.join().unwrap();
        members.into_iter().map(|member| member.join().unwrap()).collect()
    });
    let mut all: Vec<i64> = handled.iter().flatten().copied().collect();
    all.sort_unstable();
    assert_eq!(all, (0..i64::try_from(EVENTS).unwrap()).collect::<Vec<_>>(), "each once");
    println!("{}: {:?} events", env.engine.as_str(), handled.iter().map(Vec::len).collect::<Vec<_>>());
    assert!(handled.iter().filter(|of| !of.is_empty()).count() > 1, "several had something");
    Ok(())
}

fn who_never_acknowledges_does_not_get_everything(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 3);
    make(client, "s", json!({ "name": "g" }));
    let first = take(client, "s", "g", "member=m&limit=1");
    assert_eq!(offsets(&first), [0]);
    // As many as there may be, all held.
    let sql = env.sql();
    sql.run(
        "UPDATE consumer_leases SET hi = 10001; UPDATE consumer_offsets SET claimed = 10001; \
         INSERT INTO consumer_leases (group_id, lo, hi, lease, member, until, deliveries) \
         SELECT group_id, lo, lo + 1, 0, 'm', now() + interval '1 hour', 1 FROM consumer_groups, generate_series(20001, 29999) lo",
    );
    assert_eq!(offsets(&take(client, "s", "g", "member=m")), NOTHING, "nothing new");
    sql.run(
        "DELETE FROM consumer_leases WHERE lo > 20000; UPDATE consumer_leases SET hi = 1; UPDATE consumer_offsets SET claimed = 1",
    );
    assert_eq!(offsets(&take(client, "s", "g", "member=m")), [1, 2]);
    Ok(())
}
