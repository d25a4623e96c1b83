//! What surrounds the routes: who sees which metrics, pages of other origins, headers of every answer, where it listens.

use crate::books::Books;
use crate::env::{Env, Test, TestResult, until};
use crate::samples::event;
use crate::tests;

pub const TESTS: &[Test] = tests!(postgres:
    tenants_are_named_to_keys_only,
    metrics_open_is_for_loopback,
    other_origins_read_what_they_may,
    headers_of_every_answer,
    one_path_has_one_spelling,
    it_listens_on_names,
    limits_and_the_level_are_taken_up_on_sighup,
);

fn tenants_are_named_to_keys_only(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let others = ["a", "b"].map(|org| tidegate.with(&env.key(org, "ingest")));
    others.iter().for_each(|other| drop(other.events(event(0)).accepted(1, 0)));
    let seen = |client: &crate::client::Client| {
        let books = Books::of(client);
        books.assert_balanced();
        assert_eq!(books.items("received_total"), 2);
        let mut tenants: Vec<String> = books.tenants().into_iter().map(str::to_owned).collect();
        tenants.sort();
        tenants
    };
    assert_eq!(seen(&tidegate.anonymous()), Vec::<String>::new());
    assert_eq!(seen(&others[0]), ["a"]);
    assert_eq!(seen(&tidegate.with(&env.key("c", "operator"))), ["a", "b"]);
    let mistyped = format!("{}x", others[0].key());
    crate::client::Client::new(&tidegate.client.address, Some(&mistyped)).get("/metrics").problem(401, "unauthorized");
    Ok(())
}

fn metrics_open_is_for_loopback(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["metrics.open=true"]);
    tidegate.client.events(event(0)).accepted(1, 0);
    assert_eq!(Books::of(&tidegate.anonymous()).tenants(), ["default"]);
    Ok(())
}

fn other_origins_read_what_they_may(env: &Env) -> TestResult {
    let (page, other) = ("https://dash.example", "https://evil.example");
    let tidegate = env.serve_with(&["cors.origins=https://dash.example, http://localhost:3000"]);
    let client = &tidegate.client;
    let asked_of = |path: &str, origin: &str, method: &str| {
        let headers = [("origin", origin), ("access-control-request-method", method)];
        client.send("OPTIONS", path, &headers, b"")
    };
    let asked = |origin: &str, method: &str| asked_of("/v1/events", origin, method);
    for path in ["/v1/nothing", "/v1/events/", "/v2/events", "/v1/%65vents/a/b"] {
        asked_of(path, page, "POST")?.problem(404, "not_found");
    }
    for path in ["/v1/%65vents", "/v1/events/a", "/readyz", "/"] {
        assert_eq!(asked_of(path, page, "GET")?.status, 204, "{path}");
    }
    let may = asked(page, "POST")?;
    assert_eq!((may.status, may.header("access-control-allow-origin")), (204, page));
    assert!(may.header("access-control-allow-headers").contains("Authorization"), "{may:?}");
    assert!(may.header("access-control-allow-methods").contains("POST"), "{may:?}");
    let may_not = asked(other, "POST")?;
    assert_eq!(may_not.header("access-control-allow-origin"), "", "{may_not:?}");
    for (path, status) in [("/v1/events", 200), ("/v1/nothing", 404), ("/healthz", 200)] {
        let read = client.send("GET", path, &[("origin", page)], b"")?;
        assert_eq!((read.status, read.header("access-control-allow-origin")), (status, page), "{path}");
        assert!(read.header("vary").contains("Origin"), "{read:?}");
        assert!(read.header("access-control-expose-headers").contains("Retry-After"), "{read:?}");
        assert_eq!(read.header("access-control-allow-credentials"), "");
        let read = client.send("GET", path, &[("origin", other)], b"")?;
        assert_eq!((read.status, read.header("access-control-allow-origin")), (status, ""), "{path}");
    }
    drop(tidegate);
    let closed = env.serve();
    let read = closed.client.send("GET", "/v1/events", &[("origin", page)], b"")?;
    assert_eq!((read.status, read.header("access-control-allow-origin")), (200, ""));
    assert!(!read.header("vary").contains("Origin"), "{read:?}");
    let headers = [("origin", page), ("access-control-request-method", "GET")];
    assert_eq!(closed.client.send("OPTIONS", "/v1/events", &headers, b"")?.status, 405);
    Ok(())
}

