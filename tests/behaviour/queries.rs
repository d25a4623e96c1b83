//! `tidegate query`: what a statement finds, in each form, and what it may not do.

use serde_json::{Value, json};

use crate::env::{Env, Test, TestResult};
use crate::process::Finished;
use crate::samples::{array, event_with};
use crate::tests;

pub const TESTS: &[Test] = tests!(a_statement_is_answered_and_changes_nothing);

fn a_statement_is_answered_and_changes_nothing(env: &Env) -> TestResult {
    let tidegate = env.share();
    let items = [event_with(0, r#""asset_id":"a,1""#), event_with(1, r#""asset_id":"b\u001b[2J","severity":"error""#)];
    tidegate.client.events(array(items)).accepted(2, 0);
    let tenant = env.organization();
    let sql = format!(
        "SELECT asset_id, severity = 'error' AS failed, 1.50::numeric AS n, NULL AS none, '{{\"x\": 1}}'::jsonb AS payload \
         FROM events WHERE tenant_id = '{tenant}' ORDER BY asset_id"
    );
    let query = |arguments: &[&str]| env.cli(&[&["query"], arguments].concat());
    // A numeric keeps its digits.
    let digits: Value = serde_json::from_str("1.50")?;
    let found = query(&[&sql, "--json"]).json();
    assert_eq!(
        found,
        json!([
            { "asset_id": "a,1", "failed": false, "n": digits, "none": null, "payload": { "x": 1 } },
            { "asset_id": "b\u{1b}[2J", "failed": true, "n": digits, "none": null, "payload": { "x": 1 } },
        ])
    );
    let csv = query(&[&sql, "--format", "csv"]);
    let expected = "asset_id,failed,n,none,payload\r\n\"a,1\",f,1.50,,\"{\"\"x\"\": 1}\"\r\nb\u{1b}[2J,t,1.50,,\"{\"\"x\"\": 1}\"\r\n";
    assert_eq!((csv.code, csv.stdout.as_str()), (Some(0), expected), "{csv:?}");
    let table = query(&[&sql]);
    let lines: Vec<&str> = table.stdout.lines().collect();
    assert_eq!((table.code, lines.len()), (Some(0), 3), "{table:?}");
    assert!(
        lines[0].starts_with("asset_id") && lines[2].starts_with(r"b\u{1b}[2J"),
        "nothing steers a terminal: {table:?}"
    );
    let none = format!("SELECT id FROM events WHERE tenant_id = '{tenant}' AND false");
    assert_eq!(query(&[&none, "--json"]).json(), json!([]));

    let refused = |arguments: &[&str], words: &str| {
        let Finished { code, stdout, stderr } = query(arguments);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(words), "{arguments:?}: {words}: {stderr}");
    };
    refused(&["SELECT 1 FROM\n  evnts"], "line 2:   evnts\n          ^");
    refused(&["SELECT 1 FROM evnts"], "docs/SCHEMA.md");
    refused(&["SELECT 1; DELETE FROM events"], "multiple commands");
    refused(&["SELECT $1::int"], "write the values");
    refused(&["SELECT pg_sleep(60)", "--timeout", "1"], "--timeout");
    for change in [
        format!("DELETE FROM events WHERE tenant_id = '{tenant}'"),
        "UPDATE organizations SET name = 'x'".to_owned(),
        "CREATE TABLE x (n int)".to_owned(),
        "SELECT tidegate.claim_batch(1)".to_owned(),
        "SELECT key_hash FROM api_keys".to_owned(),
    ] {
        let Finished { code, stderr, .. } = query(&[&change]);
        assert_eq!(code, Some(1), "{change}: {stderr}");
    }
    assert_eq!(env.sql().one::<i64>(&format!("SELECT count(*) FROM events WHERE tenant_id = '{tenant}'")), 2);
    let usage = query(&[&sql, "--timeout", "0"]);
    assert_eq!(usage.code, Some(2), "{usage:?}");
    let counted: Value = query(&["SELECT count(*) FROM events WHERE false", "--format", "json"]).json();
    assert_eq!(counted, json!([{ "count": 0 }]));
    Ok(())
}
