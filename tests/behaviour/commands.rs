//! What people see who use the commands that ask a server: what there is, and what to mend where there is none.

use serde_json::json;

use crate::env::{Env, Test, TestResult};
use crate::groups::{filled, make, tell};
use crate::process::{Finished, Running};
use crate::samples::{array, event_with};
use crate::streams::{follow, reaches};
use crate::tests;

pub const TESTS: &[Test] =
    tests!(postgres: groups_are_managed, what_is_wrong_is_said_with_what_to_do, nothing_steers_a_terminal);

pub const WHICH_SERVER: &[Test] = tests!(the_environment_names_the_server);

fn run(env: &Env, url: &str, key: &str, arguments: &[&str]) -> Finished {
    env.cli(&[arguments, &["--url", url, "--key", key]].concat())
}

/// With the variables of docs/examples every command that asks a server finds it; a flag says otherwise.
fn the_environment_names_the_server(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 2);
    make(client, "s", json!({ "name": "g" }));
    let variables = [("TIDEGATE_URL".to_owned(), client.url()), ("TIDEGATE_KEY".to_owned(), client.key().to_owned())];
    let commands: [&[&str]; 4] = [
        &["streams", "list"],
        &["groups", "list", "s"],
        &["dead-letters", "list"],
        &["tail", "s", "--from", "earliest", "--limit", "2"],
    ];
    for command in commands {
        let finished = Finished::run(env, &variables, command);
        assert_eq!(finished.code, Some(0), "{command:?}: {finished:?}");
        assert!(!finished.stderr.contains("TIDEGATE_URL"), "{command:?}: {finished:?}");
    }
    let elsewhere = Finished::run(env, &variables, &["streams", "list", "--url", "http://127.0.0.1:1"]);
    assert!(
        elsewhere.code == Some(1) && elsewhere.stderr.contains("http://127.0.0.1:1 does not answer"),
        "{elsewhere:?}"
    );
    Ok(())
}

fn groups_are_managed(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 9);
    let (url, key) = (client.url(), client.key().to_owned());
    let run = |arguments: &[&str]| run(env, &url, &key, &[&["groups"], arguments].concat());
    let none = run(&["list", "s"]);
    assert!(none.code == Some(0) && none.stderr.contains("the stream s has no group"), "{none:?}");
    let made = run(&["create", "s", "g", "--start", "2", "--event-types", "sample,other", "--json"]).json();
    assert_eq!((&made["committed"], &made["event_types"]), (&json!(2), &json!(["sample", "other"])), "{made}");
    let altered = run(&["alter", "s", "g", "--event-types", "", "--max-deliveries", "2", "--json"]).json();
    assert_eq!((&altered["event_types"], &altered["max_deliveries"]), (&json!([]), &json!(2)), "{altered}");
    let shown = run(&["show", "s", "g"]).stdout;
    assert!(shown.starts_with("stream: s\nname: g\nordered_by: -\nevent_types: []\nmax_deliveries: 2\n"), "{shown}");
    let lag = run(&["lag", "s", "g"]).stdout;
    assert!(lag.starts_with("7 offsets, the oldest unread stored ") && lag.ends_with(" ago\n"), "{lag}");
    let dry = run(&["reset", "s", "g", "--to", "earliest", "--dry-run"]).stdout;
    assert_eq!(dry, "it would go from 2 to 0: 2 events come again, 0 are passed over\n");
    assert_eq!(run(&["reset", "s", "g", "--to", "latest"]).code, Some(0));
    assert_eq!(run(&["lag", "s", "g"]).stdout, "0 offsets: everything is read\n");
    assert_eq!(run(&["pause", "s", "g"]).stdout, "g is paused: nothing is handed out\n");
    let listed = run(&["list", "s"]).stdout;
    let line = listed.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(line, "g - 9 9 0 - 0 0 0 0 paused", "{listed}");
    assert_eq!(run(&["resume", "s", "g"]).stdout, "g is resumed\n");
    for offset in [1, 3, 5] {
        tell(client, "s", "g", "park", json!({ "offset": offset, "reason": "not now" })).expect(200);
    }
    assert_eq!(run(&["parked", "s", "g"]).stdout.lines().count(), 4);
    assert_eq!(run(&["parked", "s", "g", "--replay", "3, 5"]).stdout, "2 replayed, 1 left\n");
    assert_eq!(run(&["parked", "s", "g", "--drop", "all"]).stdout, "3 dropped, 0 left\n");
    assert_eq!(run(&["delete", "s", "g"]).stdout, "g is deleted\n");
    Ok(())
}

