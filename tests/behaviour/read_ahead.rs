//! What is read of a stream once and handed out several times: to members of an ordered group, to groups at the same place, to
//! the next one who comes. Nothing may be missing, come twice or out of order because of it, and it is bounded.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::books::Books;
use crate::client::Client;
use crate::env::{Env, Test, TestResult, until};
use crate::groups::{commit, make, offsets, take, tell};
use crate::postgres::{SUPERUSER, Sql};
use crate::process::Tidegate;
use crate::samples::{array, hours_from_now};
use crate::streams::{numbers, page, pairs, reaches, send};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    members_of_an_ordered_group_are_given_what_is_read_once,
    groups_at_the_same_place_are_given_what_is_read_once,
    many_at_the_same_time_are_given_what_is_read_once,
    types_are_read_apart,
    what_is_kept_is_bounded_and_may_be_nothing,
    large_values_and_small_ones_come_in_their_order,
    batches_of_one_event_come_many_on_a_page,
    a_long_way_is_gone_by_a_cursor_that_ends,
);

const EVENTS: usize = 2400;
const KEYS: usize = 60;

/// A stream whose events are of many keys in turn, in batches of 200; compacted where there is a columnstore.
fn filled(env: &Env, client: &Client) {
    let at = hours_from_now(-72);
    for first in (0..EVENTS).step_by(200) {
        let events = (first..first + 200).map(|n| {
            let (key, kind) = (n % KEYS, n % 3);
            format!(
                r#"{{"stream":"s","source_module":"tests","event_type":"t{kind}","asset_id":"a{key}","timestamp":"{at}","payload":{{"n":{n}}}}}"#
            )
        });
        client.events(array(events)).accepted(200, 0);
    }
    reaches(client, "s", i64::try_from(EVENTS).unwrap());
    until("nobody else is at the chunk", || {
        let counts = env.cli(&["lifecycle", "run", "--json", "--set", "compress_after.events=1d"]).json();
        (counts["chunks_busy"] == 0).then_some(())
    });
}

/// Counts rows of events that the database gives away for streams; None where it cannot. With how often the server has forgotten
/// statements, which it does where all tests together run too many.
struct Counted(Option<(Sql, i64)>);

impl Counted {
    fn begin(env: &Env) -> Self {
        if !env.installation().stat_statements {
            return Self(None);
        }
        let sql = env.sql_as(SUPERUSER);
        sql.run("CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public");
        let forgotten = Self::forgotten(&sql);
        Self(Some((sql, forgotten)))
    }

    fn forgotten(sql: &Sql) -> i64 {
        sql.one("SELECT dealloc FROM public.pg_stat_statements_info")
    }

    fn rows(&self) -> Option<usize> {
        let count = "SELECT coalesce(sum(rows), 0)::bigint FROM public.pg_stat_statements \
                     WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                     AND query LIKE '%AS payload%batch_seq%FROM events%batch_id = ANY%'";
        let (sql, forgotten) = self.0.as_ref()?;
        let rows = usize::try_from(sql.one::<i64>(count)).unwrap();
        (Self::forgotten(sql) == *forgotten).then_some(rows)
    }

    /// Asserts that every event was read about once, by however many.
    fn is_once(&self, env: &Env, readers: usize) {
        let Some(rows) = self.rows() else { return };
        println!("{}: {readers} readers of {EVENTS} events: {rows} rows were read", env.engine.as_str());
        assert!((EVENTS..EVENTS * 5 / 4).contains(&rows), "{rows} rows of {EVENTS} for {readers} readers");
    }
}

fn payload_n(event: &Value) -> i64 {
    event["payload"]["n"].as_i64().unwrap()
}

fn members_of_an_ordered_group_are_given_what_is_read_once(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(env, client);
    let counted = Counted::begin(env);
    make(client, "s", json!({ "name": "g", "ordered_by": "asset_id" }));
    let members = ["a", "b", "c"];
    let mut by_key: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut of_members = BTreeMap::new();
    let mut rounds = 0;
    while of_members.values().sum::<usize>() < EVENTS {
        rounds += 1;
        assert!(rounds < 500, "{of_members:?}");
        for member in members {
            let taken = take(client, "s", "g", &format!("member={member}&limit=100"));
            let events = taken["events"].as_array().unwrap();
            for event in events {
                by_key.entry(event["asset_id"].as_str().unwrap().to_owned()).or_default().push(payload_n(event));
            }
            *of_members.entry(member).or_insert(0) += events.len();
            if !events.is_empty() {
                tell(client, "s", "g", "ack", json!({ "lease": taken["lease"] })).expect(200);
            }
        }
    }
    assert_eq!(by_key.len(), KEYS);
    for (key, found) in &by_key {
        let first = key[1..].parse::<i64>().unwrap();
        let expected: Vec<i64> = (0..40).map(|n| first + n * i64::try_from(KEYS).unwrap()).collect();
        assert_eq!(*found, expected, "{key} in its order, each once");
    }
    assert!(of_members.values().all(|events| *events > EVENTS / 10), "{of_members:?}");
    counted.is_once(env, members.len());
    Ok(())
}

