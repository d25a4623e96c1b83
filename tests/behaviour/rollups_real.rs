//! Real metrics: every bucket of every level against a direct computation, as loaded and after late samples.

use std::path::{Path, PathBuf};

use crate::env::{Engine, Env, Test, TestResult};
use crate::rollups::{DAY, HOUR, LEVELS, differences, fine_levels_kept, refresh, right, send};
use crate::samples::{now, seconds_from_now};

pub const TESTS: &[Test] = &[Test {
    name: "real_metrics_and_ten_thousand_late_ones",
    engines: &Engine::ALL,
    run: real_metrics_and_ten_thousand_late_ones,
    missing: real_metrics_missing,
}];

fn real_metrics() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/real-metrics.ndjson.gz")
}

fn real_metrics_missing() -> Option<String> {
    (!real_metrics().is_file()).then(|| format!("there is no {}", real_metrics().display()))
}

fn real_metrics_and_ten_thousand_late_ones(env: &Env) -> TestResult {
    // Longer than the data, so that nothing expires meanwhile.
    let tidegate = env.serve_with(&fine_levels_kept("60d"));
    let (url, key, file) = (tidegate.client.url(), tidegate.client.key().to_owned(), real_metrics());
    let now = now().to_string();
    let loaded = env.cli(&[
        "load",
        "--url",
        &url,
        "--key",
        &key,
        "--json",
        "--file",
        file.to_str().unwrap(),
        "--kind",
        "metrics",
        "--shift-to-now",
        "--now",
        &now,
    ]);
    assert_eq!(loaded.json()["committed"], 67_740, "{loaded:?}");
    refresh(env);
    right(env);
    let sql = env.sql();
    let buckets = |level: &str| -> i64 { sql.count(level) };
    // Not of nothing: 17 series over four to seventeen days.
    assert!(buckets("metrics_hourly") > 5000 && buckets("metrics_daily") > 200);

    let series = sql.rows("SELECT DISTINCT asset_id, metric_type, metric_name FROM metrics ORDER BY 1, 2, 3", &[]);
    assert_eq!(series.len(), 17);
    let late: Vec<String> = (0..10_000_i32)
        .map(|n| {
            let row = &series[usize::try_from(n).unwrap() % series.len()];
            let [asset, r#type, name]: [&str; 3] = [row.get(0), row.get(1), row.get(2)];
            // Three days ago, over half a day, in no order.
            let at = seconds_from_now(-3 * DAY - 6 * HOUR + i64::from(n) * 7919 % (12 * HOUR));
            // Small, large and negative, so that every figure moves.
            let value = f64::from(n * 104_729 % 2_000_003 - 1_000_000) / 7.0;
            format!(
                r#"{{"timestamp":"{at}","asset_id":"{asset}","metric_type":"{type}","metric_name":"{name}","value":{value:?}}}"#
            )
        })
        .collect();
    for batch in late.chunks(1000) {
        send(&tidegate.client, batch);
    }
    assert_eq!(sql.count("metrics"), 77_740);
    refresh(env);
    right(env);
    for (level, width) in LEVELS.iter().copied() {
        let counted: i64 = sql.one(&format!("SELECT sum(count)::bigint FROM {level}"));
        assert_eq!((counted, differences(&sql, level, width, "true")), (77_740, 0), "{level}");
    }
    Ok(())
}
