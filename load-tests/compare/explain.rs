//! Statements as the reader, in SQL: the seed's patterns, and what planning takes, which grows with the number of chunks
//! before anything is read.

use super::Result;
use super::analytics::Planned;
use super::dataset::{Dataset, asset_name, below, metric};
use super::sender::percentile;
use super::target::Target;

/// Each is asked this often, with other values.
const COUNT: u64 = 9;

/// A statement by name, for a tenant, from a random number.
pub type Statement = (&'static str, fn(&Dataset, usize, u64) -> String);

/// Seed ADR-002's first two patterns.
pub const PATTERNS: [Statement; 2] = [
    ("seed's pattern 1 in SQL: an asset, 24 h, LIMIT 1000", |data, tenant, random| {
        format!(
            "SELECT * FROM events WHERE asset_id = '{}' AND timestamp >= NOW() - INTERVAL '24 hours' \
             ORDER BY timestamp DESC LIMIT 1000",
            asset_name(tenant, below(random, data.assets))
        )
    }),
    ("seed's pattern 2 in SQL: a metric of an asset by the hour, 7 days", |data, tenant, random| {
        let asset = below(random, data.assets);
        format!(
            "SELECT bucket, avg_value, p95_value, p99_value FROM metrics_hourly WHERE asset_id = '{}' \
             AND metric_name = '{}' AND bucket >= NOW() - INTERVAL '7 days' ORDER BY bucket DESC",
            asset_name(tenant, asset),
            metric(asset, 0).0
        )
    }),
];

/// What the HTTP reads ask, about as they ask it; `tenant-N` is the tenant's name.
const STATEMENTS: [Statement; 4] = [
    ("a tenant's asset, 24 h, LIMIT 100", |data, tenant, random| {
        format!(
            "SELECT * FROM events WHERE tenant_id = 'tenant-{tenant}' AND asset_id = '{}' \
             AND timestamp >= NOW() - INTERVAL '24 hours' ORDER BY timestamp DESC LIMIT 100",
            asset_name(tenant, below(random, data.assets))
        )
    }),
    ("a tenant's latest 100, no bound", |_, tenant, _| {
        format!("SELECT * FROM events WHERE tenant_id = 'tenant-{tenant}' ORDER BY timestamp DESC LIMIT 100")
    }),
    ("a tenant's asset, no bound, LIMIT 100", |data, tenant, random| {
        format!(
            "SELECT * FROM events WHERE tenant_id = 'tenant-{tenant}' AND asset_id = '{}' \
             ORDER BY timestamp DESC LIMIT 100",
            asset_name(tenant, below(random, data.assets))
        )
    }),
    ("a tenant's correlation id, no bound", |data, tenant, random| {
        let group = data.group(tenant, random % data.events.per_tenant);
        let id = data.correlation(tenant, group).unwrap_or_default();
        format!("SELECT * FROM events WHERE tenant_id = 'tenant-{tenant}' AND correlation_id = '{id}'")
    }),
];

/// Explains all of them.
pub async fn run(target: &Target, dataset: Dataset, state: &str) -> Result<Vec<Planned>> {
    let client = target.reader().await?;
    let mut planned = Vec::new();
    for (query, sql) in PATTERNS.iter().chain(&STATEMENTS) {
        let (mut planning, mut execution, mut scans) = (Vec::new(), Vec::new(), 0);
        for number in 0..COUNT {
            let tenant = usize::try_from(number).unwrap_or_default() % dataset.tenants;
            let random = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let statement = sql(&dataset, tenant, random);
            let explain = format!("EXPLAIN (ANALYZE, TIMING OFF, SUMMARY, FORMAT JSON) {statement}");
            let plan: serde_json::Value = client.query_one(&explain, &[]).await?.get(0);
            let ms = |name: &str| plan[0][name].as_f64().ok_or_else(|| format!("EXPLAIN without {name}"));
            planning.push(ms("Planning Time")?);
            execution.push(ms("Execution Time")?);
            scans = relations(&plan[0]["Plan"]);
        }
        let median = |mut times: Vec<f64>| {
            times.sort_by(f64::total_cmp);
            percentile(&times, 500).unwrap_or(0.0)
        };
        let (planning_ms, execution_ms) = (median(planning), median(execution));
        println!("    {state}: {query}: planning {planning_ms:.1} ms, execution {execution_ms:.1} ms, {scans} scans");
        planned.push(Planned { query: (*query).to_owned(), state: state.to_owned(), planning_ms, execution_ms, scans });
    }
    Ok(planned)
}

/// Scans of a relation in a plan.
fn relations(plan: &serde_json::Value) -> usize {
    let below = plan["Plans"].as_array().map_or(0, |plans| plans.iter().map(relations).sum());
    below + usize::from(plan["Relation Name"].is_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scan_of_a_plan_is_counted() {
        let plan = serde_json::json!({"Node Type": "Append", "Plans": [
            {"Relation Name": "a"}, {"Node Type": "Sort", "Plans": [{"Relation Name": "b", "Plans": [{"Relation Name": "c"}]}]}
        ]});
        assert_eq!(relations(&plan), 3);
    }
}
