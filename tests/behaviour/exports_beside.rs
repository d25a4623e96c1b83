//! Exports beside ingestion: they have every row that was there, and let requests that wait go first.

use tidegate::storage::embedded::{READER, locate_running};

use crate::books::Books;
use crate::copied::{assert_has, by_copy, by_export, ways};
use crate::env::{Engine, Env, Test, TestResult, until};
use crate::postgres::Sql;
use crate::process::Tidegate;
use crate::recovery::waits_for_a_lock;
use crate::samples::{array, batch, event};
use crate::tests;
use crate::traffic::{Patience, Traffic};

pub const TESTS: &[Test] = tests!(
    what_was_there_is_exported_while_senders_go_on,
    an_export_gives_way_and_goes_on,
    exports_stand_behind_in_the_embedded_server,
);

/// Of jobs that derive something.
const JOBS_GAVE_WAY: &str = "tidegate_gave_way_total{who=\"jobs\"}";
const GAVE_WAY: &str = "tidegate_gave_way_total{who=\"exports\"}";
const CSV: (&str, &str) = ("text/csv", "identity");

fn what_was_there_is_exported_while_senders_go_on(env: &Env) -> TestResult {
    let tidegate = env.serve();
    for request in 0..24 {
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
    assert_eq!(all.len(), 24_000);
    let some = by_copy(&sql, "event_type = 'e3'");
    let traffic = Traffic::start(&tidegate.client, Patience::Retry);
    for way in ways() {
        traffic.flows(1);
        assert_has(&by_export(&tidegate.client, "/v1/events", way), &all, way);
        assert!(by_export(&tidegate.client, "/v1/events?event_type=e3&limit=3000", way) == some[..3000], "{way:?}");
    }
    traffic.flows(1);
    // 20 a request, in the end: what a busy machine does not write in time is spooled.
    let sent = 20 * i64::try_from(traffic.finish().len())?;
    Books::drained(&tidegate.client);
    assert_eq!(sql.count("events"), 24_000 + sent);
    Ok(())
}

/// With the only writer held up and a request behind it, an export gives way, and ends all the same: it has its share.
fn an_export_gives_way_and_goes_on(env: &Env) -> TestResult {
    // Without a spool, which would take over from writers that are held up this long.
    let tidegate = env.serve_with(&["writers=1", "spool.enabled=false"]);
    for _ in 0..8 {
        tidegate.client.events(batch(1000)).accepted(1000, 0);
    }
    let all = by_copy(&env.sql(), "true");
    let books = || Books::of(&tidegate.client);
    let export = || assert!(by_export(&tidegate.client, "/v1/events", CSV) == all);
    export();
    assert_eq!(books().items("in_flight"), 0);
    let gave_way = books().get(GAVE_WAY);
    let blocker = env.sql();
    blocker.run("BEGIN; LOCK TABLE events IN SHARE MODE");
    std::thread::scope(|scope| {
        let client = &tidegate.client;
        // Given back after its time, where all of this takes longer.
        let send = move || assert!(matches!(client.events(event(0)).status, 200 | 503));
        scope.spawn(send);
        waits_for_a_lock(env, "writer");
        scope.spawn(send);
        let waiting = || books().get("tidegate_requests_waiting") > 0.5;
        until("a request waits behind it", || waiting().then_some(()));
        export();
        let jobs_gave_way = books().get(JOBS_GAVE_WAY);
        until("jobs give way as well", || {
            if !waiting() {
                scope.spawn(send);
            }
            (books().get(JOBS_GAVE_WAY) > jobs_gave_way).then_some(())
        });
        blocker.run("ROLLBACK");
    });
    let gave_way_then = books().get(GAVE_WAY);
    assert!(gave_way_then > gave_way, "{gave_way_then}");
    assert_has(&by_export(&tidegate.client, "/v1/events", CSV), &all, CSV);
    assert!((books().get(GAVE_WAY) - gave_way_then).abs() < 0.5, "nobody waits any more");
    Ok(())
}

/// The niceness of a process: the nineteenth field of its line, the seventeenth behind its name.
fn niceness(pid: i32) -> i32 {
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    line.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().parse().unwrap()
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
    let nicenesses = |role| pids(role).into_iter().map(niceness).collect::<Vec<_>>();
    let (others, exports) = (nicenesses("writer"), nicenesses("export"));
    let others = [others, nicenesses("reader")].concat();
    assert!(exports.len() == 1 && others.len() > 1, "{exports:?} {others:?}");
    assert!(others.iter().all(|other| *other < exports[0]), "{exports:?} {others:?}");
    Ok(())
}
