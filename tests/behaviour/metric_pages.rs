//! Lists of metrics page by page, in their forms, and of one's own tenant only; and the catalog of series.

use serde_json::{Value, json};

use crate::client::Client;
use crate::env::{Env, Test, TestResult, until};
use crate::refresh::{close, make_room, put_metrics};
use crate::tests;

pub const TESTS: &[Test] =
    tests!(pages_are_the_whole, cursors_of_others, lines_and_csv, the_catalog, tenants_see_only_their_own);

/// Names that differ little, at the same times, so that every part of a position counts.
const SAMPLES: &str =
    "SELECT date_trunc('hour', now()) - (n / 8) * INTERVAL '13 minutes' AS timestamp, tenant.id AS tenant_id,
        (ARRAY['a', 'a,\"b\"', 'B', 'ä'])[1 + n % 4] AS asset_id, 'type' || n % 2 AS metric_type,
        'name' || (n / 2) % 2 AS metric_name, 1::bigint AS value_count, n::double precision AS value_sum,
        NULL::double precision AS value_min, NULL::double precision AS value_max, NULL::double precision AS value_m2,
        CASE WHEN n % 3 = 0 THEN jsonb_build_object('host', 'h,1') END AS dimensions
     FROM generate_series(0, 255) n CROSS JOIN (VALUES ('default'), ('other')) tenant (id)";

fn all(client: &Client, path: &str, limit: usize) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    let sign = if path.contains('?') { '&' } else { '?' };
    loop {
        let list = client.get(&format!("{path}{sign}limit={limit}{cursor}")).expect(200);
        let data = list["data"].as_array().unwrap();
        assert!(data.len() <= limit);
        all.extend(data.iter().cloned().map(|mut row| {
            // Its last digit depends on the order in which values were added up.
            row.as_object_mut().unwrap().remove("stddev");
            row
        }));
        let Some(next) = list["next_cursor"].as_str() else { return all };
        assert_eq!(data.len(), limit, "only the last page is shorter");
        cursor = format!("&cursor={next}");
    }
}

/// The catalog as it is once the jobs are through; they may have seen a part of the rows by now. In the order of the key, as they
/// write it.
fn fill_catalog(env: &Env) {
    env.sql().run(
        "INSERT INTO metric_series
         SELECT tenant_id, asset_id, metric_type, metric_name, series_id, metric_dimensions(dimensions), min(timestamp), max(timestamp)
         FROM metrics GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 4, 3, 5
         ON CONFLICT (tenant_id, asset_id, metric_name, metric_type, series_id) DO UPDATE
         SET first_seen = excluded.first_seen, last_seen = excluded.last_seen",
    );
}

fn pages_are_the_whole(env: &Env) -> TestResult {
    let tidegate = env.serve();
    make_room(env);
    put_metrics(env, SAMPLES);
    close(env);
    put_metrics(env, &SAMPLES.replace("n / 8", "1 + n / 8"));
    fill_catalog(env);
    for path in [
        "/v1/metrics?metric_name=name0,name1&from=-3d&resolution=1m",
        "/v1/metrics?metric_name=name0,name1&from=-3d&resolution=5m",
        "/v1/metrics?asset_id=B,a&from=-3d&resolution=1h",
        "/v1/metrics?asset_id=B,a&from=-3d",
        "/v1/metrics?metric_name=name0,name1&from=-3d&resolution=1d",
        "/v1/metrics?metric_name=name1&metric_type=type1&from=-3d&resolution=raw",
        "/v1/metrics/catalog",
        "/v1/metrics/catalog?metric_name=name1",
    ] {
        let whole = all(&tidegate.client, path, 10_000);
        let limit = if whole.len() < 5 { 1 } else { 7 };
        assert!(whole.len() > limit, "{path}");
        assert_eq!(all(&tidegate.client, path, limit), whole, "{path} by {limit}");
    }
    Ok(())
}

