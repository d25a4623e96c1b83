//! What operators meet: health, metrics, the API's description, errors of routes, and errors of configuration.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::books::Books;
use crate::env::{Engine, Env, Test, TestResult, until};
use crate::postgres::SUPERUSER;
use crate::process::{Finished, Tidegate};
use crate::samples::{array, batch, event};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    healthy_and_ready,
    books_balance_in_every_account,
    books_balance_while_requests_run,
    the_description_of_the_api,
    unknown_paths_and_methods,
    heads_are_answered_without_bodies,
    request_ids,
    problems_have_one_form,
    too_many_headers,
    the_welcome,
    json_logs,
    errors_of_configuration,
    errors_of_usage,
    output_that_cannot_be_written,
    an_unreachable_database,
    a_port_that_is_taken,
    doctor,
);

fn healthy_and_ready(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let anybody = tidegate.anonymous();
    let health = anybody.get("/healthz").expect(200);
    assert_eq!((&health["status"], &health["version"]), (&json!("ok"), &json!(env!("CARGO_PKG_VERSION"))));
    assert_eq!(anybody.get("/readyz").expect(200)["status"], "ready");
    let console = anybody.get("/");
    assert_eq!(console.status, 200);
    assert!(console.header("content-type").starts_with("text/html"), "{:?}", console.headers);
    Ok(())
}

fn books_balance_in_every_account(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["metrics.open=true"]);
    let other = tidegate.with(&env.key("other", "ingest"));
    let before = Books::of(&tidegate.client);
    before.assert_items(&[("received", 0)]);
    tidegate.client.keyed("a", array([event(0), event(1), "{}".into()])).accepted(2, 1);
    tidegate.client.keyed("a", array([event(0), event(1), "{}".into()])).accepted(2, 1);
    tidegate.client.keyed("a", event(2)).problem(422, "idempotency_key_reused");
    other.events("hello").expect(400);
    other.events(batch(7)).accepted(7, 0);
    let books = Books::of(&tidegate.client);
    let expected = [
        ("received", 3 + 3 + 1 + 1 + 7),
        ("committed", 2 + 7),
        ("dead_lettered", 1 + 1),
        ("deduplicated", 3),
        ("refused", 1),
        ("recovered_from_spool", 0),
    ];
    books.assert_items(&expected);
    let tenants: BTreeSet<&str> = books.tenants().into_iter().collect();
    assert_eq!(tenants, BTreeSet::from(["default", "other"]));
    let requests = "tidegate_http_requests_total{route=\"/v1/events\",method=\"POST\",status=\"200\"}";
    assert!((books.get(requests) - 3.0).abs() < 0.5, "{}", books.get(requests));
    assert_eq!(env.sql().count("events"), 9);
    Ok(())
}

fn books_balance_while_requests_run(env: &Env) -> TestResult {
    let tidegate = env.serve();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..25 {
                    tidegate.client.events(array([event(n), "{}".into()])).accepted(1, 1);
                }
            });
            // Several readers at once: each sees one moment, and not parts of two.
            scope.spawn(|| {
                for _ in 0..1000 {
                    Books::of(&tidegate.client).assert_balanced();
                }
            });
        }
    });
    Books::of(&tidegate.client).assert_items(&[("received", 200), ("committed", 100), ("dead_lettered", 100)]);
    Ok(())
}

fn the_description_of_the_api(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let document = tidegate.anonymous().get("/openapi.json").expect(200);
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.")), "{document}");
    // Every path that is described is there: without a key it asks for one, or answers.
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let path = path.replace("{id}", &Uuid::nil().to_string());
            let answer = tidegate.anonymous().send(&method.to_uppercase(), &path, &[], b"")?;
            // Signing in asks for a body in the place of a key.
            let signs_in = operation["security"] == serde_json::json!([]) && operation.get("requestBody").is_some();
            let answers = if signs_in { [400, 400] } else { [200, 401] };
            assert!(answers.contains(&answer.status), "{method} {path}: {}", answer.status);
        }
    }
    Ok(())
}

