//! The examples of docs/examples, as they stand there, against a running server.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::chromium::{self, Page};
use crate::client::Client;
use crate::env::{Engine, Env, Test, TestResult, until};
use crate::groups::{filled, path, show, tell};
use crate::groups_sinks::Sink;
use crate::origin::{Front, serve};
use crate::postgres::{SUPERUSER, Sql};
use crate::samples::{array, event_with};
use crate::streams::{reaches, send};

/// What the machine lacks for one that is written in it.
pub fn without(program: &str) -> Option<String> {
    let found = Command::new(program).arg("--version").output();
    found.err().map(|error| format!("{program} cannot be run: {error}"))
}

pub const PYTHON: &[Test] = &[
    Test { name: "a_consumer", engines: &Engine::ALL, run: a_consumer, missing: || without("python3") },
    Test { name: "a_pool_of_three", engines: &Engine::ALL, run: a_pool_of_three, missing: || without("python3") },
    Test {
        name: "a_sink",
        engines: &Engine::ALL,
        run: a_sink,
        missing: || without("python3").or_else(|| without("psql")),
    },
];

pub const NODE: &[Test] =
    &[Test { name: "a_consumer_in_node", engines: &Engine::ALL, run: a_consumer_in_node, missing: || without("node") }];

pub const PAGE: &[Test] =
    &[Test { name: "a_page_follows", engines: &Engine::ALL, run: a_page_follows, missing: chromium::missing }];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples")
}

/// Runs an example until nothing more comes.
fn run(client: &Client, program: &str, file: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program);
    command.arg(folder().join(file)).args(arguments).arg("--until-idle");
    command.env("TIDEGATE_URL", client.url()).env("TIDEGATE_KEY", client.key()).env("PYTHONDONTWRITEBYTECODE", "1");
    command.envs(variables.iter().copied()).output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn offsets(events: &[Value]) -> Vec<i64> {
    events.iter().map(|event| event["offset"].as_i64().unwrap()).collect()
}

/// Parks an event, and hands it out again.
fn replay(client: &Client, stream: &str, group: &str, offset: i64) {
    tell(client, stream, group, "park", json!({ "offset": offset })).expect(200);
    tell(client, stream, group, "parked/replay", json!({ "all": true })).expect(200);
}

fn reads_once(env: &Env, program: &str, file: &str) {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "orders/ü", 7);
    let found = lines(&run(client, program, file, &["orders/ü", "my group"], &[]));
    assert_eq!(offsets(&found), (0..7).collect::<Vec<_>>());
    assert_eq!(show(client, "orders/ü", "my group")["lag"], 0);
    assert_eq!(lines(&run(client, program, file, &["orders/ü", "my group"], &[])), [] as [Value; 0]);
    // The last one is parked and replayed before the others are read: it comes first, and none is passed.
    send(client, "orders/ü", 7, 4);
    reaches(client, "orders%2F%C3%BC", 11);
    replay(client, "orders/ü", "my group", 10);
    let found = lines(&run(client, program, file, &["orders/ü", "my group"], &[]));
    assert_eq!(offsets(&found), [10, 7, 8, 9]);
    let group = show(client, "orders/ü", "my group");
    assert_eq!((&group["lag"], &group["parked"]), (&json!(0), &json!(0)), "{group}");
    let stranger = Client::new(&client.address, Some("tg_x"));
    assert!(!run(&stranger, program, file, &["orders/ü", "my group"], &[]).status.success());
}

fn a_consumer(env: &Env) -> TestResult {
    reads_once(env, "python3", "consumer.py");
    Ok(())
}

fn a_consumer_in_node(env: &Env) -> TestResult {
    reads_once(env, "node", "consumer.mjs");
    Ok(())
}

