//! Exports beside ingestion: they have every row that was there, and let requests that wait go first.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tidegate::limits::CATCH_UP_EVENTS;
use tidegate::storage::embedded::{READER, locate_running};

use crate::books::Books;
use crate::copied::{WAYS, assert_has, by_copy, by_export};
use crate::env::{Engine, Env, Test, TestResult, until};
use crate::postgres::Sql;
use crate::process::Tidegate;
use crate::samples::{array, batch, event};
use crate::tests;
use crate::traffic::{Patience, Traffic};

pub const TESTS: &[Test] = tests!(
    what_was_there_is_exported_while_senders_go_on,
    an_export_gives_way_and_goes_on,
    who_catches_up_gives_way_and_goes_on,
    exports_stand_behind_in_the_embedded_server,
);

/// Of jobs that derive something.
const JOBS_GAVE_WAY: &str = "tidegate_gave_way_total{who=\"jobs\"}";
const GAVE_WAY: &str = "tidegate_gave_way_total{who=\"exports\"}";
/// Of who reads a stream and is behind.
const CONSUMERS_GAVE_WAY: &str = "tidegate_gave_way_total{who=\"consumers\"}";
const CSV: (&str, &str) = ("text/csv", "identity");

fn what_was_there_is_exported_while_senders_go_on(env: &Env) -> TestResult {
    let tidegate = env.serve();
    // More than are sorted at once (`EXPORT_SLICE_ROWS`).
    for request in 0..18 {
        let item = |n: usize| {
            let n = request * 1000 + n;
            let odd = ["plain", "a,b", "\\\"q\\\"", "line\\nline", "ü😀", "=1+1", ""][n % 7];
            format!(
                r#"{{"event_type":"e{}","source_module":"s","asset_id":"a{}","payload":{{"n":{n},"text":"{odd}","exact":{n}.10}}}}"#,
                n % 5,
                n % 97
            )
        };
        tidegate.client.events(array((0..1000).map(item))).accepted(1000, 0);
    }
    let sql = env.sql();
    let all = by_copy(&sql, "true");
    assert_eq!(all.len(), 18_000);
    let some = by_copy(&sql, "event_type = 'e3'");
    let traffic = Traffic::start(&tidegate.client, Patience::Retry);
    for way in WAYS {
        traffic.flows(1);
        assert_has(&by_export(&tidegate.client, "/v1/events", way), &all, way);
        assert!(by_export(&tidegate.client, "/v1/events?event_type=e3&limit=3000", way) == some[..3000], "{way:?}");
    }
    traffic.flows(1);
    // 20 a request, in the end: what a busy machine does not write in time is spooled.
    let sent = 20 * i64::try_from(traffic.finish().len())?;
    Books::drained(&tidegate.client);
    assert_eq!(sql.count("events"), 18_000 + sent);
    Ok(())
}

/// With the only writer held up and a request behind it, an export gives way, and ends all the same: it has its share.
fn an_export_gives_way_and_goes_on(env: &Env) -> TestResult {
    let tidegate = one_writer(env, 8);
    let all = by_copy(&env.sql(), "true");
    let export = || assert_has(&by_export(&tidegate.client, "/v1/events", CSV), &all, CSV);
    export();
    while_a_request_waits(env, &tidegate, |one_waits| {
        let gave_way = Books::of(&tidegate.client).get(GAVE_WAY);
        // The one that waits may be given back just before it is looked at.
        until("an export gives way", || {
            one_waits();
            export();
            (Books::of(&tidegate.client).get(GAVE_WAY) > gave_way).then_some(())
        });
        let jobs_gave_way = Books::of(&tidegate.client).get(JOBS_GAVE_WAY);
        until("jobs give way as well", || {
            one_waits();
            (Books::of(&tidegate.client).get(JOBS_GAVE_WAY) > jobs_gave_way).then_some(())
        });
    });
    let gave_way = Books::of(&tidegate.client).get(GAVE_WAY);
    export();
    assert!((Books::of(&tidegate.client).get(GAVE_WAY) - gave_way).abs() < 0.5, "nobody waits any more");
    Ok(())
}

