//! Organizations and keys: managed beside a running server, checked on every request, never shown again.

use serde_json::{Value, json};

use crate::client::{Client, Key};
use crate::env::{Env, Test, TestResult, until};
use crate::process::Finished;
use crate::samples::{event, seconds_from_now};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    organizations_on_the_command_line,
    keys_on_the_command_line,
    mistakes_on_the_command_line,
    scopes,
    a_key_is_sent_in_either_header,
    revoked_keys,
    deactivated_organizations,
    keys_that_expire,
    rotated_keys,
    malformed_keys_cost_no_query,
    known_keys_outlive_the_database,
    secrets_are_kept_nowhere,
    a_key_in_odd_places,
);

fn organizations_on_the_command_line(env: &Env) -> TestResult {
    let _tidegate = env.serve();
    let made = env.cli(&["orgs", "create", "Acme, Inc.", "--json"]).json();
    assert_eq!(
        (&made["tenant_id"], &made["name"], &made["is_active"]),
        (&json!("acme-inc"), &json!("Acme, Inc."), &json!(true))
    );
    let named = env.cli(&["orgs", "create", "Other", "--slug", "o.1", "--json"]).json();
    assert_eq!(named["tenant_id"], "o.1");
    let tenants = || -> Vec<(Value, Value)> {
        let listed = env.cli(&["orgs", "list", "--json"]).json();
        listed.as_array().unwrap().iter().map(|org| (org["tenant_id"].clone(), org["is_active"].clone())).collect()
    };
    let expected = |active: bool| {
        vec![("default".into(), true.into()), ("acme-inc".into(), active.into()), ("o.1".into(), true.into())]
    };
    assert_eq!(tenants(), expected(true));
    assert_eq!(env.cli(&["orgs", "deactivate", "acme, inc.", "--json"]).json()["is_active"], false);
    assert_eq!(tenants(), expected(false));
    let table = env.cli(&["orgs", "list"]);
    assert!(table.stdout.contains("acme-inc") && table.stdout.contains("deactivated"), "{table:?}");
    Ok(())
}

fn keys_on_the_command_line(env: &Env) -> TestResult {
    let tidegate = env.share();
    let own = env.organization();
    let made = env.cli(&["keys", "create", "--org", own, "--scopes", "read", "--label", "board", "--json"]).json();
    let names: Vec<&String> = made.as_object().unwrap().keys().collect();
    assert_eq!(names, ["id", "key"]);
    assert!(made["key"].as_str().unwrap().starts_with("tg_"));
    // At once, without a restart.
    tidegate.with(&Key::parse(&made)).get("/v1/events").expect(200);
    let listed = env.cli(&["keys", "list", "--org", own, "--json"]).json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let board = listed.as_array().unwrap().iter().find(|key| key["id"] == made["id"]).unwrap();
    assert_eq!(
        (&board["label"], &board["scopes"], &board["revoked_at"]),
        (&json!("board"), &json!(["read"]), &Value::Null)
    );
    assert_eq!(board.get("key"), None);
    let id = made["id"].as_str().unwrap();
    assert!(env.cli(&["keys", "revoke", id, "--json"]).json()["revoked_at"].is_string());
    assert_eq!(env.cli(&["keys", "revoke", id]).code, Some(0), "revoking twice is no error");
    env.cli(&["orgs", "create", "empty", "--json"]).json();
    assert_eq!(env.cli(&["keys", "list", "--org", "empty", "--json"]).json(), json!([]));
    Ok(())
}

fn mistakes_on_the_command_line(env: &Env) -> TestResult {
    env.cli(&["orgs", "create", "one", "--json"]).json();
    let fails = |arguments: &[&str], words: &str| {
        let finished: Finished = env.cli(arguments);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{finished:?}");
        assert!(finished.stderr.contains(words), "{words}: {finished:?}");
    };
    fails(&["orgs", "create", "ONE"], "there already");
    fails(&["orgs", "create", "***"], "--slug");
    fails(&["orgs", "create", "x", "--slug", "Not A Slug"], "slug");
    fails(&["orgs", "deactivate", "nobody"], "nobody");
    fails(&["keys", "create", "--org", "nobody"], "nobody");
    fails(&["keys", "revoke", "00000000-0000-0000-0000-000000000000"], "no key");
    fails(&["keys", "rotate", "00000000-0000-0000-0000-000000000000"], "no working key");
    env.cli(&["orgs", "deactivate", "one", "--json"]).json();
    fails(&["keys", "create", "--org", "one"], "deactivated");
    assert_eq!(env.cli(&["keys", "revoke", "no-uuid"]).code, Some(2));
    assert_eq!(env.cli(&["keys", "create"]).code, Some(2));
    let unknown = env.cli(&["keys", "create", "--org", "one", "--scopes", "ingest,everything"]);
    assert!(unknown.code == Some(2) && unknown.stderr.contains("`everything`"), "{unknown:?}");
    Ok(())
}