fn a_pool_of_three(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    for n in 0..4 {
        let items = (0..30).map(|asset| {
            let event = event_with(n, &format!(r#""stream":"s","asset_id":"a{asset}""#));
            if (n, asset) == (1, 7) { event.replace(r#"{"n":1}"#, r#"{"fail":true}"#) } else { event }
        });
        client.events(array(items)).accepted(30, 0);
    }
    reaches(client, "s", 120);
    let found = lines(&run(client, "python3", "pool.py", &["s", "pool"], &[]));
    let mut all = offsets(&found);
    all.sort_unstable();
    let expected: Vec<i64> = (0..120).filter(|offset| *offset != 37).collect();
    assert_eq!(all, expected, "each once, but for the one that fails");
    for asset in 0..30 {
        let of = format!("a{asset}");
        let own: Vec<Value> = found.iter().filter(|event| event["asset_id"] == *of).cloned().collect();
        assert!(offsets(&own).is_sorted(), "{of}: {:?}", offsets(&own));
    }
    let parked = client.get(&format!("{}/parked", path("s", "pool"))).expect(200);
    assert_eq!((&parked["data"][0]["offset"], parked["data"].as_array().unwrap().len()), (&json!(37), 1), "{parked}");
    assert!(parked["data"][0]["reason"].as_str().unwrap().contains("its payload says so"), "{parked}");
    until("the members have left", || (show(client, "s", "pool")["members"] == 0).then_some(()));
    Ok(())
}

fn a_sink(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let sink = Sink::make(env, "default");
    let admin = Sql::bare(&env.url(SUPERUSER));
    admin.run(&format!(
        "CREATE SCHEMA billing; CREATE TABLE billing.totals (asset_id text PRIMARY KEY, events bigint, last_offset bigint); \
         GRANT USAGE ON SCHEMA billing TO {0}; GRANT SELECT, INSERT, UPDATE ON billing.totals TO {0}",
        sink.name
    ));
    let items = (0..40).map(|n| event_with(n, &format!(r#""stream":"s","asset_id":"it's {}""#, n % 3)));
    client.events(array(items)).accepted(40, 0);
    reaches(client, "s", 40);
    let url = env.url(&sink.name);
    let once = || run(client, "python3", "sink.py", &["s", "billing", "default"], &[("SINK_URL", &url)]);
    for _ in 0..2 {
        assert!(once().status.success(), "{}", String::from_utf8_lossy(&once().stderr));
        let totals: Vec<i64> = admin.column("SELECT events FROM billing.totals ORDER BY asset_id");
        assert_eq!(totals, [14, 13, 13], "each event once, however often it is run");
    }
    assert_eq!(show(client, "s", "billing")["lag"], 0);
    let items = (40..44).map(|n| event_with(n, &format!(r#""stream":"s","asset_id":"it's {}""#, n % 3)));
    client.events(array(items)).accepted(4, 0);
    reaches(client, "s", 44);
    replay(client, "s", "billing", 43);
    assert!(once().status.success(), "{}", String::from_utf8_lossy(&once().stderr));
    let totals: Vec<i64> = admin.column("SELECT events FROM billing.totals ORDER BY asset_id");
    assert_eq!(totals, [15, 15, 14], "each once, the one that was replayed ahead of the others too");
    assert_eq!(show(client, "s", "billing")["parked"], 0);
    admin.run("DROP SCHEMA billing CASCADE");
    Ok(())
}

/// Of another origin than the server, which is stopped and started while the page is open.
fn a_page_follows(env: &Env) -> TestResult {
    let origin = serve(&folder().join("tail.html"));
    let front = Front::start();
    let settings = [format!("cors.origins={origin}")];
    let run = || {
        let tidegate = env.serve_with(&settings.each_ref().map(String::as_str));
        front.lead_to(&tidegate.client.address);
        tidegate
    };
    let tidegate = run();
    let key = env.key("default", "consume");
    send(&tidegate.client, "s", 0, 3);
    reaches(&tidegate.client, "s", 3);
    let mut page = Page::new(1280, 800);
    page.open(&format!("{origin}/#stream=s&url={}&key={}", front.url(), key.text));
    let shows = |page: &mut Page, count: i64| {
        page.until(&format!("document.querySelectorAll('li').length >= {count}"));
        let events: Vec<Value> =
            page.texts("li pre").iter().map(|line| serde_json::from_str(line).expect("an event")).collect();
        assert_eq!(offsets(&events), (0..count).collect::<Vec<_>>(), "each once, in their order");
    };
    shows(&mut page, 3);
    page.until("document.querySelector('[role=status]').textContent === 'connected'");
    assert!(!page.value("location.href").to_string().contains("tg_"), "the key is not in the address any more");
    send(&tidegate.client, "s", 3, 2);
    shows(&mut page, 5);
    drop(tidegate);
    page.until("document.querySelector('[role=status]').textContent.startsWith('connecting again')");
    let tidegate = run();
    send(&tidegate.client, "s", 5, 3);
    shows(&mut page, 8);
    page.photograph("tail-1280");
    page.resize(360, 740);
    assert_eq!(page.value("document.documentElement.scrollWidth"), 360, "nothing is wider than a telephone");
    page.prefer("dark");
    page.photograph("tail-360-dark");
    // A stream that is not there, then a key that is none any more: the page says so, and stays with that.
    page.value("document.forms[0].stream.value = 'none'; document.forms[0].key.value = asked.get('key')");
    page.value("document.forms[0].requestSubmit()");
    page.until("document.querySelector('[role=status]').textContent.startsWith('not_found: ')");
    page.value("document.forms[0].stream.value = 's'; document.forms[0].requestSubmit()");
    shows(&mut page, 8);
    assert_eq!(env.cli(&["keys", "revoke", key.id()]).code, Some(0));
    page.until("document.querySelector('[role=status]').textContent.startsWith('unauthorized: ')");
    page.assert_clean();
    Ok(())
}