fn what_is_wrong_is_said_with_what_to_do(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 3);
    make(client, "s", json!({ "name": "g" }));
    let (url, key) = (client.url(), client.key().to_owned());
    let sender = env.key("default", "ingest").text;
    let closed = "http://127.0.0.1:1";
    let start = "is `tidegate serve` running there? --url or TIDEGATE_URL names another server";
    let commands: [&[&str]; 5] = [
        &["streams", "list"],
        &["streams", "describe", "s"],
        &["groups", "list", "s"],
        &["dead-letters", "list"],
        &["dead-letters", "replay", "--all"],
    ];
    for command in commands {
        let failed = |url: &str, key: &str, says: &str| {
            let finished = run(env, url, key, command);
            assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{command:?}: {finished:?}");
            assert!(finished.stderr.contains(says), "{command:?}: {says}: {finished:?}");
        };
        failed(closed, &key, start);
        failed(&url, &sender, "forbidden: this needs the scope ");
        failed(&url, "tg_wrong", "unauthorized: the API key is not valid");
        let keyless = env.cli(&[command, &["--url", &url]].concat());
        assert!(keyless.code == Some(2) && keyless.stderr.contains("tidegate keys create"), "{keyless:?}");
    }
    for (arguments, code, says) in [
        (&["streams", "describe", "none"][..], 1, "not_found: there is no such stream"),
        (&["groups", "show", "s", "none"], 1, "not_found: there is no such group"),
        (&["groups", "create", "s", "g"], 1, "group_exists: "),
        (&["groups", "create", "s", "h", "--ordered-by", "severity"], 1, "asset_id, correlation_id, source_module"),
        (&["groups", "create", "s", "h", "--ack-timeout", "30"], 1, "500ms, 30s or 5m"),
        (&["groups", "create", "s", "h", "--max-deliveries", "-1"], 2, "'-1'"),
        (&["groups", "alter", "s", "g"], 2, "--ack-timeout"),
        (&["groups", "reset", "s", "g", "--to", "nowhere"], 1, "neither `earliest`, `latest`, a time"),
        (&["groups", "reset", "s", "g", "--to", "99"], 1, "offset_past_end: "),
        (&["groups", "parked", "s", "g", "--replay", "1,x"], 2, "`x` is no offset"),
        (&["groups", "parked", "s", "g", "--drop", "1"], 1, "not_found: there is no such parked event"),
        (&["dead-letters", "list", "--stage", "decoding"], 1, "decode, validate, package, write, consume"),
        (&["dead-letters", "list", "--outcome", "gone"], 1, "none, failed, stored, consumed, dropped"),
        (&["dead-letters", "list", "--from", "yesterday"], 1, "an age such as -24h"),
        (&["dead-letters", "show", "7"], 2, "tidegate dead-letters list"),
        (&["tail", "s", "--from", "bogus"], 1, "`earliest` or `latest`"),
    ] {
        let finished = run(env, &url, &key, arguments);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(code), ""), "{arguments:?}: {finished:?}");
        assert!(finished.stderr.contains(says), "{arguments:?}: {says}: {finished:?}");
    }
    let breaking = env.path().join("breaking.json");
    std::fs::write(&breaking, r#"{"type":"object","required":["n","unit"]}"#)?;
    let defined = json!({ "name": "defined", "schema": { "type": "object" }, "compatibility": "backward" });
    client.post("/v1/streams", &[], defined.to_string()).expect(201);
    let breaking = breaking.to_str().unwrap();
    for (arguments, code, says) in [
        (&["streams", "alter", "defined", "--schema", breaking][..], 1, "\n  reasons: "),
        (&["streams", "create", "defined"], 1, "by command: tidegate streams alter defined"),
        (&["groups", "create", "s", "g"], 1, "by command: tidegate groups alter s g"),
        (&["dead-letters", "list", "--from", "2026-11-29 15:00"], 1, "with `T`, seconds and a zone"),
        (&["dead-letters", "list", "--stage", "decoding"], 1, "it is `decoding`"),
    ] {
        let finished = run(env, &url, &key, arguments);
        assert!(finished.code == Some(code) && finished.stderr.contains(says), "{arguments:?}: {says}: {finished:?}");
    }
    let nowhere = env.path().join("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    for (arguments, code, says) in [
        (&["backup", "list", "--dir", nowhere][..], 1, "there is no folder /"),
        (&["backup", "verify", "--dir", nowhere], 1, "there is no good backup in /"),
        (&["backup", "list", "--dir", nowhere], 1, "there is no folder /"),
        (&["move"], 2, "--to-file"),
        (&["backup", "restore"], 2, "--into-url-file"),
        (&["load", "--url", &url, "--key", "tg_wrong", "--duration", "1s"], 1, "nothing was taken: "),
        (&["load", "--url", closed, "--key", &key, "--duration", "1s"], 1, start),
    ] {
        let finished = env.cli(arguments);
        assert!(finished.code == Some(code) && finished.stderr.contains(says), "{arguments:?}: {says}: {finished:?}");
    }
    for (time, says) in
        [("1226-11-29T15:00:00Z", "mend the timestamp"), ("2001-01-01T00:00:00Z", "raise retention.events")]
    {
        let answer = client.events(event_with(0, &format!(r#""timestamp":"{time}""#))).expect(422);
        assert!(answer["errors"][0]["message"].as_str().unwrap().contains(says), "{says}: {answer}");
    }
    // Defined, and no event yet: an empty page.
    let page = client.get("/v1/streams/defined/events").expect(200);
    assert_eq!((&page["data"], &page["begin"], &page["end"]), (&json!([]), &json!(0), &json!(0)));
    let next = client.get("/v1/streams/defined/events?offset=latest&wait=100ms").expect(200)["cursor"].clone();
    let noted = json!({ "event_type": "a", "source_module": "b", "stream": "defined", "payload": {} });
    client.events(noted.to_string()).accepted(1, 0);
    reaches(client, "defined", 1);
    let page = client.get(&format!("/v1/streams/defined/events?cursor={}", next.as_str().unwrap())).expect(200);
    assert_eq!((&page["data"][0]["offset"], &page["end"]), (&json!(0), &json!(1)));
    // It waits, and says at once for what.
    let arguments = ["tail", "later", "--url", &url, "--key", &key, "--limit", "1"];
    let tail = Running::start(env, &env.variables(), &arguments);
    follow(client, 1);
    client.events(array([event_with(0, r#""stream":"later""#)])).accepted(1, 0);
    let finished = tail.finish();
    assert!(
        finished.code == Some(0) && finished.stderr.contains("there is no stream later: `tidegate streams list`"),
        "{finished:?}"
    );
    Ok(())
}

fn nothing_steers_a_terminal(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let items = [event_with(0, r#""stream":"s\u001b[2J","asset_id":"\u001b]0;x\u0007\u009b31m""#)];
    client.events(array(items)).accepted(1, 0);
    let stream = "s\u{1b}[2J";
    reaches(client, "s%1B%5B2J", 1);
    make(client, stream, json!({ "name": "g" }));
    tell(client, stream, "g", "park", json!({ "offset": 0, "reason": "no \u{1b}[2J" })).expect(200);
    let (url, key) = (client.url(), client.key().to_owned());
    let letters = client.get("/v1/dead-letters").expect(200);
    let id = letters["data"][0]["id"].as_str().unwrap().to_owned();
    for arguments in [
        &["streams", "list"][..],
        &["streams", "describe", stream],
        &["groups", "list", stream],
        &["groups", "show", stream, "g"],
        &["groups", "parked", stream, "g"],
        &["groups", "pause", stream, "g"],
        &["dead-letters", "list"],
        &["dead-letters", "show", &id],
        &["tail", stream, "--from", "earliest", "--limit", "1"],
    ] {
        let finished = run(env, &url, &key, arguments);
        assert_eq!(finished.code, Some(0), "{finished:?}");
        let steers = |c: char| c.is_control() && c != '\n';
        assert!(!finished.stdout.chars().any(steers) && !finished.stdout.is_empty(), "{arguments:?}: {finished:?}");
    }
    Ok(())
}
