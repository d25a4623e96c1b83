//! Streams over HTTP: pages by offset, waiting, lines, what is refused; and `tidegate tail`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Client;
use crate::env::{Env, Test, TestResult, until};
use crate::process::{Finished, Running, Tidegate};
use crate::samples::{array, event_with};
use crate::tests;
use crate::waits::{WAIT, waits};

pub const TESTS: &[Test] = tests!(
    a_stream_is_read_page_by_page,
    who_waits_is_answered_when_something_comes,
    many_that_wait_are_all_answered,
    lines_go_to_the_end_and_on_while_events_come,
    what_is_not_there_and_what_is_anothers_look_the_same,
    before_the_beginning_and_past_the_end,
    large_events_come_whole_and_pages_stay_small,
    tail_prints_what_comes,
);

/// One of several nodes on the test's database.
pub fn node(env: &Env, number: usize) -> Tidegate {
    env.serve_with(&[&format!("data_dir=node{number}")])
}

/// Sends events of a stream, numbered from `first` on. The log has them a little later.
pub fn send(client: &Client, stream: &str, first: usize, count: usize) {
    let items = (first..first + count).map(|n| event_with(n, &format!(r#""stream":"{stream}""#)));
    client.events(array(items)).accepted(count as u64, 0);
}

/// One page, as it is now; with `wait`, once it has something, but no later than that.
pub fn page(client: &Client, stream: &str, query: &str) -> Value {
    client.get(&format!("/v1/streams/{stream}/events?{query}")).expect(200)
}

/// The page at a place, once it has something: the stream may not be there yet, nor in the log.
pub fn next(client: &Client, stream: &str, place: &str) -> Value {
    until("something comes", || {
        let answer = client.get(&format!("/v1/streams/{stream}/events?{place}&wait=5s"));
        let page = if answer.status == 404 { return None } else { answer.expect(200) };
        (!numbers(&page).is_empty()).then_some(page)
    })
}

/// How many requests wait for events, of whichever stream.
pub fn followers(client: &Client) -> usize {
    let metrics = client.get("/metrics").text().to_owned();
    let line = metrics.lines().find_map(|line| line.strip_prefix("tidegate_stream_followers "));
    line.map_or(0, |number| number.parse().unwrap())
}

/// Waits until so many do. One that has had its last byte may be counted for a moment longer: who counts on the next one to be
/// there waits for nobody first.
pub fn follow(client: &Client, number: usize) {
    until("so many wait", || (followers(client) == number).then_some(()));
}

/// Waits until a stream has come so far.
pub fn reaches(client: &Client, stream: &str, end: i64) {
    until("the stream is as long", || {
        let answer = client.get(&format!("/v1/streams/{stream}/events?offset=latest"));
        (answer.status == 200 && answer.json()["end"] == end).then_some(())
    });
}

/// The numbers of events with their offsets.
pub fn numbers(page: &Value) -> Vec<(i64, i64)> {
    let number = |event: &Value| (event["offset"].as_i64().unwrap(), event["payload"]["n"].as_i64().unwrap());
    page["data"].as_array().unwrap().iter().map(number).collect()
}

/// All events of a stream from the beginning, once it has so many.
pub fn all(client: &Client, stream: &str, count: usize) -> Vec<(i64, i64)> {
    let (mut found, mut place) = (Vec::new(), "offset=earliest".to_owned());
    while found.len() < count {
        let page = next(client, stream, &format!("{place}&limit=7"));
        found.extend(numbers(&page));
        place = format!("cursor={}", page["cursor"].as_str().unwrap());
    }
    let end = page(client, stream, &place);
    assert_eq!((numbers(&end), &end["next_offset"]), (vec![], &end["end"]), "{stream} has more than {count} events");
    found
}

pub fn pairs(offsets: std::ops::Range<i64>) -> Vec<(i64, i64)> {
    offsets.map(|offset| (offset, offset)).collect()
}

fn a_stream_is_read_page_by_page(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    for (first, count) in [(0, 2), (2, 3), (5, 1)] {
        send(client, "orders", first, count);
        send(client, "others", first, count);
    }
    assert_eq!(all(client, "orders", 6), pairs(0..6));
    let first = page(client, "orders", "limit=4");
    assert_eq!((numbers(&first), &first["next_offset"]), (pairs(0..4), &json!(4)));
    assert_eq!((&first["begin"], &first["end"]), (&json!(0), &json!(6)));
    let second = page(client, "orders", "offset=4&limit=4");
    assert_eq!((numbers(&second), &second["next_offset"]), (pairs(4..6), &json!(6)));
    assert_eq!(numbers(&page(client, "orders", "offset=3&limit=1")), pairs(3..4));
    let cursor = first["cursor"].as_str().unwrap();
    assert_eq!(page(client, "orders", &format!("cursor={cursor}")), second);
    let end = page(client, "orders", "offset=6");
    assert_eq!((numbers(&end), &end["next_offset"]), (vec![], &json!(6)));
    assert_eq!(page(client, "orders", "offset=latest"), end);
    // An event is what it is elsewhere, and its offset.
    let mut event = first["data"][2].clone();
    let id = event["id"].as_str().unwrap().to_owned();
    event.as_object_mut().unwrap().remove("offset");
    assert_eq!(event, client.get(&format!("/v1/events/{id}")).expect(200));
    for bad in [
        "offset=-1",
        "offset=x",
        "offset=1&cursor=x",
        "cursor=x",
        "limit=0",
        "wait=31s",
        "wait=5",
        "from=-1h",
        "offset=99999999999999999999",
    ] {
        client.get(&format!("/v1/streams/orders/events?{bad}")).problem(400, "invalid_parameter");
    }
    client.get_as("/v1/streams/orders/events", &[("accept", "text/csv")]).problem(406, "not_acceptable");
    Ok(())
}

fn who_waits_is_answered_when_something_comes(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    // Of a stream that is not there yet, too.
    let waiting = |query: &'static str| {
        let client = client.clone();
        std::thread::spawn(move || waits(&client, &format!("/v1/streams/s/events?{query}"), &[]))
    };
    let first = waiting("offset=0&wait=30s");
    send(client, "other", 0, 1);
    send(client, "s", 0, 3);
    assert_eq!(numbers(&first.join().unwrap().expect(200)), pairs(0..3));
    let both = [(); 2].map(|()| waiting("offset=3&wait=30s"));
    follow(client, 2);
    let sent = Instant::now();
    send(client, "s", 3, 2);
    for answer in both {
        assert_eq!(numbers(&answer.join().unwrap().expect(200)), pairs(3..5));
    }
    // It was told, and did not just look again.
    println!("{}: delivered after {:?}", env.engine.as_str(), sent.elapsed());
    let begun = Instant::now();
    let nothing = page(client, "s", "offset=5&wait=300ms");
    assert!(numbers(&nothing).is_empty() && begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    client.get("/v1/streams/none/events?wait=100ms").problem(404, "not_found");
    // Who asks for what comes next before there is a stream gets its first event.
    follow(client, 0);
    let first = {
        let client = client.clone();
        std::thread::spawn(move || waits(&client, "/v1/streams/new%2Fa%20%C3%BC/events?offset=latest&wait=30s", &[]))
    };
    follow(client, 1);
    send(client, "new/a ü", 0, 1);
    assert_eq!(numbers(&first.join().unwrap().expect(200)), pairs(0..1));
    Ok(())
}

fn many_that_wait_are_all_answered(env: &Env) -> TestResult {
    const WAITING: usize = 120;
    let tidegate = env.serve();
    let client = &tidegate.client;
    send(client, "s", 0, 1);
    reaches(client, "s", 1);
    std::thread::scope(|scope| {
        let path = "/v1/streams/s/events?offset=1&wait=30s";
        let waiting: Vec<_> = (0..WAITING).map(|_| scope.spawn(|| waits(client, path, &[]))).collect();
        follow(client, WAITING);
        let begun = Instant::now();
        send(client, "s", 1, 1);
        for answer in waiting {
            assert_eq!(numbers(&answer.join().unwrap().expect(200)), pairs(1..2));
        }
        println!("{}: {WAITING} answered within {:?}", env.engine.as_str(), begun.elapsed());
    });
    Ok(())
}

fn lines_go_to_the_end_and_on_while_events_come(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    for first in [0, 1500] {
        send(client, "s", first, 1500);
    }
    reaches(client, "s", 3000);
    let lines = |query: &str| -> Vec<(i64, i64)> {
        let answer = client.get_as(&format!("/v1/streams/s/events?{query}"), &[("accept", "application/x-ndjson")]);
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/x-ndjson"), "{}", answer.text());
        let events: Vec<Value> = answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        numbers(&json!({ "data": events }))
    };
    assert_eq!(lines(""), pairs(0..3000));
    assert_eq!(lines("offset=2990"), pairs(2990..3000));
    assert_eq!(lines("offset=10&limit=1200"), pairs(10..1210));
    assert_eq!(lines("offset=latest"), []);
    let packed =
        client.get_as("/v1/streams/s/events", &[("accept", "application/x-ndjson"), ("accept-encoding", "gzip")]);
    assert_eq!(packed.header("content-encoding"), "gzip");
    std::thread::scope(|scope| {
        let following = scope.spawn(|| {
            until("four come", || {
                let begun = Instant::now();
                let found = lines("offset=2998&limit=4&wait=30s");
                (found.len() == 4 || begun.elapsed() < WAIT).then_some(found)
            })
        });
        follow(client, 1);
        send(client, "s", 3000, 2);
        assert_eq!(following.join().unwrap(), pairs(2998..3002));
    });
    assert_eq!(lines("offset=3001&wait=200ms"), pairs(3001..3002));
    // A stream that is not there yet is waited for; not without an end.
    let get =
        |query: &str| client.get_as(&format!("/v1/streams/new/events?{query}"), &[("accept", "application/x-ndjson")]);
    get("wait=100ms").problem(404, "not_found");
    follow(client, 0);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            let path = "/v1/streams/new/events?offset=latest&limit=1&wait=30s";
            waits(client, path, &[("accept", "application/x-ndjson")])
        });
        follow(client, 1);
        send(client, "new", 5, 1);
        let event: Value = serde_json::from_str(first.join().unwrap().text()).unwrap();
        assert_eq!((&event["offset"], &event["payload"]["n"]), (&json!(0), &json!(5)));
    });
    Ok(())
}

