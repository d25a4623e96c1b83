//! Retention of an organization's own: shorter than the tables', for its rows alone.

use serde_json::json;

use crate::env::{Engine, Env, Test, TestResult, until};
use crate::held::HeldJob;
use crate::lifecycle::{events_at, run, statuses};
use crate::samples::{event_with, hours_from_now};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    the_command_line,
    longer_than_everybodys_is_refused,
    an_organizations_rows_go_and_the_others_stay,
    rows_beside_a_columnstore_go_as_well,
    metrics_and_correlations_have_their_own,
    a_longer_retention_brings_nothing_back,
    the_window_follows,
);

fn the_command_line(env: &Env) -> TestResult {
    let listed = || env.cli(&["orgs", "list", "--json"]).json()[0].clone();
    env.cli(&["orgs", "create", "acme", "--json"]).json();
    assert_eq!(listed()["events_retention_days"], json!(null));
    let set = |flags: &[&str]| {
        let arguments: Vec<&str> = ["orgs", "retention", "acme", "--json"].iter().chain(flags).copied().collect();
        env.cli(&arguments).json()
    };
    let changed = set(&["--events", "30d", "--metrics", "45d", "--correlations", "1d"]);
    let days = |org: &serde_json::Value| {
        ["events", "metrics", "correlations"].map(|of| org[format!("{of}_retention_days")].as_i64())
    };
    assert_eq!(days(&changed), [Some(30), Some(45), Some(1)]);
    assert_eq!(days(&listed()), [Some(30), Some(45), Some(1)]);
    assert_eq!(days(&set(&["--metrics", "default"])), [Some(30), None, Some(1)], "what is not named stays");
    let text = env.cli(&["orgs", "list"]);
    assert!(text.stdout.contains("events 30d, correlations 1d"), "{text:?}");
    for (flag, value) in [("--events", "0d"), ("--events", "36h"), ("--events", "soon"), ("--events", "4000d")] {
        let finished = env.cli(&["orgs", "retention", "acme", flag, value]);
        assert_eq!(finished.code, Some(2), "{finished:?}");
        assert!(finished.stderr.contains("whole days"), "{finished:?}");
    }
    let unknown = env.cli(&["orgs", "retention", "nobody", "--events", "30d"]);
    assert!(unknown.code == Some(1) && unknown.stderr.contains("nobody"), "{unknown:?}");
    Ok(())
}

fn longer_than_everybodys_is_refused(env: &Env) -> TestResult {
    env.cli(&["orgs", "create", "acme", "--json"]).json();
    for (flag, value, key) in [
        ("--events", "366d", "retention.events"),
        ("--metrics", "91d", "retention.metrics"),
        ("--correlations", "91d", "retention.correlations"),
    ] {
        let finished = env.cli(&["orgs", "retention", "acme", flag, value]);
        assert!(finished.code == Some(1) && finished.stderr.contains(key), "{finished:?}");
    }
    let finished = env.cli(&["orgs", "retention", "acme", "--metrics", "1d"]);
    assert!(finished.code == Some(1) && finished.stderr.contains("at least 2d"), "{finished:?}");
    env.cli(&["orgs", "retention", "acme", "--events", "365d", "--metrics", "90d", "--json"]).json();
    Ok(())
}

/// Runs the job until an organization has that many rows of a relation; the floors have to move first.
fn until_left(env: &Env, relation: &str, tenant: &str, rows: i64) {
    let sql = env.sql();
    until("the organization's rows are gone", || {
        run(env, &[]);
        let left: i64 = sql.one(&format!("SELECT count(*) FROM {relation} WHERE tenant_id = '{tenant}'"));
        (left == rows).then_some(())
    });
}

fn an_organizations_rows_go_and_the_others_stay(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let (short, long) = (env.key("short", "ingest"), env.key("long", "ingest"));
    for days in [40, 20, 3, 0] {
        for key in [&short, &long] {
            tidegate.with(key).events(events_at(200, &hours_from_now(-24 * days))).accepted(200, 0);
        }
    }
    run(env, &[]);
    env.cli(&["orgs", "retention", "short", "--events", "10d", "--json"]).json();
    until_left(env, "events", "short", 400);
    let sql = env.sql();
    assert_eq!(sql.one::<i64>("SELECT count(*) FROM events WHERE tenant_id = 'long'"), 800);
    assert_eq!(run(env, &[])["organizations_rows_deleted"], 0);
    // Shorter still.
    env.cli(&["orgs", "retention", "short", "--events", "1d", "--json"]).json();
    until_left(env, "events", "short", 200);
    assert_eq!(sql.one::<i64>("SELECT count(*) FROM events WHERE tenant_id = 'long'"), 800);
    Ok(())
}