fn headers_of_every_answer(env: &Env) -> TestResult {
    let tidegate = env.serve();
    for path in ["/", "/healthz", "/metrics", "/openapi.json", "/v1/events", "/v1/nothing"] {
        let answer = tidegate.client.get(path);
        let header = |name| answer.header(name);
        assert_eq!((header("x-content-type-options"), header("cache-control")), ("nosniff", "no-store"), "{path}");
        assert_eq!((header("x-frame-options"), header("referrer-policy")), ("DENY", "no-referrer"), "{path}");
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(policy.contains("script-src 'sha256-"), path == "/", "{path}: {policy}");
    }
    Ok(())
}

fn one_path_has_one_spelling(env: &Env) -> TestResult {
    let tidegate = env.serve();
    tidegate.client.get("/v1/%65vents").expect(200);
    tidegate.client.get("/%68ealthz").expect(200);
    tidegate.client.get("/v1%2Fevents").expect(404);
    Ok(())
}

fn it_listens_on_names(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["listen=localhost:0"]);
    tidegate.client.get("/healthz").expect(200);
    drop(tidegate);
    let finished = env.cli(&["serve", "--listen", "no-such-host.invalid:0"]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("no-such-host.invalid:0"), "{finished:?}");
    Ok(())
}

fn limits_and_the_level_are_taken_up_on_sighup(env: &Env) -> TestResult {
    let file = env.path().join("tidegate.toml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("writers = 2\n[limits]\nbody_bytes = \"2KiB\"\n[spool]\nenabled = true\n");
    let tidegate = env.serve();
    let large = format!(r#"{{"event_type":"t","source_module":"s","payload":{{"text":"{}"}}}}"#, "x".repeat(4000));
    tidegate.client.events(large.clone()).problem(413, "body_too_large");
    let hangup = |said: &str| {
        tidegate.signal(nix::sys::signal::Signal::SIGHUP);
        until("it is said", || tidegate.log().contains(said).then_some(()));
    };
    write("writers = 3\n[limits]\nbody_bytes = \"1MiB\"\n[log]\nlevel = \"debug\"\n");
    hangup("needs_restart=\"writers\"");
    assert!(tidegate.log().contains("changed=\"limits.body_bytes, log.level\""), "{}", tidegate.log());
    until("the larger body is taken", || (tidegate.client.events(large.clone()).status == 200).then_some(()));
    until("more is said", || tidegate.log().contains("DEBUG").then_some(()));
    // What cannot be used changes nothing, and says where it is wrong.
    write("[limits]\nbody_bytes = \"many\"\n");
    hangup("tidegate.toml line 2");
    tidegate.client.events(large.clone()).accepted(1, 0);
    // Neither does a file that was there and is not.
    std::fs::remove_file(&file)?;
    hangup("configuration file tidegate.toml: No such file");
    std::fs::create_dir(&file)?;
    hangup("configuration file tidegate.toml: Is a directory");
    tidegate.client.events(large.clone()).accepted(1, 0);
    assert!(!tidegate.log().contains("needs_restart=\"spool"), "{}", tidegate.log());
    // Without values it is there, and they are the defaults: nothing of the kind was meant before.
    std::fs::remove_dir(&file)?;
    write("[limits]\nbody_bytes = \"3KiB\"\n");
    let before = tidegate.log().len();
    tidegate.signal(nix::sys::signal::Signal::SIGHUP);
    until("it is taken up", || tidegate.log()[before..].contains("has been read again").then_some(()));
    until("the larger body is refused", || (tidegate.client.events(large.clone()).status == 413).then_some(()));
    Ok(())
}
