//! Faults while agents send: what they were told is stored is stored, once, and they are told in their own words what to do.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use crate::books::Books;
use crate::client::Client;
use crate::env::{Env, Test, TestResult, until};
use crate::process::Tidegate;
use crate::protocols_sent::{PROTOBUF, now_ns, samples};
use crate::proxy::{Cut, Proxy};
use crate::tests;
use crate::wired::{log_record, otlp, snappy, time_series};

pub const TESTS: &[Test] = tests!(
    what_is_spooled_is_stored_with_what_was_sent,
    agents_through_restarts_and_an_outage,
    lost_commits_are_not_stored_twice,
    whom_there_is_no_room_for_is_told_to_come_again,
);

const REMOTE_WRITE: &[(&str, &str)] = &[("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];

/// Each protocol while the database is away: success in its words, then the rows, and dead letters with what was sent.
fn what_is_spooled_is_stored_with_what_was_sent(env: &Env) -> TestResult {
    let proxy = Proxy::start(&env.socket());
    let data_dir = format!("data_dir={}", env.path().join("data").display());
    let flags = ["--set".to_owned(), data_dir.clone()];
    let mut tidegate = Tidegate::serve(env, &env.variables_through(&proxy), &flags);
    tidegate.client.events(crate::samples::event(0)).accepted(1, 0);
    proxy.away();
    let mut rows = 0;
    for sample in samples(4) {
        let answer = sample.send(&tidegate.client);
        assert_eq!(answer.status, sample.status, "{}: {}", sample.name, answer.text());
        rows += sample.rows;
    }
    let lines = format!("good,host=a value=1 {}\nno line", now_ns());
    assert_eq!(tidegate.client.post("/write", &[], &lines).status, 400);
    let old = time_series(&[("__name__", "old")], &[(1.0, 1000)]);
    assert_eq!(tidegate.client.post("/api/v1/write", REMOTE_WRITE, snappy(&old)).status, 400);
    tidegate.kill();
    let tidegate = env.serve_with(&[&data_dir]);
    Books::drained(&tidegate.client);
    let sql = env.sql();
    assert_eq!(sql.count("events") + sql.count("metrics"), rows + 2);
    let letters: Vec<Vec<u8>> = sql.column("SELECT original FROM dead_letter_events ORDER BY code");
    assert_eq!(letters, [old[2..].to_vec(), b"no line".to_vec()]);
    let reasons: Vec<String> = sql.column("SELECT reason FROM dead_letter_events WHERE code = 'undecodable'");
    assert!(reasons[0].contains("line 2"), "{reasons:?}");
    Books::of(&tidegate.client).assert_balanced();
    Ok(())
}

/// Sends records one after another, each as often as it takes, as agents do: the same bytes until it is told success.
struct Sender<'a> {
    client: &'a std::sync::Mutex<Client>,
    sent: &'a AtomicU64,
}

impl Sender<'_> {
    fn send(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        until("success", || {
            let client = self.client.lock().unwrap().clone();
            let answer = client.send("POST", path, headers, body).ok()?;
            assert!([200, 204, 429, 502, 503, 504].contains(&answer.status), "{} {}", answer.status, answer.text());
            (answer.status < 300).then_some(())
        });
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    fn run(&self, which: usize, until_n: u64) {
        for n in 0..until_n {
            let ns = now_ns();
            match which {
                0 => {
                    let body = otlp("shop", "otlp", &[log_record(ns, &format!("{n}")), log_record(ns, "and")]);
                    self.send("/v1/logs", PROTOBUF, &body);
                }
                1 => {
                    let ms = i64::try_from(ns / 1_000_000).unwrap();
                    let labels = [("__name__", "n"), ("instance", "prom")];
                    let number = u32::try_from(n).unwrap();
                    let body = snappy(&time_series(&labels, &[(f64::from(number), ms), (-1.0, ms)]));
                    self.send("/api/v1/write", REMOTE_WRITE, &body);
                }
                2 => self.send("/api/v2/write", &[], format!("n,host=influx value={n},also=-1 {ns}").as_bytes()),
                _ => {
                    let push = json!({ "streams": [{ "stream": { "host": "loki" },
                        "values": [[ns.to_string(), n.to_string()], [ns.to_string(), "and"]] }] });
                    self.send(
                        "/loki/api/v1/push",
                        &[("content-type", "application/json")],
                        push.to_string().as_bytes(),
                    );
                }
            }
        }
    }
}

const EACH: u64 = 150;

fn assert_whole(env: &Env, tidegate: &Tidegate) {
    Books::drained(&tidegate.client);
    let sql = env.sql();
    let events = "SELECT concat(asset_id, ' ', count(*)) FROM events GROUP BY asset_id ORDER BY 1";
    let metrics = "SELECT concat(asset_id, ' ', count(*)) FROM metrics GROUP BY asset_id ORDER BY 1";
    let twice = 2 * EACH;
    assert_eq!(sql.column::<String>(events), [format!("loki {twice}"), format!("otlp {twice}")]);
    assert_eq!(sql.column::<String>(metrics), [format!("influx {twice}"), format!("prom {twice}")]);
    let values: Vec<i64> = sql
        .column("SELECT DISTINCT value_sum::bigint FROM metrics WHERE asset_id = 'prom' AND value_sum >= 0 ORDER BY 1");
    assert_eq!(values, (0..i64::try_from(EACH).unwrap()).collect::<Vec<_>>());
    let bodies: i64 = sql.one("SELECT count(DISTINCT payload->>'body') FROM events WHERE asset_id = 'otlp'");
    assert_eq!(bodies, i64::try_from(EACH).unwrap() + 1);
    Books::of(&tidegate.client).assert_balanced();
}

/// Restarts of Tidegate, by a signal and by SIGKILL, and a database that goes away and comes back.
fn agents_through_restarts_and_an_outage(env: &Env) -> TestResult {
    let proxy = Proxy::start(&env.socket());
    let data_dir = format!("data_dir={}", env.path().join("data").display());
    let flags = ["--set".to_owned(), data_dir];
    let serve = || Tidegate::serve(env, &env.variables_through(&proxy), &flags);
    let mut tidegate = serve();
    let (client, sent) = (std::sync::Mutex::new(tidegate.client.clone()), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for which in 0..4 {
            let sender = Sender { client: &client, sent: &sent };
            scope.spawn(move || sender.run(which, EACH));
        }
        let reached = |part: u64| {
            until("more is sent", || (sent.load(Ordering::Relaxed) >= 4 * EACH * part / 8).then_some(()));
        };
        reached(1);
        tidegate.stop();
        tidegate = serve();
        *client.lock().unwrap() = tidegate.client.clone();
        reached(2);
        proxy.away();
        reached(4);
        proxy.back();
        reached(5);
        tidegate.kill();
        tidegate = serve();
        *client.lock().unwrap() = tidegate.client.clone();
        reached(6);
        proxy.reset_all();
    });
    assert_whole(env, &tidegate);
    Ok(())
}