fn rows_beside_a_columnstore_go_as_well(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let (short, long) = (env.key("short", "ingest"), env.key("long", "ingest"));
    // It would put the chunk in order.
    let lifecycle = HeldJob::hold(env, "lifecycle");
    let at = hours_from_now(-24 * 20);
    for key in [&short, &long] {
        // Both in the columnstore and beside it.
        tidegate.with(key).events(events_at(300, &at)).accepted(300, 0);
        tidegate.with(key).events(events_at(20, &at)).accepted(20, 0);
    }
    let sql = env.sql();
    if env.engine == Engine::Timescale {
        assert!(statuses(&sql, "events").iter().any(|status| status & 8 != 0), "{:?}", statuses(&sql, "events"));
    }
    drop(lifecycle);
    env.cli(&["orgs", "retention", "short", "--events", "10d", "--json"]).json();
    until_left(env, "events", "short", 0);
    assert_eq!(sql.one::<i64>("SELECT count(*) FROM events WHERE tenant_id = 'long'"), 320);
    // What comes late to the chunk is stored for the others.
    tidegate.with(&long).events(events_at(30, &at)).accepted(30, 0);
    assert_eq!(sql.one::<i64>("SELECT count(*) FROM events"), 350);
    Ok(())
}

fn metrics_and_correlations_have_their_own(env: &Env) -> TestResult {
    let _tidegate = env.serve();
    let sql = env.sql();
    if env.engine == Engine::Postgres {
        for (relation, day) in ["metrics", "correlations"].into_iter().flat_map(|of| [(of, 30), (of, 3)]) {
            sql.run(&format!(
                "CREATE TABLE {relation}_of_{day} PARTITION OF {relation} FOR VALUES FROM ('{}') TO ('{}')",
                hours_from_now(-24 * day - 2),
                hours_from_now(-24 * day + 2)
            ));
        }
    }
    for (tenant, day) in ["short", "long"].into_iter().flat_map(|tenant| [(tenant, 30), (tenant, 3)]) {
        let at = hours_from_now(-24 * day);
        sql.run(&format!(
            "INSERT INTO metrics SELECT 1, n, '{at}', now(), '{tenant}', 'a', 't', 'm', 1, n FROM generate_series(1, 70) n; \
             INSERT INTO correlations SELECT gen_random_uuid(), '{at}', '{tenant}', 'causal', gen_random_uuid(), \
             gen_random_uuid(), '{at}', '{at}', 1, 1 FROM generate_series(1, 70)"
        ));
    }
    for tenant in ["short", "long"] {
        env.cli(&["orgs", "create", tenant, "--json"]).json();
    }
    env.cli(&["orgs", "retention", "short", "--metrics", "10d", "--correlations", "20d", "--json"]).json();
    until_left(env, "metrics", "short", 70);
    until_left(env, "correlations", "short", 70);
    for relation in ["metrics", "correlations"] {
        assert_eq!(sql.one::<i64>(&format!("SELECT count(*) FROM {relation} WHERE tenant_id = 'long'")), 140);
    }
    Ok(())
}

fn a_longer_retention_brings_nothing_back(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let short = env.key("short", "ingest");
    for days in [20, 5] {
        tidegate.with(&short).events(events_at(60, &hours_from_now(-24 * days))).accepted(60, 0);
    }
    env.cli(&["orgs", "retention", "short", "--events", "10d", "--json"]).json();
    until_left(env, "events", "short", 60);
    env.cli(&["orgs", "retention", "short", "--events", "default", "--json"]).json();
    // Every node knows it within 5 s, and old events are taken again and stay.
    until("the window is wide again", || {
        let answer = tidegate.with(&short).events(events_at(10, &hours_from_now(-24 * 20)));
        (answer.status == 200).then_some(())
    });
    run(env, &[]);
    let left: i64 = env.sql().one("SELECT count(*) FROM events WHERE tenant_id = 'short'");
    assert!(left >= 70, "{left}");
    Ok(())
}

/// What an organization would not keep is refused, and not taken and deleted.
fn the_window_follows(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let (short, long) = (env.key("short", "ingest"), env.key("long", "ingest"));
    env.cli(&["orgs", "retention", "short", "--events", "10d", "--metrics", "5d", "--json"]).json();
    let event = |hours: i64| event_with(1, &format!(r#""timestamp":"{}""#, hours_from_now(hours)));
    let metric = |hours: i64| {
        format!(
            r#"[{{"timestamp":"{}","asset_id":"a","metric_type":"t","metric_name":"m","value":1}}]"#,
            hours_from_now(hours)
        )
    };
    let json_type = [("content-type", "application/json")];
    until("the key's retention is known", || {
        let answer = tidegate.with(&short).events(event(-10 * 24 - 1));
        (answer.status == 422).then(|| assert_eq!(answer.json()["errors"][0]["code"], "out_of_window"))
    });
    tidegate.with(&short).events(event(-10 * 24 + 1)).accepted(1, 0);
    tidegate.with(&long).events(event(-10 * 24 - 1)).accepted(1, 0);
    // Samples until a day before they expire.
    let refused = tidegate.with(&short).post("/v1/metrics", &json_type, metric(-4 * 24 - 1)).expect(422);
    assert_eq!(refused["errors"][0]["code"], "out_of_window");
    tidegate.with(&short).post("/v1/metrics", &json_type, metric(-4 * 24 + 1)).accepted(1, 0);
    tidegate.with(&long).post("/v1/metrics", &json_type, metric(-4 * 24 - 1)).accepted(1, 0);
    Ok(())
}