const READS: [&str; 9] = [
    "/v1/events",
    "/v1/events/counts",
    "/v1/events/00000000-0000-0000-0000-000000000001",
    "/v1/events/00000000-0000-0000-0000-000000000001/related",
    "/v1/metrics?metric_name=x",
    "/v1/metrics/catalog",
    "/v1/correlations",
    "/v1/dead-letters",
    "/v1/dead-letters/x",
];

fn scopes(env: &Env) -> TestResult {
    let tidegate = env.share();
    tidegate.client.events(event(1)).accepted(1, 0);
    for scopes in ["ingest", "read", "consume", "admin", "ingest,read", "operator"] {
        let client = tidegate.with(&env.key("default", scopes));
        let may = |scope: &str| scopes.contains(scope) || scopes == "operator";
        let posted = client.events(event(2));
        if may("ingest") {
            posted.accepted(1, 0);
        } else {
            let problem = posted.problem(403, "forbidden");
            assert!(problem["detail"].as_str().unwrap().contains("`ingest`"), "{problem}");
        }
        for path in READS {
            let answer = client.get(path);
            if may("read") {
                assert!(matches!(answer.status, 200 | 404), "{scopes} {path}: {}", answer.text());
            } else {
                answer.problem(403, "forbidden");
            }
        }
    }
    let stranger = tidegate.anonymous();
    let refused = stranger.events(event(1));
    refused.problem(401, "unauthorized");
    assert!(refused.header("www-authenticate").starts_with("Bearer"), "{refused:?}");
    READS.iter().for_each(|path| drop(stranger.get(path).problem(401, "unauthorized")));
    Ok(())
}

fn a_key_is_sent_in_either_header(env: &Env) -> TestResult {
    let tidegate = env.share();
    let (stranger, key) = (tidegate.anonymous(), tidegate.client.key());
    stranger.get_as("/v1/events", &[("x-api-key", key)]).expect(200);
    stranger.get_as("/v1/events", &[("authorization", &format!("bearer {key}"))]).expect(200);
    for value in [key, &format!("Basic {key}"), &format!("Bearer{key}"), "Bearer", "Bearer "] {
        stranger.get_as("/v1/events", &[("authorization", value)]).problem(401, "unauthorized");
    }
    Ok(())
}

/// A revocation takes effect; that it does so within 5 s follows from limits that are checked when compiled.
fn refused_soon(client: &Client) {
    until("the key is refused", || (client.get("/v1/events?limit=1").status == 401).then_some(()));
    client.events(event(1)).problem(401, "unauthorized");
}

fn revoked_keys(env: &Env) -> TestResult {
    let tidegate = env.share();
    let key = env.key("default", "ingest,read");
    let client = tidegate.with(&key);
    client.events(event(1)).accepted(1, 0);
    assert_eq!(env.cli(&["keys", "revoke", key.id()]).code, Some(0));
    refused_soon(&client);
    tidegate.client.events(event(1)).accepted(1, 0);
    Ok(())
}

fn deactivated_organizations(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = tidegate.with(&env.key("gone", "ingest,read"));
    client.events(event(1)).accepted(1, 0);
    assert_eq!(env.cli(&["orgs", "deactivate", "gone"]).code, Some(0));
    refused_soon(&client);
    assert_eq!(env.sql().count("events"), 1, "its data stay");
    // And back: keys work as before, but one that was revoked meanwhile.
    let other = env.key("default", "read");
    for _ in 0..2 {
        let activated = env.cli(&["orgs", "activate", "Gone", "--json"]).json();
        assert_eq!((&activated["tenant_id"], &activated["is_active"]), (&json!("gone"), &json!(true)));
    }
    until("its key works again", || (client.get("/v1/events").status == 200).then_some(()));
    let left = "SELECT count(*) FROM organizations WHERE deactivated_at IS NOT NULL";
    assert_eq!(env.sql().one::<i64>(left), 0);
    assert_eq!(env.cli(&["keys", "revoke", other.id()]).code, Some(0));
    assert_eq!(env.cli(&["orgs", "activate", "default"]).code, Some(0));
    refused_soon(&tidegate.with(&other));
    let unknown = env.cli(&["orgs", "activate", "nobody"]);
    assert!(unknown.code == Some(1) && unknown.stderr.contains("nobody"), "{unknown:?}");
    Ok(())
}

