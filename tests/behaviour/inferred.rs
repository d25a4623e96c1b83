//! Which assets and series there are, and since when.

use jiff::Timestamp;

use crate::books::Books;
use crate::derived::{again, hours_ago, settled, time};
use crate::env::{Engine, Env, Test, TestResult, until};
use crate::postgres::Sql;
use crate::samples::event_with;
use crate::tests;

pub const TESTS: &[Test] = tests!(
    assets_are_seen_from_first_to_last,
    series_are_in_the_catalog,
    more_assets_than_one_transaction_notes,
    what_was_inferred_can_be_rebuilt,
    what_was_inferred_expires_with_its_rows,
    an_organization_has_so_many_assets_and_no_more,
);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn assets(sql: &Sql) -> Vec<(String, String, String, String, Timestamp, Timestamp)> {
    let rows = sql.rows(
        "SELECT tenant_id, asset_id, asset_name, asset_type, first_seen, last_seen FROM asset_metadata ORDER BY 1, 2",
        &[],
    );
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4), row.get(5))).collect()
}

fn assets_are_seen_from_first_to_last(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let sql = env.sql();
    let other = tidegate.with(&env.key("other", "ingest"));
    let start = hours_ago(30);
    let event =
        |asset: &str, at_s: i64| event_with(1, &format!(r#""asset_id":"{asset}","timestamp":"{}""#, time(at_s * 1000)));
    let body = [event("a", start + 7), event("a", start + 3600), event("b", start + 8)].join(",");
    tidegate.client.events(format!("[{body},{}]", crate::samples::event(1))).accepted(4, 0);
    other.events(event("a", start + 9)).accepted(1, 0);
    settled(&sql);
    let tenant: String = sql.one("SELECT tenant_id FROM organizations WHERE tenant_id <> 'other'");
    let row = |tenant: &str, asset: &str, first: i64, last: i64| {
        (tenant.to_owned(), asset.to_owned(), asset.to_owned(), "unknown".to_owned(), at(first), at(last))
    };
    let mut expected = vec![
        row(&tenant, "a", start + 7, start + 3600),
        row(&tenant, "b", start + 8, start + 8),
        row("other", "a", start + 9, start + 9),
    ];
    expected.sort();
    assert_eq!(assets(&sql), expected);
    // Late data moves the first time back; what widens nothing is not written.
    let written =
        || -> Vec<String> { sql.column("SELECT xmin::text FROM asset_metadata ORDER BY tenant_id, asset_id") };
    let before = written();
    again(&sql);
    assert_eq!(written(), before);
    tidegate.client.events(event("b", start - 86_400)).accepted(1, 0);
    settled(&sql);
    expected.iter_mut().find(|row| row.0 == tenant && row.1 == "b").unwrap().4 = at(start - 86_400);
    assert_eq!(assets(&sql), expected);
    Ok(())
}

fn what_was_inferred_can_be_rebuilt(env: &Env) -> TestResult {
    let mut tidegate = env.serve();
    let sql = env.sql();
    let start = hours_ago(50);
    // Two days back, now, and ahead: a chunk each.
    for at_s in [start, start + 3600, hours_ago(0), hours_ago(-30)] {
        let at = time(at_s * 1000);
        tidegate.client.events(event_with(1, &format!(r#""asset_id":"e{at_s}","timestamp":"{at}""#))).accepted(1, 0);
        let metric =
            format!(r#"{{"timestamp":"{at}","asset_id":"m{at_s}","metric_type":"gauge","metric_name":"x","value":1}}"#);
        tidegate.client.metrics(metric).accepted(1, 0);
    }
    let noted = "SELECT count(*) FROM asset_metadata";
    let series = "SELECT concat_ws(' ', c.*) FROM metric_catalog c ORDER BY 1";
    until("all assets are seen", || {
        // Those ahead and of this minute are due a minute after they came. The job takes rows in an order of its own: none of
        // them is waited for.
        sql.run(
            "UPDATE touched_minutes SET since = since - INTERVAL '2 minutes' WHERE ctid = ANY (ARRAY( \
                 SELECT ctid FROM touched_minutes FOR UPDATE SKIP LOCKED))",
        );
        (sql.one::<i64>(noted) == 8).then_some(())
    });
    let before = (assets(&sql), sql.column::<String>(series));
    assert_eq!(before.1.len(), 4);
    // Beside a running server, and without one.
    for is_running in [true, false] {
        sql.run("DELETE FROM asset_metadata; DELETE FROM metric_series");
        for table in ["assets", "series"] {
            let rebuilt = env.cli(&["rebuild", table, "--json"]);
            assert!(rebuilt.stderr.contains(" chunks, "), "{rebuilt:?}");
            assert_eq!(rebuilt.json()["minutes"], 4);
        }
        assert_eq!((assets(&sql), sql.column::<String>(series)), before);
        // What is there already stays as it is, also where its rows are gone.
        sql.run("UPDATE asset_metadata SET first_seen = first_seen - INTERVAL '1 year'");
        let wider = assets(&sql);
        assert_eq!(env.cli(&["rebuild", "assets"]).code, Some(0));
        assert_eq!(assets(&sql), wider);
        if is_running {
            tidegate.stop();
        }
    }
    let unknown = env.cli(&["rebuild", "nothing"]);
    assert!(unknown.code == Some(2) && unknown.stderr.contains("assets"), "{unknown:?}");
    Ok(())
}

fn what_was_inferred_expires_with_its_rows(env: &Env) -> TestResult {
    let sql = env.sql();
    sql.run(
        "INSERT INTO organizations (tenant_id, name, events_retention_days, metrics_retention_days) VALUES \
             ('short', 'short', 10, 20), ('long', 'long', NULL, NULL); \
         INSERT INTO asset_metadata (tenant_id, asset_id, asset_name, first_seen, last_seen) \
             SELECT t.tenant, 'a' || d.days, 'a' || d.days, now() - INTERVAL '2 years', now() - make_interval(days => d.days) \
             FROM unnest(ARRAY['short', 'long', 'unknown']) t (tenant), unnest(ARRAY[15, 25, 60, 120, 400]) d (days); \
         INSERT INTO metric_series SELECT tenant_id, asset_id, 'gauge', 'x', metric_series_id(NULL), '{}', first_seen, last_seen FROM asset_metadata; \
         UPDATE asset_metadata SET owner_id = 'ada' WHERE tenant_id = 'long' AND asset_id = 'a400'; \
         INSERT INTO asset_metadata (tenant_id, asset_id, asset_name, first_seen, last_seen) \
             SELECT 'unknown', 'old-' || n, 'old-' || n, now() - INTERVAL '2 years', now() - INTERVAL '2 years' \
             FROM generate_series(1, 25000) n",
    );
    // Of one a bucket is left, and its dimensions are known nowhere else.
    let daily: String = match env.engine {
        Engine::Timescale => sql.one(
            "SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name) \
             FROM timescaledb_information.continuous_aggregates WHERE view_name = 'metrics_daily_buckets'",
        ),
        Engine::Postgres => {
            let days_ago = |days: i64| crate::samples::hours_from_now(-24 * days);
            sql.run(&format!(
                "CREATE TABLE metrics_daily_closed_p20000101_000000 PARTITION OF metrics_daily_closed FOR VALUES FROM ('{}') TO ('{}')",
                days_ago(410),
                days_ago(390)
            ));
            "metrics_daily_closed".to_owned()
        }
    };
    sql.run(&format!(
        "INSERT INTO {daily} (bucket, tenant_id, asset_id, metric_type, metric_name, count, summarized_count, series_id) \
         VALUES (date_trunc('day', now(), 'UTC') - INTERVAL '400 days', 'unknown', 'a400', 'gauge', 'x', 1, 0, metric_series_id(NULL))"
    ));
    let counts = crate::lifecycle::run(env, &["retention.events=30d", "retention.metrics=100d"]);
    assert_eq!((&counts["assets_deleted"], &counts["series_deleted"]), (&25_007.into(), &7.into()), "{counts}");
    let left = |table: &str| -> Vec<String> {
        sql.column(&format!(
            "SELECT concat_ws(' ', tenant_id, asset_id) FROM {table} ORDER BY tenant_id, last_seen DESC"
        ))
    };
    // Everybody's events 30 days and metrics 100, the short one's 10 and 20: an asset as long as either.
    let kept =
        ["long a15", "long a25", "long a60", "long a400", "short a15", "unknown a15", "unknown a25", "unknown a60"];
    assert_eq!(left("asset_metadata"), kept);
    let kept =
        ["long a15", "long a25", "long a60", "short a15", "unknown a15", "unknown a25", "unknown a60", "unknown a400"];
    assert_eq!(left("metric_catalog"), kept);
    Ok(())
}

fn an_organization_has_so_many_assets_and_no_more(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["limits.assets_per_tenant=3"]);
    let sql = env.sql();
    let other = tidegate.with(&env.key("other", "ingest"));
    let start = hours_ago(30);
    let event = |asset: &str, at_s: i64| {
        event_with(1, &format!(r#""asset_id":"{asset}","timestamp":"{}""#, time((start + at_s) * 1000)))
    };
    let send = |client: &crate::client::Client, assets: &[&str], at_s: i64| {
        let body: Vec<String> = assets.iter().map(|asset| event(asset, at_s)).collect();
        client.events(format!("[{}]", body.join(","))).accepted(assets.len() as u64, 0);
        settled(&sql);
    };
    let names = |tenant: &str| -> Vec<String> {
        sql.column(&format!("SELECT asset_id FROM asset_metadata WHERE tenant_id = '{tenant}' ORDER BY 1"))
    };
    send(&tidegate.client, &["a", "c"], 0);
    assert_eq!(sql.count("over_quota"), 0);
    send(&tidegate.client, &["a", "b", "d", "e"], 60);
    assert_eq!(names("default"), ["a", "b", "c"], "one more, in the order of the key");
    send(&other, &["a", "b", "c"], 60);
    assert_eq!(names("other"), ["a", "b", "c"], "each has a quota of its own");
    // What is known is still seen, and its times widen.
    send(&tidegate.client, &["c", "f"], 600);
    let last = "SELECT last_seen FROM asset_metadata WHERE tenant_id = 'default' AND asset_id = 'c'";
    assert_eq!(sql.one::<Timestamp>(last), at(start + 600));
    // Metrics name assets as well; their series are all in the catalog.
    let metric = |asset: &str| {
        let at = time((start + 660) * 1000);
        format!(r#"{{"timestamp":"{at}","asset_id":"{asset}","metric_type":"gauge","metric_name":"x","value":1}}"#)
    };
    tidegate.client.metrics(format!("[{},{}]", metric("b"), metric("g"))).accepted(2, 0);
    settled(&sql);
    assert_eq!((names("default").len(), sql.count("metric_catalog"), sql.count("events")), (3, 2, 11));
    let noted: Vec<String> = sql.column("SELECT concat_ws(' ', what, tenant_id, refused) FROM over_quota");
    assert_eq!(noted, ["assets default 4"], "d, e, f and g");
    assert_eq!(tidegate.log().matches("as many assets as limits.assets_per_tenant").count(), 1);
    let status = tidegate.with(&env.key("default", "admin")).get("/v1/lifecycle").expect(200);
    let over = &status["over_quota"];
    assert_eq!(
        (&over[0]["what"], &over[0]["organizations"], &over[0]["refused"]),
        (&"assets".into(), &1.into(), &4.into())
    );
    assert!(!status.to_string().contains("default"), "no organization is named over HTTP: {status}");
    let doctor = env.cli(&["doctor", "--json"]);
    assert!(doctor.stdout.contains("assets of default (4 times"), "{doctor:?}");
    // Counted when the run ends, which is after its transactions.
    let counted = r#"tidegate_job_items_total{job_name="inferred",what="assets_over_quota"}"#;
    until("the run has ended", || (Books::of(&tidegate.client).get(counted) > 3.5).then_some(()));
    assert_eq!(Books::of(&tidegate.client).get(counted), 4.0);
    // Room again: when rows have gone, new ones are made.
    sql.run("DELETE FROM asset_metadata WHERE tenant_id = 'default' AND asset_id <> 'a'; UPDATE over_quota SET at = at - INTERVAL '25 hours'");
    send(&tidegate.client, &["h", "i"], 1200);
    assert_eq!(names("default"), ["a", "h", "i"]);
    crate::lifecycle::run(env, &[]);
    assert_eq!(sql.count("over_quota"), 0);
    Ok(())
}

fn series_are_in_the_catalog(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let sql = env.sql();
    let start = hours_ago(30);
    let metric = |asset: &str, kind: &str, name: &str, at_s: i64| {
        format!(
            r#"{{"timestamp":"{}","asset_id":"{asset}","metric_type":"{kind}","metric_name":"{name}","value":1}}"#,
            time(at_s * 1000)
        )
    };
    let send = |items: &[String]| {
        tidegate.client.metrics(format!("[{}]", items.join(","))).accepted(items.len() as u64, 0);
        settled(&sql);
    };
    send(&[
        metric("a", "gauge", "load", start + 60),
        metric("a", "gauge", "load", start + 7200),
        metric("a", "counter", "load", start + 61),
        metric("b", "gauge", "load", start + 62),
    ]);
    send(&[metric("a", "gauge", "load", start)]);
    let catalog = || -> Vec<(String, String, String, Timestamp, Timestamp)> {
        let rows = sql.rows(
            "SELECT asset_id, metric_type, metric_name, first_seen, last_seen FROM metric_catalog ORDER BY 1, 2, 3",
            &[],
        );
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4))).collect()
    };
    let row = |asset: &str, kind: &str, first: i64, last: i64| {
        (asset.to_owned(), kind.to_owned(), "load".to_owned(), at(start + first), at(start + last))
    };
    assert_eq!(catalog(), [row("a", "counter", 61, 61), row("a", "gauge", 0, 7200), row("b", "gauge", 62, 62)]);
    let seen: Vec<(String, Timestamp, Timestamp)> =
        assets(&sql).into_iter().map(|asset| (asset.1, asset.4, asset.5)).collect();
    assert_eq!(seen, [("a".to_owned(), at(start), at(start + 7200)), ("b".to_owned(), at(start + 62), at(start + 62))]);
    Ok(())
}

fn more_assets_than_one_transaction_notes(env: &Env) -> TestResult {
    const ASSETS: usize = 12_000;
    let tidegate = env.serve();
    let sql = env.sql();
    let at = time(hours_ago(3) * 1000);
    let items: Vec<String> =
        (0..ASSETS).map(|n| event_with(n, &format!(r#""asset_id":"asset-{n}","timestamp":"{at}""#))).collect();
    tidegate.client.events(format!("[{}]", items.join(","))).accepted(ASSETS as u64, 0);
    settled(&sql);
    assert_eq!(sql.count("asset_metadata"), i64::try_from(ASSETS)?);
    let largest: i64 = sql.one("SELECT max(n) FROM (SELECT count(*) AS n FROM asset_metadata GROUP BY xmin::text) t");
    assert_eq!(largest, 5000);
    Ok(())
}