fn what_is_not_there_and_what_is_anothers_look_the_same(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    send(client, "s", 0, 2);
    let cursor = next(client, "s", "offset=0&limit=1")["cursor"].as_str().unwrap().to_owned();
    let other = tidegate.with(&env.key("other", "ingest,read"));
    let missing = other.get("/v1/streams/nothing/events").problem(404, "not_found");
    assert_eq!(other.get("/v1/streams/s/events").problem(404, "not_found"), missing);
    assert_eq!(other.post("/v1/streams/s/tickets", &[], "").problem(404, "not_found"), missing);
    other.get(&format!("/v1/streams/s/events?cursor={cursor}")).problem(404, "not_found");
    // Of the same name: two streams.
    send(&other, "s", 7, 1);
    assert_eq!(all(&other, "s", 1), [(0, 7)]);
    other.get(&format!("/v1/streams/s/events?cursor={cursor}")).problem(404, "not_found");
    client.get(&format!("/v1/streams/t/events?cursor={cursor}")).problem(400, "invalid_parameter");
    assert_eq!(all(client, "s", 2), pairs(0..2));
    Ok(())
}

fn before_the_beginning_and_past_the_end(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    for first in [0, 3, 6] {
        send(client, "s", first, 3);
    }
    assert_eq!(all(client, "s", 9).len(), 9);
    let problem = client.get("/v1/streams/s/events?offset=10").problem(400, "offset_past_end");
    assert_eq!(problem["end"], 9);
    let old = page(client, "s", "offset=1&limit=1")["cursor"].as_str().unwrap().to_owned();
    let sql = env.sql();
    // As if the first batch were that old. Manifests go with the rows, and the log behind them.
    let aged =
        "min_timestamp = min_timestamp - interval '400 days', max_timestamp = max_timestamp - interval '400 days'";
    let first: i64 = sql.one("SELECT batch_id FROM batch_log WHERE base = 0");
    sql.run(&format!(
        "UPDATE batch_log SET {aged} WHERE base = 0; UPDATE ingest_batches SET {aged} WHERE batch_id = {first}"
    ));
    let run = || {
        env.cli(&["lifecycle", "run", "--json"]).json();
        (sql.count("ingest_batches"), sql.count("batch_log"))
    };
    assert_eq!(run(), (2, 2));
    for place in ["offset=0".to_owned(), "offset=2".to_owned(), format!("cursor={old}")] {
        let gone = client.get(&format!("/v1/streams/s/events?{place}")).problem(410, "offset_gone");
        assert_eq!((&gone["begin"], &gone["end"], &gone["next_offset"]), (&json!(3), &json!(9), &json!(3)), "{gone}");
        let on = page(client, "s", &format!("cursor={}", gone["cursor"].as_str().unwrap()));
        assert_eq!(numbers(&on), pairs(3..9));
    }
    assert_eq!(numbers(&page(client, "s", "offset=earliest")), pairs(3..9));
    // When all has expired the stream stands at its end, and goes on there.
    sql.run(&format!("UPDATE batch_log SET {aged}; UPDATE ingest_batches SET {aged}"));
    assert_eq!(run(), (0, 1), "the newest one stays");
    let end = page(client, "s", "offset=earliest");
    assert_eq!((numbers(&end), &end["begin"], &end["end"]), (vec![], &json!(9), &json!(9)));
    client.get("/v1/streams/s/events?offset=8").problem(410, "offset_gone");
    send(client, "s", 9, 1);
    assert_eq!(numbers(&next(client, "s", "offset=9")), pairs(9..10));
    Ok(())
}

