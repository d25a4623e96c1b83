//! Tenants, keys, and what a reader may name (scenarios 31 to 35).

use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use tidegate::limits::TENANT_LABELS_MAX;
use tidegate::storage::embedded::{READER, WRITER};
use tidegate::tenancy::ApiKey;
use uuid::Uuid;

use crate::books::Books;
use crate::client::Client;
use crate::env::{Env, TestResult, until};
use crate::invariants::Scene;
use crate::process::Tidegate;
use crate::samples::encode;
use crate::scenario;
use crate::scenario::Scenario;
use crate::told::Told;

pub const SCENARIOS: &[Scenario] = &[
    scenario!(s31_what_is_anothers_is_missing),
    scenario!(s32_keys),
    scenario!(s32_random_keys),
    scenario!(s33_filters_are_bound),
    scenario!(s33_many_tenants),
    scenario!(s35_no_row_level_security),
];

fn finish(env: &Env, tidegate: &Tidegate, told: &Told, name: &str) {
    told.both(&tidegate.client, 200);
    Scene::new(env, tidegate, &env.sql(), told).assert_invariants(name);
}

fn s31_what_is_anothers_is_missing(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let told = Arc::new(Told::default());
    let other = tidegate.with(&env.key("other", "read"));
    let request = told.request(true, 3, 1);
    let answer = told.send(&tidegate.client, &request).unwrap().accepted(3, 1);
    told.both(&tidegate.client, 200);
    let first = |client: &Client, path: &str| client.get(path).expect(200)["data"][0]["id"].clone();
    let event = first(&tidegate.client, "/v1/events");
    let letter = first(&tidegate.client, "/v1/dead-letters");
    let receipt = &answer["receipt"];
    for (place, id) in [("events", &event), ("dead-letters", &letter), ("receipts", receipt)] {
        let path = format!("/v1/{place}/{}", id.as_str().unwrap());
        tidegate.client.get(&path).expect(200);
        let anothers = other.get(&path).problem(404, "not_found");
        let missing = other.get(&format!("/v1/{place}/{}", Uuid::now_v7())).problem(404, "not_found");
        let said = |problem: &Value| ["title", "type", "code", "detail"].map(|member| problem[member].clone());
        assert_eq!(said(&anothers), said(&missing), "one can be told from the other");
    }
    let page = tidegate.client.get("/v1/events?limit=1").expect(200);
    let cursor = encode(page["next_cursor"].as_str().unwrap());
    tidegate.client.get(&format!("/v1/events?limit=1&cursor={cursor}")).expect(200);
    let answer = other.get(&format!("/v1/events?limit=1&cursor={cursor}"));
    assert!(matches!(answer.status, 400 | 404), "{}", answer.text());
    assert_eq!(other.get("/v1/events").expect(200)["data"], serde_json::json!([]));
    let ingest = tidegate.with(&env.key("default", "ingest"));
    for path in ["/v1/events", "/v1/events/counts", "/v1/dead-letters"] {
        ingest.get(path).problem(403, "forbidden");
    }
    finish(env, &tidegate, &told, "s31_what_is_anothers_is_missing");
    Ok(())
}

fn s32_keys(env: &Env) -> TestResult {
    let tidegate = env.serve();
    // "on every node": another one that has the key in its cache as well.
    let node = env.serve_with(&["data_dir=other"]);
    let told = Arc::new(Told::default());
    told.both(&tidegate.client, 200);
    let key = env.key("default", "ingest,read");
    let clients = [&tidegate, &node].map(|node| node.with(&key));
    clients.iter().for_each(|client| told.both(client, 200));
    assert_eq!(env.cli(&["keys", "revoke", key.id()]).code, Some(0));
    let revoked_at = Instant::now();
    for client in &clients {
        until("the key is refused", || (client.get("/v1/events?limit=1").status == 401).then_some(()));
        told.both(client, 401);
    }
    // The promise of 5 s is kept by the cache's age, which is checked when the limits are compiled; here it is reported.
    println!(
        "{}: s32_keys: a revoked key was refused by both nodes after {:?}",
        env.engine.as_str(),
        revoked_at.elapsed()
    );
    let rows: Vec<String> = env.sql().column("SELECT k::text FROM api_keys k");
    let secret = &key.text.rsplit('_').next().unwrap()[..64];
    assert!(rows.iter().all(|row| !row.contains(secret)), "a secret is in the database");
    assert!(!tidegate.log().contains(secret) && !tidegate.client.get("/metrics").text().contains(secret));
    // Nobody may ask the database about a key that cannot be one.
    env.sql().alter("REVOKE EXECUTE ON FUNCTION look_up_keys FROM tidegate_writer");
    let text = &key.text;
    let changed = format!("{}{}", &text[..text.len() - 1], if text.ends_with('0') { '1' } else { '0' });
    for malformed in [changed.as_str(), &text[..text.len() - 1], "tg_", "tg_x_y", "sk_123"] {
        let client = Client::new(&tidegate.client.address, Some(malformed));
        client.get("/v1/events").problem(401, "unauthorized");
    }
    env.sql().alter("GRANT EXECUTE ON FUNCTION look_up_keys TO tidegate_writer");
    drop(node);
    finish(env, &tidegate, &told, "s32_keys");
    Ok(())
}

/// Many more than may be looked up in a second.
const RANDOM_KEYS: usize = 2000;

