//! Real metrics with invented dimensions: every aggregate, grouped in several ways, at every level, against a direct computation.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::books::Books;
use crate::env::{Engine, Env, Test, TestResult};
use crate::metric_reads::points;
use crate::rollups::{fine_levels_kept, refresh, send};
use crate::samples::now;

pub const TESTS: &[Test] = &[Test {
    name: "real_metrics_grouped",
    engines: &Engine::ALL,
    run: real_metrics_grouped,
    missing: real_metrics_missing,
}];

fn real_metrics() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/real-metrics.ndjson.gz")
}

fn real_metrics_missing() -> Option<String> {
    (!real_metrics().is_file()).then(|| format!("there is no {}", real_metrics().display()))
}

/// The real samples; three dimensions more, and some of the metrics are counters.
fn invented() -> tempfile::NamedTempFile {
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(real_metrics()).unwrap()).read_to_string(&mut text).unwrap();
    let mut file = tempfile::Builder::new().suffix(".ndjson").tempfile().unwrap();
    for (n, line) in text.lines().enumerate() {
        let mut item: Value = serde_json::from_str(line).unwrap();
        item["dimensions"]["region"] = json!(["eu, west", "us", "ü"][n % 3]);
        item["dimensions"]["tier"] = json!(n / 3 % 2 + 1);
        if n % 5 == 0 {
            item["dimensions"]["canary"] = json!(true);
        }
        if COUNTERS.contains(&item["metric_name"].as_str().unwrap()) {
            item["metric_type"] = json!("counter");
        }
        writeln!(file, "{item}").unwrap();
    }
    file
}

const COUNTERS: [&str; 2] = ["ec2_network_in", "elb_request_count"];
const AGGREGATES: [&str; 13] =
    ["avg", "sum", "min", "max", "count", "stddev", "p50", "p95", "p99", "last", "rate", "increase", "delta"];
const GROUPS: [&[&str]; 5] = [
    &[],
    &["region"],
    &["asset_id", "canary"],
    &["tier", "metric_name"],
    &["region", "tier", "canary", "asset_id", "metric_name", "metric_type"],
];
/// What is asked, the width of a bucket in seconds (of a moment: none) and of the level's, and how far back.
const LEVELS: [(&str, Option<i64>, i64, i64); 7] = [
    ("resolution=raw", None, 60, 1),
    ("resolution=raw&points=720", Some(120), 60, 1),
    ("resolution=1m", Some(60), 60, 2),
    ("resolution=5m", Some(300), 300, 3),
    ("resolution=1h", Some(3600), 3600, 18),
    ("resolution=1d", Some(86_400), 86_400, 18),
    ("points=72", Some(21_600), 3600, 18),
];
const DAY: i64 = 86_400;
const SERIES: [(&str, &str); 3] = [
    (
        "metric_name=ec2_cpu_utilization,rds_cpu_utilization",
        "metric_name IN ('ec2_cpu_utilization', 'rds_cpu_utilization')",
    ),
    ("metric_name=ec2_network_in,elb_request_count", "metric_type = 'counter'"),
    (
        "metric_name=ec2_cpu_utilization&dim.region=!us&dim.tier=2",
        "metric_name = 'ec2_cpu_utilization' AND dimensions ->> 'region' <> 'us' AND dimensions -> 'tier' = '2'",
    ),
];

/// A question: of which series, from and to, seconds of a bucket, and so many before the first one that are looked at.
struct Question<'a> {
    aggregate: &'a str,
    group_by: &'a [&'a str],
    condition: &'a str,
    range: (i64, i64),
    width: Option<i64>,
    before: i64,
}

/// The values that SQL computes from the samples alone, by bucket and group.
fn direct(env: &Env, question: &Question<'_>) -> BTreeMap<(i64, String), Option<f64>> {
    let Question { aggregate, group_by, condition, range: (from, to), width, before } = question;
    let value = match *aggregate {
        "avg" => "avg(v)".to_owned(),
        "count" => "count(*)::double precision".into(),
        "stddev" => "stddev_samp(v)".into(),
        "p50" | "p95" | "p99" => {
            format!("percentile_disc(0.{}) WITHIN GROUP (ORDER BY v)", aggregate[1..].replace("50", "5"))
        }
        "last" => "(array_agg(v ORDER BY timestamp DESC, batch_id DESC, batch_seq DESC))[1]".into(),
        "increase" | "rate" => {
            let step = "CASE WHEN prev IS NULL THEN 0 WHEN v < prev THEN v ELSE v - prev END";
            match (*aggregate, width) {
                ("increase", _) => format!("sum({step})"),
                (_, Some(width)) => format!("sum({step}) / {width}"),
                (_, None) => {
                    format!("sum(({step}) / nullif(extract(epoch FROM timestamp - prev_at)::double precision, 0))")
                }
            }
        }
        "delta" => "sum(v - coalesce(prev, v))".into(),
        simple => format!("{simple}(v)"),
    };
    let bucket = width.map_or("extract(epoch FROM timestamp)".into(), |width| {
        format!("floor(extract(epoch FROM timestamp) / {width}) * {width}")
    });
    let keys: Vec<String> = group_by
        .iter()
        .map(|name| match *name {
            "asset_id" | "metric_name" | "metric_type" => format!("to_jsonb({name})"),
            dimension => format!("dimensions -> '{dimension}'"),
        })
        .collect();
    let grouped: String = keys.iter().map(|key| format!(", {key}")).collect();
    let shown: Vec<String> = group_by.iter().zip(&keys).map(|(name, key)| format!("'{name}', {key}")).collect();
    let rows = env.sql().rows(&format!(
        "SELECT bucket::bigint, jsonb_build_object({}), ({value})::double precision FROM (
            SELECT {bucket} AS bucket, value_sum AS v, lag(value_sum) OVER series AS prev, lag(timestamp) OVER series AS prev_at, *
            FROM metrics WHERE tenant_id = 'default' AND {condition} AND timestamp >= to_timestamp({from} - {before})
            WINDOW series AS (PARTITION BY asset_id, metric_type, metric_name, dimensions ORDER BY timestamp, batch_id, batch_seq)
         ) s WHERE bucket >= {from} AND bucket < {to} GROUP BY bucket{grouped}",
        shown.join(", ")
    ), &[]);
    rows.iter().map(|row| ((row.get(0), row.get::<_, Value>(1).to_string()), row.get(2))).collect()
}