fn large_events_come_whole_and_pages_stay_small(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let event = |n: usize, bytes: usize| {
        let filler = "x".repeat(bytes);
        format!(
            r#"{{"event_type":"e","source_module":"s","stream":"s","payload":{{"n":{n},"big":1.10,"filler":"{filler}"}}}}"#
        )
    };
    // Too large to come with others, and so many that no page holds them.
    client.events(array([event(0, 10), event(1, 3 << 20), event(2, 10)])).accepted(3, 0);
    client.events(array((3..33).map(|n| event(n, 400 << 10)))).accepted(30, 0);
    reaches(client, "s", 33);
    let (mut found, mut place, mut pages) = (Vec::new(), "offset=0".to_owned(), 0);
    while found.len() < 33 {
        let answer = client.get(&format!("/v1/streams/s/events?{place}&limit=100"));
        assert!(answer.bytes.len() < 9 << 20, "{} bytes", answer.bytes.len());
        let page = answer.expect(200);
        for event in page["data"].as_array().unwrap() {
            let (n, filler) = (event["payload"]["n"].as_u64().unwrap(), event["payload"]["filler"].as_str().unwrap());
            let bytes = if n == 1 {
                3 << 20
            } else if n < 3 {
                10
            } else {
                400 << 10
            };
            assert_eq!(filler.len(), bytes, "{n}");
        }
        found.extend(numbers(&page));
        place = format!("cursor={}", page["cursor"].as_str().unwrap());
        pages += 1;
    }
    assert_eq!(found, pairs(0..33));
    assert!(pages > 1, "{pages}");
    let lines = client.get_as("/v1/streams/s/events?offset=0", &[("accept", "application/x-ndjson")]);
    let lines = lines.text().lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>();
    assert_eq!(numbers(&json!({ "data": lines })), found);
    let text = client.get("/v1/streams/s/events?offset=2&limit=1");
    assert!(text.text().contains(r#""big": 1.10"#) || text.text().contains(r#""big":1.10"#), "{}", text.text());
    Ok(())
}

fn tail_prints_what_comes(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let mut variables = env.variables();
    variables.push(("TIDEGATE_KEY".to_owned(), client.key().to_owned()));
    let url = client.url();
    // It waits for the stream to be there.
    let tail =
        Running::start(env, &variables, &["tail", "s", "--url", &url, "--from", "earliest", "--limit", "5", "--json"]);
    send(client, "s", 0, 3);
    assert_eq!(all(client, "s", 3).len(), 3);
    send(client, "s", 3, 2);
    let finished = tail.finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let events: Vec<Value> = finished.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(numbers(&json!({ "data": events })), pairs(0..5));
    let run = |arguments: &[&str]| Finished::run(env, &variables, &[&["tail", "s", "--url", &url], arguments].concat());
    let two = run(&["--from", "3", "--limit", "2"]);
    assert_eq!((two.code, two.stdout.lines().count()), (Some(0), 2), "{two:?}");
    assert!(two.stdout.starts_with("3  ") && two.stdout.contains("sample"), "{two:?}");
    let past = run(&["--from", "9"]);
    assert!(past.code == Some(1) && past.stderr.contains("has not reached the offset 9"), "{past:?}");
    follow(client, 0);
    let tail = Running::start(env, &variables, &["tail", "new/a ü", "--url", &url, "--limit", "1"]);
    follow(client, 1);
    send(client, "new/a ü", 7, 1);
    let new = tail.finish();
    assert!(new.code == Some(0) && new.stdout.starts_with("0  ") && new.stdout.contains("7}"), "{new:?}");
    let none = Finished::run(env, &env.variables(), &["tail", "s", "--url", &url]);
    assert!(none.code == Some(2) && none.stderr.contains("TIDEGATE_KEY"), "{none:?}");
    Ok(())
}