fn cursors_of_others(env: &Env) -> TestResult {
    let tidegate = env.serve();
    make_room(env);
    put_metrics(env, SAMPLES);
    fill_catalog(env);
    let other = tidegate.with(&env.key("other", "read"));
    for (path, filters) in [
        ("/v1/metrics", "metric_name=name0&resolution=1h"),
        ("/v1/metrics", "metric_name=name0&resolution=auto"),
        ("/v1/metrics", "metric_name=name0&resolution=raw"),
        ("/v1/metrics/catalog", "metric_name=name0"),
    ] {
        let list = tidegate.client.get(&format!("{path}?{filters}&limit=1")).expect(200);
        let cursor = list["next_cursor"].as_str().unwrap();
        tidegate.client.get(&format!("{path}?{filters}&cursor={cursor}")).expect(200);
        other.get(&format!("{path}?{filters}&cursor={cursor}")).problem(404, "not_found");
        let changed = filters.replace("name0", "name1");
        tidegate.client.get(&format!("{path}?{changed}&cursor={cursor}")).problem(400, "invalid_parameter");
        tidegate.client.get(&format!("/v1/events?cursor={cursor}")).problem(400, "invalid_parameter");
        for bad in [&cursor[1..], &cursor[..cursor.len() - 8], &format!("{cursor}AAAA")] {
            tidegate.client.get(&format!("{path}?{filters}&cursor={bad}")).problem(400, "invalid_parameter");
        }
    }
    let hours = tidegate.client.get("/v1/metrics?metric_name=name0&resolution=1h&limit=3").expect(200);
    let cursor = hours["next_cursor"].as_str().unwrap();
    let minutes = format!("/v1/metrics?metric_name=name0&resolution=1m&cursor={cursor}");
    tidegate.client.get(&minutes).problem(400, "invalid_parameter");
    Ok(())
}

fn lines_and_csv(env: &Env) -> TestResult {
    let tidegate = env.serve();
    make_room(env);
    // More than a page of a stream has.
    put_metrics(env, &SAMPLES.replace("255", "7999"));
    for (query, count) in [("resolution=1m", 3333), ("resolution=raw", 4000)] {
        let path = format!("/v1/metrics?metric_name=name0&from=-20d&{query}");
        let whole = all(&tidegate.client, &path, 10_000);
        assert_eq!(whole.len(), count, "{path}");
        let lines = tidegate.client.get_as(&path, &[("accept", "application/x-ndjson")]);
        assert_eq!((lines.status, lines.header("content-type")), (200, "application/x-ndjson"));
        let parsed: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            parsed.iter().map(|row| &row["sum"]).collect::<Vec<_>>(),
            whole.iter().map(|row| &row["sum"]).collect::<Vec<_>>()
        );
        let short = tidegate.client.get_as(&format!("{path}&limit=1001"), &[("accept", "application/x-ndjson")]);
        assert_eq!(short.text().lines().count(), 1001);
    }
    let csv = |query: &str| {
        let answer = tidegate.client.get_as(&format!("/v1/metrics?{query}"), &[("accept", "text/csv")]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text().to_owned()
    };
    let raw = csv("metric_name=name0&resolution=raw&limit=8&from=-20d");
    let (header, rows) = raw.split_once("\r\n").unwrap();
    assert_eq!(header, "timestamp,asset_id,metric_type,metric_name,value,count,sum,min,max,sumsq,stddev,dimensions");
    assert!(rows.contains(",\"a,\"\"b\"\"\",type1,name0,1.0,1,1.0,1.0,1.0,1.0,,\r\n"), "{rows}");
    assert!(rows.contains(",\"{\"\"host\"\": \"\"h,1\"\"}\"\r\n"), "{rows}");
    let points = csv("metric_name=name0&resolution=1h&limit=1&from=-20d");
    let (header, row) = points.split_once("\r\n").unwrap();
    assert_eq!(
        header,
        "bucket,asset_id,metric_type,metric_name,resolution,count,sum,avg,min,max,stddev,p50,p95,p99,summarized_count,dimensions"
    );
    assert!(row.contains(",a,type0,name0,1h,"), "{row}");
    tidegate.client.get_as("/v1/metrics", &[("accept", "text/csv")]).problem(400, "unbounded_query");
    Ok(())
}

