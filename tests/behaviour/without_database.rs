//! A start without the database: it listens, says why it is not ready, takes for the spool what comes with keys that were
//! good lately, and goes on by itself when the database comes.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::books::Books;
use crate::client::{Client, Key};
use crate::env::{Env, Test, TestResult, until};
use crate::postgres::SUPERUSER;
use crate::process::{Finished, Tidegate};
use crate::proxy::Proxy;
use crate::samples::{array, event, event_with, hours_from_now, metric};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    a_first_start_without_the_database,
    a_start_with_keys_that_were_good,
    a_key_that_was_revoked_meanwhile,
    a_revoked_key_that_nobody_uses_is_forgotten,
    files_of_keys_that_cannot_be_used,
    without_a_spool_nothing_is_kept_or_taken,
    a_need_that_is_unmet_later_is_waited_out,
    another_database_is_accepted_by_command,
);

/// A well-formed key that nobody has.
fn stranger() -> String {
    tidegate::tenancy::ApiKey::generate().expect("entropy").reveal()
}

/// Processes one after another, on a database that can be away.
struct Node<'a> {
    env: &'a Env,
    proxy: Proxy,
    settings: Vec<String>,
}

impl<'a> Node<'a> {
    fn new(env: &'a Env) -> Self {
        env.database();
        Self { env, proxy: Proxy::start(&env.socket()), settings: Vec::new() }
    }

    fn serve(&self) -> Tidegate {
        Tidegate::serve(self.env, &self.env.variables_all_through(&self.proxy), &self.settings)
    }

    fn listening(&self) -> Tidegate {
        Tidegate::listening(self.env, &self.env.variables_all_through(&self.proxy), &self.settings)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.env.path().join(".tidegate").join(name)
    }

    /// Waits until the file of keys names these, and no others of the second list.
    fn remembers(&self, known: &[&Key], gone: &[&Key]) {
        until("the keys are kept", || {
            let text = std::fs::read_to_string(self.file("keys")).unwrap_or_default();
            let has = |key: &&Key| text.contains(key.id());
            (known.iter().all(has) && !gone.iter().any(has)).then_some(())
        });
    }

    /// Ends the process as a loss of power would, and takes the database away.
    fn crash(&self, mut tidegate: Tidegate) {
        tidegate.kill();
        self.proxy.away();
    }
}

fn not_ready(tidegate: &Tidegate) -> String {
    let answer = tidegate.client.get("/readyz").expect(503);
    assert_eq!(answer["status"], "not_ready", "{answer}");
    answer["reason"].as_str().unwrap().to_owned()
}

/// 503, with the time after which to come again.
fn unavailable(client: &Client, path: &str) {
    let answer = client.get(path);
    answer.problem(503, "database_unavailable");
    assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{answer:?}");
}

fn spooled(client: &Client, body: impl AsRef<[u8]>, accepted: u64, rejected: u64) -> Value {
    let answer = client.events(body).expect(202);
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&accepted.into(), &rejected.into()), "{answer}");
    assert_eq!(answer["status"], "spooled");
    answer
}

fn a_first_start_without_the_database(env: &Env) -> TestResult {
    let node = Node::new(env);
    node.proxy.away();
    let mut tidegate = node.listening();
    assert!(not_ready(&tidegate).contains("connect"), "{}", not_ready(&tidegate));
    tidegate.client.get("/healthz").expect(200);
    let stranger = Client::new(&tidegate.client.address, Some(&stranger()));
    unavailable(&stranger, "/v1/events");
    unavailable(&stranger, "/v1/lifecycle");
    let refused = stranger.events(event(1));
    refused.problem(503, "database_unavailable");
    assert!(!refused.header("retry-after").is_empty());
    Client::new(&tidegate.client.address, Some("tg_nonsense")).get("/v1/events").problem(401, "unauthorized");
    let books = Books::of(&tidegate.client);
    books.assert_balanced();
    assert!(books.get("tidegate_database_available") < 0.5);
    assert_eq!(tidegate.welcome, "");
    node.proxy.back();
    tidegate.ready(env);
    assert!(tidegate.welcome.contains("\n  API key   tg_"), "{}", tidegate.welcome);
    let ready = json!({ "status": "ready" });
    until("it says that it is ready", || (tidegate.client.get("/readyz").json() == ready).then_some(()));
    tidegate.client.events(event(1)).accepted(1, 0);
    stranger.get("/v1/events").problem(401, "unauthorized");
    assert_eq!(tidegate.stop(), Some(0));
    // One that is stopped while it waits has done nothing wrong.
    node.proxy.away();
    let mut waiting = node.listening();
    assert_eq!(waiting.stop(), Some(0));
    Ok(())
}