fn unknown_paths_and_methods(env: &Env) -> TestResult {
    let tidegate = env.serve();
    for path in ["/v1", "/v1/event", "/v1/events/", "/v1/events/a/b", "/nothing", "/v1/events/%ff", "/healthz/"] {
        tidegate.client.get(path).problem(404, "not_found");
    }
    for (method, path, allow) in [
        ("DELETE", "/v1/events", "POST, GET, HEAD"),
        ("PUT", "/healthz", "GET, HEAD"),
        ("POST", "/v1/dead-letters", "GET, HEAD"),
    ] {
        let refused =
            tidegate.client.send(method, path, &[("content-length", "0")][..usize::from(method != "POST")], b"")?;
        refused.problem(405, "method_not_allowed");
        assert_eq!((refused.header("allow"), refused.header("cache-control")), (allow, "no-store"));
    }
    Ok(())
}

fn heads_are_answered_without_bodies(env: &Env) -> TestResult {
    let tidegate = env.serve();
    for path in ["/healthz", "/v1/events", "/openapi.json"] {
        let (head, get) = (tidegate.client.send("HEAD", path, &[], b"")?, tidegate.client.get(path));
        assert_eq!((head.status, head.bytes.len()), (200, 0), "{path}");
        assert_eq!(
            (head.header("content-type"), head.header("content-length")),
            (get.header("content-type"), get.header("content-length"))
        );
    }
    assert_eq!(tidegate.client.send("HEAD", "/nothing", &[], b"")?.status, 404);
    Ok(())
}

fn request_ids(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let with = |id: &str| tidegate.client.get_as("/healthz", &[("x-request-id", id)]).header("x-request-id").to_owned();
    assert_eq!(with("my-request-42"), "my-request-42");
    for harmful in ["with space", "\u{e4}", &"x".repeat(129), ""] {
        let own = with(harmful);
        assert!(Uuid::parse_str(&own).is_ok(), "{harmful:?}: {own:?}");
    }
    let mut ids = BTreeSet::new();
    for path in ["/healthz", "/v1/events", "/nothing", "/metrics"] {
        ids.insert(tidegate.anonymous().get(path).header("x-request-id").to_owned());
    }
    assert_eq!(ids.len(), 4, "{ids:?}");
    Ok(())
}

fn problems_have_one_form(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let answers = [
        tidegate.client.get("/nothing"),
        tidegate.anonymous().get("/v1/events"),
        tidegate.client.get("/v1/events?x=1"),
        tidegate.client.events(""),
    ];
    for answer in answers {
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let problem = answer.json();
        assert_eq!(problem["status"], answer.status);
        let code = problem["code"].as_str().unwrap();
        assert_eq!(problem["type"], format!("urn:tidegate:problem:{code}"));
        assert!(
            ["title", "detail"].iter().all(|name| problem[name].as_str().is_some_and(|text| !text.is_empty())),
            "{problem}"
        );
    }
    // Of a request that was looked at as a whole and refused: the receipt's members as well.
    for (body, status) in [("hello", 400), ("[{}]", 422)] {
        let problem = tidegate.client.events(body).expect(status);
        assert!(problem["receipt"].is_string() && problem["code"].is_string(), "{problem}");
    }
    Ok(())
}

fn too_many_headers(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let names: Vec<String> = (0..120).map(|n| format!("x-h{n}")).collect();
    let headers: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
    assert_eq!(tidegate.client.get_as("/healthz", &headers[..90]).status, 200);
    assert_eq!(tidegate.client.get_as("/healthz", &headers).status, 431);
    let long = "x".repeat(200 * 1024);
    assert_eq!(tidegate.client.get_as("/healthz", &[("x-long", &long)]).status, 431);
    Ok(())
}

fn the_welcome(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let url = tidegate.client.url();
    assert!(tidegate.welcome.starts_with(&format!("Tidegate is ready at {url}\n")), "{}", tidegate.welcome);
    for line in [
        &format!("  console   {url}/"),
        "  tenant    default",
        "  API key   tg_",
        "  psql      tidegate readers create NAME",
    ] {
        assert!(tidegate.welcome.contains(line), "{line}: {}", tidegate.welcome);
    }
    drop(tidegate);
    let again = env.serve();
    assert!(!again.welcome.contains("API key"), "a key is shown once: {}", again.welcome);
    Ok(())
}

