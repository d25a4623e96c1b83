//! What `tidegate doctor` says of consumer groups: those that do not get on are named, and others are not.

use serde_json::{Value, json};

use crate::env::{Env, Test, TestResult};
use crate::groups::{commit, expire_first, filled, make, take, tell};
use crate::tests;

pub const TESTS: &[Test] = tests!(groups_that_do_not_get_on_are_named);

/// State, what was found and what to do.
fn groups(env: &Env) -> [String; 3] {
    let report = env.cli(&["doctor", "--json"]);
    let report: Value = serde_json::from_str(&report.stdout).unwrap_or_else(|error| panic!("{error}: {report:?}"));
    let checks = report.as_array().or_else(|| report["findings"].as_array()).unwrap_or_else(|| panic!("{report}"));
    let line = checks.iter().find(|check| check["check"] == "groups").unwrap_or_else(|| panic!("{report}"));
    ["state", "found", "advice"].map(|name| line[name].as_str().unwrap_or_default().to_owned())
}

fn groups_that_do_not_get_on_are_named(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    assert_eq!(groups(env), ["ok", "0 groups", ""]);
    filled(client, "s", 9);
    for name in ["read", "behind", "held", "full", "fresh"] {
        make(client, "s", json!({ "name": name }));
    }
    let all = take(client, "s", "read", "");
    commit(client, "s", "read", &all).expect(200);
    assert_eq!(groups(env), ["ok", "5 groups", ""], "what was stored just now is only next in line");

    tell(client, "s", "held", "pause", json!({})).expect(200);
    let sql = env.sql();
    sql.run("UPDATE ingest_batches SET created_at = created_at - interval '2 hours'");
    let six = take(client, "s", "fresh", "limit=6");
    commit(client, "s", "fresh", &six).expect(200);
    sql.run(
        "UPDATE ingest_batches SET created_at = now() WHERE batch_id = (SELECT batch_id FROM batch_log WHERE base = 6); \
         UPDATE consumer_groups SET paused_at = now(), paused_reason = 'too many are parked' WHERE name = 'full'",
    );
    let [state, found, advice] = groups(env);
    assert_eq!(state, "warning", "{found}");
    assert!(found.contains("behind of s (default) is 9 offsets behind, 2.0 h"), "{found}");
    assert!(found.contains("full of s (default) is paused: too many are parked"), "{found}");
    for fine in ["read of", "held of", "fresh of"] {
        assert!(!found.contains(fine), "{fine}: {found}");
    }
    assert!(advice.contains("tidegate groups show"), "{advice}");

    // What came next for it has expired: it stands still until it is put somewhere else.
    tell(client, "s", "full", "resume", json!({})).expect(200);
    tell(client, "s", "behind", "reset", json!({ "to": "latest" })).expect(200);
    tell(client, "s", "full", "reset", json!({ "to": "latest" })).expect(200);
    make(client, "s", json!({ "name": "late" }));
    expire_first(env);
    let [state, found, advice] = groups(env);
    assert_eq!(state, "warning", "{found}");
    assert!(found.contains("late of s (default) has not read what has expired"), "{found}");
    assert!(!found.contains("behind of") && advice.contains("tidegate groups reset"), "{found}: {advice}");
    tell(client, "s", "late", "reset", json!({ "to": "earliest" })).expect(200);
    tell(client, "s", "late", "reset", json!({ "to": "latest" })).expect(200);
    tell(client, "s", "held", "reset", json!({ "to": "latest" })).expect(200);
    assert_eq!(groups(env)[0], "ok", "{:?}", groups(env));
    Ok(())
}