fn a_start_with_keys_that_were_good(env: &Env) -> TestResult {
    let node = Node::new(env);
    let all = env.key("acme", "ingest,read");
    let reader = env.key("acme", "read");
    let limited =
        env.cli(&["keys", "create", "--org", "acme", "--scopes", "ingest", "--events-per-second", "2", "--json"]);
    let limited = Key::parse(&limited.json());
    assert_eq!(env.cli(&["orgs", "retention", "acme", "--events", "30d"]).code, Some(0));
    let tidegate = node.serve();
    tidegate.with(&all).events(event(0)).accepted(1, 0);
    tidegate.with(&reader).get("/v1/events").expect(200);
    tidegate.with(&limited).events(event(1)).accepted(1, 0);
    node.remembers(&[&all, &reader, &limited], &[]);
    let kept = std::fs::metadata(node.file("keys"))?;
    assert_eq!(kept.permissions().mode() & 0o7777, 0o600);
    let secret = all.text.rsplit('_').next().unwrap();
    assert!(!std::fs::read_to_string(node.file("keys"))?.contains(&secret[..32]), "a secret is on disk");
    node.crash(tidegate);
    let mut tidegate = node.listening();
    let client = tidegate.with(&all);
    // Judged as with the database: what the organization would delete at once is refused.
    let old = event_with(2, &format!(r#""timestamp":"{}""#, hours_from_now(-24 * 40)));
    let body = array([event(3), old, r#"{"event_type":"junk"}"#.to_owned()]);
    let answer = spooled(&client, body, 1, 2);
    assert_eq!(answer["errors"][0]["code"], "out_of_window", "{answer}");
    let receipt = answer["receipt"].as_str().unwrap().to_owned();
    let first = client.keyed("same", event(4)).expect(202);
    assert_eq!(client.metrics(metric(5)).expect(202)["accepted"], 1);
    assert_eq!(client.get(&format!("/v1/receipts/{receipt}")).expect(200)["status"], "spooled");
    for path in ["/v1/events", "/v1/metrics?metric_name=latency", "/v1/events/counts", "/v1/dead-letters"] {
        unavailable(&client, path);
    }
    tidegate.with(&reader).events(event(9)).problem(403, "forbidden");
    tidegate.with(&limited).get("/v1/events").problem(403, "forbidden");
    let burst = tidegate.with(&limited).events(array((100..200).map(event)));
    assert_eq!(burst.expect(202)["accepted"], 100, "a bucket may go into debt");
    tidegate.with(&limited).events(event(9)).problem(429, "rate_limited");
    // And once more, with what the first one took in the spool.
    node.crash(tidegate);
    tidegate = node.listening();
    spooled(&tidegate.with(&all), event(6), 1, 0);
    assert_eq!(tidegate.with(&all).keyed("same", event(4)).expect(202)["accepted"], first["accepted"]);
    node.proxy.back();
    tidegate.ready(env);
    Books::drained(&tidegate.client);
    let sql = env.sql();
    let ours = "SELECT (payload->>'n')::int FROM events WHERE (payload->>'n')::int < 100 ORDER BY 1";
    assert_eq!(sql.column::<i32>(ours), [0, 1, 3, 4, 6]);
    assert_eq!((sql.count("events"), sql.count("metrics"), sql.count("dead_letter_events")), (105, 1, 2));
    let found = tidegate.with(&all).get(&format!("/v1/receipts/{receipt}")).expect(200);
    assert_eq!((&found["status"], &found["accepted"]), (&"committed".into(), &1.into()), "{found}");
    Books::of(&tidegate.client).assert_balanced();
    Ok(())
}

fn a_key_that_was_revoked_meanwhile(env: &Env) -> TestResult {
    let node = Node::new(env);
    let (key, other) = (env.key("acme", "ingest"), env.key("acme", "ingest"));
    let tidegate = node.serve();
    for key in [&key, &other] {
        tidegate.with(key).events(event(0)).accepted(1, 0);
    }
    node.remembers(&[&key, &other], &[]);
    node.crash(tidegate);
    let mut tidegate = node.listening();
    spooled(&tidegate.with(&key), event(1), 1, 0);
    assert_eq!(env.cli(&["keys", "revoke", key.id()]).code, Some(0));
    spooled(&tidegate.with(&key), event(2), 1, 0);
    node.proxy.back();
    tidegate.ready(env);
    until("the revoked key is refused", || (tidegate.with(&key).events("[]").status == 401).then_some(()));
    tidegate.with(&other).events(event(3)).accepted(1, 0);
    node.remembers(&[&other], &[&key]);
    // What was acknowledged is kept, also of a key that was revoked since.
    Books::drained(&tidegate.client);
    assert_eq!(env.sql().count("events"), 5);
    node.crash(tidegate);
    let tidegate = node.listening();
    tidegate.with(&key).events(event(4)).problem(503, "database_unavailable");
    spooled(&tidegate.with(&other), event(5), 1, 0);
    Ok(())
}

fn a_revoked_key_that_nobody_uses_is_forgotten(env: &Env) -> TestResult {
    let node = Node::new(env);
    let (key, other) = (env.key("acme", "ingest"), env.key("acme", "ingest"));
    let tidegate = node.serve();
    for key in [&key, &other] {
        tidegate.with(key).events(event(0)).accepted(1, 0);
    }
    node.remembers(&[&key, &other], &[]);
    drop(tidegate);
    assert_eq!(env.cli(&["keys", "revoke", key.id()]).code, Some(0));
    let tidegate = node.serve();
    node.remembers(&[&other], &[&key]);
    node.crash(tidegate);
    node.listening().with(&key).events(event(1)).problem(503, "database_unavailable");
    Ok(())
}

fn files_of_keys_that_cannot_be_used(env: &Env) -> TestResult {
    let node = Node::new(env);
    let key = env.key("acme", "ingest");
    let harms: [&dyn Fn(PathBuf); 4] = [
        &|path| {
            let mut bytes = std::fs::read(&path).unwrap();
            let last = bytes.len() - 3;
            bytes[last] ^= 1;
            std::fs::write(path, bytes).unwrap();
        },
        &|path| std::fs::write(path, "").unwrap(),
        &|path| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap(),
        &|path| {
            let elsewhere = path.with_extension("elsewhere");
            std::fs::rename(&path, &elsewhere).unwrap();
            symlink(elsewhere, path).unwrap();
        },
    ];
    for harm in harms {
        let tidegate = node.serve();
        tidegate.with(&key).events(event(0)).accepted(1, 0);
        node.remembers(&[&key], &[]);
        node.crash(tidegate);
        harm(node.file("keys"));
        let mut tidegate = node.listening();
        tidegate.with(&key).events(event(1)).problem(503, "database_unavailable");
        assert!(tidegate.log().contains("is set aside"), "{}", tidegate.log());
        assert!(node.file("keys.damaged").symlink_metadata().is_ok());
        node.proxy.back();
        tidegate.ready(env);
        tidegate.with(&key).events(event(2)).accepted(1, 0);
        node.crash(tidegate);
        node.proxy.back();
    }
    Ok(())
}

fn without_a_spool_nothing_is_kept_or_taken(env: &Env) -> TestResult {
    let mut node = Node::new(env);
    node.settings = ["--set", "spool.enabled=false"].map(str::to_owned).to_vec();
    let key = env.key("acme", "ingest,read");
    let tidegate = node.serve();
    tidegate.with(&key).events(event(0)).accepted(1, 0);
    node.crash(tidegate);
    assert!(!node.file("keys").exists() && !node.file("database").exists());
    let mut tidegate = node.listening();
    let refused = tidegate.with(&key).events(event(1));
    refused.problem(503, "database_unavailable");
    assert!(!refused.header("retry-after").is_empty());
    node.proxy.back();
    tidegate.ready(env);
    tidegate.with(&key).events(event(2)).accepted(1, 0);
    Ok(())
}

fn a_need_that_is_unmet_later_is_waited_out(env: &Env) -> TestResult {
    let node = Node::new(env);
    let key = env.key("acme", "ingest");
    let tidegate = node.serve();
    tidegate.with(&key).events(event(0)).accepted(1, 0);
    node.remembers(&[&key], &[]);
    node.crash(tidegate);
    let sql = env.sql();
    let harm = "UPDATE schema_migrations SET checksum = reverse(checksum) WHERE version = 1";
    sql.run(harm);
    // Found at the start, it ends it.
    node.proxy.back();
    let finished = Finished::run(env, &env.variables_all_through(&node.proxy), &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{finished:?}");
    // Found later, it is waited out.
    node.proxy.away();
    let mut tidegate = node.listening();
    node.proxy.back();
    let anybody = |tidegate: &Tidegate| not_ready(tidegate).ends_with("are not what is needed");
    until("it says what is not met", || (anybody(&tidegate) && tidegate.log().contains("migration")).then_some(()));
    spooled(&tidegate.with(&key), event(1), 1, 0);
    sql.run(harm);
    tidegate.ready(env);
    Books::drained(&tidegate.client);
    assert_eq!(sql.count("events"), 2);
    Ok(())
}

fn another_database_is_accepted_by_command(env: &Env) -> TestResult {
    let node = Node::new(env);
    let tidegate = node.serve();
    tidegate.client.events(event(0)).accepted(1, 0);
    until("the key is kept", || node.file("keys").exists().then_some(()));
    node.crash(tidegate);
    node.proxy.back();
    let sql = env.sql();
    let known: String = sql.one("SELECT id::text FROM tidegate.installation");
    env.sql_as(SUPERUSER).run("UPDATE tidegate.installation SET id = gen_random_uuid()");
    let other: String = sql.one("SELECT id::text FROM tidegate.installation");
    let variables = env.variables_all_through(&node.proxy);
    let finished = Finished::run(env, &variables, &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{finished:?}");
    for word in [known.as_str(), &other, "tidegate accept-database"] {
        assert!(finished.stderr.contains(word), "{word}: {finished:?}");
    }
    // A process that waits takes it up without being started again.
    node.proxy.away();
    let mut tidegate = node.listening();
    node.proxy.back();
    until("it says that it is another one", || not_ready(&tidegate).contains(&other).then_some(()));
    spooled(&tidegate.client, event(1), 1, 0);
    assert_eq!(sql.count("events"), 1, "written to another database");
    let doctor = || {
        let report: Value =
            serde_json::from_str(&Finished::run(env, &variables, &["doctor", "--json"]).stdout).unwrap();
        let found = report.as_array().unwrap().iter().find(|finding| finding["check"] == "same database").cloned();
        found.unwrap()["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(doctor(), "failed");
    let accepted = Finished::run(env, &variables, &["accept-database", "--json"]).json();
    assert_eq!(doctor(), "ok");
    assert_eq!(accepted["installation"], other, "{accepted}");
    let nowhere = Finished::run(env, &variables, &["accept-database", "--data-dir", "nowhere"]);
    assert!(nowhere.code == Some(1) && nowhere.stderr.contains("there is no data_dir nowhere"), "{nowhere:?}");
    tidegate.ready(env);
    Books::drained(&tidegate.client);
    assert_eq!(sql.count("events"), 2);
    // From then on it is the known one.
    drop(tidegate);
    node.serve().client.events(event(2)).accepted(1, 0);
    Ok(())
}