/// How many members an object has, those whose name it has already among them.
fn members(line: &str) -> usize {
    struct Members;
    impl<'de> serde::de::Visitor<'de> for Members {
        type Value = usize;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<usize, A::Error> {
            let mut count = 0;
            while map.next_entry::<String, serde::de::IgnoredAny>()?.is_some() {
                count += 1;
            }
            Ok(count)
        }
    }
    let mut from = serde_json::Deserializer::from_str(line);
    serde::Deserializer::deserialize_map(&mut from, Members).unwrap()
}

fn json_logs(env: &Env) -> TestResult {
    let mut tidegate = env.serve_with(&["log.format=json", "log.level=debug"]);
    tidegate.client.get("/healthz").expect(200);
    // A run with something of everything: rows, refusals, a warning of the database.
    env.sql().run(
        "CREATE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'look'; RETURN NEW; END $$; \
         CREATE TRIGGER warn BEFORE INSERT ON ingest_batches FOR EACH ROW EXECUTE FUNCTION warn()",
    );
    tidegate.client.events(array([event(0), "{}".to_owned()])).accepted(1, 1);
    until("the warning is heard", || tidegate.log().contains("the database warns").then_some(()));
    assert_eq!(tidegate.stop(), Some(0));
    let log = tidegate.log();
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    // serde_json keeps the last of two members with one name, and so is shorter then.
    for (line, read) in log.lines().zip(&lines) {
        assert_eq!(members(line), read.as_object().unwrap().len(), "a name stands twice: {line}");
    }
    assert!(lines.iter().any(|line| line["message"] == "request" && line["route"] == "/healthz"), "{log}");
    // A database that was there when it was asked first was not away.
    let takes = lines.iter().find(|line| line["message"] == "the database takes batches");
    assert!(takes.is_some_and(|line| line.get("away_s").is_none()), "{log}");
    Ok(())
}

fn errors_of_configuration(env: &Env) -> TestResult {
    let file = env.path().join("bad.toml");
    let with_file = |text: &str| -> Finished {
        std::fs::write(&file, text).unwrap();
        env.cli(&["serve", "--config", file.to_str().unwrap()])
    };
    let named = file.display();
    let mut runs = vec![
        (
            with_file("writers = 2\n[batch]\nrows = \"many\"\n"),
            vec!["batch.rows".to_owned(), format!("{named} line 3"), "many".into()],
        ),
        (
            with_file("\n\nwritres = 2\n"),
            vec!["writres".into(), format!("{named} line 3"), "did you mean `writers`".into()],
        ),
        (with_file("writers = \n"), vec![format!("{named} line 1")]),
        (env.cli(&["serve", "--config", "nowhere.toml"]), vec!["nowhere.toml".into()]),
        (env.serve_fails(&["limits.body_bytes=1B"]), vec!["limits.body_bytes".into(), "flag --set".into()]),
        (env.serve_fails(&["chunk_interval=90m"]), vec!["chunk_interval".into()]),
        (env.serve_fails(&["chunk_interval=1h"]), vec!["chunk_interval".into(), "retention.events".into()]),
        (env.serve_fails(&["nonsense"]), vec!["key=value".into()]),
        (env.serve_fails(&["log.level=a=b=c"]), vec!["log.level".into()]),
    ];
    let mut variables = env.variables();
    variables.push(("TIDEGATE_BATCH_LINGER_MS".into(), "soon".into()));
    let variable = Finished::run(env, &variables, &["migrate"]);
    runs.push((variable, vec!["batch.linger_ms".into(), "variable TIDEGATE_BATCH_LINGER_MS".into()]));
    let secret = [("TIDEGATE_DATABASE_URL".to_owned(), "nonsense://u:hunter2@h".to_owned())];
    let url = Finished::run(env, &secret, &["serve"]);
    assert!(!url.stderr.contains("hunter2"), "{url:?}");
    runs.push((url, vec!["database_url".into(), "TIDEGATE_DATABASE_URL".into()]));
    for (finished, words) in runs {
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(64), ""), "{finished:?}");
        for word in words {
            assert!(finished.stderr.contains(&word), "{word}: {finished:?}");
        }
    }
    // Flags win over variables, and these over the file.
    std::fs::write(&file, "writers = 0\n")?;
    variables.pop();
    variables.push(("TIDEGATE_WRITERS".into(), "2".into()));
    let good = Finished::run(env, &variables, &["migrate", "--config", file.to_str().unwrap()]);
    assert_eq!(good.code, Some(0), "{good:?}");
    let flag = Finished::run(env, &variables, &["migrate", "--set", "writers=0"]);
    assert_eq!(flag.code, Some(64), "{flag:?}");
    Ok(())
}

