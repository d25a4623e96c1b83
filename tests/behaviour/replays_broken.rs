//! Replays of dead letters through lost COMMITs, kill -9 and a database that is away: stored once all the same.

use serde_json::json;

use crate::env::{Env, Test, TestResult, until};
use crate::process::Tidegate;
use crate::proxy::{Cut, Point, Proxy};
use crate::replays::{MENDED, ids, old, replay, replay_all};
use crate::samples::array;
use crate::tests;

pub const TESTS: &[Test] = tests!(
    a_commit_is_lost,
    killed_in_between,
    what_was_done_before_an_error_is_told,
    they_are_not_spooled,
    a_filter_that_is_sent_as_a_body_is_kept_to,
);

fn mended(env: &Env, proxy: &Proxy) -> Tidegate {
    Tidegate::serve(env, &env.variables_through(proxy), &["--set".into(), MENDED.into()])
}

fn letters(env: &Env, count: usize) {
    env.serve().client.events(array((0..count).map(old))).problem(422, "nothing_accepted");
}

fn stored(env: &Env) -> (i64, i64, i64) {
    let sql = env.sql();
    let distinct = sql.one("SELECT count(DISTINCT payload::text) FROM events");
    (sql.count("events"), distinct, sql.one("SELECT count(*) FROM dead_letter_events WHERE outcome = 'stored'"))
}

fn a_commit_is_lost(env: &Env) -> TestResult {
    letters(env, 2);
    let proxy = Proxy::start(&env.socket());
    let tidegate = mended(env, &proxy);
    for (n, cut) in [Cut::AfterCommit, Cut::BeforeCommit].into_iter().enumerate() {
        let id = &ids(env)[n];
        proxy.cut_next(cut);
        let first = replay(&tidegate, id).expect(200);
        assert_eq!((proxy.cuts(), &first["outcome"]), (n + 1, &"stored".into()), "{cut:?}");
        assert_eq!(replay(&tidegate, id).expect(200), first);
    }
    assert_eq!(stored(env), (2, 2, 2));
    Ok(())
}

fn killed_in_between(env: &Env) -> TestResult {
    const LETTERS: usize = 400;
    letters(env, LETTERS);
    let proxy = Proxy::start(&env.socket());
    let mut tidegate = mended(env, &proxy);
    let path = "/v1/dead-letters/replay?limit=150";
    for point in [Point::CopyDone, Point::Commit] {
        let held = proxy.held();
        proxy.hold_next(point);
        let client = tidegate.client.clone();
        let call = std::thread::spawn(move || client.send("POST", path, &[], &[]));
        until("a writer is held", || (proxy.held() > held).then_some(()));
        tidegate.kill();
        assert!(call.join().unwrap().is_err());
        // What was on its way may still arrive.
        proxy.release();
        tidegate = mended(env, &proxy);
    }
    // Committed, and nobody hears of it.
    proxy.cut_next(Cut::AfterCommit);
    let client = tidegate.client.clone();
    let call = std::thread::spawn(move || client.send("POST", path, &[], &[]));
    until("a COMMIT is lost", || (proxy.cuts() > 0).then_some(()));
    tidegate.kill();
    // It may have been answered already.
    let _ = call.join().unwrap();
    tidegate = mended(env, &proxy);
    let (events, distinct, noted) = stored(env);
    assert!(events > 0 && events == distinct && events == noted, "{events} {distinct} {noted}");
    assert_eq!(replay_all(&tidegate), u64::try_from(LETTERS)? - u64::try_from(events)?);
    let all = i64::try_from(LETTERS)?;
    assert_eq!(stored(env), (all, all, all));
    Ok(())
}

fn what_was_done_before_an_error_is_told(env: &Env) -> TestResult {
    // The newer ones are replayed first, a hundred at once.
    letters(env, 30);
    letters(env, 100);
    let tidegate = env.serve_with(&[MENDED]);
    let (client, sql) = (&tidegate.client, env.sql());
    sql.run(
        "CREATE FUNCTION crowded() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $crowded$ BEGIN
             IF OLD.failed_at < (SELECT max(failed_at) FROM tidegate.dead_letter_events) THEN
                 RAISE EXCEPTION 'there is no room now' USING ERRCODE = '53200';
             END IF;
             RETURN NEW;
         END $crowded$;
         CREATE TRIGGER crowded BEFORE UPDATE ON dead_letter_events FOR EACH ROW EXECUTE FUNCTION crowded()",
    );
    let path = "/v1/dead-letters/replay";
    let part = client.post(path, &[], "").expect(200);
    assert_eq!((&part["stored"], &part["left"]), (&json!(100), &json!(30)), "{part}");
    assert!(part["stopped"]["code"].is_string() && part["stopped"]["detail"].is_string(), "{part}");
    let next = format!("{path}?cursor={}", part["next_cursor"].as_str().unwrap());
    client.post(&next, &[], "").expect(503);
    sql.run("DROP TRIGGER crowded ON dead_letter_events");
    let rest = until("there is room", || {
        let answer = client.post(&next, &[], "");
        (answer.status == 200).then(|| answer.json())
    });
    assert_eq!(
        (&rest["left"], &rest["next_cursor"], &rest["stopped"]),
        (&json!(0), &json!(null), &json!(null)),
        "{rest}"
    );
    assert_eq!(stored(env), (130, 100, 130));
    Ok(())
}

