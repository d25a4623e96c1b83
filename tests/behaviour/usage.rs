//! What organizations send, by day: equal to what was sent, over repetitions, dead letters and a restart; and whose it is.

use serde_json::{Value, json};

use crate::admin_http::with;
use crate::client::Client;
use crate::env::{Env, Test, TestResult, until};
use crate::replays::{MENDED, old, replay_all};
use crate::samples::{array, event, gzip, metric_with};
use crate::tests;

pub const TESTS: &[Test] = tests!(each_is_counted_once, days_are_listed_to_whom_they_concern);

const COUNTS: [&str; 5] = ["requests", "events", "samples", "rejected", "bytes"];

/// The sums of all days that are listed: a test may run over midnight.
fn sums(rows: &Value) -> [u64; 5] {
    let rows = rows.as_array().unwrap();
    COUNTS.map(|name| rows.iter().map(|row| row[name].as_u64().unwrap()).sum())
}

fn used(client: &Client) -> [u64; 5] {
    sums(&client.get("/v1/usage").expect(200)["data"])
}

fn each_is_counted_once(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    assert_eq!(used(client), [0; 5]);
    let mut bytes = 0;
    let mut sent = |body: Vec<u8>| {
        bytes += body.len() as u64;
        body
    };
    // Three, and again under the same key.
    let body = sent(array((0..3).map(event)));
    client.keyed("one", &body).accepted(3, 0);
    assert_eq!(client.keyed("one", &body).expect(200)["duplicate"], json!(true));
    assert_eq!(used(client), [1, 3, 0, 0, body.len() as u64]);
    // Another body under it is refused as a whole.
    client.keyed("one", array([event(9)])).problem(422, "idempotency_key_reused");
    // In part: bytes are those of the body as it is read, not as it comes.
    let body = sent(array([event(3), old(4)]));
    client.post("/v1/events", &[("content-encoding", "gzip")], gzip(&body)).accepted(1, 1);
    // Dead letters alone: one of a request, and one that is no JSON.
    client.events(sent(array([old(5)]))).problem(422, "nothing_accepted");
    client.events(sent(b"no JSON".to_vec())).problem(400, "body_not_json");
    // One item of metrics, three rows.
    client.metrics(sent(array([metric_with("a", r#""values":[1,2,3]"#)]))).expect(200);
    client.metrics(sent(array([metric_with("a", r#""value":4"#)]))).accepted(1, 0);
    let all = [6, 4, 4, 3, bytes];
    assert_eq!(used(client), all);
    let sql = env.sql();
    assert_eq!((sql.count("events"), sql.count("metrics"), sql.count("dead_letter_events")), (4, 4, 3));
    drop(tidegate);

    // What was noted is added up, which changes nothing; a dead letter that is stored is an event then.
    let tidegate = env.serve_with(&[MENDED]);
    until("notes are added up", || (sql.count("usage_notes") == 0).then_some(()));
    assert_eq!(used(&tidegate.client), all);
    assert_eq!(replay_all(&tidegate), 2);
    assert_eq!(replay_all(&tidegate), 0);
    let all = [6, 6, 4, 3, bytes];
    assert_eq!(used(&tidegate.client), all);
    // On the command line the same.
    assert_eq!(sums(&env.cli(&["usage", "--org", "default", "--json"]).json()), all);
    assert_eq!(env.cli(&["usage", "--org", "other", "--json"]).json(), json!([]));
    let csv = env.cli(&["usage", "--from", "-30d", "--format", "csv"]).stdout;
    assert!(csv.starts_with("day,tenant_id,requests,events,samples,rejected,bytes\r\n"), "{csv}");
    assert!(csv.lines().skip(1).all(|line| line.contains(",default,")) && csv.lines().count() > 1, "{csv}");
    let table = env.cli(&["usage"]).stdout;
    assert!(table.starts_with("day ") && table.lines().count() == csv.lines().count(), "{table}");
    Ok(())
}

fn days_are_listed_to_whom_they_concern(env: &Env) -> TestResult {
    let tidegate = env.share();
    let mine = with(&tidegate, env, "default", "read");
    let theirs = with(&tidegate, env, "other", "read,admin");
    let operator = with(&tidegate, env, "default", "operator");
    let own = env.organization();
    let other = theirs.get("/v1/keys/self").expect(200)["tenant_id"].as_str().unwrap().to_owned();
    let sql = env.sql();
    // Days that no job deletes meanwhile.
    let days: Vec<String> = (0..6).map(|n| sql.one(&format!("SELECT (current_date - 100 + {n})::text"))).collect();
    for (tenant, day, events) in [(own, &days[1], 1), (own, &days[2], 2), (own, &days[3], 3), (&*other, &days[2], 5)] {
        sql.run(&format!("INSERT INTO usage_days VALUES ('{tenant}', '{day}', 1, {events}, 0, 0, 10)"));
    }
    // Not added up yet: the same row.
    sql.run(&format!("INSERT INTO usage_notes VALUES ('{own}', '{}', 1, 20, 0, 0, 10)", days[2]));
    let listed = |client: &Client, query: &str| -> Vec<(String, String, u64)> {
        let page = client.get(&format!("/v1/usage?{query}")).expect(200);
        let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
        let rows = page["data"].as_array().unwrap().iter();
        rows.map(|row| (text(row, "day"), text(row, "tenant_id"), row["events"].as_u64().unwrap())).collect()
    };
    let row = |day: &str, tenant: &str, events| (day.to_owned(), tenant.to_owned(), events);
    let (first, second, third) = (row(&days[1], own, 1), row(&days[2], own, 22), row(&days[3], own, 3));
    let old = format!("from={}T00:00:00Z&to={}T00:00:00Z", days[1], days[5]);
    assert_eq!(listed(&mine, &old), [third.clone(), second.clone(), first.clone()]);
    assert_eq!(listed(&theirs, &old), [row(&days[2], &other, 5)]);
    assert_eq!(listed(&operator, &format!("{old}&organization={other}")), [row(&days[2], &other, 5)]);
    assert!(listed(&operator, &old).len() >= 4);
    // Days that have a part in the window.
    let within = |end: &str| format!("from={}T23:00:00Z&to={}T{end}Z", days[2], days[3]);
    assert_eq!(listed(&mine, &within("00:00:00")), std::slice::from_ref(&second));
    assert_eq!(listed(&mine, &within("00:00:01")), [third.clone(), second.clone()]);
    // Page by page, and as CSV.
    let page = mine.get(&format!("/v1/usage?{old}&limit=1")).expect(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    assert_eq!(listed(&mine, &format!("{old}&limit=1&cursor={cursor}")), [second]);
    theirs.get(&format!("/v1/usage?{old}&cursor={cursor}")).problem(404, "not_found");
    let csv = mine.get_as(&format!("/v1/usage?{old}"), &[("accept", "text/csv")]).bytes;
    assert_eq!(
        String::from_utf8(csv).unwrap(),
        format!(
            "day,tenant_id,requests,events,samples,rejected,bytes\r\n{},{own},1,3,0,0,10\r\n\
             {},{own},2,22,0,0,20\r\n{},{own},1,1,0,0,10\r\n",
            days[3], days[2], days[1]
        )
    );
    // Of others as of none; and not for who only sends.
    mine.get(&format!("/v1/usage?organization={other}")).problem(404, "not_found");
    mine.get("/v1/usage?organization=there-is-none").problem(404, "not_found");
    with(&tidegate, env, "default", "ingest").get("/v1/usage").problem(403, "forbidden");
    Ok(())
}
