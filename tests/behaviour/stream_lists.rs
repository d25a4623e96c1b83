//! The list of streams: by name, page by page, and each tenant's own.

use serde_json::{Value, json};

use crate::client::Client;
use crate::env::{Env, Test, TestResult, until};
use crate::samples::{array, event_with, texts};
use crate::streams::{reaches, send};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    streams_are_listed_page_by_page,
    streams_on_the_command_line,
    an_organization_has_so_many_streams_and_no_more,
);

/// So many streams of one event each, and the names in their order.
fn streams(env: &Env, client: &Client, count: usize) -> Vec<String> {
    let name = |n: usize| format!("s {:04}/é", n * 7919 % count);
    client
        .events(array((0..count).map(|n| event_with(n, &format!(r#""stream":"{}""#, name(n))))))
        .accepted(count as u64, 0);
    reaches(client, "s%200000%2F%C3%A9", 1);
    let sql = env.sql();
    let organization = env.organization();
    let names: Vec<String> =
        sql.column(&format!("SELECT stream FROM batch_log WHERE tenant_id = '{organization}' ORDER BY stream"));
    assert_eq!(names.len(), count);
    names
}

fn streams_are_listed_page_by_page(env: &Env) -> TestResult {
    const STREAMS: usize = 2_350;
    let tidegate = env.share();
    let client = &tidegate.client;
    assert_eq!(client.get("/v1/streams").expect(200), json!({ "data": [], "next_cursor": null }));
    let names = streams(env, client, STREAMS);
    let other = tidegate.with(&env.key("other", "ingest,consume"));
    send(&other, "s", 0, 3);
    reaches(&other, "s", 3);

    let (mut found, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let page = client.get(&format!("/v1/streams?limit=1000{cursor}")).expect(200);
        found.extend(texts(&page, "name").into_iter().map(str::to_owned));
        pages += 1;
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!((found == names, pages), (true, 3));
    let lines = client.get_as("/v1/streams", &[("accept", "application/x-ndjson")]);
    assert_eq!(lines.text().lines().count(), STREAMS);
    let csv = client.get_as("/v1/streams?limit=2", &[("accept", "text/csv")]);
    assert!(
        csv.text().starts_with("name,begin,end,oldest,newest,mode,compatibility,schema_version,description\r\n")
            && csv.text().lines().count() == 3,
        "{}",
        csv.text()
    );

    let of_other = other.get("/v1/streams").expect(200);
    assert_eq!((texts(&of_other, "name"), &of_other["next_cursor"]), (vec!["s"], &Value::Null));
    let one = other.get("/v1/streams/s").expect(200);
    let listed = of_other["data"][0].as_object().unwrap();
    assert!(listed.iter().all(|(name, value)| one[name] == *value) && listed.len() == 9, "{one} {listed:?}");
    assert_eq!((&one["begin"], &one["end"], &one["schema"]), (&json!(0), &json!(3), &Value::Null));
    let newest: jiff::Timestamp = one["newest"].as_str().unwrap().parse()?;
    assert!(newest <= crate::samples::now());
    // What is another tenant's looks as what is not there.
    let missing = client.get("/v1/streams/s").problem(404, "not_found");
    assert_eq!(missing, client.get("/v1/streams/none").problem(404, "not_found"));
    other.get(&format!("/v1/streams?{}", &cursor[1..])).problem(404, "not_found");
    client.get("/v1/streams?cursor=x").problem(400, "invalid_parameter");
    client.get("/v1/streams/s?limit=1").problem(400, "invalid_parameter");
    tidegate.with(&env.key("default", "ingest")).get("/v1/streams").problem(403, "forbidden");
    Ok(())
}

fn streams_on_the_command_line(env: &Env) -> TestResult {
    let tidegate = env.share();
    let names = streams(env, &tidegate.client, 30);
    let (url, key) = (tidegate.client.url(), tidegate.client.key().to_owned());
    let run = |arguments: &[&str]| env.cli(&[&["streams"], arguments, &["--url", &url, "--key", &key]].concat());
    let listed = json!({ "data": run(&["list", "--json"]).json() });
    assert_eq!(texts(&listed, "name"), names);
    let few = run(&["list", "--limit", "3"]);
    assert!(few.code == Some(0) && few.stdout.lines().count() == 4 && few.stdout.contains(&names[2]), "{few:?}");
    assert_eq!(run(&["describe", &names[7], "--json"]).json()["end"], 1);
    assert!(run(&["describe", &names[7]]).stdout.contains("begin: 0\n"));
    let missing = run(&["describe", "none"]);
    assert!(missing.code == Some(1) && missing.stderr.contains("not_found"), "{missing:?}");
    Ok(())
}

fn an_organization_has_so_many_streams_and_no_more(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["limits.streams_per_tenant=5"]);
    let other = tidegate.with(&env.key("other", "ingest,read"));
    let sql = env.sql();
    let item = |n: usize| event_with(n, &format!(r#""stream":"s{n}""#));
    tidegate.client.events(array((0..3).map(item))).accepted(3, 0);
    // In the order in which they came; those that are there go on.
    let answer = tidegate.client.events(array([1, 10, 11, 12, 13, 12, 10].map(item))).accepted(4, 3);
    let errors = answer["errors"].as_array().unwrap();
    assert!(errors.iter().all(|error| error["code"] == "stream_quota"), "{answer}");
    assert_eq!(errors.iter().map(|error| error["index"].as_u64().unwrap()).collect::<Vec<_>>(), [3, 4, 5]);
    assert!(errors[0]["message"].as_str().unwrap().contains("limits.streams_per_tenant allows (5)"), "{answer}");
    let letters: Vec<String> = sql.column("SELECT concat_ws(' ', stage, code) FROM dead_letter_events");
    assert_eq!(letters, ["write stream_quota"; 3]);
    tidegate.client.events(item(14)).expect(422);
    other.events(array((0..5).map(item))).accepted(5, 0);
    other.events(item(5)).expect(422);
    let metrics = tidegate.client.get("/metrics");
    assert!(metrics.text().contains("tidegate_stream_events_refused_total 5"), "{}", metrics.text());
    assert_eq!(tidegate.log().matches("as many streams as limits.streams_per_tenant").count(), 2);
    until("all is logged", || {
        (sql.one::<i64>("SELECT count(DISTINCT (tenant_id, stream)) FROM batch_log") == 10).then_some(())
    });
    // A process that knows nothing yet looks for what is there; once there may be more, what was refused is replayed.
    drop(tidegate);
    let tidegate = env.serve_with(&["limits.streams_per_tenant=5"]);
    tidegate.client.events(array([14, 0, 11].map(item))).accepted(2, 1);
    drop(tidegate);
    let tidegate = env.serve_with(&["limits.streams_per_tenant=8"]);
    let replayed = tidegate.client.post("/v1/dead-letters/replay", &[], "").expect(200);
    assert_eq!((&replayed["stored"], &replayed["failed"]), (&json!(5), &json!(0)), "{replayed}");
    Ok(())
}