fn lost_commits_are_not_stored_twice(env: &Env) -> TestResult {
    let proxy = Proxy::start(&env.socket());
    let tidegate = Tidegate::serve(env, &env.variables_through(&proxy), &[]);
    let (client, sent) = (std::sync::Mutex::new(tidegate.client.clone()), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for which in 0..4 {
            let sender = Sender { client: &client, sent: &sent };
            scope.spawn(move || sender.run(which, EACH));
        }
        for round in 1..=4 {
            proxy.cut_next(if round % 2 == 0 { Cut::AfterCommit } else { Cut::BeforeCommit });
            until("a COMMIT is lost", || (proxy.cuts() == round).then_some(()));
        }
    });
    assert_whole(env, &tidegate);
    Ok(())
}

fn whom_there_is_no_room_for_is_told_to_come_again(env: &Env) -> TestResult {
    let proxy = Proxy::start(&env.socket());
    let flags = ["--set".to_owned(), "spool.enabled=false".to_owned()];
    let tidegate = Tidegate::serve(env, &env.variables_through(&proxy), &flags);
    tidegate.client.events(crate::samples::event(0)).accepted(1, 0);
    proxy.away();
    until("it is known that the database is away", || (tidegate.client.get("/readyz").status == 503).then_some(()));
    std::thread::scope(|scope| {
        for sample in samples(5) {
            let client = &tidegate.client;
            scope.spawn(move || {
                let answer = sample.send(client);
                // Elastic's agents come again after 429 alone.
                let expected: &[u16] = if sample.name == "elastic" { &[429, 503] } else { &[503] };
                assert!(expected.contains(&answer.status), "{}: {} {}", sample.name, answer.status, answer.text());
                let seconds: u32 = answer.header("retry-after").parse().unwrap_or(0);
                assert!(seconds > 0, "{}: {}", sample.name, answer.text());
            });
        }
    });
    assert_eq!(env.sql().count("events"), 1);
    Ok(())
}
