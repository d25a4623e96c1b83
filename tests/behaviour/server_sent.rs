//! Streams as Server-Sent Events, as browsers read them: where they go on, with a ticket instead of a key, and how they end.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::client::Client;
use crate::env::{DEADLINE, Env, Test, TestResult, until};
use crate::process::Tidegate;
use crate::proxy::Proxy;
use crate::streams::{all, follow, next, node, numbers, pairs, reaches, send};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    server_sent_events_resume_where_they_ended,
    a_ticket_opens_its_stream_and_no_other,
    who_follows_is_let_go_at_the_end,
    events_outlive_an_outage_of_the_database,
);

/// A connection on which Server-Sent Events come.
pub struct Feed {
    lines: std::io::Lines<BufReader<TcpStream>>,
    pub head: String,
}

/// What came: its id, and its data.
type Sent = (String, Value);

impl Feed {
    pub fn open(client: &Client, path: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(&client.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: t\r\naccept: text/event-stream\r\n{headers}\r\n").unwrap();
        let mut lines = BufReader::new(stream).lines();
        let mut head = String::new();
        for line in lines.by_ref() {
            let line = line.unwrap();
            if line.is_empty() {
                break;
            }
            head += &(line + "\n");
        }
        Self { lines, head }
    }

    pub fn of(client: &Client, query: &str, more: &str) -> Self {
        let headers = format!("authorization: Bearer {}\r\n{more}", client.key());
        Self::open(client, &format!("/v1/streams/s/events?{query}"), &headers)
    }

    /// The next event; None: the answer has ended. Sizes of chunks lie between the lines.
    pub fn next(&mut self) -> Option<Sent> {
        let mut id = String::new();
        for line in self.lines.by_ref() {
            let line = line.ok()?;
            if let Some(found) = line.strip_prefix("id: ") {
                found.clone_into(&mut id);
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some((id, serde_json::from_str(data).unwrap()));
            } else if line == "0" {
                return None;
            }
        }
        None
    }

    /// The offsets of so many events, and the id of the last one.
    fn offsets(&mut self, count: usize) -> (Vec<i64>, String) {
        let events: Vec<Sent> = (0..count).map(|_| self.next().expect("an event")).collect();
        let offsets = events.iter().map(|(_, event)| event["offset"].as_i64().unwrap()).collect();
        (offsets, events.last().map(|(id, _)| id.clone()).unwrap_or_default())
    }
}

fn server_sent_events_resume_where_they_ended(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    send(client, "s", 0, 4);
    assert_eq!(numbers(&next(client, "s", "offset=0")).len(), 4);
    let mut feed = Feed::of(client, "offset=1", "");
    assert!(feed.head.starts_with("HTTP/1.1 200") && feed.head.contains("text/event-stream"), "{}", feed.head);
    let (offsets, _) = feed.offsets(2);
    assert_eq!(offsets, [1, 2]);
    let (_, last) = feed.offsets(1);
    drop(feed);
    send(client, "s", 4, 3);
    // Whatever its URL says.
    let mut feed = Feed::of(client, "offset=latest", &format!("last-event-id: {last}\r\n"));
    assert_eq!(feed.offsets(3).0, [4, 5, 6]);
    send(client, "s", 7, 2);
    assert_eq!(feed.offsets(2).0, [7, 8]);
    // Before anything has come it is said where that is.
    let mut idle = Feed::of(client, "offset=latest", "");
    let mut id = String::new();
    while id.is_empty() {
        let line = idle.lines.next().unwrap().unwrap();
        line.strip_prefix("id: ").unwrap_or_default().clone_into(&mut id);
    }
    drop(idle);
    send(client, "s", 9, 1);
    assert_eq!(Feed::of(client, "offset=earliest", &format!("last-event-id: {id}\r\n")).offsets(1).0, [9]);
    assert_eq!(Feed::of(client, "offset=0&limit=2", "").offsets(2).0, [0, 1]);
    let mut limited = Feed::of(client, "offset=0&limit=1", "");
    limited.offsets(1);
    assert_eq!(limited.next(), None);
    let gone = Feed::of(client, "offset=99", "");
    assert!(gone.head.starts_with("HTTP/1.1 400"), "{}", gone.head);
    Ok(())
}

fn a_ticket_opens_its_stream_and_no_other(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    send(client, "s", 0, 2);
    send(client, "t", 0, 2);
    assert_eq!((all(client, "s", 2).len(), all(client, "t", 2).len()), (2, 2));
    let reader = env.key("default", "consume");
    // Before there is a ticket, which is good for a minute.
    let other = node(env, 2);
    let ticket = tidegate.with(&reader).post("/v1/streams/s/tickets", &[], "").expect(200);
    let (url, text) = (ticket["url"].as_str().unwrap(), ticket["ticket"].as_str().unwrap());
    let left = ticket["expires_at"].as_str().unwrap().parse::<jiff::Timestamp>()?.duration_since(crate::samples::now());
    assert!((1..=60).contains(&left.as_secs()), "{left:?}");
    // At another node as well, with no key and as Server-Sent Events.
    assert_eq!(numbers(&other.anonymous().get(url).expect(200)), pairs(0..2));
    let mut feed = Feed::open(&other.client, url, "");
    assert_eq!(feed.offsets(2).0, [0, 1]);
    let get = |stream: &str, ticket: &str| {
        let path = format!("/v1/streams/{stream}/events?ticket={ticket}");
        tidegate.anonymous().get(&path).problem(401, "unauthorized")
    };
    get("t", text);
    get("s", &text[1..]);
    get("s", "");
    tidegate.anonymous().get("/v1/streams/s/events").problem(401, "unauthorized");
    // Beside a key it is a parameter that nobody knows.
    client.get(url).problem(400, "invalid_parameter");
    // It goes with the key that it was made with, and so does what it has opened.
    env.cli(&["keys", "revoke", reader.id()]);
    until("the ticket is no longer good", || (other.anonymous().get(url).status == 401).then_some(()));
    assert_eq!(feed.next(), None);
    for (scopes, status) in [("ingest", 403), ("admin", 403), ("read", 200)] {
        let key = tidegate.with(&env.key("default", scopes));
        assert_eq!(key.post("/v1/streams/s/tickets", &[], "").status, status, "{scopes}");
        assert_eq!(key.get("/v1/streams/s/events").status, status, "{scopes}");
    }
    Ok(())
}

fn who_follows_is_let_go_at_the_end(env: &Env) -> TestResult {
    let mut tidegate = env.serve();
    let client = tidegate.client.clone();
    send(&client, "s", 0, 1);
    assert_eq!(all(&client, "s", 1).len(), 1);
    let mut feed = Feed::of(&client, "offset=0", "");
    feed.offsets(1);
    let waiting = std::thread::spawn(move || client.get("/v1/streams/s/events?offset=1&wait=30s"));
    follow(&tidegate.client, 2);
    assert_eq!(tidegate.stop(), Some(0));
    // Else they would have been, after twenty seconds.
    assert!(!tidegate.log().contains("busy at the deadline and were cut"), "{}", tidegate.log());
    assert_eq!(feed.next(), None);
    assert!(numbers(&waiting.join().unwrap().expect(200)).is_empty());
    Ok(())
}

/// A browser that is refused when it connects again gives up.
fn events_outlive_an_outage_of_the_database(env: &Env) -> TestResult {
    let proxy = Proxy::start(&env.socket());
    let tidegate = Tidegate::serve(env, &env.variables_through(&proxy), &[]);
    send(&tidegate.client, "s", 0, 1);
    let mut feed = {
        reaches(&tidegate.client, "s", 1);
        Feed::of(&tidegate.client, "offset=0", "")
    };
    assert_eq!(feed.offsets(1).0, [0]);
    let other = node(env, 2);
    proxy.away();
    send(&other.client, "s", 1, 2);
    reaches(&other.client, "s", 3);
    until("it cannot read", || (tidegate.client.get("/v1/streams/s/events").status == 503).then_some(()));
    proxy.back();
    assert_eq!(feed.offsets(2).0, [1, 2]);
    Ok(())
}