fn real_metrics_grouped(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&fine_levels_kept("60d"));
    let (client, file) = (&tidegate.client, invented());
    // The end of an hour, so that buckets of every width end there but those of a day.
    let now = jiff::Timestamp::from_second(now().as_second() / 3600 * 3600)?;
    let loaded = env.cli(&[
        "load",
        "--url",
        &client.url(),
        "--key",
        client.key(),
        "--json",
        "--file",
        file.path().to_str().unwrap(),
        "--kind",
        "metrics",
        "--shift-to-now",
        "--now",
        &now.to_string(),
    ]);
    // Weeks of chunks in one request may take a busy machine longer than senders wait: then it is spooled.
    let report = loaded.json();
    assert_eq!(report["committed"].as_u64().unwrap() + report["spooled"].as_u64().unwrap(), 67_740, "{report}");
    Books::drained(client);
    let end = now.as_second();
    let mut compared = 0;
    let mut check = |state: &str, every: usize| {
        for (a, aggregate) in AGGREGATES.into_iter().enumerate() {
            for (l, (resolution, width, level, days)) in
                LEVELS.into_iter().enumerate().filter(|(l, _)| (a + l) % every == 0)
            {
                // Each aggregate and level, with each grouping and choice of series somewhere.
                let (group_by, (series, condition)) =
                    (GROUPS[(a + l) % GROUPS.len()], SERIES[(a + 2 * l) % SERIES.len()]);
                let aligned = width.unwrap_or(1).max(60);
                let range =
                    ((end - days * DAY).div_euclid(aligned) * aligned, end.div_euclid(aligned) * aligned + aligned);
                let before = if ["rate", "increase", "delta"].contains(&aggregate) { 60 * level } else { 0 };
                let expected = direct(env, &Question { aggregate, group_by, condition, range, width, before });
                let time = |seconds: i64| jiff::Timestamp::from_second(seconds).unwrap();
                let (from, to) = match resolution {
                    // So that points are of the width that is expected.
                    "points=72" | "resolution=raw&points=720" => (time(range.0), time(range.0 + days * DAY)),
                    _ => (time(range.0), time(range.1)),
                };
                let groups =
                    if group_by.is_empty() { String::new() } else { format!("&group_by={}", group_by.join(",")) };
                let query = format!("{series}&{resolution}&from={from}&to={to}&aggregate={aggregate}{groups}");
                let expected: BTreeMap<_, _> =
                    expected.into_iter().filter(|((at, _), _)| *at < to.as_second()).collect();
                let found = points(client, &query);
                assert_eq!(found.len(), expected.len(), "{state} {query}");
                let scale = expected.values().flatten().fold(1.0, |most: f64, value| most.max(value.abs()));
                for row in &found {
                    let at = row["bucket"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
                    let wanted = expected
                        .get(&(at, row["dimensions"].to_string()))
                        .unwrap_or_else(|| panic!("{state} {query}: {row}"));
                    let same = match (row["value"].as_f64(), *wanted) {
                        (Some(found), Some(wanted)) => (found - wanted).abs() <= 1e-9 * scale,
                        (found, wanted) => found == wanted,
                    };
                    assert!(same, "{state} {query}: {row}, not {wanted:?}");
                }
                compared += found.len();
            }
        }
    };
    check("nothing is closed", 6);
    refresh(env);
    check("closed", 1);
    // Late ones, days ago, in no order.
    let late: Vec<String> = (0..1000_i64).map(|n| {
        let at = jiff::Timestamp::from_second(end - DAY - n * 7919 % (12 * 3600)).unwrap();
        let (name, kind) = [("ec2_cpu_utilization", "cloudwatch"), ("elb_request_count", "counter")][usize::try_from(n % 2).unwrap()];
        let region = ["us", "ü"][usize::try_from(n / 2 % 2).unwrap()];
        format!(r#"{{"timestamp":"{at}","asset_id":"late-{}","metric_type":"{kind}","metric_name":"{name}","value":{},"dimensions":{{"region":"{region}","tier":2}}}}"#, n % 3, n * 31 % 97)
    }).collect();
    send(client, &late);
    check("late ones that no level has", 4);
    assert!(compared > 50_000, "{compared}");
    Ok(())
}