fn they_are_not_spooled(env: &Env) -> TestResult {
    letters(env, 3);
    let proxy = Proxy::start(&env.socket());
    // Readers reach the database, writers do not.
    let mut variables = env.variables_through(&proxy);
    let direct = env.variables();
    for (name, url) in variables.iter_mut().filter(|(name, _)| name == "TIDEGATE_READER_URL") {
        url.clone_from(&direct.iter().find(|(other, _)| other == name).expect("the same variables").1);
    }
    let tidegate = Tidegate::serve(env, &variables, &["--set".into(), MENDED.into()]);
    // The key is known from now on, for a while.
    tidegate.client.get("/v1/dead-letters").expect(200);
    proxy.away();
    let id = &ids(env)[0];
    assert_eq!(replay(&tidegate, id).expect(503)["status"], 503);
    tidegate.client.post("/v1/dead-letters/replay", &[], "").expect(503);
    assert_eq!(stored(env), (0, 0, 0));
    let metrics = tidegate.client.get("/metrics");
    assert!(metrics.text().contains("tidegate_items_spooled 0"), "{}", metrics.text());
    proxy.back();
    let first = until("the database is back", || {
        let answer = replay(&tidegate, id);
        (answer.status == 200).then(|| answer.json())
    });
    assert_eq!(replay(&tidegate, id).expect(200), first);
    assert_eq!(stored(env), (1, 1, 1));
    Ok(())
}

fn a_filter_that_is_sent_as_a_body_is_kept_to(env: &Env) -> TestResult {
    let tidegate = env.serve();
    tidegate.client.events(array([old(0), old(1), "{}".to_owned()])).problem(422, "nothing_accepted");
    drop(tidegate);
    let tidegate = env.serve_with(&[MENDED]);
    let client = &tidegate.client;
    let call = |query: &str, body: &str| client.post(&format!("/v1/dead-letters/replay{query}"), &[], body);
    for (query, body, left) in [
        ("", r#"{"dry_run":true}"#, 3),
        ("", r#"{"dry_run":true,"code":"out_of_window"}"#, 2),
        ("?code=out_of_window", r#"{"dry_run":true,"outcome":["none"],"limit":1}"#, 2),
        ("?dry_run", r#"{"code":["missing_field","field_nul"],"from":"-1h"}"#, 1),
        ("?dry_run=1", r#"{"to":"-1h"}"#, 0),
        ("?dry_run=1", " ", 3),
    ] {
        let dry = call(query, body).expect(200);
        assert_eq!((&dry["left"], &dry["dry_run"]), (&json!(left), &json!(true)), "{query} {body}: {dry}");
    }
    for (query, body, code) in [
        ("", r#"{"cod":"nothing_like_it"}"#, "invalid_body"),
        ("?code=out_of_window", r#"{"code":"missing_field"}"#, "invalid_body"),
        ("", r#"{"code":{"is":"out_of_window"}}"#, "invalid_body"),
        ("", r#"{"code":[]}"#, "invalid_parameter"),
        ("", r#"{"code":["missing_field","nothing_like_it"]}"#, "invalid_parameter"),
        ("", r#"{"stage":"nowhere"}"#, "invalid_parameter"),
        ("", "code=nothing_like_it", "body_not_json"),
    ] {
        call(query, body).problem(400, code);
    }
    // Of one there is nothing to say.
    let one = format!("/v1/dead-letters/{}/replay", ids(env)[0]);
    client.post(&one, &[], r#"{"dry_run":true}"#).problem(400, "invalid_body");
    client.post("/v1/streams/s/tickets", &[], r#"{"valid_for":"1h"}"#).problem(400, "invalid_body");
    assert_eq!(stored(env), (0, 0, 0), "nothing was replayed so far");
    let done = call("", r#"{"code":"out_of_window","limit":1}"#).expect(200);
    assert_eq!((&done["stored"], &done["left"]), (&json!(1), &json!(1)), "{done}");
    client.post(&one, &[], "{}").expect(200);
    Ok(())
}