fn errors_of_usage(env: &Env) -> TestResult {
    for arguments in [&["nonsense"][..], &[], &["serve", "--nonsense"], &["orgs"], &["load", "--shift-to-now"]] {
        let finished = env.cli(arguments);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""), "{arguments:?}: {finished:?}");
        assert!(finished.stderr.contains("Usage"), "{finished:?}");
    }
    let help = env.cli(&["--help"]);
    assert!(help.code == Some(0) && help.stdout.contains("serve"), "{help:?}");
    let version = env.cli(&["--version"]).stdout;
    assert!(version.starts_with(concat!("tidegate ", env!("CARGO_PKG_VERSION"), "\n")), "{version}");
    let completions = env.cli(&["completions", "bash"]);
    assert!(completions.code == Some(0) && completions.stdout.contains("tidegate"), "{}", completions.stderr);
    Ok(())
}

/// A command whose answer is lost has not succeeded.
fn output_that_cannot_be_written(env: &Env) -> TestResult {
    for arguments in [&["completions", "bash"][..], &["orgs", "list"], &["keys", "list", "--json"]] {
        let full = std::fs::File::options().write(true).open("/dev/full")?;
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.current_dir(env.path()).env_clear().envs(env.variables()).args(arguments);
        let output = command.stdout(full).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("standard output cannot be written"), "{arguments:?}: {said}");
    }
    Ok(())
}

fn an_unreachable_database(env: &Env) -> TestResult {
    let variables = [("TIDEGATE_DATABASE_URL".to_owned(), format!("host={} user=u dbname=d", env.path().display()))];
    for arguments in [&["migrate"][..], &["orgs", "list"], &["accept-database"]] {
        let finished = Finished::run(env, &variables, arguments);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{finished:?}");
        assert!(finished.stderr.contains("tidegate: "), "{finished:?}");
    }
    Ok(())
}

fn a_port_that_is_taken(env: &Env) -> TestResult {
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let finished = env.cli(&["serve", "--listen", &address]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains(&format!("cannot listen on {address}")), "{finished:?}");
    Ok(())
}

/// A chunk with more segments than a read can bear is named, with what to do.
fn segments(env: &Env, tidegate: &Tidegate) {
    tidegate.client.events(batch(60)).accepted(60, 0);
    let found = |counted: i64| {
        env.sql_as(SUPERUSER).run(&format!(
            "UPDATE pg_class SET reltuples = {counted} WHERE oid IN \
             (SELECT compress_relid FROM _timescaledb_catalog.compression_settings WHERE compress_relid IS NOT NULL)"
        ));
        let report: Value = serde_json::from_str(&env.cli(&["doctor", "--json"]).stdout).unwrap();
        report.as_array().unwrap().iter().find(|finding| finding["check"] == "segments").cloned().unwrap()
    };
    assert_eq!(found(90_000)["state"], "ok");
    let many = found(250_000);
    assert_eq!(many["state"], "warning");
    assert!(many["found"].as_str().unwrap().starts_with("250000 at most"), "{many}");
    assert!(many["advice"].as_str().unwrap().contains("chunk_interval"), "{many}");
}

fn doctor(env: &Env) -> TestResult {
    let tidegate = env.serve();
    until("the first run of the jobs is over", || {
        let books = Books::of(&tidegate.client);
        (books.get("tidegate_job_runs_total{job_name=\"lifecycle\"}") > 0.5).then_some(())
    });
    // What other jobs are at may change between two runs.
    let finished = until("both forms say the same", || {
        let finished = env.cli(&["doctor", "--json"]);
        (env.cli(&["doctor"]).code == finished.code).then_some(finished)
    });
    let report: Value = serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{finished:?}"));
    assert!(report.to_string().contains(env.engine.as_str()), "{report}");
    if env.engine == Engine::Timescale {
        segments(env, &tidegate);
    }
    env.sql().run("UPDATE schema_migrations SET checksum = repeat('0', 64) WHERE version = 1");
    assert_eq!(env.cli(&["doctor"]).code, Some(1));
    Ok(())
}