/// The same of who reads a stream and is behind, in every way of reading.
fn who_catches_up_gives_way_and_goes_on(env: &Env) -> TestResult {
    let tidegate = one_writer(env, usize::try_from(CATCH_UP_EVENTS / 1000)? + 2);
    let client = &tidegate.client;
    let stream = "/v1/streams/default";
    for group in ["alone", "several"] {
        client.post(&format!("{stream}/groups"), &[], format!(r#"{{"name":"{group}"}}"#)).expect(201);
    }
    let page = || drop(client.get(&format!("{stream}/events?limit=100")).expect(200));
    let as_lines = [("accept", "application/x-ndjson")];
    let lines = || assert_eq!(client.get_as(&format!("{stream}/events"), &as_lines).status, 200);
    let alone = || drop(client.get(&format!("{stream}/groups/alone/events?limit=100")).expect(200));
    let several = || drop(client.get(&format!("{stream}/groups/several/events?limit=10&member=m")).expect(200));
    let ways: [(&str, &dyn Fn()); 4] = [("page", &page), ("lines", &lines), ("alone", &alone), ("several", &several)];
    while_a_request_waits(env, &tidegate, |one_waits| {
        for (way, read) in ways {
            let gave_way = Books::of(client).get(CONSUMERS_GAVE_WAY);
            // The one that waits may be given back just before it is looked at.
            until(way, || {
                one_waits();
                read();
                (Books::of(client).get(CONSUMERS_GAVE_WAY) > gave_way).then_some(())
            });
        }
        // Those at the end wait for nobody, and those near it.
        let gave_way = Books::of(client).get(CONSUMERS_GAVE_WAY);
        client.get(&format!("{stream}/events?offset=latest")).expect(200);
        client.get(&format!("{stream}/events?offset=10000&limit=100")).expect(200);
        assert!((Books::of(client).get(CONSUMERS_GAVE_WAY) - gave_way).abs() < 0.5, "at the end");
    });
    let gave_way = Books::of(client).get(CONSUMERS_GAVE_WAY);
    ways.iter().for_each(|(_, read)| read());
    assert!((Books::of(client).get(CONSUMERS_GAVE_WAY) - gave_way).abs() < 0.5, "nobody waits any more");
    Ok(())
}

/// With so many thousand events. It has no spool, which would take over from a writer that is held up this long.
fn one_writer(env: &Env, thousands: usize) -> Tidegate {
    let tidegate = env.serve_with(&["writers=1", "spool.enabled=false"]);
    for _ in 0..thousands {
        tidegate.client.events(batch(1000)).accepted(1000, 0);
    }
    assert_eq!(Books::of(&tidegate.client).items("in_flight"), 0);
    tidegate
}

/// While the only writer is held up, and a request waits behind it; `work` is given what sees to it that one does: either may have been
/// given back after its time.
fn while_a_request_waits(env: &Env, tidegate: &Tidegate, work: impl FnOnce(&dyn Fn())) {
    let (client, under_way) = (&tidegate.client, &AtomicUsize::new(0));
    let blocker = env.sql();
    blocker.run("BEGIN; LOCK TABLE events IN SHARE MODE");
    std::thread::scope(|scope| {
        let send = move || {
            assert!(matches!(client.events(event(0)).status, 200 | 503));
            under_way.fetch_sub(1, SeqCst);
        };
        let one_waits = || {
            until("a request waits behind another", || {
                if Books::of(client).get("tidegate_requests_waiting") > 0.5 {
                    return Some(());
                }
                // One at the writer, and one behind it.
                if under_way.load(SeqCst) < 2 {
                    under_way.fetch_add(1, SeqCst);
                    scope.spawn(send);
                }
                None
            });
        };
        one_waits();
        work(&one_waits);
        blocker.run("ROLLBACK");
    });
}

/// The niceness of a process: the nineteenth field of its line, the seventeenth behind its name. None: it has ended.
fn niceness(pid: i32) -> Option<i32> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(line.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().parse().unwrap())
}

fn exports_stand_behind_in_the_embedded_server(env: &Env) -> TestResult {
    let data_dir = env.path().join("data");
    let mut flags = vec!["--data-dir".to_owned(), data_dir.to_str().unwrap().to_owned()];
    if env.engine == Engine::Postgres {
        flags.extend(["--engine", "postgres"].map(str::to_owned));
    }
    let tidegate = Tidegate::serve(env, &[], &flags);
    tidegate.client.events(batch(100)).accepted(100, 0);
    tidegate.client.get("/v1/events").expect(200);
    assert_eq!(by_export(&tidegate.client, "/v1/events", CSV).len(), 100);
    let server = locate_running(&data_dir).unwrap();
    let sql = Sql::connect(&server.url(READER, "tidegate"));
    let pids = |role| {
        let select = format!("SELECT pid FROM pg_stat_activity WHERE application_name = 'tidegate {role}'");
        sql.column::<i32>(&select)
    };
    let nicenesses = |role| pids(role).into_iter().filter_map(niceness).collect::<Vec<_>>();
    let (others, exports) = (nicenesses("writer"), nicenesses("export"));
    let others = [others, nicenesses("reader")].concat();
    assert!(exports.len() == 1 && others.len() > 1, "{exports:?} {others:?}");
    assert!(others.iter().all(|other| *other < exports[0]), "{exports:?} {others:?}");
    Ok(())
}
