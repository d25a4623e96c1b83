//! The list of streams: by name, page by page, and each tenant's own.

use serde_json::{Value, json};

use crate::client::Client;
use crate::env::{Env, Test, TestResult};
use crate::samples::{array, event_with, texts};
use crate::streams::{reaches, send};
use crate::tests;

pub const TESTS: &[Test] = tests!(streams_are_listed_page_by_page, streams_on_the_command_line);

/// So many streams of one event each, and the names in their order.
fn streams(env: &Env, client: &Client, count: usize) -> Vec<String> {
    let name = |n: usize| format!("s {:04}/é", n * 7919 % count);
    client
        .events(array((0..count).map(|n| event_with(n, &format!(r#""stream":"{}""#, name(n))))))
        .accepted(count as u64, 0);
    reaches(client, "s%200000%2F%C3%A9", 1);
    let sql = env.sql();
    let names: Vec<String> = sql.column("SELECT stream FROM batch_log WHERE tenant_id = 'default' ORDER BY stream");
    assert_eq!(names.len(), count);
    names
}

fn streams_are_listed_page_by_page(env: &Env) -> TestResult {
    const STREAMS: usize = 2_350;
    let tidegate = env.serve();
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
        csv.text().starts_with("name,begin,end,oldest,newest\r\n") && csv.text().lines().count() == 3,
        "{}",
        csv.text()
    );

    let of_other = other.get("/v1/streams").expect(200);
    assert_eq!((texts(&of_other, "name"), &of_other["next_cursor"]), (vec!["s"], &Value::Null));
    let one = other.get("/v1/streams/s").expect(200);
    assert_eq!((&one, &one["begin"], &one["end"]), (&of_other["data"][0], &json!(0), &json!(3)));
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
    let tidegate = env.serve();
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
