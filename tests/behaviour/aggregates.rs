//! GET /v1/metrics?aggregate=...: series grouped by what they have in common, and counters that begin again.

use serde_json::{Value, json};

use crate::client::Client;
use crate::env::{Env, Test, TestResult};
use crate::metric_reads::points;
use crate::refresh::{close, make_room};
use crate::rollups::send;
use crate::samples::encode;
use crate::tests;

pub const TESTS: &[Test] = tests!(
    a_dimension_tells_series_apart,
    summaries_of_several_series,
    what_rollups_do_not_tell,
    aggregates_mistakes_are_refused,
);

pub const MINUTE: i64 = 60;
const RESOLUTIONS: [&str; 4] = ["1m", "5m", "1h", "1d"];

/// Midnight of two days ago, in seconds: every level has closed its buckets.
pub fn midnight() -> i64 {
    (jiff::Timestamp::now().as_second() / 86_400 - 2) * 86_400
}

pub fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap().to_string()
}

/// A metric `name` of asset `a`, with what else it has.
pub fn item(at: i64, name: &str, members: &str) -> String {
    format!(r#"{{"timestamp":"{}","asset_id":"a","metric_name":"{name}",{members}}}"#, time(at))
}

pub fn in_region(at: i64, name: &str, region: &str, value: f64) -> String {
    item(at, name, &format!(r#""value":{value:?},"dimensions":{{"region":"{region}"}}"#))
}

/// The values of an answer as `[minutes since start, name, value]`, oldest first.
pub fn values(client: &Client, start: i64, query: &str) -> Vec<Value> {
    let rows = points(client, query);
    let short = |row: &Value| {
        let at = row["bucket"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second() - start;
        let names: Vec<String> = row["dimensions"].as_object().unwrap().values().map(Value::to_string).collect();
        json!([at / MINUTE, names.join(" ").replace('"', ""), row["value"]])
    };
    rows.iter().rev().map(short).collect()
}

/// Both while nothing is closed and once everything is.
pub fn open_and_closed(env: &Env, check: impl Fn(&str)) {
    check("open");
    close(env);
    check("closed");
}

fn a_dimension_tells_series_apart(env: &Env) -> TestResult {
    let tidegate = env.serve();
    make_room(env);
    let (client, start) = (&tidegate.client, midnight());
    let mut items = vec![item(start, "load", r#""value":100"#)];
    for (n, region) in ["eu", "eu", "us"].into_iter().enumerate() {
        let members = format!(r#""value":{},"dimensions":{{"region":"{region}","host":{n}}}"#, n + 1);
        items.push(item(start + 10, "load", &members));
    }
    send(client, &items);
    open_and_closed(env, |state| {
        for resolution in RESOLUTIONS {
            let query =
                format!("metric_name=load&from={}&to={}&resolution={resolution}", time(start), time(start + 60));
            let rows = points(client, &query);
            let found: Vec<(&Value, &Value)> = rows.iter().map(|row| (&row["dimensions"], &row["sum"])).collect();
            assert_eq!(found.len(), 4, "{state} {resolution}: {rows:?}");
            for (dimensions, sum) in [
                (json!({}), 100.0),
                (json!({"region":"eu","host":0}), 1.0),
                (json!({"region":"eu","host":1}), 2.0),
                (json!({"region":"us","host":2}), 3.0),
            ] {
                assert!(found.contains(&(&dimensions, &json!(sum))), "{state} {resolution}: {dimensions} of {rows:?}");
            }
            let sums = values(client, start, &format!("{query}&aggregate=sum&group_by=region,region"));
            assert_eq!(
                json!(sums),
                json!([[0, "us", 3.0], [0, "eu", 3.0], [0, "null", 100.0]]),
                "{state} {resolution}"
            );
            let of_hosts =
                values(client, start, &format!("{query}&aggregate=max&group_by=dim.host,asset_id&dim.region=eu"));
            assert_eq!(json!(of_hosts), json!([[0, "a 1", 2.0], [0, "a 0", 1.0]]), "{state} {resolution}");
            let all = values(client, start, &format!("{query}&aggregate=avg"));
            assert_eq!(json!(all), json!([[0, "", 26.5]]), "{state} {resolution}");
        }
        let moments = values(
            client,
            start,
            &format!("metric_name=load&from={}&to={}&resolution=raw&aggregate=count", time(start), time(start + 60)),
        );
        assert_eq!(json!(moments), json!([[0, "", 1.0], [0, "", 3.0]]), "{state}");
    });
    Ok(())
}

/// Large values, whose deviation would be lost in sums of their squares.
fn summaries_of_several_series(env: &Env) -> TestResult {
    let tidegate = env.serve();
    make_room(env);
    let (client, start) = (&tidegate.client, midnight());
    let ten: Vec<String> = (0..10).map(|n| format!("{}", 1_000_000_000_000_i64 + n * 10)).collect();
    let (sum, high) = (10_000_000_000_450_i64, 1_000_000_000_090_i64);
    let summary = |more: &str, region: &str| {
        item(
            start,
            "load",
            &format!(
                r#""count":10,"sum":{sum},"min":1000000000000,"max":{high},{more}"dimensions":{{"region":"{region}"}}"#
            ),
        )
    };
    send(
        client,
        &[
            item(start, "load", &format!(r#""values":[{}],"dimensions":{{"region":"eu"}}"#, ten.join(","))),
            summary(r#""stddev":30.276503540974916,"#, "us"),
            summary("", "ap"),
        ],
    );
    open_and_closed(env, |state| {
        for resolution in RESOLUTIONS.into_iter().chain(["raw"]) {
            let stddev = |more: &str| {
                let query =
                    format!("metric_name=load&from={}&resolution={resolution}&aggregate=stddev{more}", time(start));
                points(client, &query).iter().map(|row| row["value"].as_f64()).collect::<Vec<_>>()
            };
            for (more, wanted) in
                [("&dim.region=eu", 30.2765), ("&dim.region=us", 30.2765), ("&dim.region=eu,us", 29.4690)]
            {
                let found = stddev(more);
                assert!(
                    found.len() == 1 && found[0].is_some_and(|value| (value - wanted).abs() < 1e-3),
                    "{state} {resolution} {more}: {found:?}"
                );
            }
            assert_eq!(stddev("&dim.region=ap"), [None], "{state} {resolution}: its spread is not known");
            assert_eq!(stddev(""), [None], "{state} {resolution}: of one of them it is not known");
        }
    });
    Ok(())
}

/// Percentiles and last values of several series come from samples, and from nothing where these have expired.
fn what_rollups_do_not_tell(env: &Env) -> TestResult {
    let tidegate = env.serve();
    make_room(env);
    let (client, start) = (&tidegate.client, midnight());
    let mut items = Vec::new();
    for n in 0..10_i32 {
        items.push(in_region(start + i64::from(n), "load", "eu", f64::from(n)));
        items.push(in_region(start + i64::from(n), "load", "us", f64::from(n * 10)));
    }
    send(client, &items);
    close(env);
    let query = |from: i64, more: &str| format!("metric_name=load&from={}&resolution=1h&{more}", time(from));
    assert_eq!(json!(values(client, start, &query(start, "aggregate=p50"))), json!([[0, "", 8.0]]));
    assert_eq!(
        json!(values(client, start, &query(start, "aggregate=p50&group_by=region"))),
        json!([[0, "us", 40.0], [0, "eu", 4.0]])
    );
    assert_eq!(json!(values(client, start, &query(start, "aggregate=last&dim.region=us"))), json!([[0, "", 90.0]]));
    let old = start - 100 * 86_400;
    for more in ["aggregate=p95", "aggregate=last", "aggregate=delta&group_by=region"] {
        let problem = client.get(&format!("/v1/metrics?{}", query(old, more))).problem(400, "unbounded_query");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("samples are kept since"), "{more}: {detail}");
    }
    for more in ["aggregate=p95&group_by=region", "aggregate=p95&dim.region=eu", "aggregate=avg", "aggregate=stddev"] {
        assert!(!values(client, start, &query(old, more)).is_empty(), "{more}: a rollup tells it");
    }
    Ok(())
}

fn aggregates_mistakes_are_refused(env: &Env) -> TestResult {
    let tidegate = env.share();
    for query in [
        "aggregate=",
        "aggregate=mean",
        "aggregate=AVG",
        "aggregate=avg&group_by=",
        "aggregate=avg&fill=linear",
        "aggregate=avg&resolution=raw&fill=zero",
        "aggregate=avg&top=0",
        "aggregate=avg&top=1001",
        "aggregate=avg&top=3&by=p95",
        "aggregate=avg&by=avg",
        "aggregate=avg&points=0",
        "aggregate=avg&points=many",
        "aggregate=avg&cursor=AAAA",
        "group_by=region",
        "fill=zero",
        "top=3",
        "by=avg",
        "resolution=1h&points=10",
        "dimensions=eu",
        "dimensions=[1]",
        &format!("dimensions={}", encode(r#"{"a":"\u0000"}"#)),
        "dim.region=",
        "dim.region=,",
        "dim.region=a&dim.region=b",
        "dim=eu",
    ] {
        tidegate.client.get(&format!("/v1/metrics?metric_name=x&{query}")).problem(400, "invalid_parameter");
    }
    for query in ["aggregate=avg", "aggregate=avg&dim.region=eu", "metric_name=x&aggregate=avg&resolution=1m&from=-35d"]
    {
        tidegate.client.get(&format!("/v1/metrics?{query}")).problem(400, "unbounded_query");
    }
    // Nothing is there, and that is no mistake.
    for query in [
        "from=-2h&to=-3h&fill=zero",
        "points=100&from=-40d",
        "resolution=raw",
        "resolution=1d&from=-80d",
        "group_by=a,asset_id&top=5&by=last",
    ] {
        for aggregate in ["avg", "p95", "rate", "last"] {
            let list =
                tidegate.client.get(&format!("/v1/metrics?metric_name=x&aggregate={aggregate}&{query}")).expect(200);
            assert_eq!((&list["data"], &list["next_cursor"]), (&json!([]), &Value::Null), "{aggregate} {query}");
        }
    }
    Ok(())
}
