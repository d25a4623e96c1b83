//! What one misfortune costs everybody else: nothing.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Barrier;

use serde_json::json;

use crate::books::Books;
use crate::env::{Env, Test, TestResult, until};
use crate::postgres::SUPERUSER;
use crate::process::Tidegate;
use crate::proxy::{Cut, Point, Proxy};
use crate::samples::{array, event, event_with, hours_from_now};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    a_superusers_commit_whose_answer_is_lost,
    a_superusers_commit_that_never_arrives,
    junk_from_many_at_once,
    an_abandoned_read_blocks_no_other,
    poison_across_streams_and_days,
);

/// The jobs that run at start take locks of their own.
pub fn jobs_are_over(tidegate: &Tidegate) {
    until("the first run of the jobs is over", || {
        let books = Books::of(&tidegate.client);
        (books.get("tidegate_job_runs_total{job_name=\"lifecycle\"}") > 0.5).then_some(())
    });
}

/// Waits until a session of this role (`reader`, `writer`) waits for a lock.
pub fn waits_for_a_lock(env: &Env, role: &str) {
    let sql = env.sql_as(SUPERUSER);
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' \
         AND application_name = 'tidegate {role}'"
    );
    until(&format!("the {role} waits for a lock"), || (sql.one::<i64>(&waiting) > 0).then_some(()));
}

/// A superuser's session steps down to the owner, who may not end the backend of a lost COMMIT.
fn cut(env: &Env, at: Cut) -> TestResult {
    let proxy = Proxy::start(&env.socket());
    let through = proxy.url(SUPERUSER, env.database());
    let own = env.url(SUPERUSER);
    // Only writers go through the proxy: the jobs' COMMITs must not meet the fault.
    let variables = [("DATABASE", &own), ("WRITER", &through), ("READER", &own)]
        .map(|(role, url)| (format!("TIDEGATE_{role}_URL"), url.clone()));
    let flags = ["--set", "writers=1"].map(str::to_owned);
    let tidegate = Tidegate::serve(env, &variables, &flags);
    std::thread::scope(|scope| {
        let send = |n: usize| {
            let client = &tidegate.client;
            scope.spawn(move || client.events(event(n)).accepted(1, 0));
        };
        // The only writer is at work with the first until the others are there, which are one batch then.
        proxy.hold_next(Point::Commit);
        send(0);
        until("the writer is at work", || (proxy.held() == 1).then_some(()));
        send(1);
        send(2);
        let waiting = || Books::of(&tidegate.client).get("tidegate_requests_waiting");
        until("the others wait for it", || (waiting() > 1.5).then_some(()));
        proxy.cut_next(at);
        proxy.release();
    });
    assert_eq!(proxy.cuts(), 1);
    let sql = env.sql();
    let stored: Vec<i32> = sql.column("SELECT (payload->>'n')::int FROM events ORDER BY 1");
    assert_eq!(stored, [0, 1, 2]);
    let batches: Vec<i32> = sql.column("SELECT event_count FROM ingest_batches ORDER BY batch_id");
    assert_eq!(batches, [1, 2], "two together");
    Books::of(&tidegate.client).assert_items(&[("received", 3), ("committed", 3)]);
    Ok(())
}

fn a_superusers_commit_whose_answer_is_lost(env: &Env) -> TestResult {
    cut(env, Cut::AfterCommit)
}

fn a_superusers_commit_that_never_arrives(env: &Env) -> TestResult {
    cut(env, Cut::BeforeCommit)
}

fn junk_from_many_at_once(env: &Env) -> TestResult {
    const ITEMS: usize = 20_000;
    let tidegate = env.serve();
    let junk = array(vec!["0"; ITEMS]);
    let gate = Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                gate.wait();
                let refused = tidegate.client.events(&junk).problem(422, "nothing_accepted");
                assert_eq!((&refused["accepted"], &refused["rejected"]), (&json!(0), &json!(ITEMS)));
                let errors = refused["errors"].as_array().unwrap();
                assert_eq!((errors.len(), &errors[99]["index"]), (100, &json!(99)));
            });
        }
        scope.spawn(|| {
            gate.wait();
            tidegate.client.events(event(1)).accepted(1, 0);
        });
    });
    let sql = env.sql();
    assert_eq!((sql.count("events"), sql.count("dead_letter_events")), (1, 60_000));
    let whole = "SELECT count(*) FROM (SELECT FROM dead_letter_events WHERE raw = '0' GROUP BY receipt \
         HAVING count(DISTINCT item_index) = 20000) AS requests";
    assert_eq!(sql.one::<i64>(whole), 3);
    Books::of(&tidegate.client).assert_items(&[("received", 60_001), ("committed", 1), ("dead_lettered", 60_000)]);
    Ok(())
}

fn an_abandoned_read_blocks_no_other(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["readers=1"]);
    tidegate.client.events(event(0)).accepted(1, 0);
    jobs_are_over(&tidegate);
    let blocker = env.sql();
    blocker.run("BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE");
    let mut abandoned = TcpStream::connect(&tidegate.client.address)?;
    let key = tidegate.client.key();
    write!(abandoned, "GET /v1/events HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {key}\r\n\r\n")?;
    waits_for_a_lock(env, "reader");
    drop(abandoned);
    tidegate.client.get("/v1/dead-letters").expect(200);
    blocker.run("ROLLBACK");
    assert_eq!(tidegate.client.get("/v1/events").expect(200)["data"].as_array().map(Vec::len), Some(1));
    Ok(())
}

fn poison_across_streams_and_days(env: &Env) -> TestResult {
    let tidegate = env.serve();
    env.sql().alter("ALTER TABLE events ADD CONSTRAINT no_forbidden CHECK (source_module <> 'forbidden')");
    let days: Vec<String> = (0..4).map(|day| hours_from_now(-24 * day)).collect();
    // Every block of fifty is in one stream and one day, and has one bad row.
    let items = (0..1000).map(|n| {
        let block = n / 50;
        let members = format!(r#""stream":"s{}","timestamp":"{}""#, block % 2, days[block / 2 % 4]);
        let item = event_with(n, &members);
        if n % 50 == 7 { item.replace(r#""tests""#, r#""forbidden""#) } else { item }
    });
    let answer = tidegate.client.events(array(items)).accepted(980, 20);
    let poisoned: Vec<i32> = (0..20).map(|block| block * 50 + 7).collect();
    let listed: Vec<_> = answer["errors"].as_array().unwrap().iter().map(|error| error["index"].clone()).collect();
    assert_eq!(json!(listed), json!(poisoned));
    let sql = env.sql();
    let letters = "SELECT item_index FROM dead_letter_events WHERE stage = 'write' AND code = 'row_refused' \
         AND position('forbidden'::bytea IN raw) > 0 ORDER BY 1";
    assert_eq!(sql.column::<i32>(letters), poisoned);
    let stored: Vec<i32> = sql.column("SELECT (payload->>'n')::int FROM events ORDER BY 1");
    assert_eq!(stored, (0..1000).filter(|n| n % 50 != 7).collect::<Vec<i32>>());
    let streams = sql.rows("SELECT stream, sum(event_count)::bigint FROM ingest_batches GROUP BY 1 ORDER BY 1", &[]);
    let streams: Vec<(String, i64)> = streams.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(streams, [("s0".to_owned(), 490), ("s1".to_owned(), 490)]);
    Books::of(&tidegate.client).assert_items(&[("received", 1000), ("committed", 980), ("dead_lettered", 20)]);
    Ok(())
}
