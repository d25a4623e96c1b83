//! Aggregates as lines of a panel: filled, ranked, of so many points; and their pages and forms.

use serde_json::{Value, json};

use crate::aggregates::{MINUTE, in_region, item, midnight, time, values};
use crate::env::{Env, Test, TestResult};
use crate::metric_reads::points;
use crate::refresh::{close, make_room};
use crate::rollups::send;
use crate::tests;

pub const TESTS: &[Test] = tests!(
    empty_buckets_are_filled,
    the_first_lines_by_rank,
    points_choose_the_buckets,
    pages_lines_and_csv_of_values,
);

fn empty_buckets_are_filled(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let (client, start) = (&tidegate.client, midnight());
    send(
        client,
        &[
            in_region(start + 60, "load", "eu", 1.5),
            in_region(start + 180, "load", "eu", 2.5),
            in_region(start + 61, "load", "us", 7.0),
        ],
    );
    let of = |fill: &str| {
        let query = format!(
            "metric_name=load&from={}&to={}&resolution=1m&aggregate=avg&group_by=region&dim.region=eu{fill}",
            time(start),
            time(start + 300)
        );
        let rows = points(client, &query);
        json!(rows.iter().rev().map(|row| &row["value"]).collect::<Vec<_>>())
    };
    assert_eq!(of(""), json!([1.5, 2.5]));
    assert_eq!(of("&fill=null"), json!([null, 1.5, null, 2.5, null]));
    assert_eq!(of("&fill=zero"), json!([0.0, 1.5, 0.0, 2.5, 0.0]));
    assert_eq!(of("&fill=previous"), json!([null, 1.5, 1.5, 2.5, 2.5]));
    let both = format!(
        "metric_name=load&from={}&to={}&resolution=1m&aggregate=avg&group_by=region&fill=zero",
        time(start),
        time(start + 120)
    );
    assert_eq!(
        json!(values(client, start, &both)),
        json!([[0, "us", 0.0], [0, "eu", 0.0], [1, "us", 7.0], [1, "eu", 1.5]])
    );
    Ok(())
}

fn the_first_lines_by_rank(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let (client, start) = (&tidegate.client, midnight());
    // Means 5, 4, 4 and 1; each is the first by another rank.
    let lines = [("even", [5.0, 5.0]), ("peak", [-12.0, 20.0]), ("falls", [7.0, 1.0]), ("low", [2.0, 0.0])];
    let mut items = Vec::new();
    for (region, [one, two]) in lines {
        items.extend([in_region(start, "load", region, one), in_region(start + 60, "load", region, two)]);
    }
    send(client, &items);
    let first = |more: &str| {
        let query = format!(
            "metric_name=load&from={}&to={}&resolution=1m&aggregate=max&group_by=region{more}",
            time(start),
            time(start + 120)
        );
        let mut regions: Vec<String> =
            points(client, &query).iter().map(|row| row["dimensions"]["region"].as_str().unwrap().to_owned()).collect();
        assert_eq!(regions.len() % 2, 0, "whole lines");
        regions.truncate(regions.len() / 2);
        regions.join(" ")
    };
    assert_eq!(first(""), "even falls low peak");
    assert_eq!(first("&top=1"), "even");
    assert_eq!(first("&top=2"), "even falls", "of equals the first");
    assert_eq!(first("&top=3"), "even falls peak");
    assert_eq!(first("&top=1&by=max"), "peak");
    assert_eq!(first("&top=1&by=last"), "peak");
    assert_eq!(first("&top=2&by=min"), "even falls");
    assert_eq!(first("&top=2&by=sum"), "even falls");
    assert_eq!(first("&top=9&by=avg"), "even falls low peak");
    let of_one = values(
        client,
        start,
        &format!("metric_name=load&from={}&to={}&resolution=1m&aggregate=max&top=1", time(start), time(start + 120)),
    );
    assert_eq!(json!(of_one), json!([[0, "", 7.0], [1, "", 20.0]]), "without groups there is one line");
    Ok(())
}

