//! A migration that takes or narrows what readers may rely on does not pass: the check that every migrated database must pass, asked of
//! databases with a migration too many; and what a reviewer is told of it.

use tidegate::authority::broken;
use tidegate::storage::embedded::OWNER;

use crate::env::{Env, Test, TestResult};
use crate::schema_expected::show;
use crate::tests;

pub const TESTS: &[Test] = tests!(a_migration_that_narrows_does_not_pass, a_reviewer_is_told_what_breaks);

/// A migration, and what the check says of it.
const NARROWING: [(&str, &str); 12] = [
    ("ALTER TABLE dead_letter_events DROP COLUMN rule_pointer", "dead_letter_events.rule_pointer is gone"),
    ("ALTER TABLE dead_letter_events RENAME COLUMN reason TO why", "dead_letter_events.reason is gone"),
    (
        "ALTER TABLE services ALTER COLUMN name TYPE varchar(50)",
        "services.name is character varying(50) instead of text",
    ),
    (
        "ALTER TABLE dead_letter_events ALTER COLUMN event_id SET NOT NULL",
        "dead_letter_events.event_id may not be null any more",
    ),
    ("ALTER TABLE dead_letter_events ALTER COLUMN stage DROP NOT NULL", "dead_letter_events.stage may be null"),
    ("DROP VIEW correlated_events", "correlated_events is gone"),
    (
        "DROP VIEW metric_catalog; CREATE VIEW metric_catalog AS SELECT tenant_id, asset_id FROM metric_series; \
         GRANT SELECT ON metric_catalog TO tidegate_reader, tidegate_people",
        "metric_catalog.metric_name is gone",
    ),
    ("REVOKE SELECT ON deployments FROM tidegate_reader", "tidegate_reader may not read deployments.service"),
    ("REVOKE SELECT ON services FROM tidegate_people", "tidegate_people may not read services.name"),
    ("REVOKE SELECT (label) ON api_keys FROM tidegate_people", "tidegate_people may not read api_keys.label"),
    (
        "ALTER TABLE services ADD CHECK (name <> 'x')",
        "services has a rule that narrows it: constraint services_name_check",
    ),
    (
        "ALTER TABLE services ENABLE ROW LEVEL SECURITY; CREATE POLICY not_x ON services USING (name <> 'x')",
        "services has a rule that narrows it: policy not_x",
    ),
];

fn a_migration_that_narrows_does_not_pass(env: &Env) -> TestResult {
    assert_eq!(broken(&show(env)), Vec::<String>::new());
    let sql = env.sql_as(OWNER);
    // All in one database: each is named by itself, beside what the others broke.
    for (migration, said) in NARROWING {
        let before = broken(&show(env));
        assert!(!before.iter().any(|line| line.starts_with(said)), "{said}: {before:?}");
        sql.run(&format!("BEGIN; {migration}; COMMIT"));
        let after = broken(&show(env));
        assert!(after.iter().any(|line| line.starts_with(said)), "{migration}: {after:?}");
    }
    Ok(())
}

fn a_reviewer_is_told_what_breaks(env: &Env) -> TestResult {
    let sql = env.sql_as(OWNER);
    let old = env.path().join("old.txt");
    std::fs::write(&old, env.cli(&["schema", "show"]).stdout)?;
    let old = old.to_str().unwrap();
    let same = env.cli(&["schema", "diff", old, "live"]);
    assert!(same.code == Some(0) && same.stdout.starts_with("0 differences"), "{same:?}");
    sql.run("ALTER TABLE services ADD COLUMN more text; CREATE INDEX more ON services (more)");
    let widened = env.cli(&["schema", "diff", old, "live", "--fail-on-breaking"]);
    assert_eq!(widened.code, Some(0), "{widened:?}");
    for line in ["added: column services.more", "added: index more of services", "2 differences, 0 of what readers"] {
        assert!(widened.stdout.contains(line), "{line}: {widened:?}");
    }
    sql.run(
        "ALTER TABLE services DROP COLUMN owner; ALTER TABLE services ALTER COLUMN created_at SET DEFAULT '2000-01-01'",
    );
    let narrowed = env.cli(&["schema", "diff", old, "live", "--json"]).json();
    assert_eq!(narrowed["breaking"], serde_json::json!(["services.owner is gone"]), "{narrowed}");
    let mut changes: Vec<String> = narrowed["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| format!("{} {}", change["change"].as_str().unwrap(), change["object"].as_str().unwrap()))
        .collect();
    changes.sort();
    assert_eq!(
        changes,
        [
            "added column services.more",
            "added index more of services",
            "changed column services.created_at",
            "removed column services.owner"
        ]
    );
    let text = env.cli(&["schema", "diff", old, "live", "--fail-on-breaking"]);
    assert!(text.code == Some(1) && text.stdout.contains("breaks readers: services.owner is gone"), "{text:?}");
    // The other way round nothing is taken.
    assert_eq!(env.cli(&["schema", "diff", "live", old, "--fail-on-breaking"]).code, Some(0));
    assert_eq!(env.cli(&["schema", "diff", "live", "expected", "--fail-on-breaking"]).code, Some(0));
    let nothing = env.cli(&["schema", "diff", "/nowhere", "live"]);
    assert!(nothing.code == Some(1) && nothing.stderr.contains("/nowhere cannot be read"), "{nothing:?}");
    std::fs::write(env.path().join("new.txt"), "nonsense\n")?;
    let nonsense = env.cli(&["schema", "diff", env.path().join("new.txt").to_str().unwrap(), "expected"]);
    assert!(nonsense.code == Some(1) && nonsense.stderr.contains("line 1"), "{nonsense:?}");
    Ok(())
}
