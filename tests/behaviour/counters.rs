//! Rates, increases and deltas: counters that begin again, late samples, and what came before the first bucket.

use serde_json::json;

use crate::aggregates::{MINUTE, item, midnight, open_and_closed, time, values};
use crate::env::{Env, Test, TestResult};
use crate::refresh::make_room;
use crate::rollups::send;
use crate::tests;

pub const TESTS: &[Test] = tests!(counters_begin_again, what_came_before_counts);

fn counters_begin_again(env: &Env) -> TestResult {
    let tidegate = env.serve();
    make_room(env);
    let (client, start) = (&tidegate.client, midnight());
    let counted = |seconds: i64, host: &str, value: f64| {
        let members = format!(r#""metric_type":"counter","value":{value:?},"dimensions":{{"host":"{host}"}}"#);
        item(start + seconds, "requests", &members)
    };
    // Within the first minute it grows, in the next it begins again, twice; minutes later it was restarted between two samples.
    let samples = [(0, 10.0), (30, 15.0), (60, 3.0), (80, 8.0), (90, 2.0), (600, 1.0), (620, 1.0)];
    let mut items: Vec<String> = samples.iter().map(|(at, value)| counted(*at, "a", *value)).collect();
    items.extend([counted(15, "b", 100.0), counted(75, "b", 160.0)]);
    send(client, &items);
    let of = |aggregate: &str, resolution: &str, more: &str| {
        let query = format!(
            "metric_name=requests&from={}&to={}&aggregate={aggregate}&resolution={resolution}{more}",
            time(start),
            time(start + 86_400)
        );
        json!(values(client, start, &query))
    };
    open_and_closed(env, |state| {
        let host_a = "&dim.host=a";
        assert_eq!(of("increase", "1m", host_a), json!([[0, "", 5.0], [1, "", 10.0], [10, "", 1.0]]), "{state}");
        assert_eq!(of("increase", "5m", host_a), json!([[0, "", 15.0], [10, "", 1.0]]), "{state}");
        assert_eq!(of("increase", "1h", host_a), json!([[0, "", 16.0]]), "{state}");
        assert_eq!(of("increase", "1d", ""), json!([[0, "", 76.0]]), "{state}: of both, each by itself");
        assert_eq!(
            of("increase", "1m", "&group_by=host"),
            json!([[0, "b", 0.0], [0, "a", 5.0], [1, "b", 60.0], [1, "a", 10.0], [10, "a", 1.0]]),
            "{state}"
        );
        assert_eq!(
            of("rate", "1m", host_a),
            json!([[0, "", 5.0 / 60.0], [1, "", 10.0 / 60.0], [10, "", 1.0 / 60.0]]),
            "{state}"
        );
        assert_eq!(of("rate", "1h", ""), json!([[0, "", 76.0 / 3600.0]]), "{state}");
        assert_eq!(of("delta", "1m", host_a), json!([[0, "", 5.0], [1, "", -13.0], [10, "", -1.0]]), "{state}");
        assert_eq!(of("delta", "1d", ""), json!([[0, "", 51.0]]), "{state}");
        assert_eq!(of("last", "1h", host_a), json!([[0, "", 1.0]]), "{state}");
        assert_eq!(
            of("last", "1m", ""),
            json!([[0, "", 15.0], [1, "", 2.0], [10, "", 1.0]]),
            "{state}: the newest of both"
        );
        assert_eq!(
            of("increase", "raw", host_a),
            json!([[0, "", 0.0], [0, "", 5.0], [1, "", 3.0], [1, "", 5.0], [1, "", 2.0], [10, "", 1.0], [10, "", 0.0]]),
            "{state}"
        );
        assert_eq!(of("rate", "raw", "&dim.host=b"), json!([[0, "", null], [1, "", 1.0]]), "{state}");
        // 86,400 s in 1,440 points are minutes, also of samples.
        assert_eq!(of("increase", "raw", "&dim.host=a&points=1440"), of("increase", "1m", host_a), "{state}");
    });
    // Late: behind the first minute's last sample, and in minutes that had none.
    send(client, &[counted(45, "a", 12.0), counted(300, "a", 50.0)]);
    let late = |state: &str| {
        let expected = json!([[0, "", 17.0], [1, "", 10.0], [5, "", 48.0], [10, "", 1.0]]);
        assert_eq!(of("increase", "1m", "&dim.host=a"), expected, "late, {state}");
        for resolution in ["1h", "1d"] {
            assert_eq!(of("increase", resolution, "&dim.host=a"), json!([[0, "", 76.0]]), "late, {state}");
        }
    };
    open_and_closed(env, late);
    Ok(())
}

/// A bucket says the same whatever range it is asked for in.
fn what_came_before_counts(env: &Env) -> TestResult {
    let tidegate = env.serve();
    make_room(env);
    let (client, start) = (&tidegate.client, midnight());
    let kinds = ["counter", "gauge"];
    for kind in kinds {
        let sample =
            |minute: i64| item(start + minute * MINUTE, kind, &format!(r#""metric_type":"{kind}","value":{minute}"#));
        send(client, &[0, 1, 2, 30, 31, 100].map(sample));
    }
    open_and_closed(env, |state| {
        for kind in kinds {
            for aggregate in ["increase", "delta"] {
                let from = |minute: i64| {
                    let query = format!(
                        "metric_name={kind}&from={}&to={}&aggregate={aggregate}&resolution=1m",
                        time(start + minute * MINUTE),
                        time(start + 101 * MINUTE)
                    );
                    json!(values(client, start, &query))
                };
                let what = format!("{state} {kind} {aggregate}");
                assert_eq!(
                    from(0),
                    json!([[0, "", 0.0], [1, "", 1.0], [2, "", 1.0], [30, "", 28.0], [31, "", 1.0], [100, "", 69.0]]),
                    "{what}"
                );
                assert_eq!(from(3), json!([[30, "", 28.0], [31, "", 1.0], [100, "", 69.0]]), "{what}");
                assert_eq!(from(31), json!([[31, "", 1.0], [100, "", 69.0]]), "{what}");
                // Further back than an hour nobody looks.
                assert_eq!(from(95), json!([[100, "", 0.0]]), "{what}");
            }
        }
    });
    Ok(())
}
