//! Syslog over TCP and UDP: each message is an event, through outages and restarts, in the framing of each sender.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};

use serde_json::json;

use crate::books::Books;
use crate::env::{Env, Test, TestResult, until};
use crate::process::Tidegate;
use crate::proxy::Proxy;
use crate::tests;

pub const TESTS: &[Test] = tests!(
    messages_become_events,
    datagrams_become_events,
    messages_wait_for_their_key_and_for_room,
    what_came_before_the_end_is_stored,
    a_key_that_is_none_is_said_before_a_port_is_bound,
);

/// `serve` with a listener whose port is any, and where it listens.
fn serve(env: &Env, key: &str, settings: &[&str]) -> (Tidegate, String) {
    let key = format!("syslog.key={key}");
    let settings = [&["syslog.listen=127.0.0.1:0", &*key], settings].concat();
    let tidegate = env.serve_with(&settings);
    let address = address(&tidegate);
    (tidegate, address)
}

fn address(tidegate: &Tidegate) -> String {
    let line = until("it listens for syslog", || {
        tidegate.log().lines().find(|line| line.contains("listening for syslog")).map(str::to_owned)
    });
    let (_, rest) = line.split_once("address=").expect("it says where");
    rest.split_whitespace().next().expect("an address").to_owned()
}

fn stored(env: &Env, count: i64) {
    until("the messages are stored", || (env.sql().count("events") >= count).then_some(()));
    assert_eq!(env.sql().count("events"), count);
}

fn messages_become_events(env: &Env) -> TestResult {
    let key = env.key("default", "ingest,read");
    let (tidegate, address) = serve(env, &key.text, &["syslog.stream=machines"]);
    let client = tidegate.with(&key);
    let mut stream = TcpStream::connect(&address)?;
    let now = jiff::Timestamp::now();
    let modern = format!("<165>1 {now} web-1 app 42 ID47 [meta n=\"1\" b=\"\\\"x\\]\"] it \u{fc}ber works");
    write!(stream, "{modern}\n<13>Oct 11 22:14:15 old-host su[7]: 'su root' failed\n")?;
    // Counted, in the same stream, and with a line break inside.
    let counted = format!("<11>1 {now} web-2 job - - - first\nsecond");
    write!(stream, "{} {counted}", counted.len())?;
    writeln!(stream, "no syslog at all")?;
    stream.flush()?;
    drop(stream);
    // The old one is of October, and may be older than events are kept.
    until("the messages are stored", || {
        let sql = env.sql();
        (sql.count("events") + sql.count("dead_letter_events") >= 4).then_some(())
    });
    let list = client.get("/v1/events?asset_id=web-1").expect(200);
    let event = &list["data"][0];
    assert_eq!(
        (&event["source_module"], &event["severity"], &event["stream"]),
        (&json!("app"), &json!("notice"), &json!("machines")),
        "{event}"
    );
    assert_eq!(event["payload"]["message"], "it \u{fc}ber works");
    assert_eq!(event["payload"]["structured_data"]["meta"]["b"], "\"x]");
    let list = client.get("/v1/events?asset_id=web-2").expect(200);
    assert_eq!(list["data"][0]["payload"]["message"], "first\nsecond");
    let whole: i64 = env.sql().one("SELECT count(*) FROM events WHERE payload->>'message' LIKE '%no syslog at all%'");
    assert_eq!(whole, 1);
    Books::of(&client).assert_balanced();
    assert!(!tidegate.log().contains(&key.text[40..]), "the key is a secret");
    Ok(())
}

fn datagrams_become_events(env: &Env) -> TestResult {
    let key = env.key("default", "ingest");
    let (tidegate, address) = serve(env, &key.text, &["syslog.udp=true"]);
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    for n in 0..100 {
        socket.send_to(format!("<14>1 - host app - - - number {n}").as_bytes(), &address)?;
    }
    until("the datagrams are stored or counted as dropped", || {
        let metrics = tidegate.client.get("/metrics");
        let lost: i64 = metrics
            .text()
            .lines()
            .filter(|line| line.starts_with("tidegate_syslog_dropped_total"))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<i64>().ok())
            .sum();
        (env.sql().count("events") + lost >= 100).then_some(())
    });
    Ok(())
}

/// Over TCP nothing is lost: not while its key is not good, and not while there is neither database nor spool.
fn messages_wait_for_their_key_and_for_room(env: &Env) -> TestResult {
    let proxy = Proxy::start(&env.socket());
    let key = env.key("default", "ingest");
    let settings =
        ["syslog.listen=127.0.0.1:0".to_owned(), format!("syslog.key={}", key.text), "spool.enabled=false".to_owned()];
    let flags: Vec<String> = settings.into_iter().flat_map(|setting| ["--set".to_owned(), setting]).collect();
    let tidegate = Tidegate::serve(env, &env.variables_through(&proxy), &flags);
    let address = address(&tidegate);
    let mut stream = TcpStream::connect(&address)?;
    writeln!(stream, "<14>1 - host app - - - before")?;
    stored(env, 1);
    proxy.away();
    for n in 0..3000 {
        writeln!(stream, "<14>1 - host app - - - meanwhile {n}")?;
    }
    until("a batch was refused", || tidegate.log().contains("senders are asked to retry").then_some(()));
    proxy.back();
    stored(env, 3001);
    let distinct: i64 = env.sql().one("SELECT count(DISTINCT payload->>'message') FROM events");
    assert_eq!(distinct, 3001);
    Ok(())
}

fn what_came_before_the_end_is_stored(env: &Env) -> TestResult {
    let key = env.key("default", "ingest");
    let (mut tidegate, address) = serve(env, &key.text, &[]);
    let mut stream = TcpStream::connect(&address)?;
    let text: String = (0..500).map(|n| format!("<14>1 - host app - - - number {n}\n")).collect();
    stream.write_all(text.as_bytes())?;
    until("some are stored", || (env.sql().count("events") > 0).then_some(()));
    assert_eq!(tidegate.stop(), Some(0));
    stored(env, 500);
    Ok(())
}

fn a_key_that_is_none_is_said_before_a_port_is_bound(env: &Env) -> TestResult {
    let ended = env.serve_fails(&["syslog.listen=127.0.0.1:0", "syslog.key=tg_nonsense"]);
    assert!(ended.stderr.contains("syslog.key") && !ended.stderr.contains("tg_nonsense"), "{}", ended.stderr);
    let ended = env.serve_fails(&["syslog.listen=127.0.0.1:0"]);
    assert!(ended.stderr.contains("syslog.key"), "{}", ended.stderr);
    Ok(())
}