fn the_catalog(env: &Env) -> TestResult {
    let tidegate = env.serve();
    make_room(env);
    put_metrics(env, SAMPLES);
    fill_catalog(env);
    let names = |query: &str| -> Vec<String> {
        let list = tidegate.client.get(&format!("/v1/metrics/catalog?{query}")).expect(200);
        let name = |series: &Value| {
            ["metric_name", "asset_id", "metric_type"].map(|part| series[part].as_str().unwrap().to_owned()).join("/")
        };
        list["data"].as_array().unwrap().iter().map(name).collect()
    };
    let ordered: Vec<String> = env.sql().column(
        "SELECT metric_name || '/' || asset_id || '/' || metric_type FROM metric_series WHERE tenant_id = 'default'
         ORDER BY metric_name, asset_id, metric_type, series_id",
    );
    assert_eq!(names(""), ordered);
    assert_eq!(names("asset_id=B&metric_name=name1"), ["name1/B/type0"; 2], "one with dimensions, one without");
    assert_eq!(names("metric_type=type1").len(), ordered.iter().filter(|name| name.ends_with("type1")).count());
    assert_eq!(names("search=NAME1"), names("metric_name=name1"), "in any case");
    assert_eq!(names("search=b").len(), ordered.iter().filter(|name| name.to_lowercase().contains('b')).count());
    assert!(names("search=%25").is_empty() && names("search=_").is_empty(), "no pattern");
    let list = tidegate.client.get("/v1/metrics/catalog?asset_id=B&metric_name=name1").expect(200);
    let (first, last): (String, String) = {
        let row = &env.sql().rows(
            "SELECT to_jsonb(min(timestamp))->>0, to_jsonb(max(timestamp))->>0 FROM metrics
             WHERE tenant_id = 'default' AND asset_id = 'B' AND metric_name = 'name1' AND dimensions IS NULL",
            &[],
        )[0];
        (row.get(0), row.get(1))
    };
    let time = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
    let series = &list["data"][0];
    assert_eq!(time(series["first_seen"].as_str().unwrap()), time(&first));
    assert_eq!(time(series["last_seen"].as_str().unwrap()), time(&last));
    let csv = tidegate.client.get_as("/v1/metrics/catalog?limit=1", &[("accept", "text/csv")]);
    assert!(
        csv.text().starts_with("metric_name,asset_id,metric_type,dimensions,first_seen,last_seen,series_id\r\nname0,"),
        "{}",
        csv.text()
    );
    Ok(())
}

fn tenants_see_only_their_own(env: &Env) -> TestResult {
    let tidegate = env.serve();
    make_room(env);
    let third = tidegate.with(&env.key("third", "read"));
    put_metrics(env, SAMPLES);
    fill_catalog(env);
    for path in [
        "/v1/metrics?metric_name=name0&resolution=1m",
        "/v1/metrics?metric_name=name0&resolution=1d",
        "/v1/metrics?metric_name=name0&resolution=raw",
        "/v1/metrics/catalog",
    ] {
        until(path, || {
            let own = tidegate.client.get(path).expect(200)["data"].as_array().unwrap().len();
            (own > 0).then_some(())
        });
        assert_eq!(third.get(path).expect(200)["data"], json!([]), "{path}");
    }
    let counts: i64 = env.sql().one("SELECT count(*) FROM metrics WHERE tenant_id = 'other'");
    let path = "/v1/metrics?metric_name=name0,name1&resolution=1d&from=-3d";
    let sum =
        |client: &Client| -> i64 { all(client, path, 100).iter().map(|point| point["count"].as_i64().unwrap()).sum() };
    assert_eq!(sum(&tidegate.with(&env.key("other", "read"))), counts);
    Ok(())
}