fn groups_at_the_same_place_are_given_what_is_read_once(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(env, client);
    let counted = Counted::begin(env);
    let groups = ["one", "two", "three"];
    groups.iter().for_each(|name| drop(make(client, "s", json!({ "name": name }))));
    let mut found = [(); 3].map(|()| Vec::new());
    while found[2].len() < EVENTS {
        for (at, name) in groups.iter().enumerate() {
            // Each takes other amounts than the others.
            let taken = take(client, "s", name, &format!("limit={}", 70 + 30 * at));
            found[at].extend(offsets(&taken));
            if !offsets(&taken).is_empty() {
                commit(client, "s", name, &taken).expect(200);
            }
        }
    }
    while found[0].len() < EVENTS || found[1].len() < EVENTS {
        for (at, name) in groups.iter().enumerate() {
            let taken = take(client, "s", name, "limit=1000");
            found[at].extend(offsets(&taken));
            commit(client, "s", name, &taken).expect(200);
        }
    }
    let expected: Vec<i64> = (0..i64::try_from(EVENTS).unwrap()).collect();
    assert!(found.iter().all(|found| *found == expected));
    counted.is_once(env, groups.len());
    Ok(())
}

fn many_at_the_same_time_are_given_what_is_read_once(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(env, client);
    let counted = Counted::begin(env);
    let readers = 8;
    std::thread::scope(|scope| {
        for reader in 0..readers {
            scope.spawn(move || {
                let lines = client.get_as("/v1/streams/s/events", &[("accept", "application/x-ndjson")]);
                let found: Vec<i64> =
                    lines.text().lines().map(|line| payload_n(&serde_json::from_str(line).unwrap())).collect();
                assert!(found.into_iter().eq(0..i64::try_from(EVENTS).unwrap()), "{reader}");
            });
        }
    });
    counted.is_once(env, readers);
    Ok(())
}

fn types_are_read_apart(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(env, client);
    make(client, "s", json!({ "name": "all" }));
    for types in [json!(["t0"]), json!(["t1", "t2"]), json!(["t0", "t2"]), json!(["none"])] {
        let name = types.to_string().replace(['[', ']', '"', ','], "-");
        make(client, "s", json!({ "name": name, "event_types": types }));
        let kinds: Vec<usize> = (0..3).filter(|kind| types.to_string().contains(&format!("t{kind}"))).collect();
        let mut found = Vec::new();
        loop {
            let taken = take(client, "s", &name, "limit=333");
            take(client, "s", "all", "limit=1000");
            found.extend(offsets(&taken));
            if offsets(&taken).is_empty() && taken["lag"] == 0 {
                break;
            }
            commit(client, "s", &name, &taken).expect(200);
        }
        let expected: Vec<i64> =
            (0..EVENTS).filter(|n| kinds.contains(&(n % 3))).map(|n| i64::try_from(n).unwrap()).collect();
        assert_eq!(found, expected, "{types}");
    }
    Ok(())
}

/// Reads a stream to its end in pages of so many.
fn read_through(client: &Client, limit: usize, mut each: impl FnMut()) -> Vec<(i64, i64)> {
    let (mut found, mut place) = (Vec::new(), "offset=earliest".to_owned());
    loop {
        let page = page(client, "s", &format!("{place}&limit={limit}"));
        each();
        if page["data"].as_array().unwrap().is_empty() {
            return found;
        }
        found.extend(numbers(&page));
        place = format!("cursor={}", page["cursor"].as_str().unwrap());
    }
}

fn kept_bytes(tidegate: &Tidegate) -> f64 {
    Books::of(&tidegate.client).get("tidegate_read_ahead_bytes")
}