fn keys_that_expire(env: &Env) -> TestResult {
    let tidegate = env.share();
    let create = |at: &str| {
        let own = env.organization();
        env.cli(&["keys", "create", "--org", own, "--scopes", "read,ingest", "--expires-at", at, "--json"])
    };
    let make = |at: &str| tidegate.with(&Key::parse(&create(at).json()));
    let past = create(&seconds_from_now(-1));
    assert!(past.code == Some(1) && past.stderr.contains("expired already"), "{past:?}");
    make(&seconds_from_now(3600)).get("/v1/events").expect(200);
    let ended = Key::parse(&create(&seconds_from_now(3600)).json());
    env.sql().run(&format!("UPDATE api_keys SET expires_at = now() WHERE id = '{}'", ended.id()));
    tidegate.with(&ended).get("/v1/events").problem(401, "unauthorized");
    let refused = env.cli(&["keys", "rotate", ended.id(), "--json"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("no working key"), "{refused:?}");
    // Within seconds, which making it by a command may take as well.
    let soon = Key::parse(&create(&seconds_from_now(3600)).json());
    let expires = format!("UPDATE api_keys SET expires_at = now() + INTERVAL '2 seconds' WHERE id = '{}'", soon.id());
    env.sql().run(&expires);
    let soon = tidegate.with(&soon);
    until("the key has expired", || (soon.get("/v1/events").status == 401).then_some(()));
    Ok(())
}

fn rotated_keys(env: &Env) -> TestResult {
    let tidegate = env.share();
    let old = env.key("default", "ingest,read");
    let new = Key::parse(&env.cli(&["keys", "rotate", old.id(), "--grace", "1h", "--json"]).json());
    assert_ne!((&new.text, &new.id), (&old.text, &old.id));
    tidegate.with(&old).get("/v1/events").expect(200);
    tidegate.with(&new).events(event(1)).accepted(1, 0);
    let newest = Key::parse(&env.cli(&["keys", "rotate", new.id(), "--grace", "1ms", "--json"]).json());
    refused_soon(&tidegate.with(&new));
    tidegate.with(&newest).get("/v1/events").expect(200);
    let listed = env.cli(&["keys", "list", "--json"]).json();
    let scopes_of = |key: &Key| {
        listed.as_array().unwrap().iter().find(|listed| listed["id"] == key.id()).unwrap()["scopes"].clone()
    };
    assert_eq!(scopes_of(&newest), scopes_of(&old));
    Ok(())
}

fn malformed_keys_cost_no_query(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let good = env.key("default", "read").text;
    // A request that needs the database now cannot be answered.
    env.sql().run("REVOKE EXECUTE ON FUNCTION look_up_keys FROM tidegate_writer");
    let with = |text: &str| Client::new(&tidegate.client.address, Some(text));
    with(&good).get("/v1/events").problem(503, "database_unavailable");
    let last = good.len() - 1;
    let flipped = format!("{}{}", &good[..last], if good.ends_with('0') { '1' } else { '0' });
    for bad in [&flipped, &good[..last], &good.to_uppercase(), "tg_", "tg_x_y", "sk_123", &good.replace('_', "-")] {
        with(bad).get("/v1/events").problem(401, "unauthorized");
    }
    Ok(())
}

fn known_keys_outlive_the_database(env: &Env) -> TestResult {
    let tidegate = env.serve();
    tidegate.client.events(event(1)).accepted(1, 0);
    env.sql().run("REVOKE EXECUTE ON FUNCTION look_up_keys FROM tidegate_writer");
    until("the key's entry had to be refreshed, and could not be", || {
        tidegate.client.get("/v1/events").expect(200);
        tidegate.log().contains("a key could not be looked up").then_some(())
    });
    tidegate.client.events(event(2)).accepted(1, 0);
    Ok(())
}

fn secrets_are_kept_nowhere(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["log.level=trace"]);
    let made = env.key("default", "ingest,read");
    let rotated = Key::parse(&env.cli(&["keys", "rotate", made.id(), "--json"]).json());
    let first = tidegate.client.key().to_owned();
    let keys = [first, made.text, rotated.text];
    for key in &keys {
        let client = Client::new(&tidegate.client.address, Some(key));
        client.keyed("k", "[{}]").expect(422);
        client.events("hello").expect(400);
        client.get("/v1/events?nonsense=1").expect(400);
        client.get("/v1/nothing").expect(404);
        client.get("/v1/events").expect(200);
    }
    let sql = env.sql();
    let tables = ["api_keys", "organizations", "events", "dead_letter_events", "ingest_ledger", "ingest_batches"];
    let mut places = vec![
        ("the log".to_owned(), tidegate.log()),
        ("/metrics".into(), tidegate.client.get("/metrics").text().into()),
    ];
    for table in tables {
        let rows: Vec<String> = sql.column(&format!("SELECT t::text FROM {table} t"));
        places.push((table.to_owned(), rows.join("\n")));
    }
    assert!(places[0].1.contains("TRACE") || places[0].1.contains("DEBUG"), "the log says little");
    for key in &keys {
        // The id may be shown; what follows it may not.
        let secret = &key.rsplit('_').next().unwrap()[..64];
        for (place, text) in &places {
            assert!(!text.contains(secret), "a secret is in {place}");
        }
    }
    assert_eq!(sql.one::<i64>("SELECT count(*) FROM api_keys WHERE octet_length(key_hash) = 32"), 3);
    Ok(())
}