fn s32_random_keys(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let told = Arc::new(Told::default());
    told.both(&tidegate.client, 200);
    let before = tidegate.peak_resident_bytes();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..RANDOM_KEYS / 8 {
                    let unknown = ApiKey::generate().unwrap().reveal();
                    let answer = Client::new(&tidegate.client.address, Some(&unknown)).get("/v1/events");
                    assert!(matches!(answer.status, 401 | 429 | 503), "{}", answer.text());
                }
            });
        }
        // A client whose key is known does not notice.
        for _ in 0..20 {
            told.both(&tidegate.client, 200);
        }
    });
    let grown = tidegate.peak_resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more were resident");
    finish(env, &tidegate, &told, "s32_random_keys");
    Ok(())
}

/// What would do harm if it were not only compared.
const HOSTILE: [&str; 6] =
    ["' OR '1'='1", "'; DROP TABLE events; --", "$1", "%", "\\", "x' UNION SELECT key_hash::text FROM api_keys --"];

fn s33_filters_are_bound(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let told = Arc::new(Told::default());
    told.both(&tidegate.client, 200);
    let rows = |path: &str| tidegate.client.get(path).expect(200)["data"].as_array().unwrap().len();
    assert_eq!(rows("/v1/events"), 6);
    for field in ["event_type", "source_module", "asset_id", "stream", "severity", "environment", "trace_id"] {
        for value in HOSTILE {
            assert_eq!(rows(&format!("/v1/events?{field}={}", encode(value))), 0, "{field}={value}");
        }
    }
    for name in ["tenant_id", "id", "1=1--", "payload->>'x'", "batch_id", "event_type;--"] {
        let answer = tidegate.client.get(&format!("/v1/events?{}=default", encode(name)));
        assert_eq!(answer.status, 400, "{name}: {}", answer.text());
    }
    for group in HOSTILE {
        let answer = tidegate.client.get(&format!("/v1/events/counts?group_by={}", encode(group)));
        assert_eq!(answer.status, 400, "{group}: {}", answer.text());
    }
    assert_eq!(rows("/v1/events"), 6);
    finish(env, &tidegate, &told, "s33_filters_are_bound");
    Ok(())
}

/// Tenants that send, many more than have labels of their own, and those that are only there.
const BUSY: usize = 600;
const SILENT: usize = 100_000;

fn s33_many_tenants(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["metrics.open=true"]);
    let told = Arc::new(Told::default());
    let sql = env.sql();
    sql.run(&format!(
        "INSERT INTO organizations (tenant_id, name) \
         SELECT 'tenant-' || n, 'Tenant ' || n FROM generate_series(1, {BUSY} + {SILENT}) AS n"
    ));
    let keys: Vec<ApiKey> = (0..BUSY).map(|_| ApiKey::generate().unwrap()).collect();
    let ids: Vec<Uuid> = keys.iter().map(|key| key.id).collect();
    let hashes: Vec<Vec<u8>> = keys.iter().map(|key| key.hash().to_vec()).collect();
    sql.rows(
        "INSERT INTO api_keys (id, org_id, key_hash, scopes) \
         SELECT k.id, o.id, k.hash, '{ingest}' FROM unnest($1::uuid[], $2::bytea[]) WITH ORDINALITY AS k (id, hash, n) \
         JOIN organizations o ON o.tenant_id = 'tenant-' || k.n",
        &[&ids, &hashes],
    );
    std::thread::scope(|scope| {
        for part in keys.chunks(BUSY / 8) {
            let (told, address) = (&told, &tidegate.client.address);
            scope.spawn(move || {
                for key in part {
                    let client = Client::new(address, Some(&key.reveal()));
                    let request = told.request(true, 2, 0);
                    // Unknown keys are looked up at a limited rate.
                    until("the tenant's request is taken", || {
                        let answer = told.send(&client, &request)?;
                        assert!(matches!(answer.status, 200 | 429 | 503), "{}", answer.text());
                        (answer.status == 200).then_some(())
                    });
                }
            });
        }
    });
    let books = Books::of(&tidegate.client);
    let labels = books.tenants().len();
    assert!(labels <= TENANT_LABELS_MAX + 1, "{labels} tenants have labels");
    assert!(books.tenants().contains(&"other"), "the rest is summed");
    assert_eq!(sql.one::<i64>("SELECT count(DISTINCT tenant_id) FROM events"), i64::try_from(BUSY)?);
    finish(env, &tidegate, &told, "s33_many_tenants");
    Ok(())
}

fn s35_no_row_level_security(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let told = Arc::new(Told::default());
    told.both(&tidegate.client, 200);
    let other = tidegate.with(&env.key("other", "ingest,read"));
    told.both(&other, 200);
    // The boundary is the predicate of every query, and the roles.
    let sql = env.sql();
    let guarded = "SELECT count(*) FROM pg_class WHERE oid IN ('tidegate.events'::regclass, \
         'tidegate.dead_letter_events'::regclass) AND relrowsecurity";
    assert_eq!(sql.one::<i64>(guarded), 0);
    for client in [&tidegate.client, &other] {
        let ids = |path: &str| client.get(path).expect(200)["data"].as_array().unwrap().len();
        assert_eq!((ids("/v1/events"), ids("/v1/dead-letters")), (6, 2));
    }
    for (role, statement) in [
        (WRITER, "UPDATE events SET tenant_id = 'default'"),
        (WRITER, "DELETE FROM events"),
        (READER, "INSERT INTO events SELECT * FROM events"),
        (READER, "SELECT key_hash FROM api_keys"),
    ] {
        assert_eq!(env.sql_as(role).try_run(statement), Err("42501".into()), "{role}: {statement}");
    }
    finish(env, &tidegate, &told, "s35_no_row_level_security");
    Ok(())
}