fn what_is_kept_is_bounded_and_may_be_nothing(env: &Env) -> TestResult {
    let expected = pairs(0..i64::try_from(EVENTS).unwrap());
    {
        let tidegate = env.serve();
        filled(env, &tidegate.client);
        assert_eq!(read_through(&tidegate.client, 500, || {}), expected);
        // More than the bound below: 2,400 events of some hundred bytes.
        assert!(kept_bytes(&tidegate) > 512.0 * 1024.0, "{}", kept_bytes(&tidegate));
    }
    for (bound, most) in [("256KiB", 256.0 * 1024.0), ("0KiB", 0.0)] {
        let tidegate = env.serve_with(&[&format!("read_ahead_bytes={bound}")]);
        for limit in [37, 500, 5000] {
            let mut largest: f64 = 0.0;
            let found = read_through(&tidegate.client, limit, || largest = largest.max(kept_bytes(&tidegate)));
            assert_eq!(found, expected, "{bound} {limit}");
            assert!(largest <= most && (largest > 0.0) == (most > 0.0), "{bound} {limit}: {largest}");
        }
    }
    Ok(())
}

fn large_values_and_small_ones_come_in_their_order(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let large = "x".repeat(600 * 1024);
    for first in (0..24).step_by(4) {
        let events = (first..first + 4).map(|n| {
            let text = if n % 8 == 5 { large.as_str() } else { "" };
            format!(
                r#"{{"stream":"s","source_module":"tests","event_type":"t","payload":{{"n":{n},"text":"{text}"}}}}"#
            )
        });
        client.events(array(events)).accepted(4, 0);
    }
    reaches(client, "s", 24);
    make(client, "s", json!({ "name": "g" }));
    for limit in [1, 5, 24] {
        assert_eq!(read_through(client, limit, || {}), pairs(0..24), "{limit}");
    }
    let taken = take(client, "s", "g", "limit=24");
    assert_eq!(offsets(&taken), (0..24).collect::<Vec<_>>());
    for n in [5, 13, 21] {
        assert_eq!(taken["events"][n]["payload"]["text"].as_str().unwrap().len(), large.len(), "{n}");
    }
    Ok(())
}

fn batches_of_one_event_come_many_on_a_page(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    (0..170).for_each(|n| send(client, "s", n, 1));
    reaches(client, "s", 170);
    for (offset, limit, to) in [(0, 1000, 170), (0, 150, 150), (3, 33, 36), (35, 97, 132), (169, 9, 170)] {
        let found = page(client, "s", &format!("offset={offset}&limit={limit}"));
        assert_eq!((numbers(&found), &found["next_offset"]), (pairs(offset..to), &json!(to)), "{offset} {limit}");
    }
    make(client, "s", json!({ "name": "g" }));
    assert_eq!(offsets(&take(client, "s", "g", "limit=1000")).len(), 170);
    Ok(())
}

/// Where a look takes long, and little may be kept, a cursor goes through much at once.
fn a_long_way_is_gone_by_a_cursor_that_ends(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["read_ahead_bytes=64KiB"]);
    let client = &tidegate.client;
    filled(env, client);
    let (holder, sql) = (env.sql(), env.sql_as(SUPERUSER));
    let expected = pairs(0..i64::try_from(EVENTS).unwrap());
    let cursors = || Books::of(client).get("tidegate_stream_cursors_total");
    let read = |offset: usize| page(client, "s", &format!("offset={offset}&limit=50"));
    // Somebody holds the table while it is looked for the first events; how fast they are read then is up to the machine.
    let (mut first, mut before) = (0, 0.0);
    let opened = until("a cursor is opened", || {
        holder.run("BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE");
        std::thread::scope(|scope| {
            let dear = scope.spawn(|| read(first));
            until("it waits, and has for a while", || {
                let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' \
                             AND application_name LIKE 'tidegate reader%' AND clock_timestamp() - query_start > interval '60 ms'";
                (sql.one::<i64>(waits) > 0).then_some(())
            });
            holder.run("COMMIT");
            assert_eq!(numbers(&dear.join().unwrap()), expected[first..first + 50]);
        });
        first += 50;
        assert_eq!(numbers(&read(first)), expected[first..first + 50]);
        first += 50;
        let opened = (cursors() > 0.0).then_some(first);
        // Near the end there is nothing that a cursor would be worth.
        first = if first + 1000 > EVENTS { 0 } else { first };
        opened
    });
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction' \
                AND application_name LIKE 'tidegate export%'";
    println!("{}: opened before {opened}", env.engine.as_str());
    // Through it, and behind it: nothing is missing.
    for offset in (opened..EVENTS).step_by(50) {
        assert_eq!(numbers(&read(offset)), expected[offset..offset + 50]);
        before = cursors().max(before);
    }
    assert!(before >= 1.0);
    until("whatever was open has ended", || (sql.one::<i64>(open) == 0).then_some(()));
    Ok(())
}