/// A key that stands where it does not belong is neither kept nor repeated.
fn a_key_in_odd_places(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["log.level=trace"]);
    let client = &tidegate.client;
    let key = client.key();
    let secret = &key[36..100];
    let mut answers = Vec::new();
    for (place, headers) in [
        ("whole", [("idempotency-key", key.to_owned()), ("x-request-id", key.to_owned())]),
        ("within", [("idempotency-key", format!("a-{key}-b")), ("x-request-id", format!("r:{key}"))]),
        ("in capitals", [("idempotency-key", key.to_uppercase()), ("x-request-id", key.to_uppercase())]),
        ("cut", [("idempotency-key", key[..100].to_owned()), ("x-request-id", key[..100].to_owned())]),
    ] {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let refused = client.post("/v1/events", &headers, event(1));
        assert!(
            refused.problem(400, "invalid_idempotency_key")["detail"].as_str().unwrap().contains("API key"),
            "{place}"
        );
        assert_eq!(refused.header("x-request-id").len(), 36, "{place}: a new one");
        answers.push(refused);
        answers.push(client.post("/v1/metrics", &headers[..1], "{}"));
    }
    for query in
        [format!("api_key={key}"), format!("{key}=1"), key.to_owned(), format!("stream={key}"), key.replace('_', "%5f")]
    {
        for answer in [
            client.post(&format!("/v1/events?{query}"), &[], event(1)),
            client.get(&format!("/v1/events?{query}")),
            client.get(&format!("/v1/metrics/catalog?{query}")),
        ] {
            answer.problem(400, "invalid_parameter");
            answers.push(answer);
        }
    }
    for path in [format!("/v1/events/{key}"), format!("/v1/receipts/{key}"), format!("/{key}")] {
        answers.push(
            client.get_as(&path, &[("user-agent", key), ("referer", key), ("cookie", key), ("x-forwarded-for", key)]),
        );
    }
    // In items: what is refused is kept as it was sent, and nowhere else.
    for member in [
        format!(r#""tenant_id":"{key}""#),
        format!(r#""timestamp":"{key}""#),
        format!(r#""event_version":"{key}""#),
        format!(r#""severity":"{key}""#),
    ] {
        let answer = client.events(format!(r#"{{"event_type":"t","source_module":"s","payload":{{}},{member}}}"#));
        answer.expect(422);
        answers.push(answer);
    }
    let labelled = env.cli(&["keys", "create", "--org", "default", "--label", key]);
    assert!(labelled.code == Some(1) && labelled.stderr.contains("--label holds an API key"), "{labelled:?}");
    let mut places: Vec<(String, String)> = answers
        .iter()
        .map(|answer| ("an answer".to_owned(), format!("{:?} {}", answer.headers, answer.text())))
        .collect();
    places.push(("what the command says".into(), labelled.stderr));
    places.push(("the log".into(), tidegate.log()));
    places.push(("/metrics".into(), client.get("/metrics").text().into()));
    let sql = env.sql();
    for table in ["api_keys", "events", "ingest_ledger", "ingest_batches", "organizations"] {
        places.push((table.into(), sql.column::<String>(&format!("SELECT t::text FROM {table} t")).join("\n")));
    }
    let letters = "SELECT (to_jsonb(d) - 'raw')::text FROM dead_letter_events d";
    places.push(("dead letters beside what was sent".into(), sql.column::<String>(letters).join("\n")));
    for (place, text) in places {
        assert!(!text.to_lowercase().contains(&secret[..16]), "a secret is in {place}: {text}");
    }
    assert_eq!((sql.count("events"), sql.count("ingest_ledger")), (0, 0));
    Ok(())
}