fn points_choose_the_buckets(env: &Env) -> TestResult {
    let tidegate = env.serve();
    make_room(env);
    let (client, start) = (&tidegate.client, midnight());
    let items: Vec<String> = (0..120).map(|n| in_region(start + n * MINUTE, "load", "eu", 1.0)).collect();
    send(client, &items);
    close(env);
    for (points, resolution, hours, count) in [
        (120, "1m", 2, 1.0),
        (20, "6m", 2, 6.0),
        (24, "5m", 2, 5.0),
        (8, "15m", 2, 15.0),
        (2, "1h", 2, 60.0),
        (1, "2h", 2, 120.0),
        (24, "1h", 24, 60.0),
    ] {
        let query = format!(
            "metric_name=load&from={}&to={}&aggregate=count&points={points}",
            time(start),
            time(start + hours * 3600)
        );
        let list = client.get(&format!("/v1/metrics?{query}")).expect(200);
        let rows = list["data"].as_array().unwrap();
        assert_eq!(list["resolution"], resolution, "{points}");
        assert!(!rows.is_empty() && rows.len() <= points, "{points}: {list}");
        assert!(rows.iter().all(|row| row["value"] == count), "{points}: {list}");
    }
    let named = |query: &str| {
        client
            .get(&format!("/v1/metrics?metric_name=load&from={}&to={}&{query}", time(start), time(start + 7200)))
            .expect(200)["resolution"]
            .clone()
    };
    assert_eq!(named("resolution=1m&points=10&aggregate=avg"), "12m");
    assert_eq!(named("resolution=raw&points=300&aggregate=avg"), "24s");
    assert_eq!(named("resolution=raw&aggregate=avg"), "raw");
    assert_eq!(named("points=120"), "1m", "rows of series are those of a level");
    assert_eq!(named("points=119"), "5m");
    Ok(())
}

fn pages_lines_and_csv_of_values(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let (client, start) = (&tidegate.client, midnight());
    let mut items = Vec::new();
    for n in 0..60 {
        for region in ["a,\"b\"", "ü", "1"] {
            items.push(item(
                start + n * MINUTE,
                "load",
                &format!(r#""value":{n}.5,"dimensions":{}"#, json!({ "region": region })),
            ));
        }
    }
    send(client, &items);
    let path = format!(
        "/v1/metrics?metric_name=load&from={}&to={}&resolution=1m&aggregate=sum&group_by=region,metric_name&fill=previous",
        time(start),
        time(start + 7200)
    );
    let whole = client.get(&path).expect(200);
    assert_eq!((whole["data"].as_array().unwrap().len(), &whole["next_cursor"]), (360, &Value::Null));
    let paged = points(client, &format!("{}&limit=7", path.split_once('?').unwrap().1));
    assert_eq!(json!(paged), whole["data"]);
    let lines = client.get_as(&path, &[("accept", "application/x-ndjson")]);
    let lines: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(json!(lines), whole["data"]);
    let csv = client.get_as(&format!("{path}&limit=3"), &[("accept", "text/csv")]);
    let at = time(start + 119 * MINUTE);
    let row = |region: &str| format!("{at},\"{{\"\"region\"\":{region},\"\"metric_name\"\":\"\"load\"\"}}\",59.5\r\n");
    let expected = [r#"""1"""#, r#"""a,\""b\"""""#, r#"""ü"""#].map(row).concat();
    assert_eq!(csv.text(), format!("bucket,dimensions,value\r\n{expected}"));
    // A cursor belongs to one question of one tenant.
    let first = client.get(&format!("{path}&limit=7")).expect(200);
    let cursor = first["next_cursor"].as_str().unwrap();
    client.get(&format!("{}&cursor={cursor}", path.replace("sum", "avg"))).problem(400, "invalid_parameter");
    client
        .get(&format!("{}&cursor={cursor}", path.replace("region,metric_name", "region")))
        .problem(400, "invalid_parameter");
    tidegate.with(&env.key("other", "read")).get(&format!("{path}&cursor={cursor}")).problem(404, "not_found");
    Ok(())
}
